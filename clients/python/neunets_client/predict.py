"""An exported model on files and arrays: what a user of the ONNX file would write."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neunets.errors import InvalidRequest, NotReady
from neunets.files import open_regular
from neunets.preprocessing import METADATA_KEY, Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Example", "Prediction", "Predictions", "predict", "predict_all"]

# One example: a file as `predict` takes it, a picture of Pillow, or an array.
Example: TypeAlias = "str | Path | Image | NDArray[Any]"
# Examples that are in memory at once beside the caller's.
BATCH: Final = 256
# A picture has one of these numbers of channels: grey; red, green and blue; these and alpha.
CHANNELS: Final = {(1,), (3,), (4,)}


@dataclass(frozen=True, slots=True)
class Prediction:
    file: Path
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of N examples and C classes, in the order of the examples and of the model's classes."""

    labels: NDArray[np.str_]  # (N,)
    probabilities: NDArray[np.float32]  # (N, C)

    def __len__(self) -> int:
        return len(self.labels)


def predict(
    model: Path, files: Sequence[Path], refused: Callable[[InvalidRequest], None] | None = None
) -> Iterator[Prediction]:
    """One file holds one example: an image, or a `.npy` array. `refused` is told of each that cannot be read.

    Raises: InvalidRequest for the model, and without `refused` for a file; NotReady without onnxruntime.
    """
    opened = _Model(model)
    for file in files:
        try:
            example = opened.of_file(file)
        except InvalidRequest as error:
            if refused is None:
                raise
            refused(error)
            continue
        probabilities, labels = opened.run(example[np.newaxis])
        yield Prediction(file, str(labels[0]), float(probabilities[0].max()))


def predict_all(model: Path, examples: Example | Iterable[Example]) -> Predictions:
    """One example, several, or an array of several (N, …), whose shape and values are those that the model takes.

    Pictures may be of any size and mode: they are read as those that the model was trained on. Raises: as `predict`.
    """
    opened = _Model(model)
    found = [opened.run(np.stack(batch)) for batch in _batches(opened.examples(examples))]
    if not found:
        raise InvalidRequest("images", "there is nothing to predict")
    probabilities, labels = zip(*found, strict=True)
    return Predictions(np.concatenate(labels).astype(np.str_), np.concatenate(probabilities))


