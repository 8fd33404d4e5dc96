"""A disk that fills up pauses runs, says so, and costs nothing but time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import History, follow
from fakes import small_images
from neunets.errors import NotReady
from neunets_client.client import Client
from neunets_client.connection import Connection
from system.faults import SmallDisk, engine_on_small_disk, has_small_disks

TRIALS = 2


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_images(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Connection, SmallDisk]]:
    home = tmp_path / "home"
    home.mkdir()
    if not has_small_disks(home):
        pytest.skip("no file systems may be mounted here: `unshare --map-root-user --mount` is refused")
    with engine_on_small_disk(tmp_path, home) as opened:
        yield opened


def begin(client: Client, images: Path, synthesizer: str) -> str:
    dataset = client.register(str(images), seed=0)
    return client.create(dataset.name, synthesizer=synthesizer, trials=TRIALS, seed=3).name


def results(history: History) -> dict[str, float]:
    return {end.trial: end.metrics["valid_loss"] for end in history.ends()}


@pytest.mark.parametrize(
    ("synthesizer", "kind", "count"),
    [("good", "ended", 1), pytest.param("long", "measured", 7, marks=pytest.mark.slow)],
)
def test_a_full_disk_pauses_a_run_which_then_goes_on_as_if_nothing_had_been(
    small: tuple[Connection, SmallDisk], images: Path, tmp_path: Path, synthesizer: str, kind: str, count: int
) -> None:
    connection, disk = small
    client = Client(connection)
    expected = follow(client, begin(client, images, synthesizer))
    name = begin(client, images, synthesizer)
    happened = 0
    for response in client.watch(name):
        happened += response.event.search.WhichOneof("event") == kind
        if happened >= count:
            disk.fill()
    paused = follow(client, name)
    assert paused.state == "PAUSED"
    assert f"the disk of {tmp_path / 'home'}" in paused.run.reason
    assert "neunets resume" in paused.run.reason
    disk.fill()  # also what the engine gave up, to write that it paused
    with contextlib.suppress(NotReady):  # by chance of the pages that the store has left over
        client.resume(name)
    assert follow(client, name).state == "PAUSED"
    disk.free()
    client.resume(name)
    history = follow(client, name)
    assert history.state == "COMPLETED"
    assert history.candidates() == expected.candidates()
    assert results(history) == results(expected)
    assert len(history.ends()) == TRIALS + 3  # each once, and the final trainings
    lost = [event.ended.error.summary for event in history.search if event.ended.will_retry]
    assert set(lost) <= {"the run was interrupted"}  # no worker has died of it
