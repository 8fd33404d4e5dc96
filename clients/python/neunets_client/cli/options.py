"""What several commands take, and how its words are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_client import saving

__all__ = [
    "MIRRORS",
    "Fit",
    "FitOption",
    "Home",
    "ImageColumn",
    "ImageSize",
    "Json",
    "LabelColumn",
    "Metric",
    "MetricOption",
    "Mirror",
    "MirrorOption",
    "Seed",
    "Server",
    "SkipUnreadable",
    "check_folder",
    "count",
    "image_size_of",
    "model_name",
    "run_name",
    "settings_of",
]


class Mirror(StrEnum):
    AUTO = "auto"
    YES = "yes"
    NO = "no"


class Metric(StrEnum):
    """The two latter weigh all classes alike, however rare."""

    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced-accuracy"
    MACRO_F1 = "macro-f1"


class Fit(StrEnum):
    """How images of another aspect are brought to the size."""

    STRETCH = "stretch"
    PAD = "pad"
    CROP = "crop"


MIRRORS: Final = {
    Mirror.AUTO: service_pb2.RunSpec.MIRROR_UNSPECIFIED,
    Mirror.YES: service_pb2.RunSpec.MIRROR_YES,
    Mirror.NO: service_pb2.RunSpec.MIRROR_NO,
}
Server = Annotated[str | None, typer.Option(help="Address of a running engine; by default an embedded one.")]
Home = Annotated[Path | None, typer.Option(help="Folder of the embedded engine; also NEUNETS_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="The last line on stdout is one JSON object.")]
ImageSize = Annotated[
    str | None,
    typer.Option(metavar="N|HxW", help="Pixels of all images, of a square or height x width; by default from theirs."),
]
FitOption = Annotated[
    Fit, typer.Option("--image-fit", help="Whether images of another aspect are stretched, padded or cropped.")
]
ImageColumn = Annotated[str | None, typer.Option(help="Of a table: the column of images; by default by its name.")]
LabelColumn = Annotated[str | None, typer.Option(help="Of a table: the column of labels; by default by its name.")]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read, and say which.")
]
MirrorOption = Annotated[
    Mirror, typer.Option(help="Whether mirrored images keep their class; measured where nothing is said.")
]
MetricOption = Annotated[Metric, typer.Option(help="What the network is to be best in, on the validation examples.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the splits, the candidates and the trainings.")]


def count(text: str) -> int:
    """Of "50000", "50k" or "2M"."""
    factors = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
    number, factor = (text[:-1], factors[text[-1].lower()]) if text[-1:].lower() in factors else (text, 1)
    try:
        found = int(float(number) * factor)
    except (ValueError, OverflowError):
        raise InvalidRequest("--max-params", f"{text!r} is no number: write 50000, 50k or 2M") from None
    if found < 1:
        raise InvalidRequest("--max-params", "at least 1 parameter is needed")
    return found


def image_size_of(text: str | None) -> int | tuple[int, int] | None:
    """Read "N" or "HxW". Raises: InvalidRequest."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() and 1 <= int(side) <= 1024 for side in sides):
        raise InvalidRequest("--image-size", f"{text!r}: write 64, or 48x64 for height x width, of 1 to 1024 pixels")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def settings_of(entries: Sequence[str]) -> dict[str, object]:
    """Of "NAME=VALUE" each; what is no JSON is text. Raises: InvalidRequest."""
    found: dict[str, object] = {}
    for entry in entries:
        name, is_given, text = entry.partition("=")
        if not name or not is_given:
            raise InvalidRequest("--setting", f"{entry!r}: write NAME=VALUE, such as preset=paper")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def check_folder(out: Path | None) -> None:
    """Whether a model could be written, before anything is trained."""
    saving.check_folder(out, "--out")


def model_name(text: str) -> str:
    """Of "RUN/TRIAL", or the whole name. Raises: InvalidRequest."""
    run, _, trial = text.removeprefix("runs/").replace("/models/", "/").partition("/")
    if not run or not trial or "/" in trial:
        raise InvalidRequest("model", f"{text!r} is not of the form RUN/TRIAL")
    return f"runs/{run}/models/{trial}"


def run_name(run: str) -> str:
    return run if run.startswith("runs/") else f"runs/{run}"
