"""Other formats: the same interface or the same numbers, nearly the same probabilities; and what is refused."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.errors import InvalidRequest
from neunets.graph import DataType, Graph, Input, Node
from neunets.reference import initialise
from neunets_engine.export import (
    OPSET,
    Format,
    Variant,
    append_json,
    append_markdown,
    convert,
    describe_plain,
    export_onnx,
    to_any_size,
)
from neunets_engine.export.any_size import to_fixed_size
from strategies import CLASSES, Case, cases

NAMES = [f"class {number}" for number in range(CLASSES)]
IMAGE = Input("image", (8, 8, 1), DataType.UINT8, (120.0,), (60.0,))
FORMATS = pytest.mark.parametrize("wanted", Format, ids=[wanted.value for wanted in Format])
NUMBERS = pytest.mark.parametrize("wanted", [Format.INT8, Format.FLOAT16], ids=["int8", "float16"])
TOLERANCE = {Format.INT8: 0.15, Format.FLOAT16: 0.01}
NEWEST_OF_NODE = 9


def run(model: bytes, x: np.ndarray) -> tuple[np.ndarray, list[str]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    probabilities, labels = session.run(["probabilities", "label"], {session.get_inputs()[0].name: x})
    return probabilities, list(labels)


def interface(model: bytes) -> list[object]:
    read = onnx.load_from_string(model)
    props = {prop.key: prop.value for prop in read.metadata_props}
    ends = [*read.graph.input, *read.graph.output]
    return [
        [end.SerializeToString(deterministic=True) for end in ends],
        props,
        read.producer_name,
        read.producer_version,
    ]


def dense() -> tuple[bytes, np.ndarray]:
    """A network that is nearly all weights, and inputs for it."""
    nodes = (
        Node("flat", "flatten", ("image",)),
        Node("hidden", "linear", ("flat",), {"units": 512}),
        Node("logits", "linear", ("hidden",), {"units": CLASSES}),
    )
    graph, rng = Graph(IMAGE, nodes, "logits"), np.random.default_rng(0)
    x = rng.integers(0, 256, (64, *IMAGE.shape), dtype=np.uint8)
    return export_onnx(graph, initialise(graph, rng), NAMES), x


@NUMBERS
@given(case=cases())
@settings(max_examples=40)
def test_a_variant_has_the_interface_of_the_model_and_nearly_its_probabilities(wanted: Format, case: Case) -> None:
    model = export_onnx(case.graph, case.weights, NAMES)
    variant = convert(model, wanted, case.x)
    assert interface(variant) == interface(model)
    expected, _ = run(model, case.x)
    probabilities, labels = run(variant, case.x)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, atol=TOLERANCE[wanted])
    assert labels == [NAMES[index] for index in probabilities.argmax(axis=1)]


@FORMATS
def test_a_variant_runs_where_the_model_does(wanted: Format) -> None:
    model, x = dense()
    variant = onnx.load_from_string(convert(model, wanted, x))
    assert [(opset.domain, opset.version) for opset in variant.opset_import] == [("", OPSET)]
    assert variant.ir_version <= NEWEST_OF_NODE
    onnx.checker.check_model(variant, full_check=True)


@pytest.mark.parametrize(("wanted", "ratio"), [(Format.INT8, 0.35), (Format.FLOAT16, 0.55)])
def test_a_variant_is_smaller(wanted: Format, ratio: float) -> None:
    model, x = dense()
    assert len(convert(model, wanted, x)) < ratio * len(model)


@FORMATS
def test_the_same_examples_give_the_same_bytes(wanted: Format) -> None:
    model, x = dense()
    assert convert(model, wanted, x) == convert(model, wanted, x)


def test_normalisation_and_softmax_stay_in_single_precision() -> None:
    model, x = dense()
    half = onnx.shape_inference.infer_shapes(onnx.load_from_string(convert(model, Format.FLOAT16, x)))
    single = {constant.name for constant in half.graph.initializer if constant.data_type == onnx.TensorProto.FLOAT}
    assert single == {"image.mean", "image.std"}
    types = {value.name: value.type.tensor_type.elem_type for value in half.graph.value_info}
    (logits,) = (node.input[0] for node in half.graph.node if node.op_type == "Softmax")
    assert types[logits] == onnx.TensorProto.FLOAT
    assert types["hidden:0"] == onnx.TensorProto.FLOAT16


@given(case=cases(), with_mirror=st.booleans())
@settings(max_examples=40)
def test_a_plain_model_takes_floats_and_has_no_strings(case: Case, with_mirror: bool) -> None:
    is_image = case.x.ndim == 4
    model = export_onnx(case.graph, case.weights, NAMES, with_mirror and is_image)
    plain = convert(model, Format.PLAIN, case.x)
    read = onnx.load_from_string(plain)
    ends = [*read.graph.input, *read.graph.output, *read.graph.value_info]
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.STRING not in {constant.data_type for constant in read.graph.initializer}
    session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    x = case.x[:1].astype(np.float32)
    x = x.transpose(0, 3, 1, 2) if is_image else x
    assert tuple(source.shape) == x.shape
    np.testing.assert_allclose(session.run(None, {source.name: x})[0], run(model, case.x[:1])[0], atol=1e-4)
    said = json.loads(describe_plain(plain))
    assert (said["classes"], said["input"]["shape"], said["input"]["name"]) == (NAMES, list(x.shape), source.name)
    assert said["preprocessing"] == (json.loads(interface(model)[1]["preprocessing"]) if is_image else None)


@given(case=cases().filter(lambda case: case.x.ndim == 4), with_mirror=st.booleans())
@settings(max_examples=20)
def test_a_model_of_any_size_gives_the_same_for_its_own_size_and_leads_back(case: Case, with_mirror: bool) -> None:
    model = export_onnx(case.graph, case.weights, NAMES, with_mirror)
    any_size = convert(model, Format.ANY_SIZE, case.x)
    assert to_fixed_size(any_size) == model
    np.testing.assert_allclose(run(any_size, case.x)[0], run(model, case.x)[0], atol=1e-5)


@NUMBERS
def test_other_numbers_of_a_model_of_any_size_have_any_size(wanted: Format) -> None:
    model, x = dense()
    variant = convert(to_any_size(model), wanted, x)
    assert interface(variant) == interface(to_any_size(model))
    np.testing.assert_allclose(run(variant, x)[0], run(convert(model, wanted, x), x)[0], atol=1e-5)
    assert run(variant, x[:1].repeat(2, axis=1))[0].shape == (1, CLASSES)


def test_sequences_have_no_other_size() -> None:
    nodes = (Node("flat", "flatten", ("sequence",)), Node("logits", "linear", ("flat",), {"units": CLASSES}))
    graph = Graph(Input("sequence", (6, 1), DataType.FLOAT32, (0.0,), (1.0,)), nodes, "logits")
    model = export_onnx(graph, initialise(graph, np.random.default_rng(0)), NAMES)
    with pytest.raises(InvalidRequest, match="only images can be of any size"):
        convert(model, Format.ANY_SIZE, np.zeros((2, 6, 1), np.float32))


def variant(accuracy: float, refused: str = "") -> Variant:
    return Variant(Format.INT8, accuracy, 0.95, 1000, 0.5, refused)


@pytest.mark.parametrize(("accuracy", "is_refused"), [(0.96, False), (0.945, False), (0.944, True), (0.0, True)])
def test_what_drops_by_more_than_allowed_is_refused(accuracy: float, is_refused: bool) -> None:
    assert bool(variant(accuracy).judged(0.005).refused) is is_refused


def test_a_refusal_says_both_accuracies_and_the_bound() -> None:
    reason = variant(0.9321).judged(0.005).refused
    assert all(figure in reason for figure in ("int8", "93.21%", "95.00%", "0.50%"))


def test_a_refused_variant_may_be_allowed_later() -> None:
    assert variant(0.90).judged(0.005).judged(0.1) == variant(0.90)


def test_the_card_has_one_section_on_the_variants() -> None:
    card = "# Model card\n\nText.\n\n## Network\n\n```\nconv\n```\n"
    once = append_markdown(card, [variant(0.94)])
    assert once.startswith(card)
    assert "| int8 | 94.00% | 95.00% | 1,000 bytes | 0.5 ms | `model.int8.onnx` |" in once.splitlines()
    again = append_markdown(once, [variant(0.9).judged(0.005)])
    assert again.count("## Other formats") == 1
    assert "`model.int8.onnx`" not in again


def test_the_card_as_json_has_the_variants_of_the_last_time() -> None:
    card = append_json(append_json('{"run": "r"}', [variant(0.94)]), [variant(0.9).judged(0.005)])
    values = json.loads(card)
    assert values["run"] == "r"
    assert [(row["format"], row["file"], row["accuracy"]) for row in values["variants"]] == [("int8", "", 0.9)]
