"""A training that stands still, as safetensors bytes: weights, their average, momentum, step and seconds."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from neunets.errors import BadCheckpoint

__all__ = ["Checkpoint", "decode_checkpoint", "encode_checkpoint"]

WEIGHTS, MOMENTUM, AVERAGE = "weights/", "momentum/", "average/"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """After `step` steps. Keys NODE.PARAM; float32."""

    step: int
    device_s: float
    weights: Mapping[str, NDArray[np.float32]]
    momentum: Mapping[str, NDArray[np.float32]]  # of what is trained
    average: Mapping[str, NDArray[np.float32]] | None = None  # of the weights over the last steps


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    arrays = {WEIGHTS + key: value for key, value in checkpoint.weights.items()}
    arrays |= {MOMENTUM + key: value for key, value in checkpoint.momentum.items()}
    arrays |= {AVERAGE + key: value for key, value in (checkpoint.average or {}).items()}
    return save(arrays, {"step": str(checkpoint.step), "device_s": repr(checkpoint.device_s)})


def decode_checkpoint(data: bytes) -> Checkpoint:
    """Raises: BadCheckpoint."""
    try:
        arrays = load(data)  # checks the header that is read below
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])["__metadata__"]
        step, device_s = int(header["step"]), float(header["device_s"])
    except (SafetensorError, ValueError, TypeError, KeyError, struct.error) as error:
        raise BadCheckpoint(f"a checkpoint of {len(data)} bytes cannot be read: {error}") from error
    weights, momentum, average = (
        {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        for prefix in (WEIGHTS, MOMENTUM, AVERAGE)
    )
    return Checkpoint(step, device_s, weights, momentum, average or None)
