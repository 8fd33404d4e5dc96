"""An exported model on files: what a user of the ONNX file would write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neunets.errors import InvalidRequest, NotReady

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True, slots=True)
class Prediction:
    file: Path
    label: str
    probability: float


def predict(model: Path, files: Sequence[Path]) -> Iterator[Prediction]:
    """One file holds one example: an image, or a `.npy` array. Raises: InvalidRequest, NotReady without onnxruntime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise NotReady("onnxruntime is not installed: pip install onnxruntime pillow") from error
    if not model.is_file():
        raise InvalidRequest("model", f"there is no file {model}")
    try:
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common class
        raise InvalidRequest("model", f"{model} is no ONNX model that can be run: {error}") from error
    given = session.get_inputs()[0]
    shape = tuple(given.shape[1:])
    for file in files:
        x = _example(file, shape, given.type == "tensor(uint8)")
        probabilities, labels = session.run(["probabilities", "label"], {given.name: x[np.newaxis]})
        yield Prediction(file, str(labels[0]), float(probabilities[0].max()))


def _example(file: Path, shape: tuple[int, ...], is_image: bool) -> NDArray[Any]:
    if not file.is_file():
        raise InvalidRequest("files", f"there is no file {file}")
    x = _read(file, shape, is_image)
    if x.shape != shape:
        raise InvalidRequest("files", f"{file} has the shape {x.shape}, the model takes {shape}: give such an array")
    return x


def _read(file: Path, shape: tuple[int, ...], is_image: bool) -> NDArray[Any]:
    if file.suffix != ".npy":
        if not is_image:
            raise InvalidRequest("files", f"{file}: the model takes sequences; give a .npy array of {shape}")
        return _pixels(file, shape)
    x = _array(file, is_image)
    return x[..., np.newaxis] if x.ndim == len(shape) - 1 else x


def _array(file: Path, is_image: bool) -> NDArray[Any]:
    try:
        with file.open("rb") as stream, np.errstate(invalid="ignore"):
            given: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
            x: NDArray[Any] = given.astype(np.uint8 if is_image else np.float32)
    except (OSError, ValueError) as error:
        raise InvalidRequest("files", f"{file} cannot be read: {error}") from error
    if is_image and not np.array_equal(x, given):
        raise InvalidRequest("files", f"{file} holds other values than whole numbers in 0..255: give pixels as stored")
    return x


def _pixels(file: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Resized and converted as the images that the model was trained on."""
    from neunets.images import Fault, decode

    found = decode(str(file), (shape[0], shape[1], shape[2]))
    if isinstance(found, Fault):
        raise InvalidRequest("files", f"{file}: {found.text}; {found.fix}")
    return found[0]
