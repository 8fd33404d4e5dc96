"""Three meanings of one graph agree: the reference, the torch module and the exported ONNX file."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings

from neunets.errors import InvalidGraph
from neunets.ops import OPERATORS
from neunets.reference import MEANING, run
from neunets_engine.export import export_onnx
from neunets_engine.export.translations import TRANSLATIONS
from neunets_trainer.build import build, load_weights, weights_of
from neunets_trainer.layers import LAYERS
from strategies import CLASSES, Case, cases

NAMES = [f"class {number}" for number in range(CLASSES)]
SESSION = onnxruntime.SessionOptions()
SESSION.intra_op_num_threads = 1


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_every_operator_has_every_meaning() -> None:
    assert OPERATORS.keys() == LAYERS.keys() == TRANSLATIONS.keys() == MEANING.keys()


@given(case=cases())
@settings(max_examples=150)
def test_torch_agrees_with_the_reference(case: Case) -> None:
    network = build(case.graph, case.weights).eval()
    with torch.no_grad():
        logits = network(torch.from_numpy(case.x)).numpy()
    expected = run(case.graph, case.weights, case.x)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(expected).max()))


@given(case=cases())
@settings(max_examples=100)
def test_onnx_agrees_with_the_reference(case: Case) -> None:
    model = export_onnx(case.graph, case.weights, NAMES)
    session = onnxruntime.InferenceSession(model, SESSION, providers=["CPUExecutionProvider"])
    probabilities, labels = session.run(["probabilities", "label"], {case.graph.input.name: case.x})
    expected = softmax(run(case.graph, case.weights, case.x))
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    assert list(labels) == [NAMES[index] for index in probabilities.argmax(axis=1)]


@given(case=cases().filter(lambda case: case.x.ndim == 4))
@settings(max_examples=50)
def test_onnx_may_look_at_the_mirrored_image_too(case: Case) -> None:
    model = export_onnx(case.graph, case.weights, NAMES, with_mirror=True)
    session = onnxruntime.InferenceSession(model, SESSION, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {case.graph.input.name: case.x})
    logits = [run(case.graph, case.weights, x) for x in (case.x, case.x[:, :, ::-1])]
    np.testing.assert_allclose(probabilities, softmax((logits[0] + logits[1]) / 2), atol=1e-4)


@given(case=cases())
@settings(max_examples=30)
def test_weights_survive_the_module(case: Case) -> None:
    network = build(case.graph, case.weights)
    kept = weights_of(network)
    assert list(kept) == list(case.weights)
    for key, value in case.weights.items():
        np.testing.assert_array_equal(kept[key], value)
    load_weights(network, kept)
    broken = dict(list(kept.items())[1:])
    with pytest.raises(InvalidGraph, match="weights of another network"):
        load_weights(network, broken)


@given(case=cases())
@settings(max_examples=20)
def test_the_same_model_has_the_same_bytes(case: Case) -> None:
    assert export_onnx(case.graph, case.weights, NAMES) == export_onnx(case.graph, case.weights, NAMES)
