"""An exported model in half precision: weights and arithmetic between the normalisation and the softmax.

Written by hand: the exporter's graphs have one way in and one way out, so that two casts are all there is to place,
where the converters of onnxconverter-common and onnxruntime.transformers are made for graphs of any origin.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

__all__ = ["to_float16"]


def to_float16(model: bytes) -> bytes:
    """`model` as `export_onnx` writes it, with the same inputs, outputs and properties; half as large.

    Normalisation stays in float32, since pixels less their mean lose digits; so does the softmax, whose exponents
    overflow. A weight beyond 65,504 becomes infinite: what that costs shows in the accuracy.
    """
    half = onnx.load_from_string(model)
    source = half.graph.input[0].name
    logits = next(node.input[0] for node in half.graph.node if "probabilities" in node.output)
    _cast(half, f"{source}:normalised", TensorProto.FLOAT16)
    _cast(half, logits, TensorProto.FLOAT)
    for constant in half.graph.initializer:
        if constant.data_type == TensorProto.FLOAT and constant.name not in (f"{source}.mean", f"{source}.std"):
            with np.errstate(over="ignore"):
                values = numpy_helper.to_array(constant).astype(np.float16)
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    del half.graph.value_info[:]  # the types of before
    onnx.checker.check_model(half)
    half = onnx.shape_inference.infer_shapes(half, check_type=True, strict_mode=True)
    return half.SerializeToString(deterministic=True)


def _cast(model: ModelProto, tensor: str, to: int) -> None:
    """Put a cast between `tensor` and all nodes that read it."""
    nodes = list(model.graph.node)
    changed = f"{tensor}:cast_{TensorProto.DataType.Name(to).lower()}"
    for node in nodes:
        node.input[:] = [changed if name == tensor else name for name in node.input]
    writer = next(index for index, node in enumerate(nodes) if tensor in node.output)
    nodes.insert(writer + 1, helper.make_node("Cast", [tensor], [changed], name=changed, to=to))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
