"""Engines with settings that no command line has, a small disk for them, and searches for long or large trainings."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import grpc

from neunets.synthesizer import Candidate, Problem
from neunets.synthesizer import serve as plugin
from neunets_client.connection import Connection
from neunets_engine.engine import EngineSettings, serve
from neunets_engine.leases import Patience
from neunets_engine.plugins import parse_manifest
from synthesizers import QUICK, Behaviour, Run

__all__ = ["SmallDisk", "Unusual", "engine_on_small_disk", "has_small_disks", "on_small_disk", "unusual_engine"]

SCRIPT: Final = Path(__file__).parents[1] / "synthesizers.py"
BLOCK_BYTES: Final = 4096
START_DEADLINE_S: Final = 60.0
EPOCHS: Final = 500.0


@dataclass(frozen=True, slots=True)
class Unusual:
    """What differs from an engine as `neunets up` starts it; one slot."""

    heartbeat_s: float = 15.0
    report_s: float = 60.0
    memory_bytes: int = 1 << 40


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A file system of its own in the mount namespace of a process, seen from outside."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self) -> None:
        """To the last byte."""
        with suppress(OSError), self._filler.open("ab", buffering=0) as filler:
            while filler.write(bytes(BLOCK_BYTES)):
                pass

    def free(self) -> None:
        self._filler.unlink()


def on_small_disk(folder: Path, size: str, command: list[str]) -> list[str]:
    """`command` in a mount namespace in which `folder` is a file system of `size`; needs no rights."""
    mount = shlex.join(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)])
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{mount} && exec {shlex.join(command)}"]


def has_small_disks(folder: Path) -> bool:
    """Whether this system lets `on_small_disk` work."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(on_small_disk(folder, "1m", ["true"]), capture_output=True, check=False).returncode == 0


@contextmanager
def unusual_engine(home: Path, unusual: Unusual, *paths: Path) -> Iterator[Connection]:
    """`paths`: where its processes look for modules first."""
    with _running(_command(home, home / "engine.sock", unusual), home, *paths) as (connection, _):
        yield connection


@contextmanager
def engine_on_small_disk(folder: Path, home: Path) -> Iterator[tuple[Connection, SmallDisk]]:
    """`home` is the small disk; socket and log are in `folder`."""
    command = on_small_disk(home, "16m", _command(home, folder / "engine.sock", Unusual()))
    with _running(command, folder) as (connection, process):
        yield connection, SmallDisk(Path(f"/proc/{process}/root{home}"))


@contextmanager
def _running(command: list[str], folder: Path, *paths: Path) -> Iterator[tuple[Connection, int]]:
    """The engine that listens in `folder`, and the id of its process."""
    looked_at = [*map(str, paths), str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, looked_at))}
    with (folder / "engine.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            target = f"unix:{folder / 'engine.sock'}"
            with grpc.insecure_channel(target) as channel:
                grpc.channel_ready_future(channel).result(START_DEADLINE_S)
            with Connection(target, folder) as connection:
                yield connection, process.pid
        finally:
            process.terminate()
            process.wait(30)


def _command(home: Path, socket: Path, unusual: Unusual) -> list[str]:
    return [sys.executable, __file__, str(home), str(socket), json.dumps(asdict(unusual))]


async def _run(home: Path, socket: str, unusual: Unusual) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    commands = [
        f"good={sys.executable} {SCRIPT} good",
        *(f"{name}={sys.executable} {__file__} {name}" for name in SEARCHES),
    ]
    patience = Patience(unusual.heartbeat_s, unusual.report_s)
    settings = EngineSettings(
        home, f"unix:{socket}", ["cpu"], take_up="all", plugins=[parse_manifest(command) for command in commands],
        patience=patience, memory_bytes=unusual.memory_bytes,
    )  # fmt: skip
    await serve(settings, stop)


class Long(Run):
    """Its trainings are long enough to be met in their middle."""

    def good(self, number: int) -> Candidate:
        return replace(super().good(number), recipe=replace(QUICK, epochs=EPOCHS))


class Large(Run):
    """Its networks need a gigabyte."""

    def good(self, number: int) -> Candidate:
        return super().good(number + (1 << 20))


SEARCHES: Final[Mapping[str, type[Run]]] = {"long": Long, "large": Large}


class Search(Behaviour):
    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> Run:
        return SEARCHES[sys.argv[1]](problem)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        raise SystemExit(plugin(Search(sys.argv[1])))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_run(Path(sys.argv[1]), sys.argv[2], Unusual(**json.loads(sys.argv[3]))))
