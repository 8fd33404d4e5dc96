"""A real engine in a process of its own, for tests that speak to it as a client does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from neunets.service.v1 import service_pb2
from neunets.sockets import channel_options
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client.client import Client
from neunets_client.connection import CHANNEL_OPTIONS, Connection
from synthesizers import BEHAVIOURS

# On a machine that does much else.
START_DEADLINE_S = 60.0
__all__ = ["History", "children", "engine", "follow", "processes"]


@contextmanager
def engine(home: Path, *options: str) -> Iterator[Connection]:
    """Serves all `BEHAVIOURS` beside the installed synthesizers; ends with the `with`."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = f"unix:{home / 'engine.sock'}"
    script = Path(__file__).with_name("synthesizers.py")
    command = [sys.executable, "-m", "neunets_engine", "--home", str(home), "--listen", target]
    for name in BEHAVIOURS:
        command += ["--plugin", f"{name}={sys.executable} {script} {name} {home / 'deaths'}"]
    with (home / "engine.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        try:
            with grpc.insecure_channel(target, channel_options(target, *CHANNEL_OPTIONS)) as channel:
                request = health_pb2.HealthCheckRequest()
                health_pb2_grpc.HealthStub(channel).Check(request, timeout=START_DEADLINE_S, wait_for_ready=True)
            with Connection(target, home) as connection:
                yield connection
        finally:
            process.terminate()
            process.wait(30)


def processes(home: Path) -> list[psutil.Process]:
    """The engines of a home."""
    return [each for each in psutil.process_iter(["cmdline"]) if str(home) in (each.info["cmdline"] or ())]


def children(home: Path, module: str) -> list[psutil.Process]:
    """Those of the engine whose command names `module`, below their keepers."""
    found = [process for parent in processes(home) for process in parent.children(recursive=True)]
    commands = [(process, " ".join(process.cmdline())) for process in found]
    return [process for process, command in commands if module in command and "keeper.py" not in command]


class History:
    """What a run's events tell, in order."""

    def __init__(self, responses: Sequence[service_pb2.WatchRunResponse], run: service_pb2.Run) -> None:
        self.run = run
        self.events = [response.event for response in responses if response.HasField("event")]
        self.search = [event.search for event in self.events if event.WhichOneof("event") == "search"]

    @property
    def state(self) -> str:
        return service_pb2.RunState.Name(self.run.state).removeprefix("RUN_STATE_")

    def states(self) -> list[str]:
        changes = [event.state_changed.to for event in self.events if event.WhichOneof("event") == "state_changed"]
        return [service_pb2.RunState.Name(state).removeprefix("RUN_STATE_") for state in changes]

    def candidates(self) -> list[bytes]:
        """Each proposed graph, as bytes."""
        return [
            entry.candidate.graph.SerializeToString(deterministic=True)
            for event in self.search
            if event.WhichOneof("event") == "proposed"
            for entry in event.proposed.candidates
        ]

    def rejections(self) -> list[str]:
        return [event.rejected.why[0].code for event in self.search if event.WhichOneof("event") == "rejected"]

    def ends(self) -> list[synthesizer_pb2.TrialEnded]:
        """The final ends of trials."""
        ended = [event.ended for event in self.search if event.WhichOneof("event") == "ended"]
        return [end for end in ended if not end.will_retry]


def follow(client: Client, name: str) -> History:
    """Watch a run until it is final or paused."""
    responses = list(client.watch(name))
    return History(responses, client.get(name))
