"""Tables with a column for each class, which holds a 1 where an image is of that class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from neunets_engine.datasets.columns import Chosen, find_columns
from neunets_engine.datasets.multilabel import MULTILABEL
from neunets_engine.datasets.source import refusal

__all__ = ["OneHot", "one_hot"]

VALUES: Final = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True, slots=True)
class OneHot:
    name: str  # of the column that the labels would have
    labels: Sequence[str]  # one for each line; empty where no class is set
    told: str


def one_hot(table: object, names: Sequence[str], lines: Sequence[Sequence[str]], chosen: Chosen) -> OneHot | None:
    """None where there is a column of labels, or are fewer than two columns of zeros and ones.

    Raises: InvalidRequest where a line has several classes.
    """
    image, label, split = find_columns(names, chosen)
    if image is None or label is not None or not lines:
        return None
    places = [
        place
        for place, name in enumerate(names)
        if name not in (image, split) and all(line[place].strip() in VALUES for line in lines)
    ]
    if len(places) < 2:
        return None
    labels = []
    for line in lines:
        ones = [names[place] for place in places if VALUES[line[place].strip()]]
        if len(ones) > 1:
            text = f"{line[names.index(image)]} is of the classes {' and '.join(ones[:3])} (multi-label)"
            raise refusal(table, text, MULTILABEL)
        labels.append(ones[0] if ones else "")
    some = ", ".join(repr(names[place]) for place in places[:4])
    return OneHot("label", labels, f"{len(places)} columns of 0 and 1 are read as the classes: {some}")
