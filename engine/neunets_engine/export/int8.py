"""An exported model in 8-bit integers: static quantization by onnxruntime, calibrated on training examples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from neunets_engine.export.check import batches

__all__ = ["to_int8"]

# Sigmoids and error functions stay in float32: measured, activation functions in pieces of 8 bits are slower.
OPERATORS: Final = ("Conv", "Gemm", "Add", "Concat", "MaxPool", "AveragePool", "Relu", "Flatten")
# A convolution of fewer channels holds next to no weights, and fills no vector: measured, it is slower in integers.
FEWEST_CHANNELS: Final = 5
# Tells the quantizer that shapes are known, which it doubts aloud otherwise; then its mark that it was here.
MARKS: Final = {"onnx.quant.pre_process": "onnxruntime.quant", "onnx.infer": "onnxruntime.quant"}


def to_int8(model: bytes, x: NDArray[Any]) -> bytes:
    """`model` as `export_onnx` writes it, with the same inputs, outputs and properties; about a quarter as large.

    Weights have a scale for each output, and 7 bits: processors without VNNI add up products in 16 bits, which 8 bits
    overflow, so that other answers came from other machines. Activations have 8 bits over the range that they take on
    `x` (N, ...), as stored.
    """
    given = onnx.load_from_string(model)
    onnx.helper.set_model_props(given, {prop.key: prop.value for prop in given.metadata_props} | MARKS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantize_static(
            given,
            path,
            _Examples(given.graph.input[0].name, x),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=[node.name for node in given.graph.node if _stays(node, given)],
        )
        quantized = onnx.load(path)
    props = {prop.key: prop.value for prop in quantized.metadata_props if prop.key not in MARKS}
    del quantized.metadata_props[:]
    onnx.helper.set_model_props(quantized, props)
    quantized.producer_name, quantized.producer_version = given.producer_name, given.producer_version
    return quantized.SerializeToString(deterministic=True)


def _stays(node: NodeProto, model: ModelProto) -> bool:
    """Whether an operator that could be quantized is better left alone."""
    if node.op_type == "Conv":
        weight = next(constant for constant in model.graph.initializer if constant.name == node.input[1])
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        return groups == 1 and weight.dims[1] < FEWEST_CHANNELS
    return node.op_type == "Add" and node.name.endswith(":gate")  # within an activation function


class _Examples(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """In batches, for the quantizer."""

    def __init__(self, source: str, x: NDArray[Any]) -> None:
        self._feeds: Iterator[dict[str, NDArray[Any]]] = ({source: batch} for batch in batches(x))

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)
