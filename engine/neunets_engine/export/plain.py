"""An exported model for runtimes that know floats alone, such as OpenCV's DNN module and converters to TFLite."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from typing import Final

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from neunets.preprocessing import METADATA_KEY, Preprocessing
from neunets_engine.export.any_size import preprocessing_of, read_props, write_model
from neunets_engine.export.resizing import SOURCE

__all__ = ["describe_plain", "to_plain"]

LABELS: Final = frozenset({"label:index", "label"})
CHANNELS_FIRST: Final = f"{SOURCE}:channels_first"
# From pixels as stored to normalised ones, channels first: its nodes.
NORMALISATION: Final = frozenset({f"{SOURCE}:cast", f"{SOURCE}:centred", f"{SOURCE}:normalised", CHANNELS_FIRST})
CENTRED: Final = f"{SOURCE}:centred"
# The names in a model that looks at the mirrored image too.
MIRRORED, DOUBLED, HALVES, MEAN = (f"{SOURCE}:{step}" for step in ("mirrored", "doubled", "halves", "mean"))
SLICE: Final = frozenset(f"{SOURCE}.{name}" for name in ("starts", "ends", "axes", "steps"))
BACKWARDS: Final = f"{SOURCE}.backwards"  # numbers of columns
AGAIN: Final = ":again"


def to_plain(model: bytes) -> bytes:
    """`model` as `export_onnx` writes it, without strings and for one example at a time.

    Input: "image" (1, C, H, W) float32, of 0..255; or "sequence" (1, L, C) float32. Output: "probabilities"
    (1, classes). The names of the classes are in its properties.
    """
    made = onnx.load_from_string(model)
    wanted, classes = preprocessing_of(made), json.loads(read_props(made)["classes"])
    nodes = [node for node in made.graph.node if node.name not in LABELS]
    constants = [constant for constant in made.graph.initializer if constant.name != "classes"]
    if wanted is not None:
        nodes = [node for node in nodes if node.name not in NORMALISATION]
        nodes[:0] = [
            helper.make_node("Sub", [SOURCE, f"{SOURCE}.mean"], [CENTRED], name=CENTRED),
            helper.make_node("Div", [CENTRED, f"{SOURCE}.std"], [CHANNELS_FIRST], name=CHANNELS_FIRST),
        ]
        constants = [_channels_first(constant) for constant in constants]
        if any(node.name == MIRRORED for node in nodes):
            nodes, constants = _one_by_one(nodes, constants, wanted.width)
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, len(classes)])
    del made.graph.output[:]
    made.graph.output.append(output)
    given = _input(made, wanted)
    props = {} if wanted is None else {METADATA_KEY: json.dumps(wanted.to_json())}
    return write_model(made, given, nodes, constants, {"input": given.doc_string, **props})


def describe_plain(model: bytes) -> str:
    """JSON of what a runtime without the properties of a plain `model` has to know."""
    made = onnx.load_from_string(model)
    given, props = made.graph.input[0], read_props(made)
    is_image = METADATA_KEY in props
    shape = [side.dim_value for side in given.type.tensor_type.shape.dim]
    said = {
        "classes": json.loads(props["classes"]),
        "input": {"name": given.name, "dtype": "float32", "shape": shape, "layout": "NCHW" if is_image else "NLC"},
        "output": {"name": "probabilities", "dtype": "float32", "shape": [1, len(json.loads(props["classes"]))]},
        METADATA_KEY: json.loads(props[METADATA_KEY]) if is_image else None,
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def _one_by_one(
    nodes: Sequence[NodeProto], constants: Sequence[TensorProto], width: int
) -> tuple[list[NodeProto], list[TensorProto]]:
    """The network for the image and again for its mirror, with the same weights, in place of a batch of two.

    OpenCV 4 knows no slice that runs backwards, and converters to TFLite take a batch of two for two channels. A batch
    norm has weights of its own: OpenCV 5 reads no two of them that share theirs.
    """
    own = {CENTRED, CHANNELS_FIRST, MIRRORED, DOUBLED, HALVES, MEAN, "probabilities"}
    network = [node for node in nodes if node.name not in own]
    by_name = {node.name: node for node in nodes}
    logits = by_name[HALVES].input[0]
    by_name[MEAN].input[:] = [logits, logits + AGAIN]
    made = {name for node in network for name in node.output}
    copies = [_copied(node, made) for node in network]
    for node in network:
        node.input[:] = [CHANNELS_FIRST if name == DOUBLED else name for name in node.input]
    columns = numpy_helper.from_array(np.arange(width, dtype=np.int64)[::-1].copy(), BACKWARDS)
    pick = helper.make_node("Gather", [CHANNELS_FIRST, BACKWARDS], [MIRRORED], name=MIRRORED, axis=3)
    first, last = [by_name[CENTRED], by_name[CHANNELS_FIRST], pick], [by_name[MEAN], by_name["probabilities"]]
    read = {name for node in copies for name in node.input}
    kept = [constant for constant in constants if constant.name not in SLICE]
    twins = [
        numpy_helper.from_array(numpy_helper.to_array(constant), constant.name + AGAIN)
        for constant in kept
        if constant.name + AGAIN in read
    ]
    return [*first, *network, *copies, *last], [*kept, *twins, columns]


def _copied(node: NodeProto, made: Set[str]) -> NodeProto:
    """For the mirror. `made`: tensors that have a copy, too."""
    copy = NodeProto()
    copy.CopyFrom(node)
    copied = made | set(node.input[1:] if node.op_type == "BatchNormalization" else ())
    copy.name += AGAIN
    copy.output[:] = [name + AGAIN for name in node.output]
    copy.input[:] = [MIRRORED if name == DOUBLED else name + AGAIN * (name in copied) for name in node.input]
    return copy


def _channels_first(constant: TensorProto) -> TensorProto:
    """Mean and standard deviation as (1, C, 1, 1), other constants as they are."""
    if constant.name not in (f"{SOURCE}.mean", f"{SOURCE}.std"):
        return constant
    return numpy_helper.from_array(numpy_helper.to_array(constant).reshape(1, -1, 1, 1), constant.name)


def _input(model: ModelProto, wanted: Preprocessing | None) -> ValueInfoProto:
    before = model.graph.input[0]
    if wanted is None:
        sides = [side.dim_value for side in before.type.tensor_type.shape.dim[1:]]
        return _value(before.name, sides, f"{before.name}: float32, one sequence (1, L, C), values as stored.")
    colours = {1: "grey", 3: "red, green, blue"}.get(wanted.channels, "channels")
    text = f"image: float32 NCHW, one image of {colours} in 0..255, resized as the preprocessing says."
    return _value(SOURCE, [wanted.channels, wanted.height, wanted.width], text)


def _value(name: str, sides: Sequence[int], text: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *sides], doc_string=text)
