"""The devices that trials are placed on, as a driver's own program lists them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neunets.machine import Choices, write
from neunets_engine.executor.devices import local_devices

CORES = ["cpu"] * len(os.sched_getaffinity(0))
TWO = """\
echo "GPU 0: Some Card (UUID: GPU-1)"
echo "  MIG 1g.10gb Device 0: (UUID: MIG-1)"
echo "GPU 1: Some Card (UUID: GPU-2)"
"""


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of measurements: without one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "neunets"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH, in front of all others; no choice of devices is made."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def install(folder: Path, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        (None, ["cuda:0", "cuda:1"]),
        ("0", ["cuda:0"]),
        ("1", ["cuda:0"]),  # CUDA counts the visible ones
        ("GPU-1,GPU-2", ["cuda:0", "cuda:1"]),
        ("0,1,2", ["cuda:0", "cuda:1"]),
        ("0,7,1", ["cuda:0"]),  # and stops at the first that is not there
        ("", CORES),
        ("-1", CORES),
    ],
)
def test_the_visible_gpus_are_the_devices(
    visible: str | None, devices: list[str], driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(driver, TWO)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local_devices() == devices


@pytest.mark.parametrize("script", ["exit 9", TWO + "exit 1", "echo No devices were found", "kill -9 $$"])
def test_without_a_gpu_that_works_the_cores_are_the_devices(script: str, driver: Path) -> None:
    install(driver, script)
    assert local_devices() == CORES


def test_without_a_driver_the_cores_are_the_devices(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(driver))
    assert local_devices() == CORES


def test_a_driver_that_is_no_program_is_none(driver: Path) -> None:
    install(driver, "")
    (driver / "nvidia-smi").write_bytes(b"\x7fELF")
    assert local_devices() == CORES


def test_a_gpu_has_as_many_slots_as_were_measured_to_be_best(driver: Path, measured: Path) -> None:
    install(driver, TWO.replace("Some Card (UUID: GPU-2)", "Other Card (UUID: GPU-2)"))
    write(measured, "Other Card", Choices(workers=3, threads=1))
    assert local_devices() == ["cuda:0", "cuda:1", "cuda:1", "cuda:1"]


def test_a_cpu_has_as_many_slots_as_were_measured_to_be_best(
    driver: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(driver))
    write(measured, "cpu", Choices(workers=5, threads=1))
    assert local_devices() == ["cpu"] * 5
    assert local_devices(driver) == CORES


def test_a_measurement_of_the_formats_alone_changes_no_slots(
    driver: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(driver))
    write(measured, "cpu", Choices())
    assert local_devices() == CORES
