"""The exported file against what was trained, and its speed: through onnxruntime, on the CPU."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from neunets.errors import NeunetsError

__all__ = ["ExportMismatch", "accuracy", "batches", "check", "latency_ms"]

ERRORS_ONLY: Final = 3
WARM_UP_RUNS: Final = 3
FEWEST_RUNS: Final = 20
MOST_RUNS: Final = 500
ENOUGH_S: Final = 0.8
# Of examples that are run at once: some, and of large images one, since their activations fill the memory.
BATCH_ROWS: Final = 256
BATCH_VALUES: Final = 1 << 21


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
    feed = {session.get_inputs()[0].name: x}
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
    session = _session(model, len(os.sched_getaffinity(0)))
    source, row, correct = session.get_inputs()[0].name, 0, 0
    for batch in batches(x):
        (probabilities,) = session.run(["probabilities"], {source: batch})
        correct += int((probabilities.argmax(axis=1) == y[row : row + len(batch)]).sum())
        row += len(batch)
    return correct / len(y)


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