class _Model:
    """A session of the runtime. Raises: InvalidRequest, NotReady without onnxruntime."""

    def __init__(self, file: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise NotReady("onnxruntime is not installed: pip install onnxruntime pillow") from error
        if not file.is_file():
            raise InvalidRequest("model", f"there is no file {file}")
        try:
            self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no common class
            raise InvalidRequest("model", f"{file} is no ONNX model that can be run: {error}") from error
        given = self._session.get_inputs()[0]
        said = self._session.get_modelmeta().custom_metadata_map
        self._input = given.name
        self._is_plain = all(output.name != "label" for output in self._session.get_outputs())
        self._classes = np.array(json.loads(said.get("classes", "[]")), object)
        self._is_any_size = given.type == "tensor(uint8)" and not isinstance(given.shape[1], int)
        self._preprocessing = _preprocessing(given, said, file)
        self._shape = tuple(given.shape[1:]) if self._preprocessing is None else self._preprocessing.shape
        self._is_image = self._preprocessing is not None

    def run(self, x: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """(probabilities (N, C), labels (N,)) of a batch `x` (N, …)."""
        if not self._is_plain:
            probabilities, labels = self._session.run(["probabilities", "label"], {self._input: x})
            return probabilities, labels
        rows = x.astype(np.float32).transpose(0, 3, 1, 2) if self._is_image else x
        found = [self._session.run(["probabilities"], {self._input: row[np.newaxis]})[0] for row in rows]
        probabilities = np.concatenate(found)
        return probabilities, self._classes[probabilities.argmax(axis=1)]

    def of_file(self, file: Path) -> NDArray[Any]:
        if not file.is_file():
            raise InvalidRequest("files", f"there is no file {file}")
        if file.suffix == ".npy":
            return self._fitting(_read(file), "files", str(file))
        if self._preprocessing is None:
            text = f"{file}: the model takes sequences; give a .npy array of {self._shape}"
            raise InvalidRequest("files", text)
        return _pixels(str(file), self._preprocessing, "files", str(file))

    def examples(self, given: Example | Iterable[Example]) -> Iterator[NDArray[Any]]:
        """Each as the model takes it."""
        if isinstance(given, np.ndarray):
            yield from self._of_array(given)
        elif isinstance(given, str | Path) or not isinstance(given, Iterable):
            yield self._of_one(given, 0)
        else:
            for number, example in enumerate(given):
                yield self._of_one(example, number)

    def _of_one(self, example: Any, number: int) -> NDArray[Any]:
        if isinstance(example, str | Path):
            return self.of_file(Path(example))
        name = f"image {number}"
        if not _is_picture(example):
            return self._fitting(np.asarray(example), "images", name)
        if self._preprocessing is None:
            raise InvalidRequest("images", f"{name}: the model takes sequences, not pictures; give arrays")
        return _pixels(_encoded(example, name), self._preprocessing, "images", name)

    def _of_array(self, x: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """A batch, or one example; the axis of a single channel may be missing."""
        is_bare = self._shape[-1:] == (1,)
        is_one = x.shape == self._shape or (is_bare and x.shape == self._shape[:-1])
        if is_one or (self._is_any_size and (x.ndim == 2 or (x.ndim == 3 and x.shape[2:] in CHANNELS))):
            x = x[np.newaxis]
        for number, example in enumerate(x if x.ndim else x[np.newaxis]):
            yield self._fitting(example, "images", f"image {number}")

    def _fitting(self, given: NDArray[Any], field: str, name: str) -> NDArray[Any]:
        """In the model's type and shape. Raises: InvalidRequest of `field`, with the `name` of the example."""
        with np.errstate(invalid="ignore"):
            try:
                x = given.astype(np.uint8 if self._is_image else np.float32)
            except (TypeError, ValueError) as error:
                raise InvalidRequest(field, f"{name} is no array of numbers: {error}") from error
        if self._is_image and not np.array_equal(x, given):
            text = f"{name} holds other values than whole numbers in 0..255: give pixels as stored"
            raise InvalidRequest(field, text)
        if x.ndim == len(self._shape) - 1:
            x = x[..., np.newaxis]
        if x.shape != self._shape and self._is_any_size and self._preprocessing and x.shape[2:] in CHANNELS:
            return _pixels(_encoded(_picture(x), name), self._preprocessing, field, name)
        if x.shape != self._shape:
            raise InvalidRequest(
                field, f"{name} has the shape {x.shape}, the model takes {self._shape}: give such an array"
            )
        return x


def _batches(examples: Iterator[NDArray[Any]]) -> Iterator[list[NDArray[Any]]]:
    batch = []
    for example in examples:
        batch.append(example)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(file: Path) -> NDArray[Any]:
    try:
        with open_regular(file) as stream:
            x: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidRequest("files", f"{file} cannot be read: {error}") from error
    return x


def _is_picture(example: object) -> bool:
    try:
        from PIL.Image import Image
    except ImportError:  # then there are none
        return False
    return isinstance(example, Image)


def _encoded(picture: Image, name: str) -> bytes:
    """As a file without loss, so that it is read as files are."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    for form in ("png", "tiff"):  # each lacks some modes
        stream = io.BytesIO()
        try:
            upright.save(stream, form)
        except (OSError, ValueError, KeyError):
            continue
        return stream.getvalue()
    raise InvalidRequest("images", f"{name} is of mode {picture.mode}: convert it to RGB")


def _picture(x: NDArray[Any]) -> Image:
    """`x` (H, W, 1), (H, W, 3) or (H, W, 4) uint8."""
    from PIL import Image

    return Image.fromarray(x[..., 0] if x.shape[2] == 1 else x)


def _preprocessing(given: Any, said: Mapping[str, str], file: Path) -> Preprocessing | None:
    """What the file `said`, or the defaults for its input; None: it takes sequences."""
    if METADATA_KEY in said:
        try:
            return Preprocessing.from_metadata(said[METADATA_KEY])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidRequest("model", f"{file}: its {METADATA_KEY} cannot be read: {error!r}") from error
    return Preprocessing.of_shape(tuple(given.shape[1:])) if given.type == "tensor(uint8)" else None


def _pixels(encoded: str | bytes, wanted: Preprocessing, field: str, name: str) -> NDArray[Any]:
    """Resized and converted as the images that the model was trained on."""
    try:
        from neunets.images import Fault, decode
    except ImportError as error:
        raise NotReady("Pillow is not installed: pip install pillow") from error
    found = decode(encoded, wanted)
    if isinstance(found, Fault):
        raise InvalidRequest(field, f"{name}: {found.text}; {found.fix}")
    return found[0]
