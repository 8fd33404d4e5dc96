"""The model card: what a model is, how good it is, and where it comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from neunets.graph import Input
from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.export.measures import Measures
from neunets_engine.export.scores import calibration_table, class_table, confusion_table, pair_table, percent, table

__all__ = ["Ancestor", "ModelCard"]

Z_95: Final = 1.959964  # of the normal distribution, two-sided
NOT_MEASURED: Final = "not measured"

USE: Final = """\
```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
probabilities, label = session.run(["probabilities", "label"], {{"{name}": x}})  # x: {dtype} {shape}
```"""

FITS: Final = {
    Fit.STRETCH: "stretched",
    Fit.PAD: "whole, in the middle between black bars",
    Fit.CROP: "cropped to the middle",
}
RESIZED_INSIDE: Final = (
    "The file does all of it but the first step. Where the model was trained on 1 or 3 channels, an image may have 1 "
    "(grey), 2 (with alpha), 3 (red, green, blue) or 4 (with alpha)."
)
RESIZED_OUTSIDE: Final = (
    "`neunets predict` does so. Other filters give other pixels, and other answers: OpenCV's `INTER_LINEAR` is not "
    "antialiased. `neunets export RUN --any-size` writes a file that resizes images itself."
)


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A network of the search. `changes`: in words, how it came from the one before, with that one's weights."""

    trial: str
    changes: tuple[str, ...]
    params: int
    valid_accuracy: float  # before any final training


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Accuracies are fractions, NaN where not measured; `recipe` is JSON; `latency_ms` of one example, one thread."""

    run: str
    trial: str
    synthesizer: str
    task: str
    dataset_source: str
    dataset_sha256: str
    train_rows: int
    valid_rows: int
    test_rows: int
    test_held_out: bool  # out of the source's only set
    classes: tuple[str, ...]
    input: Input
    preprocessing: Preprocessing | None  # of image files; None: sequences
    is_any_size: bool  # the exported file resizes images itself
    params: int
    flops: int
    valid_accuracy: float
    test_accuracy: float
    test_balanced_accuracy: float  # mean recall over the classes that have rows
    test_macro_f1: float  # mean F1 over the same
    measures: Measures | None  # of the test set; None: not measured
    onnx_bytes: int
    latency_ms: float
    max_abs_difference: float  # of the file's probabilities from the trainer's
    recipe: str
    lineage: tuple[Ancestor, ...]  # from the first to the one that was exported
    seed: int
    wall_s: float
    versions: Mapping[str, str]
    architecture: tuple[str, ...]  # "NAME: OPERATOR" of each node
    pictures: tuple[str, ...]  # files beside the card

    def to_json(self) -> str:
        """One object with the fields of this class, a line each; a figure that was not measured is null."""
        values = asdict(self)
        values["input"]["dtype"] = self.input.dtype.value
        values["preprocessing"] = None if self.preprocessing is None else self.preprocessing.to_json()
        values["recipe"] = json.loads(self.recipe)
        values["versions"] = dict(self.versions)
        lines = [
            f"  {json.dumps(key)}: {json.dumps(_known(value), ensure_ascii=False, allow_nan=False)}"
            for key, value in values.items()
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def to_markdown(self) -> str:
        sections = {
            f"Model card of {self.trial}": self._summary(),
            "Figures": pair_table(self._figures()),
            **self._scores(),
            "Use": self._use(),
            **self._images(),
            "Data": pair_table(self._data()),
            "How it was found": self._origin(),
            "Training": self._picture("curve.svg") + pair_table(self._training()),
            "Network": self._picture("architecture.svg") + "```\n" + "\n".join(self.architecture) + "\n```",
        }
        parts = [
            f"{'##' if number else '#'} {title}\n\n{text}\n" for number, (title, text) in enumerate(sections.items())
        ]
        return "\n".join(parts)

    def _summary(self) -> str:
        return (
            f"A network for {self.task} with {len(self.classes)} classes, "
            f"found by the synthesizer `{self.synthesizer}` in `{self.run}`."
        )

    def _figures(self) -> dict[str, str]:
        return {
            "test accuracy": _accuracy(self.test_accuracy, self.test_rows),
            "balanced test accuracy": percent(self.test_balanced_accuracy),
            "macro F1 of the test set": percent(self.test_macro_f1),
            "validation accuracy": _accuracy(self.valid_accuracy, self.valid_rows) + "; the search chose by it",
            "parameters": f"{self.params:,}",
            "FLOPs of one example": f"{self.flops:,} (a multiply-add is two)",
            "ONNX file": f"{self.onnx_bytes:,} bytes",
            "latency of one example": f"{self.latency_ms:.3g} ms, one CPU thread of the exporting machine",
            "largest difference from the trainer": f"{self.max_abs_difference:.1e} in the probabilities",
        }

    def _scores(self) -> dict[str, str]:
        """Of the test set."""
        if self.measures is None:
            return dict.fromkeys(("Classes", "Confusion", "Calibration"), NOT_MEASURED.capitalize() + ".")
        return {
            "Classes": class_table(self.measures, self.classes),
            "Confusion": confusion_table(self.measures, self.classes),
            "Calibration": calibration_table(self.measures.calibration),
        }

    def _picture(self, file: str) -> str:
        return f"![{file.removesuffix('.svg')}]({file})\n\n" if file in self.pictures else ""

    def _use(self) -> str:
        name, layout = ("image", "NHWC") if len(self.input.shape) == 3 else ("sequence", "NLC")
        extents = ["height", "width", "channels"] if self.is_any_size else list(map(str, self.input.shape))
        shape = "(" + ", ".join(["N", *extents]) + f"), {layout}"
        return (
            USE.format(name=name, dtype=self.input.dtype.value, shape=shape)
            + "\n\nValues as stored: the model normalises them itself, per channel, "
            + f"by the mean {_numbers(self.input.mean)} and the standard deviation {_numbers(self.input.std)}."
        )

    def _images(self) -> dict[str, str]:
        """What became of image files in training, which an application repeats."""
        done = self.preprocessing
        if done is None:
            return {}
        who = RESIZED_INSIDE if self.is_any_size else RESIZED_OUTSIDE
        colours = {1: "grey, ITU-R 601", 3: "red, green, blue"}.get(done.channels, f"{done.channels} channels")
        steps = {
            "orientation": "turned as EXIF says",
            "transparent pixels": f"laid over the colour {done.background}",
            "colours": colours,
            "size": f"{done.height} high, {done.width} wide",
            "other aspects": FITS[done.fit],
            "filter": "Pillow's bilinear, antialiased; rounded to 8 bits after the rows and after the columns",
        }
        return {"Images": pair_table(steps) + "\n\n" + who}

    def _data(self) -> dict[str, str]:
        origin = "held out of the source's only set" if self.test_held_out else "the source's own test set"
        return {
            "source": f"`{self.dataset_source}`",
            "SHA-256": f"`{self.dataset_sha256}`",
            "training rows": f"{self.train_rows:,}",
            "validation rows": f"{self.valid_rows:,}",
            "test rows": f"{self.test_rows:,}, {origin}",
            "classes": ", ".join(self.classes),
        }

    def _origin(self) -> str:
        rows = [_step(*pair) for pair in zip(self.lineage, (None, *self.lineage), strict=False)]
        return "Accuracies are those of the search, before the final training.\n\n" + table(
            ["trial", "change", "parameters", "validation accuracy", "gain"], rows
        )

    def _training(self) -> dict[str, str]:
        return {
            "recipe": f"`{self.recipe}`",
            "seed": str(self.seed),
            "wall time of the run": f"{self.wall_s:,.0f} s",
            "versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        }


def _known(value: object) -> object:
    """Null in place of a number that JSON cannot say, however deep."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _known(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_known(entry) for entry in value]
        case np.ndarray():
            return value.tolist()
        case _:
            return value


def _step(step: Ancestor, elder: Ancestor | None) -> list[str]:
    """A row of the lineage; `elder`: the network before it."""
    change = "first of its line" if elder is None else "another network, with weights of its own"
    gain = math.nan if elder is None else 100.0 * (step.valid_accuracy - elder.valid_accuracy)
    figures = f"{step.params:,}", percent(step.valid_accuracy), f"{gain:+.2f} points" if math.isfinite(gain) else ""
    return [step.trial, "; ".join(step.changes) or change, *figures]


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _accuracy(value: float, rows: int) -> str:
    """With its 95 % interval: Wilson's, which stays within 0..1."""
    if not math.isfinite(value) or rows < 1:
        return NOT_MEASURED
    square = Z_95**2 / rows
    centre = (value + square / 2) / (1 + square)
    half = math.sqrt(value * (1 - value) * square + square**2 / 4) / (1 + square)
    return f"{value:.2%} (95 % interval {max(centre - half, 0.0):.2%} to {min(centre + half, 1.0):.2%}, {rows:,} rows)"
