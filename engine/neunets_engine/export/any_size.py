"""An exported model that takes images of any size, and back."""

from __future__ import annotations

import json
from typing import Final

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from neunets.preprocessing import METADATA_KEY, Preprocessing
from neunets_engine.export.body import Body
from neunets_engine.export.model import IR_VERSION, OPSET
from neunets_engine.export.resizing import COLOURS, PREFIX, RESIZED, SOURCE, resize

__all__ = ["preprocessing_of", "read_props", "resizing_alone", "to_any_size", "to_fixed_size", "write_model"]

NOTE: Final = " Images have any size: the model itself resizes them, as its preprocessing says."
RANK: Final = 4


def to_any_size(model: bytes) -> bytes:
    """`model` as `export_onnx` writes it, of images, which then resizes them itself; in any number format.

    Input: "image" (batch, height, width, channels) uint8, with 1 to 4 channels where the model has 1 or 3, else with as
    many as it has. Outputs and properties stay. One that takes any size already is returned as it is.
    """
    made = onnx.load_from_string(model)
    if _is_any_size(made):
        return model
    wanted = preprocessing_of(made)
    if wanted is None:
        raise ValueError("a model of sequences resizes nothing")
    body = Body()
    resize(body, wanted)
    for node in made.graph.node:
        node.input[:] = [RESIZED if name == SOURCE else name for name in node.input]
    nodes, constants = [*body.nodes, *made.graph.node], [*made.graph.initializer, *body.constants]
    note = made.graph.input[0].doc_string + NOTE
    props = {"input": note, METADATA_KEY: json.dumps(wanted.to_json())}
    return write_model(made, _any_size_input(wanted, note), nodes, constants, props)


def to_fixed_size(model: bytes) -> bytes:
    """What `to_any_size` was given. A model of one size, or of sequences, is returned as it is."""
    made = onnx.load_from_string(model)
    wanted = preprocessing_of(made)
    if wanted is None or not _is_any_size(made):
        return model
    nodes = [node for node in made.graph.node if not node.name.startswith(PREFIX) and node.name != RESIZED]
    for node in nodes:
        node.input[:] = [SOURCE if name == RESIZED else name for name in node.input]
    constants = [constant for constant in made.graph.initializer if not constant.name.startswith(PREFIX)]
    note = made.graph.input[0].doc_string.removesuffix(NOTE)
    shape: list[str | int | None] = ["batch", *wanted.shape]
    given = helper.make_tensor_value_info(SOURCE, TensorProto.UINT8, shape, doc_string=note)
    return write_model(made, given, nodes, constants, {"input": note})


def resizing_alone(wanted: Preprocessing) -> bytes:
    """A model with the output "resized" (batch, height, width, channels) uint8, for checks of the resizing."""
    body = Body()
    body.write("Identity", [resize(body, wanted)], "resized", "resized")
    output = helper.make_tensor_value_info("resized", TensorProto.UINT8, ["batch", *wanted.shape])
    content = helper.make_graph(body.nodes, "resizing", [_any_size_input(wanted)], [output], body.constants)
    model = helper.make_model(content, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def preprocessing_of(model: ModelProto) -> Preprocessing | None:
    """What the file says, or the defaults for its input; None for a model of sequences."""
    said = read_props(model).get(METADATA_KEY)
    if said is not None:
        return Preprocessing.from_metadata(said)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    return Preprocessing.of_shape(tuple(side.dim_value for side in shape[1:])) if len(shape) == RANK else None


def read_props(model: ModelProto) -> dict[str, str]:
    return {prop.key: prop.value for prop in model.metadata_props}


def write_model(
    model: ModelProto,
    given: ValueInfoProto,
    nodes: list[onnx.NodeProto],
    constants: list[TensorProto],
    props: dict[str, str],
) -> bytes:
    """`model` with another input, other nodes and constants, checked. Raises: onnx's own errors."""
    outputs = list(model.graph.output)
    changed = ModelProto()
    changed.CopyFrom(model)
    changed.graph.CopyFrom(helper.make_graph(nodes, model.graph.name, [given], outputs, constants))
    helper.set_model_props(changed, read_props(model) | props)
    onnx.checker.check_model(changed)
    inferred = onnx.shape_inference.infer_shapes(changed, check_type=True, strict_mode=True)
    return inferred.SerializeToString(deterministic=True)


def _is_any_size(model: ModelProto) -> bool:
    return any(node.name == RESIZED for node in model.graph.node)


def _any_size_input(wanted: Preprocessing, note: str = "") -> ValueInfoProto:
    channels = "channels" if wanted.channels in COLOURS else wanted.channels
    shape: list[str | int | None] = ["batch", "height", "width", channels]
    return helper.make_tensor_value_info(SOURCE, TensorProto.UINT8, shape, doc_string=note)
