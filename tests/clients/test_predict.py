"""What the client predicts for a file is what the model says, and a file it cannot use is named."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from neunets.errors import InvalidRequest
from neunets.graph import DataType, Graph, Input, Node
from neunets.images import Fault, decode
from neunets.preprocessing import Preprocessing
from neunets.reference import initialise
from neunets_client.predict import predict
from neunets_engine.export import export_onnx

CLASSES = ("ant", "bee", "cat")
GREY = Input("image", (5, 4, 1), DataType.UINT8, (127.0,), (60.0,))
COLOUR = Input("image", (5, 4, 3), DataType.UINT8, (127.0,) * 3, (60.0,) * 3)
SEQUENCE = Input("sequence", (6, 1), DataType.FLOAT32, (0.0,), (1.0,))


def model(folder: Path, source: Input) -> Path:
    nodes = (Node("flat", "flatten", (source.name,)), Node("logits", "linear", ("flat",), {"units": len(CLASSES)}))
    graph = Graph(source, nodes, "logits")
    file = folder / "model.onnx"
    file.write_bytes(export_onnx(graph, initialise(graph, np.random.default_rng(0)), CLASSES))
    return file


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def answer(model: Path, x: NDArray[Any]) -> tuple[str, float]:
    """Of the runtime itself."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    probabilities, labels = session.run(["probabilities", "label"], {session.get_inputs()[0].name: x[np.newaxis]})
    return labels[0], float(probabilities[0].max())


def save(file: Path, x: NDArray[Any]) -> Path:
    np.save(file, x)
    return file


def save_image(file: Path, x: NDArray[np.uint8]) -> Path:
    Image.fromarray(x).save(file)
    return file


@pytest.mark.parametrize("source", [GREY, COLOUR], ids=["grey", "colour"])
def test_an_image_and_its_array_are_predicted_as_the_model_does(source: Input, tmp_path: Path) -> None:
    file, x = model(tmp_path, source), pixels(*source.shape)
    files = [
        save_image(tmp_path / "a.png", x.squeeze()),
        save(tmp_path / "b.npy", x),
        save(tmp_path / "c.npy", x.astype(np.float64)),
    ]
    predictions = list(predict(file, files))
    assert [prediction.file for prediction in predictions] == files
    assert {(prediction.label, prediction.probability) for prediction in predictions} == {answer(file, x)}


def test_an_image_of_the_other_kind_is_converted(tmp_path: Path) -> None:
    grey = pixels(5, 4)
    (prediction,) = predict(model(tmp_path, COLOUR), [save_image(tmp_path / "a.png", grey)])
    assert (prediction.label, prediction.probability) == answer(tmp_path / "model.onnx", np.stack([grey] * 3, axis=-1))


def test_an_image_of_another_size_and_mode_is_read_as_in_training(tmp_path: Path) -> None:
    rgba = np.concatenate([pixels(11, 9, 3), pixels(11, 9, 1)], axis=-1)
    file = save_image(tmp_path / "a.png", rgba)
    (prediction,) = predict(model(tmp_path, COLOUR), [file])
    read = decode(str(file), Preprocessing.of_shape(COLOUR.shape))
    assert not isinstance(read, Fault)
    assert (prediction.label, prediction.probability) == answer(tmp_path / "model.onnx", read[0])


def test_a_model_of_sequences_takes_no_image(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"give a \.npy array"):
        list(predict(model(tmp_path, SEQUENCE), [save_image(tmp_path / "a.png", pixels(5, 4))]))


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_a_sequence_is_predicted_as_the_model_does(shape: tuple[int, ...], tmp_path: Path) -> None:
    file, x = model(tmp_path, SEQUENCE), np.random.default_rng(1).normal(size=shape)
    (prediction,) = predict(file, [save(tmp_path / "x.npy", x)])
    expected = answer(file, x.reshape(6, 1).astype(np.float32))
    assert (prediction.label, prediction.probability) == expected


def written(data: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(data)


def archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=pixels(5, 4))
    return stream.getvalue()


def damaged_png() -> bytes:
    """Its data end early, so that the rest of them is read as a chunk."""
    stream = io.BytesIO()
    Image.fromarray(pixels(5, 4)).save(stream, "png")
    content = bytearray(stream.getvalue())
    content[content.index(b"IDAT") - 1] -= 8
    return bytes(content)


HUGE_BMP = (
    b"BM" + bytes(12) + (40).to_bytes(4, "little") + (10**5).to_bytes(4, "little") * 2 + b"\x01\0\x18\0" + bytes(24)
)
REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("a.png", lambda file: None, "there is no file"),
    "folder": ("a.png", lambda file: file.mkdir(), "there is no file"),
    "wrong array": ("a.npy", lambda file: save(file, pixels(5, 4, 3)), r"\(5, 4, 3\), the model takes \(5, 4, 1\)"),
    "text": ("a.png", written(b"no image"), "cannot be read"),
    "empty": ("a.png", written(b""), "the file is empty"),
    "damaged": ("a.png", written(damaged_png()), "cannot be read"),
    "huge": ("a.bmp", written(HUGE_BMP), "too many"),
    "bad header": ("a.ppm", written(b"P6 5"), "cannot be read"),
    "text as array": ("a.npy", written(b"no array"), "cannot be read"),
    "empty array": ("a.npy", written(b""), "cannot be read"),
    "archive": ("a.npy", written(archive()), "cannot be read"),
    "objects": ("a.npy", lambda file: save(file, np.array([None])), "cannot be read"),
    "scaled": ("a.npy", lambda file: save(file, pixels(5, 4) / 255.0), "whole numbers in 0..255"),
    "too large": ("a.npy", lambda file: save(file, np.full((5, 4), 256)), "whole numbers in 0..255"),
    "NaN": ("a.npy", lambda file: save(file, np.full((5, 4), np.nan)), "whole numbers in 0..255"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_used_is_named(case: str, tmp_path: Path) -> None:
    name, make, fault = REFUSED[case]
    make(tmp_path / name)
    with pytest.raises(InvalidRequest, match=fault) as caught:
        list(predict(model(tmp_path, GREY), [tmp_path / name]))
    assert caught.value.field == "files"
    assert str(tmp_path / name) in caught.value.message


def test_the_files_before_a_bad_one_are_predicted(tmp_path: Path) -> None:
    good = save_image(tmp_path / "a.png", pixels(5, 4))
    predictions = predict(model(tmp_path, GREY), [good, tmp_path / "missing.png"])
    assert next(predictions).file == good
    with pytest.raises(InvalidRequest, match=r"missing\.png"):
        next(predictions)


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_file_that_is_no_model_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"other\.onnx") as caught:
        list(predict(file, []))
    assert caught.value.field == "model"
