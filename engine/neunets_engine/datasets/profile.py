"""What is told of a data set: numbers for synthesizers, warnings for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from neunets_engine.datasets.keep import Division, Kept
from neunets_engine.datasets.sizes import size_features
from neunets_engine.datasets.source import Array, Source

__all__ = ["meta_features", "warnings_of"]

# Largest class / smallest, from which on it is said.
STRONG_IMBALANCE: Final = 10.0


def meta_features(source: Source, kept: Kept, class_rows: Array) -> dict[str, float]:
    """`class_rows` (classes,): training examples of each class. Entropy in nats."""
    share = class_rows / class_rows.sum()
    features = {"imbalance": _imbalance(class_rows), "class_entropy": float(-(share * np.log(share)).sum())}
    for channel, (mean, std) in enumerate(zip(kept.mean, kept.std, strict=True)):
        features |= {f"channel_mean/{channel}": float(mean), f"channel_std/{channel}": float(std)}
    if len(source.train.shape) == 3:
        height, width, channels = source.train.shape
        features |= size_features(np.array([(width, height)])) | {"grey_fraction": float(channels == 1)}
    return features | dict(source.meta_features)


def warnings_of(source: Source, division: Division, kept: Kept, class_rows: Array) -> tuple[str, ...]:
    return (
        *source.warnings,
        *source.remarks.sentences(),
        *_of_imbalance(source.classes, class_rows),
        *_of_duplicates(source, division, kept),
    )


def _imbalance(class_rows: Array) -> float:
    return float(class_rows.max() / class_rows.min())


def _of_imbalance(classes: Sequence[str], class_rows: Array) -> tuple[str, ...]:
    ratio, most, least = _imbalance(class_rows), int(class_rows.argmax()), int(class_rows.argmin())
    if ratio <= STRONG_IMBALANCE:
        return ()
    found = f"class {classes[most]!r} has {class_rows[most]:,} training examples, {classes[least]!r}"
    return (f"{found} {class_rows[least]:,}: accuracy says little of small classes",)


def _of_duplicates(source: Source, division: Division, kept: Kept) -> tuple[str, ...]:
    if kept.duplicate is None:
        return ()
    twin = source.train.name(int(np.flatnonzero(~division.aside)[kept.duplicate.train]))
    one = _test_name(source, division)(kept.duplicate.test)
    count = "1 test example is" if kept.duplicates == 1 else f"{kept.duplicates:,} test examples are"
    return (f"{count} in the training data, too, such as {one}, which equals {twin}",)


def _test_name(source: Source, division: Division) -> Callable[[int], str]:
    if source.test is not None:
        return source.test.name
    return lambda row: source.train.name(int(np.flatnonzero(division.aside)[row]))
