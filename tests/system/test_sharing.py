"""Runs that share an engine: each ends within its own budget."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engines import children, engine, follow
from fakes import small_images
from neunets.service.v1 import service_pb2
from neunets_client.client import Client

# Beyond the budget, for a machine that is busy with other things.
TOLERANCE_S = 15.0


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["cpu,cpu", "cpu"])
def test_each_of_three_runs_ends_within_its_own_budget(tmp_path: Path, devices: str) -> None:
    budgets = (40.0, 30.0, 20.0)
    with engine(tmp_path, "--devices", devices) as connection:
        client = Client(connection)
        dataset = client.register(str(small_images(tmp_path / "small.npz", rows=2000)), seed=0)
        names = [
            client.create(dataset.name, wall_s=wall_s, mirror=service_pb2.RunSpec.MIRROR_NO).name for wall_s in budgets
        ]
        with ThreadPoolExecutor(len(names)) as pool:
            histories = list(pool.map(lambda name: follow(client, name), names))
        for history, wall_s in zip(histories, budgets, strict=True):
            assert history.state == "COMPLETED", history.run.reason
            assert history.run.wall_s <= wall_s + TOLERANCE_S
        follow(client, client.create(dataset.name, synthesizer="good", trials=1).name)
        while len(children(tmp_path, "neunets_trainer")) > len(devices.split(",")):  # the others end once they are idle
            time.sleep(0.1)
