"""Files of data sets that were downloaded by something else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from neunets.files import open_regular
from neunets_engine.datasets.source import refusal

__all__ = ["DAMAGED", "MISSING", "content", "inner_folder"]

DAMAGED: Final = "download it again"
MISSING: Final = "download the data set first, for example with torchvision"


def inner_folder(folder: Path, inner: str) -> Path:
    """The folder in which the files lie, whether the outer or the inner one was named."""
    if not folder.is_dir():
        raise refusal(folder, "there is no such folder", MISSING)
    return folder / inner if (folder / inner).is_dir() else folder


def content(file: Path) -> bytes:
    try:
        with open_regular(file) as stream:
            return stream.read()
    except OSError as error:
        text = f"it cannot be read ({error.strerror})"
        raise refusal(file, text, MISSING) from error
