"""An exported model in other formats: what each costs in accuracy, and what the card says of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any, Final

from numpy.typing import NDArray

from neunets.errors import InvalidRequest
from neunets_engine.export.any_size import to_any_size, to_fixed_size
from neunets_engine.export.check import batches, check_resizing, check_same
from neunets_engine.export.float16 import to_float16
from neunets_engine.export.int8 import to_int8
from neunets_engine.export.plain import to_plain

__all__ = ["Format", "Variant", "append_json", "append_markdown", "convert"]

# Accuracies are quotients of counts: what is less apart than a millionth is equal.
ROUNDING: Final = 1e-6
HEADING: Final = "## Other formats"
IMAGES_NDIM: Final = 4  # (N, H, W, C)
CHECKED_ROWS: Final = 64


class Format(Enum):
    """Of the numbers inside, with the same inputs and outputs, or of the inputs and outputs, with the same numbers."""

    INT8 = "int8"
    FLOAT16 = "float16"
    ANY_SIZE = "any-size"  # takes images of any size
    PLAIN = "plain"  # takes floats, one example at a time, and has no strings

    @property
    def file(self) -> str:
        return f"model.{self.value}.onnx"


NUMBERS: Final = frozenset({Format.INT8, Format.FLOAT16})


@dataclass(frozen=True, slots=True)
class Variant:
    """Accuracies are of the test set, both from one measurement; `refused`: why there is no file, or empty."""

    format: Format
    accuracy: float
    float32_accuracy: float
    size: int  # bytes
    latency_ms: float
    refused: str = ""

    def judged(self, max_drop: float) -> Variant:
        """Refused where the accuracy is lower than in float32 by more than `max_drop`, else not refused."""
        if self.float32_accuracy - self.accuracy <= max_drop + ROUNDING:
            return replace(self, refused="")
        reason = (
            f"{self.format.value} is worse: {self.accuracy:.2%} of the test set are right, {self.float32_accuracy:.2%} "
            f"in float32, and a drop of {max_drop:.2%} at most is allowed"
        )
        return replace(self, refused=reason)


def convert(model: bytes, wanted: Format, x: NDArray[Any]) -> bytes:
    """The float32 `model` in another format; `x` (N, ...), as stored: training examples to calibrate on.

    In other numbers, a model that takes images of any size still does. Raises: ExportMismatch where a file of the same
    numbers computes something else; InvalidRequest for any size of sequences.
    """
    fixed = to_fixed_size(model)
    match wanted:
        case Format.INT8:
            made = to_int8(fixed, x)
        case Format.FLOAT16:
            made = to_float16(fixed)
        case Format.PLAIN:
            made = to_plain(fixed)
        case Format.ANY_SIZE:
            if x.ndim != IMAGES_NDIM:
                raise InvalidRequest("formats", "the model takes sequences: only images can be of any size")
            made = to_any_size(fixed)
            check_resizing(made)
    if wanted in NUMBERS:
        return to_any_size(made) if fixed != model else made
    check_same(model, made, next(batches(x[:CHECKED_ROWS])))
    return made


def append_markdown(card: str, variants: Sequence[Variant]) -> str:
    """The card with one section on `variants`, in place of the one that it may have."""
    rows = [
        f"| {variant.format.value} | {variant.accuracy:.2%} | {variant.float32_accuracy:.2%} | {variant.size:,} bytes "
        f"| {variant.latency_ms:.3g} ms | {variant.refused or f'`{variant.format.file}`'} |"
        for variant in variants
    ]
    head = ["| format | test accuracy | in float32 | size | latency | file |", "| --- | --- | --- | --- | --- | --- |"]
    rest = card.partition(f"\n{HEADING}\n")[0].rstrip("\n")
    return "\n".join([rest, "", HEADING, "", *head, *rows, ""])


def append_json(card: str, variants: Sequence[Variant]) -> str:
    """The card with `variants`, a list, in place of the one that it may have."""
    values: dict[str, Any] = json.loads(card)
    values["variants"] = [
        asdict(variant) | {"format": variant.format.value, "file": "" if variant.refused else variant.format.file}
        for variant in variants
    ]
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
