"""Where the plugin is: a process that the kit starts as the engine does, or an endpoint somebody else serves."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Final, Protocol

import grpc

from neunets.conform.check import NotStarted
from neunets.conform.host import Host
from neunets.messages import CHANNEL_LIMITS
from neunets.sockets import channel_options
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc

__all__ = ["Dialled", "Launched", "Plugin"]

START_S: Final = 60.0
DESCRIBE_S: Final = 10.0
# What a plugin inherits from whoever starts it; the engine has the same list.
ALLOWED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
# Without them a channel waits a second before it looks for a plugin again, and channels to one place share a socket.
CHANNEL: Final = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
    *CHANNEL_LIMITS,
)
LINES: Final = 12


class Plugin(Protocol):
    """Either of the two; `description` is what it said of itself."""

    @property
    def description(self) -> pb.DescribeResponse: ...
    def channel(self) -> grpc.Channel: ...
    def ensure(self) -> None:
        """Start it again if it has ended."""

    def lines(self) -> tuple[str, ...]:
        """What it printed last."""


class Dialled:
    """A plugin that listens already."""

    def __init__(self, endpoint: str) -> None:
        """Raises: NotStarted if nobody answers there."""
        self._channel = grpc.insecure_channel(endpoint, options=channel_options(endpoint, *CHANNEL))
        stub = synthesizer_pb2_grpc.SynthesizerStub(self._channel)
        try:
            self.description = stub.Describe(pb.DescribeRequest(), timeout=DESCRIBE_S, wait_for_ready=True)
        except grpc.RpcError as error:
            self._channel.close()
            raise NotStarted(f"no plugin answers at {endpoint}: {error}") from error

    def __enter__(self) -> Dialled:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def channel(self) -> grpc.Channel:
        return self._channel

    def ensure(self) -> None:
        """Somebody else's process."""

    def lines(self) -> tuple[str, ...]:
        return ()


class Launched:
    """Owns the plugin's process, which runs in `directory`; `folder` holds its socket and its log."""

    def __init__(self, command: str, directory: Path | None, host: Host, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.starts = 0
        self.token = ""
        self.registered = pb.RegisterRequest()
        self._command = shlex.split(command)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None

    def __enter__(self) -> Launched:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def description(self) -> pb.DescribeResponse:
        return self.registered.self

    def start(self) -> None:
        """Raises: NotStarted if it cannot be executed, ends, or does not register in time."""
        token = self.token = self.host.issue()
        environment = {name: os.environ[name] for name in ALLOWED if name in os.environ} | {
            "NEUNETS_HOST": self.host.endpoint,
            "NEUNETS_LAUNCH_TOKEN": token,
            "NEUNETS_PROTOCOLS": "1",
            "NEUNETS_SOCKET_DIR": str(self.folder),
            "NEUNETS_PARENT_DEATH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        process = self._process = _executed(self._command, self._directory, environment, self._log())
        self.starts += 1
        Thread(target=_notify_of_end, args=(process, self.host), daemon=True).start()
        if not self.host.await_registration(token, START_S, lambda: process.poll() is not None):
            code = process.poll()
            self.kill()
            raise NotStarted(f"the plugin {_how(code, self.host.refusal())}; last: {self._last()}")
        self.registered = self.host.registration(token) or pb.RegisterRequest()
        options = channel_options(self.registered.endpoint, *CHANNEL)
        self._channel = grpc.insecure_channel(self.registered.endpoint, options=options)

    def kill(self) -> None:
        """SIGKILL, to its children too, and wait until it is gone."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def kill_under_way(self) -> None:
        """SIGKILL while a call is in flight: the channel stays, so that the call's end can be read."""
        assert self._process is not None
        self._signal(signal.SIGKILL)
        self._process.wait()

    def relaunch(self) -> None:
        self.kill()
        self.start()

    def ensure(self) -> None:
        if not self.is_alive():
            self.relaunch()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def channel(self) -> grpc.Channel:
        """Raises: NotStarted if the process was killed."""
        if self._channel is None:
            raise NotStarted("the plugin is not running")
        return self._channel

    def rss_bytes(self) -> int:
        """Resident memory of all processes of its group (Linux)."""
        assert self._process is not None
        return sum(_rss_bytes(folder) for folder in _group(self._process.pid))

    def lines(self) -> tuple[str, ...]:
        with suppress(FileNotFoundError):
            return tuple(self._log().read_text(errors="replace").splitlines()[-LINES:])
        return ()

    def _last(self) -> str:
        return " | ".join(self.lines()[-3:]) or "no output"

    def _log(self) -> Path:
        return self.folder / "plugin.log"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _executed(
    command: Sequence[str], directory: Path | None, environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """In a group of its own. Raises: NotStarted."""
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=directory,
                start_new_session=True,
            )
        except OSError as error:
            raise NotStarted(f"{shlex.join(command)} cannot be executed: {error}") from error


def _how(code: int | None, refusal: str) -> str:
    """A process that has not registered. `code`: with which it ended, of a signal a negative one; None: it has not."""
    if code is None:
        what = f"did not register within {START_S:g} s"
    else:
        what = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"{what}: its Register was refused ({refusal})" if refusal else what


def _notify_of_end(process: subprocess.Popen[bytes], host: Host) -> None:
    process.wait()
    host.notify()


def _group(leader: int) -> list[Path]:
    """The folders in /proc of all processes whose group is `leader`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(after_name[2]) == leader:
                    found.append(folder)
    return found


def _rss_bytes(folder: Path) -> int:
    with suppress(OSError):
        return int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
