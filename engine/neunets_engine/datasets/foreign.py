"""Data of other tasks, which are refused by the name of their layout."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from neunets_engine.datasets.source import refusal

__all__ = ["check_columns", "check_layout"]

FIX = "only images with one class each are read: make a folder for each class"


def check_layout(path: Path, folders: Collection[str]) -> None:
    """`folders`: names of those in `path`. Raises: InvalidRequest if they are detection or segmentation data."""
    if any(re.fullmatch(r"(train|val|test)20\d\d", name) for name in folders) or {"annotations"} & set(folders):
        raise refusal(path, "it has the layout of COCO (detection or segmentation)", FIX)
    if {"JPEGImages", "Annotations", "SegmentationClass", "ImageSets"} & set(folders):
        raise refusal(path, "it has the layout of Pascal VOC (detection or segmentation)", FIX)
    places = [path, *(path / name for name in folders)]
    if any((place / "images").is_dir() and (place / "labels").is_dir() for place in places):
        raise refusal(path, "it has the layout of YOLO (detection)", FIX)


def check_columns(table: object, names: Sequence[str]) -> None:
    """Raises: InvalidRequest if there are columns of boxes."""
    plain = {re.sub(r"[^a-z]", "", name.casefold()) for name in names}
    if {"xmin", "ymin"} <= plain or {"xcenter", "ycenter"} <= plain or plain & {"bbox", "boundingbox"}:
        raise refusal(table, "it has columns of boxes (detection)", FIX)
