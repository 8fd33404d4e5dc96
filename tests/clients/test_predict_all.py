"""Arrays, files and pictures get the answers that the model gives, alone and together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from clients.test_predict import CLASSES, COLOUR, GREY, SEQUENCE, model, pixels, save, save_image
from neunets.errors import InvalidRequest
from neunets.graph import Graph, Input, Node
from neunets.images import resized
from neunets.preprocessing import Fit, Preprocessing
from neunets.reference import initialise
from neunets_client import predict_all
from neunets_client.predict import BATCH
from neunets_engine.export import export_onnx, to_any_size


def answers(file: Path, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of the runtime itself."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["probabilities", "label"], {session.get_inputs()[0].name: x})


def check(file: Path, given: Any, x: NDArray[Any]) -> None:
    found = predict_all(file, given)
    probabilities, labels = answers(file, x)
    assert (len(found), found.probabilities.shape) == (len(x), (len(x), len(CLASSES)))
    assert found.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(found.probabilities, probabilities, rtol=1e-5)


def test_an_array_is_a_batch_or_one_example(tmp_path: Path) -> None:
    file, x = model(tmp_path, COLOUR), pixels(BATCH + 3, *COLOUR.shape)
    check(file, x, x)
    check(file, x.astype(np.int64), x)
    check(file, x[0], x[:1])
    check(file, list(x[:2]), x[:2])


def test_the_axis_of_a_single_channel_may_be_missing(tmp_path: Path) -> None:
    file, x = model(tmp_path, GREY), pixels(4, *GREY.shape)
    check(file, x[..., 0], x)
    check(file, x[0, ..., 0], x[:1])
    check(file, [x[0, ..., 0]], x[:1])


def test_files_pictures_and_arrays_mix(tmp_path: Path) -> None:
    file, x = model(tmp_path, COLOUR), pixels(3, *COLOUR.shape)
    saved = save_image(tmp_path / "a.png", x[0])
    check(file, [saved, Image.fromarray(x[1]), x[2]], x)
    check(file, str(saved), x[:1])
    check(file, saved, x[:1])
    check(file, save(tmp_path / "b.npy", x[1]), x[1:2])
    check(file, Image.fromarray(x[1]), x[1:2])
    check(file, (picture for picture in [Image.fromarray(x[1])]), x[1:2])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_a_picture_is_read_as_its_file_would_be(mode: str, tmp_path: Path) -> None:
    file, picture = model(tmp_path, COLOUR), Image.fromarray(pixels(9, 7, 3)).convert("L" if mode == "I;16" else "RGB")
    picture = picture.convert(mode)
    form = "png" if mode not in ("CMYK", "YCbCr") else "tiff"
    picture.save(tmp_path / f"a.{form}")
    expected = predict_all(file, tmp_path / f"a.{form}")
    np.testing.assert_array_equal(predict_all(file, picture).probabilities, expected.probabilities)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1)])
def test_sequences_are_arrays(shape: tuple[int, ...], tmp_path: Path) -> None:
    file, x = model(tmp_path, SEQUENCE), np.random.default_rng(1).normal(size=shape)
    check(file, x, x.reshape(5, 6, 1).astype(np.float32))


@pytest.mark.parametrize("source", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_model_of_any_size_takes_pictures_and_arrays_of_any(source: Input, tmp_path: Path) -> None:
    file, channels = model(tmp_path, source), source.shape[2]
    made = tmp_path / "any.onnx"
    made.write_bytes(to_any_size(file.read_bytes()))
    x = [pixels(9, 30, 3), pixels(17, 8, channels), pixels(*source.shape)]
    files = [save_image(tmp_path / f"{number}.png", each.squeeze()) for number, each in enumerate(x)]
    expected = predict_all(file, files)
    for given in (files, x, [Image.fromarray(each.squeeze()) for each in x]):
        np.testing.assert_array_equal(predict_all(made, given).labels, expected.labels)
        np.testing.assert_allclose(predict_all(made, given).probabilities, expected.probabilities, rtol=1e-5)
    for row, each in enumerate(x):  # the runtime itself
        np.testing.assert_allclose(answers(made, each[np.newaxis])[0][0], expected.probabilities[row], atol=0.02)
    check(made, x[2], x[2][np.newaxis])
    np.testing.assert_allclose(predict_all(made, x[0]).probabilities[0], expected.probabilities[0], rtol=1e-5)


def test_the_way_of_training_is_the_way_of_prediction(tmp_path: Path) -> None:
    nodes = (Node("flat", "flatten", ("image",)), Node("logits", "linear", ("flat",), {"units": len(CLASSES)}))
    graph, picture = Graph(COLOUR, nodes, "logits"), Image.fromarray(pixels(40, 9, 3))
    weights = initialise(graph, np.random.default_rng(0))
    for fit in Fit:
        done = Preprocessing(5, 4, 3, fit, background=(0, 0, 0))
        (tmp_path / "m.onnx").write_bytes(export_onnx(graph, weights, CLASSES, preprocessing=done))
        x = np.asarray(resized(picture, done))
        check(tmp_path / "m.onnx", picture, x[np.newaxis])


def test_a_preprocessing_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    content = model(tmp_path, GREY).read_bytes()
    for said, other in ((b'"stretch"', b'"melting"'), (b'"fit"', b'"fat"'), (b'{"height"', b'["height"')):
        assert said in content
        (tmp_path / "odd.onnx").write_bytes(content.replace(said, other))
        with pytest.raises(InvalidRequest, match=r"odd\.onnx: its preprocessing cannot be read"):
            predict_all(tmp_path / "odd.onnx", [pixels(*GREY.shape)])


REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": ([], "nothing to predict"),
    "scaled": (pixels(2, 5, 4, 1) / 255.0, "image 0 holds other values"),
    "other shape": (pixels(2, 5, 5, 1), r"image 0 has the shape \(5, 5, 1\)"),
    "second": ([pixels(5, 4, 1), pixels(4, 4, 1)], "image 1 has the shape"),
    "words": (np.array("cat"), "image 0"),
    "missing file": ("nowhere.png", "no file nowhere.png"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_named(case: str, tmp_path: Path) -> None:
    given, fault = REFUSED[case]
    with pytest.raises(InvalidRequest, match=fault):
        predict_all(model(tmp_path, GREY), given)


def test_a_model_of_sequences_takes_no_picture(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="give arrays"):
        predict_all(model(tmp_path, SEQUENCE), [Image.new("L", (4, 5))])
