"""What resizing was used, to messages and back."""

from __future__ import annotations

from typing import Final

from neunets.preprocessing import Fit, Preprocessing
from neunets.service.v1 import service_pb2

__all__ = ["FITS", "preprocessing_from_proto", "preprocessing_to_proto"]

FITS: Final = {
    service_pb2.Preprocessing.FIT_STRETCH: Fit.STRETCH,
    service_pb2.Preprocessing.FIT_PAD: Fit.PAD,
    service_pb2.Preprocessing.FIT_CROP: Fit.CROP,
}
NUMBERS: Final = {fit: number for number, fit in FITS.items()}


def preprocessing_to_proto(given: Preprocessing, resized: int) -> service_pb2.Preprocessing:
    """`resized`: images of the data that had another size."""
    return service_pb2.Preprocessing(
        height=given.height,
        width=given.width,
        channels=given.channels,
        fit=NUMBERS[given.fit],
        filter="bilinear",
        background=given.background,
        resized=resized,
    )


def preprocessing_from_proto(message: service_pb2.Preprocessing) -> Preprocessing:
    """The value in a message that the engine wrote."""
    red, green, blue = message.background
    return Preprocessing(message.height, message.width, message.channels, FITS[message.fit], (red, green, blue))
