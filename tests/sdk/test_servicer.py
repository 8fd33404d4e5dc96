"""The plugin's side of the contract over a real socket: epochs, sequence numbers, repeated requests, threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes import IMAGE, Scripted
from neunets.errors import (
    CallInFlight,
    DeadlineExceeded,
    InvalidRequest,
    NeunetsError,
    RunNotOpen,
    SequenceGap,
    StaleEpoch,
)
from neunets.graph.v1 import graph_pb2
from neunets.status import rpc_error
from neunets.synthesizer.place import Launched
from neunets.synthesizer.serve import SERVICE, listen
from neunets.synthesizer.servicer import SynthesizerServicer
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc
from neunets.wire import input_to_proto

DEADLINE_S = 10.0


class Peer:
    """What an engine would say to the plugin."""

    def __init__(self, synthesizer: Scripted, channel: grpc.Channel) -> None:
        self.synthesizer = synthesizer
        self.channel = channel
        self.stub = synthesizer_pb2_grpc.SynthesizerStub(channel)

    def open(self, run: str = "r1", epoch: int = 1, **fields: bool) -> pb.OpenResponse:
        problem = pb.Problem(task="image-classification", input=input_to_proto(IMAGE))
        problem.dataset.classes = 3
        request = pb.OpenRequest(call=pb.Call(run=run, epoch=epoch), problem=problem, **fields)
        return self.stub.Open(request, timeout=DEADLINE_S)

    def propose(self, request_id: str = "q1", log_seq: int = 0, want: int = 2, run: str = "r1", epoch: int = 1,
                timeout: float = DEADLINE_S) -> pb.ProposeResponse:  # fmt: skip
        call = pb.Call(run=run, epoch=epoch, request_id=request_id, log_seq=log_seq)
        return self.stub.Propose(pb.ProposeRequest(call=call, want=want, budget=pb.Budget(slots=2)), timeout=timeout)

    def ingest(self, *events: pb.Event, run: str = "r1", epoch: int = 1) -> int:
        request = pb.IngestRequest(call=pb.Call(run=run, epoch=epoch), events=events)
        return self.stub.Ingest(request, timeout=DEADLINE_S).applied_seq

    def assess(self, log_seq: int = 0) -> pb.AssessResponse:
        return self.stub.Assess(pb.AssessRequest(call=pb.Call(run="r1", epoch=1, log_seq=log_seq)), timeout=DEADLINE_S)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    synthesizer = Scripted()
    place = Launched({"NEUNETS_HOST": "unix:host", "NEUNETS_LAUNCH_TOKEN": "t", "NEUNETS_SOCKET_DIR": str(tmp_path)})
    server, endpoint = listen(SynthesizerServicer(synthesizer), place)
    with grpc.insecure_channel(endpoint) as channel:
        yield Peer(synthesizer, channel)
    synthesizer.gate.set()
    server.stop(None).wait()


def refused(call: Callable[[], object], kind: type[NeunetsError]) -> NeunetsError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error = rpc_error(raised.value)
    assert type(error) is kind
    return error


def proposed(seq: int, answer: pb.ProposeResponse) -> pb.Event:
    entries = [
        pb.ProposedCandidate(id=f"c{number}", candidate=candidate)
        for number, candidate in enumerate(answer.proposals.candidates)
    ]
    return pb.Event(seq=seq, proposed=pb.Proposed(candidates=entries))


def measured(seq: int, trial: str = "t1") -> pb.Event:
    return pb.Event(seq=seq, measured=pb.Measured(trial=trial, metrics={"valid_accuracy": float("nan")}))


def test_every_run_scoped_call_needs_an_open_run(peer: Peer) -> None:
    for call in (peer.propose, peer.assess, peer.ingest):
        refused(call, RunNotOpen)


def test_a_call_without_deadline_is_refused(peer: Peer) -> None:
    error = refused(lambda: peer.stub.Describe(pb.DescribeRequest()), InvalidRequest)
    assert error.metadata["field"] == "deadline"


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda peer: peer.open(run=""), "call.run"),
        (lambda peer: peer.propose(request_id=""), "call.request_id"),
        (lambda peer: peer.propose(want=0), "want"),
        (lambda peer: peer.propose(want=65), "want"),
        (lambda peer: peer.stub.Open(pb.OpenRequest(call=pb.Call(run="r2")), timeout=9), "problem.input"),
    ],
)
def test_a_missing_field_is_named(peer: Peer, call: Callable[[Peer], object], field: str) -> None:
    peer.open()
    assert refused(lambda: call(peer), InvalidRequest).metadata["field"] == field


def test_the_same_request_has_the_same_answer(peer: Peer) -> None:
    peer.open()
    assert peer.propose("q1") == peer.propose("q1")


def test_what_was_proposed_is_not_proposed_again(peer: Peer) -> None:
    peer.open()
    first = peer.propose("q1")
    assert peer.ingest(proposed(1, first)) == 1
    second = peer.propose("q2", log_seq=1)
    graphs = [graph.SerializeToString() for answer in (first, second) for graph in _graphs(answer)]
    assert len(set(graphs)) == 4


def test_events_that_come_twice_have_no_effect(peer: Peer) -> None:
    peer.open()
    for _ in range(3):
        assert peer.ingest(measured(1), measured(2)) == 2
    assert peer.ingest(measured(2), measured(3)) == 3
    assert len(peer.synthesizer.opened[0].events) == 3


def test_a_hole_in_the_events_is_refused_with_what_was_applied(peer: Peer) -> None:
    peer.open()
    peer.ingest(measured(1))
    error = refused(lambda: peer.ingest(measured(3)), SequenceGap)
    assert isinstance(error, SequenceGap)
    assert error.applied_seq == 1


def test_a_proposal_needs_the_whole_log(peer: Peer) -> None:
    peer.open()
    refused(lambda: peer.propose(log_seq=7), SequenceGap)
    refused(lambda: peer.assess(log_seq=7), SequenceGap)


def test_an_older_epoch_is_refused_and_a_newer_one_opens_again(peer: Peer) -> None:
    peer.open(epoch=2)
    error = refused(lambda: peer.open(epoch=1), StaleEpoch)
    assert error.metadata["epoch"] == "2"
    refused(lambda: peer.propose(epoch=1), StaleEpoch)
    refused(lambda: peer.propose(epoch=3), RunNotOpen)
    peer.open(epoch=3)
    assert len(_graphs(peer.propose(epoch=3))) == 2


def test_opening_again_begins_at_the_first_event(peer: Peer) -> None:
    peer.open()
    peer.ingest(measured(1))
    assert peer.open().applied_seq == 0
    assert peer.ingest(measured(1)) == 1


def test_validation_leaves_nothing_open(peer: Peer) -> None:
    peer.open(validate_only=True)
    refused(peer.propose, RunNotOpen)


def test_two_runs_never_mix(peer: Peer) -> None:
    peer.open("r1")
    peer.open("r2")
    peer.ingest(measured(1), run="r1")
    assert [len(run.events) for run in peer.synthesizer.opened] == [1, 0]
    assert len(_graphs(peer.propose(run="r2"))) == 2


def test_closing_is_fine_twice_and_for_an_unknown_run(peer: Peer) -> None:
    peer.open()
    for run in ("r1", "r1", "nobody"):
        peer.stub.Close(pb.CloseRequest(call=pb.Call(run=run, epoch=1)), timeout=DEADLINE_S)
    refused(peer.propose, RunNotOpen)


def test_health_answers_and_a_second_call_is_refused_while_one_computes(peer: Peer) -> None:
    peer.open()
    peer.synthesizer.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(peer.propose)
        assert peer.synthesizer.opened[0].proposing.wait(DEADLINE_S)
        error = refused(peer.assess, CallInFlight)
        assert "in flight" in error.message
        check = health_pb2_grpc.HealthStub(peer.channel).Check(
            health_pb2.HealthCheckRequest(service=SERVICE), timeout=DEADLINE_S
        )
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        peer.synthesizer.gate.set()
        assert len(_graphs(busy.result())) == 2


def test_a_deadline_is_kept_while_user_code_hangs(peer: Peer) -> None:
    peer.open()
    peer.synthesizer.gate.clear()
    refused(lambda: peer.propose(timeout=0.05), DeadlineExceeded)


def test_an_exception_of_user_code_is_told(peer: Peer) -> None:
    peer.open()
    assert "poison" in refused(lambda: peer.ingest(measured(1, "poison")), NeunetsError).message


def test_unknown_events_and_progress_beyond_one_are_harmless(peer: Peer) -> None:
    peer.open()
    assert peer.ingest(pb.Event(seq=1)) == 1
    assert peer.assess(log_seq=1).progress == 1.0


def test_an_undeclared_snapshot_is_not_implemented(peer: Peer) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(peer.stub.Snapshot(pb.SnapshotRequest(), timeout=DEADLINE_S))
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_the_input_of_a_proposal_is_the_problems(peer: Peer) -> None:
    peer.open()
    assert all(graph.input == input_to_proto(IMAGE) for graph in _graphs(peer.propose()))


def _graphs(answer: pb.ProposeResponse) -> list[graph_pb2.Graph]:
    return [candidate.graph for candidate in answer.proposals.candidates]
