"""Users' files are read in a process of their own, which is bounded and ends with whoever waits for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from neunets.errors import InvalidRequest, NotReady
from neunets.service.v1 import service_pb2
from neunets_engine.datasets import Request, register
from neunets_engine.datasets.bounds import Bounds
from neunets_engine.datasets.process import Reader
from neunets_engine.datasets.source import Progress
from sources import labels, pixels, write_folder, write_npz

MANY = 1600


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Of images that take some seconds to decode."""
    one = tmp_path / "one.png"
    Image.fromarray(pixels(300, 300, 3)).save(one)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(MANY // 2):
            (tmp_path / "data" / name / f"{number}.png").symlink_to(one)
    return tmp_path / "data"


@asynccontextmanager
async def reading(
    reader: Reader, source: Path
) -> AsyncIterator[tuple[asyncio.Task[service_pb2.Dataset], psutil.Process]]:
    """In full swing: with the process that reads."""
    began = asyncio.Event()

    def tell(progress: Progress) -> None:
        if progress.stage == "decoding":
            began.set()

    before = set(psutil.Process().children())
    task = asyncio.create_task(reader.register(Request(str(source)), tell))
    first = asyncio.create_task(began.wait())
    await asyncio.wait({task, first}, return_when=asyncio.FIRST_COMPLETED)
    assert not task.done()
    (process,) = set(psutil.Process().children()) - before
    try:
        yield task, process
    finally:
        task.cancel()
        await asyncio.wait({task})


def check_nothing_is_left(root: Path, processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive
    assert list(root.iterdir()) == []


async def test_what_is_read_there_is_what_is_read_here(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", pixels(8, 4, 5), labels(8))
    request = Request(str(tmp_path / "data"))
    reader = Reader(tmp_path / "there", Bounds())
    there = await reader.register(request, lambda _: None)
    assert there == register(request, tmp_path / "here")
    assert (await reader.sheet(there, 2)).startswith(b"\x89PNG")
    assert [folder.name for folder in (tmp_path / "there").iterdir()] == [there.sha256]


@pytest.mark.parametrize("end", [asyncio.Task.cancel, None], ids=["nobody waits", "the engine ends"])
async def test_a_reading_ends_with_all_it_started(
    end: Callable[[asyncio.Task[service_pb2.Dataset]], bool] | None, source: Path, tmp_path: Path
) -> None:
    reader = Reader(tmp_path / "root", Bounds())
    async with reading(reader, source) as (task, process):
        processes = [process, *process.children(recursive=True)]
        if end is not None:
            end(task)
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await reader.close()
            with pytest.raises(NotReady, match="the engine ends"):
                await task
        check_nothing_is_left(tmp_path / "root", processes)


async def test_a_process_that_is_killed_is_a_refusal_that_names_the_file(source: Path, tmp_path: Path) -> None:
    async with reading(Reader(tmp_path / "root", Bounds()), source) as (task, process):
        processes = [process, *process.children(recursive=True)]
        process.kill()
        with pytest.raises(InvalidRequest, match=rf"{source}/(cat|dog)/\d+\.png.*: .* was ended by signal 9"):
            await task
        check_nothing_is_left(tmp_path / "root", processes)


async def test_a_reading_without_progress_ends(source: Path, tmp_path: Path) -> None:
    async with reading(Reader(tmp_path / "root", Bounds(patience_s=3.0)), source) as (task, process):
        processes = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(InvalidRequest, match=rf"{source}.*: nothing was read for 3 s"):
            await task
        check_nothing_is_left(tmp_path / "root", processes)


async def test_a_source_that_takes_more_memory_is_refused(tmp_path: Path) -> None:
    x = np.zeros((64, 3 << 20), np.float16, order="F")  # 400 MB, of which no part can be read alone
    file = tmp_path / "data.npz"
    np.savez_compressed(file, x_train=x, y_train=labels(64))
    reader = Reader(tmp_path / "root", Bounds(300 << 20))
    with pytest.raises(InvalidRequest, match=rf"{file}: reading it takes more than 0\.3 GB of memory"):
        await reader.register(Request(str(file)), lambda _: None)
    assert list((tmp_path / "root").iterdir()) == []


async def test_a_picture_that_takes_more_memory_is_refused_by_name(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data", pixels(8, 4, 5), labels(8))
    Image.new("RGB", (9000, 9000)).save(source / "dog" / "large.png")
    with pytest.raises(InvalidRequest, match=r"large\.png: it needs more memory than there is"):
        await Reader(tmp_path / "root", Bounds(300 << 20)).register(Request(str(source)), lambda _: None)


async def test_a_refusal_comes_as_it_was_raised(tmp_path: Path) -> None:
    file = write_npz(tmp_path, x_train=pixels(6, 4, 5), y_train=np.zeros(6, np.int64))
    with pytest.raises(InvalidRequest, match="there is 1 class") as caught:
        await Reader(tmp_path / "root", Bounds()).register(Request(str(file)), lambda _: None)
    assert caught.value.field == "source"
