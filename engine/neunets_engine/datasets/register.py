"""Reading a source once: checked, split, and kept as arrays under the hash of their content."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from neunets.errors import InvalidRequest
from neunets.graph import DataType, Input
from neunets.preprocessing import Fit
from neunets.service.v1 import service_pb2
from neunets.wire import input_to_proto
from neunets_engine.datasets.archive import as_in_archive, data_in, is_archive, unpacked
from neunets_engine.datasets.arrays import read_digits, read_npz
from neunets_engine.datasets.bounds import NOTES, Bounds
from neunets_engine.datasets.columns import Chosen
from neunets_engine.datasets.csv_table import CSV_SUFFIXES, open_csv, open_json_lines
from neunets_engine.datasets.decoding import Decoders
from neunets_engine.datasets.folder import innermost, is_class_folder, read_folder
from neunets_engine.datasets.idx import is_idx_folder, read_idx
from neunets_engine.datasets.image_files import is_image_file
from neunets_engine.datasets.keep import Division, Kept, keep
from neunets_engine.datasets.metadata import metadata_files, open_metadata
from neunets_engine.datasets.named import NAMED, read_named
from neunets_engine.datasets.opening import check_file
from neunets_engine.datasets.pictures import Reading
from neunets_engine.datasets.profile import meta_features, warnings_of
from neunets_engine.datasets.resized import in_size
from neunets_engine.datasets.sizes import LARGEST, Size
from neunets_engine.datasets.source import Source, Tell, readable, refusal
from neunets_engine.datasets.split import held_out
from neunets_engine.datasets.tables import ARROW_SUFFIXES, arrow_files, read_table
from neunets_engine.datasets.wire import preprocessing_to_proto

__all__ = ["Request", "register"]

VALID_FRACTION: Final = 0.1
TEST_FRACTION: Final = 0.15
# Of a class: one to train, one to validate, one to test.
FEWEST_A_CLASS: Final = 3
TEST_SPLIT, VALID_SPLIT = 1, 2


@dataclass(frozen=True, slots=True)
class Request:
    """`size`: of all images; None: chosen from theirs."""

    source: str
    valid_fraction: float = VALID_FRACTION
    test_fraction: float = TEST_FRACTION
    seed: int = 0
    size: Size | None = None
    fit: Fit = Fit.STRETCH
    columns: Chosen = field(default_factory=Chosen)  # of tables
    skip_unreadable: bool = False


def register(
    request: Request,
    root: Path,
    tell: Tell = lambda _: None,
    scratch: Path | None = None,
    bounds: Bounds | None = None,
) -> service_pb2.Dataset:
    """Keep the data of `request.source` in a folder of `root`, named by the hash of its arrays.

    `scratch`: for what is half done, removed by the caller; `bounds`: of the processes that decode. Raises:
    InvalidRequest, which names the file and the fix.
    """
    _check_request(request)
    archive = Path(os.path.expanduser(request.source))
    if not is_archive(archive):
        return _register(request, root, tell, scratch, bounds)
    within = scratch or root
    with unpacked(archive, within, tell) as folder:
        try:
            dataset = _register(replace(request, source=str(data_in(folder))), root, tell, scratch, bounds)
        except InvalidRequest as error:
            text = str(error).removeprefix(f"{error.field}: ")
            raise InvalidRequest(error.field, as_in_archive(text, within, str(archive))) from error
    warnings = [as_in_archive(warning, within, str(archive)) for warning in dataset.warnings]
    del dataset.warnings[:]
    dataset.warnings.extend(warnings)
    dataset.source = request.source
    return dataset


def _register(
    request: Request, root: Path, tell: Tell, scratch: Path | None, bounds: Bounds | None
) -> service_pb2.Dataset:
    with Decoders(bounds=bounds, notes=None if scratch is None else scratch / NOTES) as decoders:
        reading = Reading(decoders, tell, request.size, request.fit, request.columns, request.skip_unreadable)
        source = in_size(_check(request.source, _read(request.source, reading)), request.size, request.fit)
        division = _divide(source, request)
        kept = keep(source, division, root, tell, scratch)
    return _dataset(request.source, source, division, kept)


def _check_request(request: Request) -> None:
    for name in ("valid_fraction", "test_fraction"):
        fraction = getattr(request, name)
        if not 0.0 < fraction < 1.0:
            raise InvalidRequest(name, f"{fraction:g} is not between 0 and 1")
    for side in () if request.size is None else (request.size.height, request.size.width):
        if not 1 <= side <= LARGEST:
            raise InvalidRequest("image_size", f"{side} is not between 1 and {LARGEST}")


def _read(source: str, reading: Reading) -> Source:
    if source == "digits":
        return read_digits()
    path = Path(os.path.expanduser(source))
    if not os.path.exists(path):  # unlike Path's own, it raises for no text
        name, _, folder = source.partition(":")
        if folder and name.casefold() in NAMED:
            return read_named(name.casefold(), Path(os.path.expanduser(folder)))
        known = f"give a path, the built-in data set digits, or NAME:FOLDER of {', '.join(NAMED)}"
        raise refusal(source, "there is no such file or folder", known)
    return _read_path(path, reading)


def _read_path(path: Path, reading: Reading) -> Source:
    if not path.is_dir():
        check_file(path)
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise refusal(path, "it may not be read", "give this user the permission")
    if path.is_dir():
        path = innermost(path, _is_other_than_classes)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix in CSV_SUFFIXES and path.is_file():
        return read_table(open_csv(path, reading.columns), reading)
    if suffix == ".jsonl" and path.is_file():
        return read_table(open_json_lines(path, reading.columns), reading)
    files = [path] if suffix in ARROW_SUFFIXES and path.is_file() else arrow_files(path)
    if files:
        from neunets_engine.datasets.arrow_table import open_arrow  # pyarrow is slow to import

        return read_table(open_arrow(path, files, reading.columns), reading)
    if tables := metadata_files(path):
        return read_table(open_metadata(path, tables, reading.columns), reading)
    if is_idx_folder(path):
        return read_idx(path)
    if is_class_folder(path):
        return read_folder(path, reading)
    if path.is_dir() and any(is_image_file(str(file)) for file in path.iterdir()):
        raise refusal(path, "its images are in no folder of a class", "put one folder of images a class there")
    fix = (
        "a folder with one folder of images a class, a folder of idx files, .npz, .csv, .tsv, .jsonl, "
        ".parquet, .feather and .arrow files can be read, and zip and tar archives of them"
    )
    raise refusal(path, "it is none of the known forms of data", fix)


def _is_other_than_classes(folder: Path) -> bool:
    return bool(arrow_files(folder) or metadata_files(folder)) or is_idx_folder(folder)


def _check(name: str, source: Source) -> Source:
    if len(source.classes) < 2:
        raise refusal(name, f"there is {len(source.classes)} class", "at least 2 classes are needed")
    for label in source.classes:
        if readable(label) != label:
            raise refusal(name, f"the name of class {label!r} is no UTF-8", "rename its folder, or the label")
    y = source.train.y if source.valid is None else source.train.y[~source.valid]
    rows = np.bincount(y, minlength=len(source.classes))
    fewest = FEWEST_A_CLASS - (source.test is not None) - (source.valid is not None)
    for label, count in zip(source.classes, rows, strict=True):
        if count < fewest:
            text = f"class {label!r} has {count} training examples"
            raise refusal(name, text, f"at least {fewest} a class are needed to train, validate and test")
    if source.test is not None and not len(source.test.y):
        raise refusal(name, "the test set is empty", "add examples, or remove it")
    return source


def _divide(source: Source, request: Request) -> Division:
    """The sets that the source gives as they are; the others are drawn from its training examples."""
    y = source.train.y
    aside = np.zeros(len(y), np.bool_)
    if source.test is None:
        drawn = np.ones(len(y), np.bool_) if source.valid is None else ~source.valid
        aside[drawn] = held_out(y[drawn], request.test_fraction, request.seed, TEST_SPLIT)
    if source.valid is not None:
        return Division(aside, source.valid[~aside])
    return Division(aside, held_out(y[~aside], request.valid_fraction, request.seed, VALID_SPLIT))


def _dataset(name: str, source: Source, division: Division, kept: Kept) -> service_pb2.Dataset:
    done, labels = source.preprocessing, source.train.y[~division.aside]
    class_rows = np.bincount(labels[~division.is_valid], minlength=len(source.classes))
    return service_pb2.Dataset(
        name=f"datasets/{kept.digest}",
        source=name,
        task="image-classification" if len(source.train.shape) == 3 else "sequence-classification",
        input=input_to_proto(_input(source.train.shape, kept)),
        classes=source.classes,
        train_rows=int(class_rows.sum()),
        valid_rows=int(division.is_valid.sum()),
        test_rows=int(division.aside.sum()) if source.test is None else len(source.test.y),
        test_held_out=source.test is None,
        class_rows=class_rows.tolist(),
        sha256=kept.digest,
        warnings=map(readable, warnings_of(source, division, kept, class_rows)),
        meta_features=meta_features(source, kept, class_rows),
        duplicates=kept.duplicates,
        bytes=kept.bytes,
        preprocessing=None if done is None else preprocessing_to_proto(done, source.resized),
    )


def _input(shape: tuple[int, ...], kept: Kept) -> Input:
    """Mean and deviation of each channel over the training rows, in the units of the input."""
    std: Any = np.where(kept.std > 1e-6, kept.std, 1.0)  # a constant channel
    name, dtype = ("image", DataType.UINT8) if len(shape) == 3 else ("sequence", DataType.FLOAT32)
    # As the wire keeps them, so that what a plugin sends back is equal.
    return Input(name, shape, dtype, tuple(map(float, kept.mean.astype("f4"))), tuple(map(float, std.astype("f4"))))
