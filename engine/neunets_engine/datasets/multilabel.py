"""Labels that name several classes at once, such as "cat|dog", are recognised by their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from neunets_engine.datasets.source import refusal

__all__ = ["MULTILABEL", "check_single", "several"]

MULTILABEL: Final = "only images with one class each are read: keep the rows with one class, or give one label a row"
# Names of classes hold spaces and commas, too: those count only where the parts are classes themselves.
SEPARATORS: Final = ("|", ";", ",", "+", "&", " ")
# From this number of labels for each part on, the labels are combinations even where no part stands alone.
LABELS_A_PART: Final = 2
FEWEST_LENGTHS: Final = 3  # different numbers of parts; names that combine attributes have one number


def check_single(table: object, labels: Collection[str]) -> None:
    """Raises: InvalidRequest if `labels` (each once) are combinations of the same few parts."""
    for separator in SEPARATORS:
        found = several(labels, separator)
        if found:
            some = " and ".join(map(repr, found))
            text = f"labels such as {some} combine several classes (multi-label)"
            raise refusal(table, text, MULTILABEL)


def several(labels: Collection[str], separator: str) -> tuple[str, ...]:
    """Up to two of `labels` that are combinations; none where they are names of classes."""
    parts = {label: _parts(label, separator) for label in labels}
    combined = {label: found for label, found in parts.items() if len(found) > 1}
    alone = {found[0] for found in parts.values() if len(found) == 1}
    counts = Counter(part for found in combined.values() for part in set(found))
    of_classes = [label for label, found in combined.items() if len(set(found)) == len(found) and alone >= set(found)]
    recurs = any(count > 1 for count in counts.values())
    if of_classes and (recurs or separator != " "):
        return tuple(sorted(of_classes)[:2])
    lengths = {len(found) for found in parts.values()}
    if combined and len(lengths) >= FEWEST_LENGTHS and len(labels) >= LABELS_A_PART * len(counts.keys() | alone):
        return tuple(sorted(combined)[:2])
    recurring = [label for label, found in combined.items() if all(counts[part] > 1 for part in found)]
    return tuple(sorted(recurring)[:2]) if separator == "|" and len(recurring) > 1 else ()


def _parts(label: str, separator: str) -> list[str]:
    """Without the brackets and quotes of a list that is written as text."""
    inner = label[1:-1] if label[:1] + label[-1:] in ("[]", "()", "{}") else label
    found = inner.split(None if separator == " " else separator)
    return [part for part in (piece.strip(" '\"") for piece in found) if part]
