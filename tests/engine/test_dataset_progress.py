"""How a reading tells its progress, and ends when nobody listens."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from engines import engine
from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_client.client import Client
from neunets_engine.datasets.progress import Latest
from neunets_engine.datasets.source import Progress
from sources import labels, pixels, write_folder


async def test_the_latest_progress_is_told_until_the_reading_ends() -> None:
    def read(latest: Latest) -> str:
        for done in range(1, 13):
            latest.tell(Progress("decoding", done, 12))
            time.sleep(0.1)
        return "data"

    latest = Latest()
    reading = asyncio.ensure_future(asyncio.to_thread(read, latest))
    told = [progress async for progress in latest.until(reading)]
    assert await reading == "data"
    assert told
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)


def test_a_client_chooses_the_size_and_hears_refusals(tmp_path: Path) -> None:
    write_folder(tmp_path / "images", pixels(8, 6, 4), labels(8))
    (tmp_path / "empty").mkdir()
    told: list[service_pb2.ReadProgress] = []
    with engine(tmp_path / "home") as connection:
        client = Client(connection)
        dataset = client.register(str(tmp_path / "images"), 0, image_size=(5, 3), image_fit="crop", tell=told.append)
        with pytest.raises(InvalidRequest, match="none of the known forms"):
            client.register(str(tmp_path / "empty"), 0)
        with pytest.raises(InvalidRequest, match="2000 is not between 1 and 1024"):
            client.register(str(tmp_path / "images"), 0, image_size=2000)
    assert tuple(dataset.input.shape) == (5, 3, 1)
    assert dataset.preprocessing.fit == service_pb2.Preprocessing.FIT_CROP
    assert all(progress.stage for progress in told)
