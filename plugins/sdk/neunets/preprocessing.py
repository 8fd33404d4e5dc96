"""What makes an image file the pixels that a network takes: a part of the model, stated in its card and ONNX file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

__all__ = ["METADATA_KEY", "WHITE", "Fit", "Placement", "Preprocessing"]

METADATA_KEY: Final = "preprocessing"  # of an ONNX file's metadata_props
WHITE: Final = (255, 255, 255)


class Fit(Enum):
    """How an image of another aspect is brought to the size."""

    STRETCH = "stretch"
    PAD = "pad"  # the whole image in its own aspect, in the middle of a black one
    CROP = "crop"  # the largest part of the middle that has the aspect of the size


@dataclass(frozen=True, slots=True)
class Placement:
    """`box` of the image, (left, top, right, bottom) in its pixels, becomes `size` pixels that begin at `corner`."""

    box: tuple[float, float, float, float]
    size: tuple[int, int]  # width, height
    corner: tuple[int, int]  # left, top


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """In this order: decode, turn as EXIF says, lay over `background`, convert to `channels`, resize.

    Resized is by Pillow's bilinear filter, which is antialiased: where an image becomes smaller, the triangle widens by
    the same factor; values are rounded to 8 bits after the rows and after the columns.
    """

    height: int
    width: int
    channels: int  # 1: grey (ITU-R 601), 3: red, green, blue; arrays may have others
    fit: Fit = Fit.STRETCH
    background: tuple[int, int, int] = WHITE  # red, green, blue behind transparent pixels

    @classmethod
    def of_shape(cls, shape: tuple[int, ...]) -> Preprocessing:
        """The defaults for images of `shape` (H, W, C)."""
        height, width, channels = shape
        return cls(height, width, channels)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels

    def placement(self, width: int, height: int) -> Placement:
        """The layout for an image of `width` x `height` pixels. Sizes within a padded image are rounded half up."""
        whole, size = (0.0, 0.0, float(width), float(height)), (self.width, self.height)
        is_wider = width * self.height > height * self.width
        match self.fit:
            case Fit.STRETCH:
                return Placement(whole, size, (0, 0))
            case Fit.PAD if is_wider:
                size = (self.width, max(1, (2 * height * self.width + width) // (2 * width)))
            case Fit.PAD:
                size = (max(1, (2 * width * self.height + height) // (2 * height)), self.height)
            case Fit.CROP if is_wider:
                left = (width - height * self.width / self.height) / 2
                return Placement((left, 0.0, width - left, float(height)), size, (0, 0))
            case Fit.CROP:
                top = (height - width * self.height / self.width) / 2
                return Placement((0.0, top, float(width), height - top), size, (0, 0))
        return Placement(whole, size, ((self.width - size[0]) // 2, (self.height - size[1]) // 2))

    def to_json(self) -> dict[str, Any]:
        """With what is the same for all models, so that a reader needs nothing else."""
        return {
            **asdict(self),
            "fit": self.fit.value,
            "background": list(self.background),
            "filter": "bilinear",
            "antialias": True,
            "padding": [0, 0, 0],
            "colour": {1: "grey", 3: "RGB"}.get(self.channels, "channels"),
            "orientation": "exif",
            "range": [0, 255],
        }

    @classmethod
    def from_metadata(cls, text: str) -> Preprocessing:
        """Raises: ValueError, KeyError or TypeError for other text than `json.dumps` of `to_json`."""
        said = json.loads(text)
        red, green, blue = said["background"]
        size = int(said["height"]), int(said["width"]), int(said["channels"])
        return cls(*size, Fit(said["fit"]), (int(red), int(green), int(blue)))
