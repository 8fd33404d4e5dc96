"""The way to an engine: one that runs somewhere, or an embedded one of this process's own."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from neunets.errors import InvalidRequest, NotReady
from neunets.messages import CHANNEL_LIMITS
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.sockets import channel_options, check_home
from neunets.users import Users

__all__ = ["CHANNEL_OPTIONS", "Connection", "default_home"]

START_DEADLINE_S: Final = 60.0
PROBE_DEADLINE_S: Final = 2.0
STOP_DEADLINE_S: Final = 20.0
MOST_STARTS: Final = 5
# The exit code of an engine that refuses its options, which are those of the command.
REFUSED: Final = 2
# gRPC's own waits between two attempts to connect would grow to two minutes. A connection is no other channel's: at the
# same address an engine may stand still while the one that took over from it answers.
CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.use_local_subchannel_pool", 1),
    *CHANNEL_LIMITS,
)


def default_home() -> Path:
    """NEUNETS_HOME, or neunets in the user's data folder (XDG). Raises: InvalidRequest where there is none."""
    if given := os.environ.get("NEUNETS_HOME"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "neunets"
    except RuntimeError as error:  # HOME is unset, and the system does not know the user
        raise InvalidRequest("--home", "this user has no home folder: name one, or set NEUNETS_HOME") from error


class Connection:
    """A channel for the time of a `with`, and a use of the embedded engine where there is one.

    With `server`, a gRPC target. Else the engine that works on `home` (None: `default_home()`), started if none does;
    it goes on with the unfinished runs that `take_up` names: "all", "none", or the id of one. It ends when nobody uses
    it any more, whoever has started it. Raises: InvalidRequest if `home` cannot hold an engine's folder,
    NotReady if no engine answers.
    """

    def __init__(self, server: str | None = None, home: str | Path | None = None, *, take_up: str = "none") -> None:
        self._home = Path(home or default_home()).absolute()
        if server is None:
            check_home(self._home)
        self.target: Final = server or f"unix:{self._home / 'engine.sock'}"
        self._log = self._home / "engine.log"
        self._may_start = server is None
        self.take_up = take_up
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._users = Users(self._home)
        self._lock = threading.Lock()  # the engine is started once, whoever misses it first
        self.channel = grpc.insecure_channel(self.target, options=channel_options(self.target, *CHANNEL_OPTIONS))

    def __enter__(self) -> Self:
        try:
            self.ensure()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def engine_pid(self) -> int | None:
        """Of the embedded engine's process, where this connection has started one."""
        return self._process.pid if self._process is not None else None

    def ensure(self) -> None:
        """Make sure that an engine answers. Raises: NotReady."""
        with self._lock:
            self._ensure()

    def recover(self) -> None:
        """Start an embedded engine again where it has ended; others come back by themselves. Raises: NotReady.

        Where another command has started it, it is asked to go on with this one's run.
        """
        if not self._may_start:
            return
        starts = self._starts
        self.ensure()
        if self._starts == starts and self.take_up not in ("all", "none"):
            request = service_pb2.ResumeRunRequest(name=f"runs/{self.take_up}")
            with suppress(grpc.RpcError):  # it goes on already, or has ended
                service_pb2_grpc.RunsStub(self.channel).Resume(request, timeout=START_DEADLINE_S)

    def _ensure(self) -> None:
        if not self._may_start:
            if not self._answers(2 * PROBE_DEADLINE_S):
                raise NotReady(f"no engine answers at {self.target}: start one with `neunets up`")
            return
        self._join()
        process = self._process
        if process is not None and process.poll() is None:
            if self._answers(START_DEADLINE_S, lambda: process.poll() is None):
                return
            if process.poll() is None:
                raise NotReady(f"the engine has not answered for {START_DEADLINE_S:g} s: {_last_line(self._log)}")
        with (self._home / "start.lock").open("ab") as starting:  # one of several commands starts it
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not ((self._home / "engine.sock").exists() and self._answers(PROBE_DEADLINE_S)):
                self._start()

    def close(self) -> None:
        """Use the embedded engine no more. Where nobody else does it ends; its unfinished runs can be resumed."""
        self.channel.close()
        process = self._process
        if process is not None and process.poll() is None:
            if self._users.are_none():
                _end(process)
            else:
                threading.Thread(target=process.wait, name="embedded engine", daemon=True).start()  # when others end it
        self._users.leave()

    def _join(self) -> None:
        if self._users.has_joined:
            return
        try:
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._users.join()
        except OSError as error:
            text = f"cannot write to {self._home}: {error.strerror}; choose another folder"
            raise InvalidRequest("--home", text) from error

    def _start(self) -> None:
        self._starts += 1
        if self._starts > MOST_STARTS:
            raise NotReady(f"the engine ended {MOST_STARTS} times; see {self._log}")
        command = [sys.executable, "-P", "-m", "neunets_engine", "--home", str(self._home), "--listen", self.target]
        command += ["--take-up", self.take_up, "--while-used"]
        with self._log.open("ab") as output:
            # A session of its own: Ctrl-C is for this process, which then stops the engine in good order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.channel.close()
        self.channel = grpc.insecure_channel(self.target, options=channel_options(self.target, *CHANNEL_OPTIONS))
        process = self._process
        if not self._answers(START_DEADLINE_S, lambda: process.poll() is None):
            said = _last_line(self._log)
            if process.poll() == REFUSED:
                raise InvalidRequest("", said)
            raise NotReady(f"the engine did not start: {said}")

    def _answers(self, within_s: float, is_alive: Callable[[], bool] = lambda: True) -> bool:
        """Ask in slices, so that a process that ended is noticed at once."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        for _ in range(max(1, round(within_s / PROBE_DEADLINE_S))):
            with suppress(grpc.RpcError):
                stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_DEADLINE_S, wait_for_ready=True)
                return True
            if not is_alive():
                return False
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'it said nothing'} (see {log})"
