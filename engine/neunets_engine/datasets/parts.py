"""What a source calls its parts, and what they are used for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

__all__ = ["NAMES", "Part", "joined", "part_of"]


class Part(Enum):
    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


NAMES: Final[Mapping[str, Part]] = {
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "valid": Part.VALID,
    "validation": Part.VALID,
    "val": Part.VALID,
    "dev": Part.VALID,
    "test": Part.TEST,
    "testing": Part.TEST,
}


# Words beside the name of a part: train_set, test-images.
AFFIXES: Final = frozenset({"set", "data", "dataset", "image", "images", "img", "imgs", "split"})


def part_of(name: str) -> Part | None:
    """In any case and with common affixes; None: it is no name of a part."""
    words = [word for word in re.split(r"[\s_.-]+", name.strip().casefold()) if word and word not in AFFIXES]
    return NAMES.get(words[0]) if len(words) == 1 else None


def joined(parts: Iterable[Part]) -> tuple[Mapping[Part, Part], tuple[str, ...]]:
    """Each part as TRAIN or TEST, and what there is to say of it.

    A validation part is the test set where there is no other, and more training data where there is: which rows
    validate is drawn with the run's seed.
    """
    found = set(parts)
    if Part.VALID not in found:
        return {part: part for part in found}, ()
    to = Part.TRAIN if Part.TEST in found or Part.TRAIN not in found else Part.TEST
    text = "is the test set" if to is Part.TEST else "is training data: another one is drawn from both"
    return {part: to if part is Part.VALID else part for part in found}, (f"the validation part {text}",)
