"""What a plugin asks its host of earlier runs: the bounds of the question, and the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Final

import grpc

from neunets.errors import InvalidGraph, InvalidRequest
from neunets.status import rpc_error
from neunets.synthesizer.experience import Experience, PastTrial
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc
from neunets.wire import graph_from_proto, input_from_proto

__all__ = ["Past", "experiences_from_proto", "wanted"]

LOG: Final = logging.getLogger(__name__)
DEADLINE_S: Final = 5.0
USUAL_DATASETS, USUAL_TRIALS, MOST = 16, 8, 64


def wanted(request: pb.QueryExperimentsRequest) -> tuple[int, int]:
    """(data sets, trials of each) that the host answers at most. Raises: InvalidRequest."""
    for field, count in (("datasets", request.datasets), ("trials", request.trials)):
        if count > MOST:
            raise InvalidRequest(field, f"{count}: at most {MOST}")
    return request.datasets or USUAL_DATASETS, request.trials or USUAL_TRIALS


class Past:
    """`Problem.past` of a run: asked once, whatever thread asks; nothing is known where the host does not answer."""

    def __init__(self, run: str, channel: Callable[[], grpc.Channel]) -> None:
        """`channel`: a new one to the host."""
        self._run, self._channel = run, channel
        self._lock = Lock()
        self._told: tuple[Experience, ...] | None = None

    def __call__(self) -> tuple[Experience, ...]:
        with self._lock:
            if self._told is None:
                self._told = self._ask()
            return self._told

    def _ask(self) -> tuple[Experience, ...]:
        request = pb.QueryExperimentsRequest(run=self._run)
        with self._channel() as channel:
            host = synthesizer_pb2_grpc.PluginHostStub(channel)
            try:
                return experiences_from_proto(host.QueryExperiments(request, timeout=DEADLINE_S))
            except grpc.RpcError as error:
                why = rpc_error(error).message
            except InvalidGraph as error:  # of a version that came later
                why = error.message
        LOG.warning("run %s begins without what earlier ones have learned: %s", self._run, why)
        return ()


def experiences_from_proto(message: pb.QueryExperimentsResponse) -> tuple[Experience, ...]:
    """Raises: InvalidGraph."""
    return tuple(map(_experience, message.experiences))


def _experience(message: pb.Experience) -> Experience:
    dataset = message.dataset
    return Experience(
        input=input_from_proto(message.input),
        classes=dataset.classes,
        train_rows=dataset.train_rows,
        distance=message.distance,
        trials=tuple(map(_trial, message.trials)),
        mirror_keeps_class=dataset.mirror_keeps_class if dataset.HasField("mirror_keeps_class") else None,
        meta_features=dict(dataset.meta_features),
    )


def _trial(message: pb.PastTrial) -> PastTrial:
    candidate = message.candidate
    return PastTrial(
        synthesizer=message.synthesizer,
        graph=graph_from_proto(candidate.graph) if candidate.HasField("graph") else None,
        labels=dict(candidate.labels),
        metrics=dict(message.metrics),
        device_s=message.device_s,
    )
