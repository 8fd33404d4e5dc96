"""Streams of the engine that are taken up where a lost connection left them."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeVar

from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client import calls
from neunets_client.attempts import Patience
from neunets_client.calls import Call, Channel

__all__ = ["Checking", "Download", "Feed", "Metrics", "Reading", "Watch"]

Item = TypeVar("Item", covariant=True)

# An open stream without end is asked for anew after this time, so that an engine that hangs is noticed. It sends
# something every 15 s.
WATCH_DEADLINE_S: Final = 60.0
LONG_DEADLINE_S: Final = 3600.0


class Feed(Protocol[Item]):
    """`request` asks for what has not come yet; `take` tells what a response brings, None: nothing for the caller.

    When the engine ends the stream, `ending` is asked whether it is over; None: it is.
    """

    deadline_s: float
    patience: Patience
    goes_on: bool  # after a lost connection; else it begins anew

    def method(self, channel: Channel) -> Any: ...

    def request(self) -> object: ...

    def take(self, response: Any) -> Item | None: ...

    def ending(self) -> Call[bool] | None: ...


class _GoesOn:
    """What is true of a stream that goes on where it was lost."""

    deadline_s: float = WATCH_DEADLINE_S
    patience: Patience = Patience()
    goes_on: bool = True


class Watch(_GoesOn):
    """Every event of a run after `seq`, without gap or repeat, and heartbeats."""

    def __init__(self, run: str, seq: int, most: int = 0, brief: bool = False) -> None:
        self._run = run
        self._seq = seq
        self._most, self._brief = most, brief

    def method(self, channel: Channel) -> Any:
        return calls.Runs(channel).Watch

    def request(self) -> service_pb2.WatchRunRequest:
        return service_pb2.WatchRunRequest(name=self._run, after_seq=self._seq, most=self._most, brief=self._brief)

    def take(self, response: service_pb2.WatchRunResponse) -> service_pb2.WatchRunResponse:
        if response.HasField("event"):
            self._seq = response.event.seq + len(response.more)
        return response

    def ending(self) -> Call[bool]:
        return calls.has_ended(self._run)


class Metrics(_GoesOn):
    """Measurements of a trial after the first `count`."""

    def __init__(self, model: str, count: int) -> None:
        self._model = model
        self._count = count

    def method(self, channel: Channel) -> Any:
        return calls.Models(channel).WatchMetrics

    def request(self) -> service_pb2.WatchMetricsRequest:
        return service_pb2.WatchMetricsRequest(name=self._model, after=self._count)

    def take(self, response: service_pb2.WatchMetricsResponse) -> synthesizer_pb2.Measured | None:
        if not response.HasField("measured"):
            return None
        self._count = response.count
        return response.measured

    def ending(self) -> Call[bool]:
        return calls.trial_has_ended(self._model)


class Download(_GoesOn):
    """The bytes of a model's file."""

    deadline_s: float = LONG_DEADLINE_S

    def __init__(self, model: str, file: str) -> None:
        self._model = model
        self._file = file
        self._offset = 0

    def method(self, channel: Channel) -> Any:
        return calls.Models(channel).Download

    def request(self) -> service_pb2.DownloadRequest:
        return service_pb2.DownloadRequest(name=self._model, file=self._file, offset=self._offset)

    def take(self, response: service_pb2.DownloadResponse) -> bytes:
        self._offset += len(response.data)
        return response.data

    def ending(self) -> None:
        return None


class _BeginsAnew:
    """What is true of a stream of which nothing counts before its end."""

    deadline_s: float = LONG_DEADLINE_S
    # An engine that says no is not given the same work once more.
    patience: Patience = Patience(unready_s=0.0)
    goes_on: bool = False

    def ending(self) -> None:
        return None


class Reading(_BeginsAnew):
    """Progress of the reading of data, and the data set last."""

    def __init__(self, request: service_pb2.RegisterDatasetRequest) -> None:
        self._request = request

    def method(self, channel: Channel) -> Any:
        return calls.Datasets(channel).Register

    def request(self) -> service_pb2.RegisterDatasetRequest:
        return self._request

    def take(self, response: service_pb2.RegisterDatasetResponse) -> service_pb2.RegisterDatasetResponse:
        return response


class Checking(_BeginsAnew):
    """Each check of a synthesizer once, and the result last."""

    def __init__(self, synthesizer: str, level: str) -> None:
        self._request = service_pb2.CheckSynthesizerRequest(name=synthesizer, level=level)
        self._told: set[str] = set()

    def method(self, channel: Channel) -> Any:
        return calls.Synthesizers(channel).Check

    def request(self) -> service_pb2.CheckSynthesizerRequest:
        return self._request

    def take(self, response: service_pb2.CheckSynthesizerResponse) -> service_pb2.CheckSynthesizerResponse | None:
        if response.HasField("check"):
            if response.check.id in self._told:
                return None
            self._told.add(response.check.id)
        return response
