"""Reading a source once: checked, split, and kept as arrays under the hash of their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neunets.errors import InvalidRequest
from neunets.graph import DataType, Input
from neunets.service.v1 import service_pb2
from neunets.wire import input_to_proto
from neunets_engine.datasets.arrays import is_idx_folder, read_digits, read_idx, read_npz
from neunets_engine.datasets.folder import is_class_folder, read_folder
from neunets_engine.datasets.source import Examples, Source, refusal
from neunets_engine.datasets.split import held_out

__all__ = ["register"]

VALID_FRACTION: Final = 0.1
TEST_FRACTION: Final = 0.15
# Of a class: one to train, one to validate, one to test.
FEWEST_A_CLASS: Final = 3
TEST_SPLIT, VALID_SPLIT = 1, 2
Arrays = Mapping[str, NDArray[Any]]


def register(
    source: str, *, valid_fraction: float | None, test_fraction: float | None, seed: int, root: Path
) -> service_pb2.Dataset:
    """Keep the data of `source` in a folder of `root`, named by the hash of its arrays.

    Raises: InvalidRequest, which names the file and the fix.
    """
    valid_fraction = _fraction("valid_fraction", valid_fraction, VALID_FRACTION)
    test_fraction = _fraction("test_fraction", test_fraction, TEST_FRACTION)
    read = _check(source, _read(source))
    train, test = read.train, read.test
    if test is None:
        aside = held_out(train.y, test_fraction, seed, TEST_SPLIT)
        train, test = Examples(train.x[~aside], train.y[~aside]), Examples(train.x[aside], train.y[aside])
    is_valid = held_out(train.y, valid_fraction, seed, VALID_SPLIT)
    arrays = {"x_train": train.x, "y_train": train.y, "x_test": test.x, "y_test": test.y, "split": is_valid}
    digest = _digest(arrays, read.classes)
    _keep(arrays, root / digest)
    is_image = train.x.ndim == 4
    return service_pb2.Dataset(
        name=f"datasets/{digest}",
        source=source,
        task="image-classification" if is_image else "sequence-classification",
        input=input_to_proto(_input(train.x[~is_valid])),
        classes=read.classes,
        train_rows=int((~is_valid).sum()),
        valid_rows=int(is_valid.sum()),
        test_rows=len(test.y),
        test_held_out=read.test is None,
        class_rows=np.bincount(train.y[~is_valid], minlength=len(read.classes)).tolist(),
        sha256=digest,
        warnings=read.warnings,
    )


def _fraction(field: str, given: float | None, usual: float) -> float:
    fraction = usual if given is None else given
    if not 0.0 < fraction < 1.0:
        raise InvalidRequest(field, f"{fraction:g} is not between 0 and 1")
    return fraction


def _read(source: str) -> Source:
    if source == "digits":
        return read_digits()
    path = Path(os.path.expanduser(source))
    if not os.path.exists(path):  # unlike Path's own, it raises for no text
        raise refusal(source, "there is no such file or folder", "give a path, or the built-in data set digits")
    if path.suffix == ".npz":
        return read_npz(path)
    if is_idx_folder(path):
        return read_idx(path)
    if is_class_folder(path):
        return read_folder(path)
    fix = "a folder with one folder of images a class, a folder of idx files, and .npz files can be read"
    raise refusal(source, "it is none of the known forms of data", fix)


def _check(source: str, read: Source) -> Source:
    if len(read.classes) < 2:
        raise refusal(source, f"there is {len(read.classes)} class", "at least 2 classes are needed")
    rows = np.bincount(read.train.y, minlength=len(read.classes))
    fewest = FEWEST_A_CLASS if read.test is None else FEWEST_A_CLASS - 1
    for name, count in zip(read.classes, rows, strict=True):
        if count < fewest:
            text = f"class {name!r} has {count} training examples"
            raise refusal(source, text, f"at least {fewest} a class are needed to train, validate and test")
    if read.test is not None and not len(read.test.y):
        raise refusal(source, "the test set is empty", "add examples, or remove it")
    return read


def _input(x: NDArray[Any]) -> Input:
    """Mean and deviation of each channel over the training rows, in the units of the input."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes, dtype=np.float64)
    std = x.std(axis=axes, dtype=np.float64)
    std = np.where(std > 1e-6, std, 1.0)  # a constant channel
    name, dtype = ("image", DataType.UINT8) if x.ndim == 4 else ("sequence", DataType.FLOAT32)
    # As the wire keeps them, so that what a plugin sends back is equal.
    return Input(name, x.shape[1:], dtype, tuple(map(float, mean.astype("f4"))), tuple(map(float, std.astype("f4"))))


def _digest(arrays: Arrays, classes: tuple[str, ...]) -> str:
    state = hashlib.sha256("\0".join(classes).encode())
    for name, array in arrays.items():
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def _keep(arrays: Arrays, folder: Path) -> None:
    """All files or none: the folder gets its name once they are whole."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix="part-"))
    for name, array in arrays.items():
        np.save(scratch / f"{name}.npy", array)
    try:
        os.rename(scratch, folder)
    except OSError:  # another registration of the same content was faster
        shutil.rmtree(scratch)
        if not folder.exists():
            raise
