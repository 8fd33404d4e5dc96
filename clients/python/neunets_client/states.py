"""States in the words of the service."""

from __future__ import annotations

from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["run_state", "trial_state"]


def run_state(run: service_pb2.Run) -> str:
    return service_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_")


def trial_state(model: service_pb2.Model) -> str:
    """How the trial ended, once it has."""
    if model.HasField("result"):
        return synthesizer_pb2.TrialEnded.State.Name(model.result.state).removeprefix("STATE_")
    return service_pb2.TrialState.Name(model.state).removeprefix("TRIAL_STATE_")
