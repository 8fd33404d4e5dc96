"""The exported file against what was trained, and its speed: through onnxruntime, on the CPU."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from neunets.errors import NeunetsError
from neunets.images import resized_array
from neunets.limits import cores
from neunets_engine.export.any_size import preprocessing_of, resizing_alone

__all__ = ["ExportMismatch", "accuracy", "batches", "check", "check_resizing", "check_same", "latency_ms"]

ERRORS_ONLY: Final = 3
WARM_UP_RUNS: Final = 3
FEWEST_RUNS: Final = 20
MOST_RUNS: Final = 500
ENOUGH_S: Final = 0.8
# Of examples that are run at once: some, and of large images one, since their activations fill the memory.
BATCH_ROWS: Final = 256
BATCH_VALUES: Final = 1 << 21


IMAGES_NDIM: Final = 4  # (N, H, W, C)
# Widths and heights of images on which the resizing is checked, over those that are wanted.
RESIZINGS: Final = ((2.3, 1.7), (0.6, 0.4), (3.1, 0.5), (0.5, 1.0))


class ExportMismatch(NeunetsError):
    """The ONNX file does not compute what was trained: report it, do not deploy it."""


def check(model: bytes, x: NDArray[Any], probabilities: NDArray[Any], tolerance: float = 1e-4) -> float:
    """Run `model` on inputs as stored, (N, H, W, C) or (N, L, C), against the trainer's `probabilities` (N, classes).

    A label agrees if its class is the trainer's first one, or ties with it within the tolerance.

    Returns: the largest |difference|. Raises: ExportMismatch if it is above `tolerance`, or a label disagrees.
    """
    session = _session(model)
    classes = np.array(json.loads(session.get_modelmeta().custom_metadata_map["classes"]), object)
    got, labels = session.run(["probabilities", "label"], {session.get_inputs()[0].name: x})
    if got.shape != probabilities.shape or not len(got):
        raise ExportMismatch(f"probabilities of shape {got.shape}, the trainer's are {probabilities.shape}")
    difference = float(np.abs(got.astype(np.float64) - probabilities).max())
    if not difference <= tolerance:  # true for NaN as well
        raise ExportMismatch(f"probabilities differ by {difference:.2e}, more than {tolerance:.0e}")
    is_first = probabilities >= probabilities.max(axis=1, keepdims=True) - 2.0 * tolerance
    agrees = (is_first & (classes == labels[:, np.newaxis])).any(axis=1)
    if not agrees.all():
        row = int(np.argmin(agrees))
        wanted = classes[int(np.argmax(probabilities[row]))]
        raise ExportMismatch(f"example {row} is labelled {labels[row]!r}, the trainer says {wanted!r}")
    return difference


def latency_ms(model: bytes, x: NDArray[Any]) -> float:
    """Median time of one call with `x`, in milliseconds, on one thread of this machine, after warm-up.

    20 runs at least, then as many as fit into 0.8 s, up to 500.
    """
    session = _session(model)
    feed = {session.get_inputs()[0].name: _fitting(session, x)}
    for _ in range(WARM_UP_RUNS):
        session.run(None, feed)
    times: list[float] = []
    begin = perf_counter()
    for runs in count():
        start = perf_counter()
        if runs >= MOST_RUNS or (runs >= FEWEST_RUNS and start - begin > ENOUGH_S):
            break
        session.run(None, feed)
        times.append(perf_counter() - start)
    return 1e3 * median(times)


def accuracy(model: bytes, x: NDArray[Any], y: NDArray[np.int64]) -> float:
    """Fraction of the rows of `x` (N, ...), as stored, whose most probable class is that of `y` (N,); on all cores."""
    session, row, correct = _session(model, cores().value), 0, 0
    for batch in batches(x):
        probabilities = _probabilities(session, batch)
        correct += int((probabilities.argmax(axis=1) == y[row : row + len(batch)]).sum())
        row += len(batch)
    return correct / len(y)


def check_same(model: bytes, other: bytes, x: NDArray[Any], tolerance: float = 1e-4) -> None:
    """Whether both give the same probabilities for `x` (N, ...), as stored. Raises: ExportMismatch."""
    found = [_probabilities(_session(each), x).astype(np.float64) for each in (model, other)]
    difference = float(np.abs(found[0] - found[1]).max())
    if not difference <= tolerance:  # true for NaN as well
        raise ExportMismatch(f"probabilities of a variant differ by {difference:.2e}, more than {tolerance:.0e}")


def check_resizing(model: bytes) -> None:
    """Whether what `model`, of images, makes of one of another size is what training did, to one grey level.

    By images of noise, larger and smaller than its own on both axes and on one. Raises: ExportMismatch.
    """
    wanted = preprocessing_of(onnx.load_from_string(model))
    if wanted is None:
        raise ExportMismatch("a model of sequences resizes nothing")
    session, rng = _session(resizing_alone(wanted)), np.random.default_rng(0)
    for across, down in RESIZINGS:
        width, height = max(1, round(wanted.width * across)), max(1, round(wanted.height * down))
        x = rng.integers(0, 256, (height, width, wanted.channels), dtype=np.uint8)
        (inside,) = session.run(None, {"image": x[np.newaxis]})
        if np.abs(inside[0].astype(int) - resized_array(x, wanted)).max() > 1:
            raise ExportMismatch(f"an image of {width} x {height} pixels is resized otherwise than in training")


def _probabilities(session: onnxruntime.InferenceSession, x: NDArray[Any]) -> NDArray[Any]:
    """(N, classes); a model that takes one example at a time gets them so."""
    source, rows = session.get_inputs()[0].name, _fitting(session, x)
    is_single = session.get_inputs()[0].shape[0] == 1
    parts = [rows[row : row + 1] for row in range(len(rows))] if is_single else [rows]
    return np.concatenate([session.run(["probabilities"], {source: part})[0] for part in parts])


def _fitting(session: onnxruntime.InferenceSession, x: NDArray[Any]) -> NDArray[Any]:
    """`x` as stored; for a plain model of images float32, channels first."""
    if session.get_inputs()[0].type == "tensor(float)" and x.ndim == IMAGES_NDIM:
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)
    return x


def batches(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """All rows of `x` (N, ...), which may lie on disk, in their order."""
    rows = max(1, min(BATCH_ROWS, BATCH_VALUES // math.prod(x.shape[1:])))
    for start in range(0, len(x), rows):
        yield np.ascontiguousarray(x[start : start + rows])


def _session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
