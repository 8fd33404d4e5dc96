"""Sources that hold arrays: `.npz`, and scikit-learn's digits."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from neunets_engine.datasets.array_form import Form, form_of
from neunets_engine.datasets.labels import case_warnings, distinct, numbered
from neunets_engine.datasets.multilabel import check_single
from neunets_engine.datasets.opening import check_example, check_member, open_file
from neunets_engine.datasets.order import natural
from neunets_engine.datasets.source import Array, Examples, Source, in_memory, refusal, rows_a_block, with_validation

__all__ = ["read_digits", "read_npz"]

# What numpy, zipfile and zlib raise of damaged files.
DAMAGE: Final = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
READ: Final = frozenset({"x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test", "classes"})
# What others call the arrays, without regard to case: scikit-learn, MedMNIST, numpy.savez without names.
OTHER_NAMES: Final = {
    "x": "x_train",
    "y": "y_train",
    "arr_0": "x_train",
    "arr_1": "y_train",
    "train_images": "x_train",
    "train_labels": "y_train",
    **{f"{axis}_{name}": f"{axis}_valid" for axis in "xy" for name in ("val", "validation", "dev")},
    **{f"{name}_images": "x_valid" for name in ("val", "valid", "validation")},
    **{f"{name}_labels": "y_valid" for name in ("val", "valid", "validation")},
    "test_images": "x_test",
    "test_labels": "y_test",
}
LONGEST_LABEL: Final = 4096  # bytes
FIX: Final = "write it with numpy.savez, without object arrays"


@dataclass(frozen=True, slots=True)
class _Member:
    """An array in the file that has not been read yet."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_in_order: bool  # by rows: C's, not Fortran's
    begin: int  # of the values, behind the header


def read_npz(path: Path) -> Source:
    """`x_train`, `y_train`, and where there is a test set `x_test`, `y_test`; optionally `classes`, the names."""
    members, said = _named(_members(path))
    for name in ("x_train", "y_train"):
        if name not in members:
            raise refusal(path, f"it has no array {name}", f"save it as {name}")
    for part in ("valid", "test"):
        if (f"x_{part}" in members) != (f"y_{part}" in members):
            raise refusal(path, f"of x_{part} and y_{part} it has only one", "save both, or neither")
    for name in ("y_train", "y_valid", "y_test", "classes"):
        if name in members:
            _check_labels(members[name], members.get(f"x_{name.removeprefix('y_')}"))
    values = distinct(path, _labels(members["y_train"]))
    if "classes" not in members:
        values.sort(key=lambda value: value if isinstance(value, int) else natural(_text(value)))
    names = [_text(value) for value in values]
    if members["y_train"].dtype.kind in "US":
        check_single(path, names)
    if "classes" in members:
        names = _names(path, _whole(members["classes"]), len(values))
    form = _form(members["x_train"])
    train = _examples(members, "train", values, form)
    valid, test = (
        _examples(members, part, values, form) if f"x_{part}" in members else None for part in ("valid", "test")
    )
    for part, examples in (("valid", valid), ("test", test)):
        if examples is not None and examples.shape != train.shape:
            text = f"examples of {examples.shape} in x_{part}, of {train.shape} in x_train"
            raise refusal(path, text, "make them alike")
    said = case_warnings(names) + form.told + said
    return with_validation(Source(tuple(names), train, test, said), valid)


def _named(members: Mapping[str, _Member]) -> tuple[Mapping[str, _Member], tuple[str, ...]]:
    """The arrays by the names in `READ`, and what there is to say of those that are not read."""
    named = {name: member for name, member in members.items() if name in READ}
    unread = []
    for name, member in members.items():
        known = OTHER_NAMES.get(name.casefold(), name.casefold())
        if known in READ and known not in named:
            named[known] = member
        elif name not in READ:
            unread.append(name)
    if "x_valid" in named and "y_valid" not in named:  # without labels there is nothing to measure by
        unread.append(named.pop("x_valid").name.removesuffix(".npy"))
    return named, (f"arrays that are not read: {', '.join(sorted(unread)[:8])}",) if unread else ()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _labels(member: _Member) -> Array:
    """(N,) of (N,), of (N, 1), or of (N, classes) with a single 1 in each row."""
    y = _whole(member)
    if y.ndim != 2 or not len(y):
        return y
    if y.shape[1] == 1:
        return y[:, 0]
    is_one_hot = y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
    return np.asarray(y.argmax(axis=1)) if is_one_hot else y


def _form(x: _Member) -> Form:
    """Of the training array. Raises: InvalidRequest."""
    name = x.name.removesuffix(".npy")
    check_example(f"{x.path}: {name}", x.shape[1:], x.dtype.itemsize)
    if 0 in x.shape[1:]:
        raise refusal(x.path, f"{name} is {x.shape}", "an example needs values")
    return form_of(f"{x.path}: {name}", x.shape, x.dtype, lambda: _blocks(x))


