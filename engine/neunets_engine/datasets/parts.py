"""What a source calls its parts, and what they are used for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

__all__ = ["NAMES", "Part", "part_of"]


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
    "publictest": Part.VALID,  # of FER2013
    "privatetest": Part.TEST,
}


# Words beside the name of a part: train_set, test-images.
AFFIXES: Final = frozenset({"set", "data", "dataset", "image", "images", "img", "imgs", "split"})


def part_of(name: str) -> Part | None:
    """In any case and with common affixes; None: it is no name of a part."""
    words = [word for word in re.split(r"[\s_.-]+", name.strip().casefold()) if word and word not in AFFIXES]
    return NAMES.get(words[0]) if len(words) == 1 else None
