"""A graph of the IR and its weights as an ONNX file: stored inputs in, probabilities and class names out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper

from neunets.cost import parameters
from neunets.errors import InvalidGraph
from neunets.graph import DataType, Graph, Input
from neunets.ops import attributes_of
from neunets.preprocessing import METADATA_KEY, Preprocessing
from neunets.shapes import infer_shapes
from neunets.validate import validate
from neunets_engine.export.body import Body, Site
from neunets_engine.export.fold import fold_batch_norm
from neunets_engine.export.translations import TRANSLATIONS

__all__ = ["IR_VERSION", "OPSET", "export_onnx"]

# The runtimes of Node and the browser refuse files above version 9, which onnx writes by default.
IR_VERSION: Final = 8
OPSET: Final = 17

# More pixels than an image has: a slice that runs backwards ends before the first one.
LONGEST_ROW: Final = 1 << 30
PRODUCER: Final = "neunets"
LARGEST_BYTES: Final = (1 << 31) - (16 << 20)  # protobuf's limit, less room for everything that is no weight
ELEMENT: Final = {DataType.UINT8: TensorProto.UINT8, DataType.FLOAT32: TensorProto.FLOAT}


def export_onnx(
    graph: Graph,
    weights: Mapping[str, NDArray[Any]],
    classes: Sequence[str],
    with_mirror: bool = False,
    preprocessing: Preprocessing | None = None,
) -> bytes:
    """Translate a graph with `weights` by their keys NODE.PARAM; the same gives the same bytes.

    `with_mirror`: the logits are the mean of those of an image and of its left-right mirror. `preprocessing`: what made
    image files the pixels that were trained on, by default that of images of one size; the file's properties say it.

    Input: "image" (batch, H, W, C) or "sequence" (batch, L, C), as stored. Outputs: "probabilities" (batch, classes)
    float32, "label" (batch,) string. Raises: InvalidGraph, also for weights that do not fit or exceed 2 GiB.
    """
    validate(graph, classes=len(classes))
    folded, arrays = fold_batch_norm(graph, _checked(graph, weights))
    body = Body()
    source = "image" if len(graph.input.shape) == 3 else "sequence"
    x = _preprocess(graph.input, source, body)
    logits = _translate(folded, arrays, body, _doubled(x, source, body) if with_mirror else x)
    logits = _mean_of_halves(logits, source, body) if with_mirror else logits
    body.write("Softmax", [logits], "probabilities", "probabilities", axis=1)
    body.write("ArgMax", ["probabilities"], "label:index", "label:index", axis=1, keepdims=0)
    body.write("Gather", [body.strings("classes", classes), "label:index"], "label", "label", axis=0)
    props = {"classes": json.dumps(list(classes)), "input": _describe(graph.input, source), "producer": PRODUCER}
    if source == "image":
        done = preprocessing or Preprocessing.of_shape(graph.input.shape)
        props[METADATA_KEY] = json.dumps(done.to_json())
    return _model(graph, body, source, len(classes), props).SerializeToString(deterministic=True)


def _checked(graph: Graph, weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The weights in float32 and the order of the nodes, once they are exactly the graph's."""
    wanted = parameters(graph)
    odd = sorted(wanted.keys() ^ weights.keys())
    odd = odd or [key for key, parameter in wanted.items() if weights[key].shape != parameter.shape]
    if odd:
        raise InvalidGraph(odd[0].rpartition(".")[0], "BAD_WEIGHTS", f"weights of another network at {odd[0]}")
    size = sum(4 * parameter.size for parameter in wanted.values())
    if size > LARGEST_BYTES:
        raise InvalidGraph("", "TOO_LARGE", f"{size:,} bytes of weights, an ONNX file holds {LARGEST_BYTES:,}")
    return {key: np.asarray(weights[key], np.float32) for key in wanted}


def _preprocess(given: Input, source: str, body: Body) -> str:
    """As stored -> normalised float32, channels first."""
    x = body.add("Cast", [source], source, "cast", to=TensorProto.FLOAT) if given.dtype is DataType.UINT8 else source
    mean = body.constant(f"{source}.mean", np.array(given.mean, np.float32))
    std = body.constant(f"{source}.std", np.array(given.std, np.float32))
    x = body.add("Sub", [x, mean], source, "centred")
    x = body.add("Div", [x, std], source, "normalised")
    axes = len(given.shape)
    return body.add("Transpose", [x], source, "channels_first", perm=[0, axes, *range(1, axes)])


def _doubled(x: str, source: str, body: Body) -> str:
    """(N, C, H, W) -> (2 N, C, H, W): the images, and then their mirrors."""
    ends = (("starts", -1), ("ends", -LONGEST_ROW), ("axes", 3), ("steps", -1))
    numbers = [body.integers(f"{source}.{name}", [value]) for name, value in ends]
    mirrored = body.add("Slice", [x, *numbers], source, "mirrored")
    return body.add("Concat", [x, mirrored], source, "doubled", axis=0)


def _mean_of_halves(logits: str, source: str, body: Body) -> str:
    """(2 N, classes) -> (N, classes)."""
    halves = [f"{source}:logits", f"{source}:logits_mirrored"]
    body.nodes.append(helper.make_node("Split", [logits], halves, name=f"{source}:halves", axis=0))
    return body.add("Mean", halves, source, "mean")


def _translate(graph: Graph, weights: Mapping[str, NDArray[np.float32]], body: Body, x: str) -> str:
    """Write all nodes. Returns: the tensor of the logits."""
    shapes = infer_shapes(graph)
    tensors = {graph.input.name: x}
    own: dict[str, dict[str, NDArray[np.float32]]] = {node.name: {} for node in graph.nodes}
    for key, value in weights.items():
        name, _, parameter = key.rpartition(".")
        own[name][parameter] = value
    for node in graph.nodes:
        inputs = [tensors[name] for name in node.inputs]
        site = Site(node.name, attributes_of(node), inputs, [shapes[name] for name in node.inputs], own[node.name])
        tensors[node.name] = TRANSLATIONS[node.op](body, site)
    return tensors[graph.output]


def _model(graph: Graph, body: Body, source: str, classes: int, props: Mapping[str, str]) -> onnx.ModelProto:
    """Raises: onnx's own errors, where a translation is wrong."""
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes]),
        helper.make_tensor_value_info("label", TensorProto.STRING, ["batch"]),
    ]
    content = helper.make_graph(body.nodes, PRODUCER, [_input(graph.input, source)], outputs, body.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(content, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)
    helper.set_model_props(model, dict(props))
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def _input(given: Input, source: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(
        source, ELEMENT[given.dtype], ["batch", *given.shape], doc_string=_describe(given, source)
    )


def _describe(given: Input, source: str) -> str:
    layout = "NHWC" if len(given.shape) == 3 else "NLC"
    return (
        f"{source}: {given.dtype.value} {layout}, values as stored. The model itself subtracts the mean "
        f"{list(given.mean)} of each channel and divides by the standard deviation {list(given.std)}."
    )
