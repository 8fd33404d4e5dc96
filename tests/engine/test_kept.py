"""Child processes of the engine end with it, and so does everything that they have started."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from neunets_engine.kept import KeptProcess, how_ended

# Starts what tries to get away: with a session of its own, twice forked, without an environment. It prints "ready" when
# all four run.
PARENT = """
import os, pathlib, subprocess, sys, time
sleep = ["sleep", sys.argv[1]]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
subprocess.Popen(["sh", "-c", f"setsid sleep {sys.argv[1]} & exit 0"])
subprocess.Popen(["env", "-i", "setsid", "/bin/sleep", sys.argv[1]])
def is_family(process):
    try:
        return process.joinpath("cmdline").read_bytes().split(b"\\0")[1:2] == [sys.argv[1].encode()]
    except OSError:
        return False
while sum(map(is_family, pathlib.Path("/proc").glob("[0-9]*"))) < 4:
    time.sleep(0.01)
print("ready", flush=True)
exec(sys.argv[2])
"""
LIVES = "time.sleep(600)"


def family(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if (each.info["cmdline"] or [])[1:] == [mark]]


def has_ended(mark: str) -> bool:
    return not psutil.wait_procs(family(mark), timeout=30)[1]


async def started(mark: str, then: str = LIVES, folder: Path | None = None) -> KeptProcess:
    reader, writer = os.pipe()
    command = [sys.executable, "-c", PARENT, mark, then]
    process = KeptProcess(command, dict(os.environ), writer, folder=folder)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert await asyncio.to_thread(pipe.readline) == "ready\n"
    return process


async def test_whoever_it_has_started_ends_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    (folder / "left.sock").touch()
    process = await started("86001.5", folder=folder)
    await process.end()
    assert has_ended("86001.5")
    assert not process.is_up()
    assert not folder.exists()


@pytest.mark.parametrize(("then", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 11)", -11)])
async def test_it_ends_by_itself_and_leaves_nothing(then: str, code: int) -> None:
    process = await started("86002.5", then)
    assert await process.wait() == code
    assert has_ended("86002.5")
    await process.end()


async def test_a_killed_keeper_leaves_none_that_has_its_environment() -> None:
    process = await started("86003.5")
    parent = psutil.Process(process.pid).parent()
    assert parent is not None
    parent.kill()
    assert await process.wait() == -9
    await process.end()
    strays = family("86003.5")
    for stray in strays:
        stray.kill()
    assert len(strays) <= 1  # the one whose environment was cleared


async def test_a_command_that_cannot_be_executed_says_so() -> None:
    process = KeptProcess(["/no/such/command"], {}, 2)
    await process.wait()
    assert process.error == "/no/such/command: No such file or directory"
    await process.end()


def test_all_end_with_an_engine_that_is_killed() -> None:
    program = f"""
import asyncio, os, sys
from neunets_engine.kept import KeptProcess
async def main():
    KeptProcess([sys.executable, "-c", sys.argv[1], "86004.5", "{LIVES}"], dict(os.environ), 1)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program, PARENT], stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "ready\n"
        assert len(family("86004.5")) == 4
        engine.kill()
    assert has_ended("86004.5")


def test_an_end_is_told_in_words() -> None:
    assert [how_ended(code) for code in (0, 3, -9, -11)] == [
        "ended with exit code 0",
        "ended with exit code 3",
        "was ended by SIGKILL",
        "was ended by SIGSEGV",
    ]
