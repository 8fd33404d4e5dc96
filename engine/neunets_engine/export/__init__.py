"""From a trained graph to a checked ONNX file with its card. Only this package imports onnx and onnxruntime."""

from neunets_engine.export.architecture import draw_architecture
from neunets_engine.export.card import Ancestor, ModelCard
from neunets_engine.export.check import ExportMismatch, accuracy, check, latency_ms
from neunets_engine.export.measures import Measures, measure
from neunets_engine.export.model import IR_VERSION, OPSET, export_onnx
from neunets_engine.export.pictures import Curve, draw_curves
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
    "convert",
    "draw_architecture",
    "draw_curves",
    "export_onnx",
    "latency_ms",
    "measure",
]
