"""From a trained graph to a checked ONNX file with its card. Only this package imports onnx and onnxruntime."""

from neunets_engine.export.any_size import to_any_size
from neunets_engine.export.architecture import draw_architecture
from neunets_engine.export.card import Ancestor, ModelCard
from neunets_engine.export.check import ExportMismatch, accuracy, check, check_resizing, latency_ms
from neunets_engine.export.measures import Measures, measure
from neunets_engine.export.model import IR_VERSION, OPSET, export_onnx
from neunets_engine.export.pictures import Curve, draw_curves
from neunets_engine.export.plain import describe_plain
from neunets_engine.export.translations import TRANSLATIONS
from neunets_engine.export.variants import Format, Variant, append_json, append_markdown, convert

__all__ = [
    "IR_VERSION",
    "OPSET",
    "TRANSLATIONS",
    "Ancestor",
    "Curve",
    "ExportMismatch",
    "Format",
    "Measures",
    "ModelCard",
    "Variant",
    "accuracy",
    "append_json",
    "append_markdown",
    "check",
    "check_resizing",
    "convert",
    "describe_plain",
    "draw_architecture",
    "draw_curves",
    "export_onnx",
    "latency_ms",
    "measure",
    "to_any_size",
]
