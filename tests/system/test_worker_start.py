"""Workers that start late or not at all: the time that they need is not the search's, and a run does not hang."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from engines import engine, follow
from fakes import small_images
from neunets.service.v1 import service_pb2
from neunets_client.client import Client
from neunets_engine.executor import TRAINER, LocalExecutor

# Beyond the budget, for a machine that is busy with other things.
TOLERANCE_S = 5.0
# A worker that takes a trial and ends.
CRASHING = """
import sys
import grpc
from neunets.worker.v1 import worker_pb2, worker_pb2_grpc
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with grpc.insecure_channel(options["--engine"]) as channel:
    request = worker_pb2.LeaseRequest(worker=options["--worker"], device="cpu")
    request.wait.FromSeconds(10)
    while not worker_pb2_grpc.TrainerStub(channel).Lease(request, wait_for_ready=True).HasField("job"):
        pass
sys.exit("illegal instruction")
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_images(tmp_path_factory.mktemp("data") / "small.npz")


def shell(script: str, *command: str) -> str:
    return shlex.join(["sh", "-c", script, *command])


@pytest.mark.parametrize(
    ("trainer", "reason"),
    [
        (shell("echo 'ImportError: libcudart.so.12: cannot open' >&2; exit 1"), "libcudart.so.12: cannot open"),
        (shell("exit 7"), "exit code 7"),
        ("/nowhere/python -m neunets_trainer", "/nowhere/python"),
    ],
)
def test_a_trainer_that_does_not_start_ends_the_run(tmp_path: Path, images: Path, trainer: str, reason: str) -> None:
    with engine(tmp_path, "--trainer", trainer, "--devices", "cpu") as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        for _ in range(2):  # the next run as well
            history = follow(client, client.create(dataset.name, synthesizer="good", trials=2).name)
            assert history.state == "FAILED"
            assert "the trainer does not start" in history.run.reason
            assert reason in history.run.reason


def test_a_trainer_that_ends_at_each_trial_ends_the_run(tmp_path: Path, images: Path) -> None:
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    with engine(tmp_path, "--trainer", shlex.join([sys.executable, str(script)]), "--devices", "cpu,cpu") as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        run = client.create(dataset.name, synthesizer="good", trials=20, mirror=service_pb2.RunSpec.MIRROR_NO)
        history = follow(client, run.name)
    assert history.state == "FAILED"
    assert "the trainer ends at each network" in history.run.reason
    assert "illegal instruction" in history.run.reason


async def test_a_worker_that_never_asks_for_a_trial_is_ended(tmp_path: Path) -> None:
    told = asyncio.Queue[tuple[str, str]]()

    async def lost(worker: str, why: str) -> None:
        await told.put((worker, why))

    executor = LocalExecutor(
        "unix:nobody", ["cpu"], 1 << 30, tmp_path, lost, ("sh", "-c", "echo importing; exec sleep 600"),
        has_asked=lambda worker: False, start_s=0.5,
    )  # fmt: skip
    executor.start()
    try:
        worker, why = await told.get()
    finally:
        await executor.stop()
    assert worker == "slot0"
    assert "has not asked for a trial within 0.5 s" in why
    assert "importing" in why


@pytest.mark.slow
@pytest.mark.parametrize("start_s", [12])
def test_a_worker_that_starts_late_trains_within_the_budget(tmp_path: Path, images: Path, start_s: int) -> None:
    trainer = shell(f'sleep {start_s}; exec "$0" "$@"', *TRAINER)
    with engine(tmp_path, "--trainer", trainer, "--devices", "cpu") as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        history = follow(client, client.create(dataset.name, synthesizer="good", wall_s=40.0).name)
    assert history.state == "COMPLETED"
    assert history.run.trials_ended > 0
    assert history.run.wall_s < 40.0 + TOLERANCE_S


def test_a_gpu_that_torch_cannot_use_is_said_before_training(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("nvidia-smi") is not None:
        pytest.skip("this machine has a driver of its own")
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\necho "GPU 0: Some Card (UUID: GPU-1)"\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with engine(tmp_path / "home") as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        history = follow(client, client.create(dataset.name, synthesizer="good", trials=1).name)
    said = [event.log.text for event in history.events if event.WhichOneof("event") == "log"]
    assert history.state == "COMPLETED"
    assert any("a GPU is listed (cuda:0), but torch" in text and "on the CPU" in text for text in said)