def _check_labels(labels: _Member, examples: _Member | None) -> None:
    """By the headers, before anything is unpacked. `examples`: whose labels they are; None: they are names."""
    name = labels.name.removesuffix(".npy")
    if labels.dtype.itemsize > LONGEST_LABEL:
        text = f"{name} is of {labels.dtype.itemsize:,} bytes a label"
        raise refusal(labels.path, text, f"at most {LONGEST_LABEL:,} are read: give the classes shorter names")
    if examples is None:
        check_example(f"{labels.path}: {name}", labels.shape, labels.dtype.itemsize)
    elif examples.shape[:1] != labels.shape[:1]:
        what = examples.name.removesuffix(".npy")
        text = f"{what} is {examples.shape}, {name} is {labels.shape}"
        raise refusal(labels.path, text, "one label an example is needed")


def _names(path: Path, classes: Array, count: int) -> list[str]:
    names = [str(name).strip() for name in classes.reshape(-1).tolist()]
    if len(names) != count:
        raise refusal(path, f"{len(names)} names in classes, {count} labels in y_train", "make them agree")
    if len(set(names)) != len(names):
        raise refusal(path, "classes holds a name twice", "give each class a name of its own")
    return names


def _members(path: Path) -> Mapping[str, _Member]:
    try:
        with open_file(path) as stream:
            if stream.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise ValueError("it holds a single array, without a name")
        with zipfile.ZipFile(path) as file:
            names = [name for name in file.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _member(path, name, file) for name in names}
    except DAMAGE as error:
        raise refusal(path, f"it cannot be read as .npz ({error})", FIX) from error


def _member(path: Path, name: str, file: zipfile.ZipFile) -> _Member:
    with file.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_by_columns, dtype = read(stream)
        if dtype.hasobject:
            raise ValueError(f"{name.removesuffix('.npy')} holds objects")
        check_member(file.getinfo(name), stream.tell(), shape, dtype.itemsize)
        return _Member(path, name, shape, dtype, not is_by_columns or len(shape) < 2, stream.tell())


def _whole(member: _Member) -> Array:
    try:
        with zipfile.ZipFile(member.path) as file, file.open(member.name) as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except DAMAGE as error:
        raise refusal(member.path, f"it cannot be read as .npz ({error})", FIX) from error


def _examples(members: Mapping[str, _Member], part: str, values: list[Any], form: Form) -> Examples:
    x, y = members[f"x_{part}"], _labels(members[f"y_{part}"])
    name = x.name.removesuffix(".npy")
    if x.shape[:1] != y.shape:
        raise refusal(x.path, f"{name} is {x.shape}, y_{part} is {y.shape}", "one label an example is needed")
    labels = numbered(x.path, f"y_{part}", y, values)
    check_example(f"{x.path}: {name}", x.shape[1:], x.dtype.itemsize)
    first = members["x_train"]
    if len(x.shape) != len(first.shape) or x.dtype.kind != form.kind:
        text = f"{name} is {x.dtype} {x.shape}, x_train is {first.dtype} {first.shape}"
        raise refusal(x.path, text, "make them alike")

    def blocks() -> Iterator[Array]:
        begin = 0
        for block in _blocks(x):
            yield form.stored(block, partial(_row, x, begin))
            begin += len(block)

    return Examples(labels, form.shape(x.shape), blocks, lambda row: f"{name}[{row}]")


def _row(x: _Member, begin: int, row: int) -> str:
    return f"{x.path}: {x.name.removesuffix('.npy')}[{begin + row}]"


def _blocks(x: _Member) -> Iterator[Array]:
    """(n, ...) as written, in order; an array that is stored by columns can only be read at once."""
    rows = rows_a_block(x.shape[1:], x.dtype)
    if not x.is_in_order:
        whole = _whole(x)
        yield from (whole[begin : begin + rows] for begin in range(0, len(whole), rows))
        return
    try:
        with zipfile.ZipFile(x.path) as file, file.open(x.name) as stream:
            stream.read(x.begin)
            for begin in range(0, x.shape[0], rows):
                yield _block(stream, x, min(rows, x.shape[0] - begin))
            if stream.read(1):
                raise ValueError("it is longer than its header says")
    except DAMAGE as error:
        raise refusal(x.path, f"it cannot be read as .npz ({error})", FIX) from error


def _block(stream: IO[bytes], x: _Member, rows: int) -> Array:
    size = rows * int(np.prod(x.shape[1:], dtype=np.int64)) * x.dtype.itemsize
    data = stream.read(size)
    if len(data) < size:
        raise ValueError(f"{x.name} ends {size - len(data)} bytes too early")
    return np.frombuffer(data, x.dtype).reshape(rows, *x.shape[1:])


def read_digits() -> Source:
    """1,797 images of 8 x 8 pixels, scikit-learn's: values 0..16, spread here over 0..255."""
    from sklearn.datasets import load_digits  # an optional package, slow to import

    digits = load_digits()
    x = np.round(digits.images * (255.0 / 16.0)).astype(np.uint8)[..., np.newaxis]
    return Source(tuple(map(str, range(10))), in_memory(x, digits.target.astype(np.int64), "digits"), None)
