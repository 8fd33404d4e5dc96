"""From a trained graph to a checked ONNX file with its card. Only this package imports onnx and onnxruntime."""

from neunets_engine.export.card import ModelCard
from neunets_engine.export.check import ExportMismatch, check, latency_ms
from neunets_engine.export.model import IR_VERSION, OPSET, export_onnx
from neunets_engine.export.translations import TRANSLATIONS

__all__ = [
    "IR_VERSION",
    "OPSET",
    "TRANSLATIONS",
    "ExportMismatch",
    "ModelCard",
    "check",
    "export_onnx",
    "latency_ms",
]
