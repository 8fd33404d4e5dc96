"""What a finished run is summed up to."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from neunets.service.v1 import service_pb2

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Accuracies in 0..1; `model`: path of the ONNX file; None: there is none."""

    run: str
    state: str
    task: str
    metric: str
    validation: float | None
    test: float | None
    params: int | None
    model: str | None
    model_bytes: int | None
    latency_ms: float | None
    wall_s: float
    budget_s: float | None
    trials: int
    failed_trials: int
    peak_bytes: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def outcome_of(
    run: service_pb2.Run, model: service_pb2.Model | None, path: Path | None, wall_s: float, budget_s: float | None
) -> Outcome:
    figures = dict(model.figures) if model is not None else {}
    return Outcome(
        run=run.name.removeprefix("runs/"),
        state=service_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_"),
        task=run.task,
        metric="accuracy",
        validation=_finite(figures.get("valid_accuracy")),
        test=_finite(figures.get("test_accuracy")),
        params=model.params if model is not None else None,
        model=str(path) if path is not None else None,
        model_bytes=int(figures["model_bytes"]) if "model_bytes" in figures else None,
        latency_ms=_finite(figures.get("latency_ms")),
        wall_s=round(wall_s, 3),
        budget_s=budget_s,
        trials=run.trials_ended,
        failed_trials=run.trials_failed,
        peak_bytes=run.peak_bytes,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
