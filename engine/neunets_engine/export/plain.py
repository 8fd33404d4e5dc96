"""An exported model for runtimes that know floats alone, such as OpenCV's DNN module and converters to TFLite."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
# A slice that runs backwards, which OpenCV 4 does not know: there it is a product.
MIRRORED: Final = f"{SOURCE}:mirrored"
SLICE: Final = frozenset(f"{SOURCE}.{name}" for name in ("starts", "ends", "axes", "steps"))
EXCHANGE: Final = f"{SOURCE}.exchange"


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
            helper.make_node("Sub", [SOURCE, f"{SOURCE}.mean"], [f"{SOURCE}:centred"], name=f"{SOURCE}:centred"),
            helper.make_node("Div", [f"{SOURCE}:centred", f"{SOURCE}.std"], [CHANNELS_FIRST], name=CHANNELS_FIRST),
        ]
        constants = [_channels_first(constant) for constant in constants]
        if any(node.name == MIRRORED for node in nodes):
            nodes = [_mirrored() if node.name == MIRRORED else node for node in nodes]
            constants = [constant for constant in constants if constant.name not in SLICE]
            constants.append(numpy_helper.from_array(np.eye(wanted.width, dtype=np.float32)[::-1].copy(), EXCHANGE))
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, len(classes)])
    del made.graph.output[:]
    made.graph.output.append(output)
    given = _input(made, wanted)
    return write_model(made, given, nodes, constants, {"input": given.doc_string})


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


def _mirrored() -> NodeProto:
    return helper.make_node("MatMul", [CHANNELS_FIRST, EXCHANGE], [MIRRORED], name=MIRRORED)


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
