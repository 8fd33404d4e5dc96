"""Which files are images: by their suffix, else by their first bytes."""

from __future__ import annotations

import os
from typing import Final

from neunets.files import open_regular
from neunets.images import HEAD_BYTES, format_of
from neunets_engine.datasets.passed_over import is_passed_over

__all__ = ["is_image_file"]

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
# Of files beside images that are no images, however many there are: they are not opened.
OTHER_SUFFIXES: Final = frozenset({".txt", ".md", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".html"})


def is_image_file(path: str) -> bool:
    """Also of a format that is known and not read, so that it is refused by name and not passed over."""
    name = os.path.basename(path)
    suffix = os.path.splitext(name)[1].lower()
    if is_passed_over(name) or suffix in OTHER_SUFFIXES:
        return False
    if suffix in SUFFIXES:
        return True
    try:
        with open_regular(path) as stream:
            return format_of(stream.read(HEAD_BYTES)) is not None
    except OSError:
        return False
