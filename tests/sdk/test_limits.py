"""Cores and memory as a container, a quota or an affinity leaves them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neunets.limits import cores, free_bytes, memory_bytes

GIB = 1 << 30
PAGES = os.sysconf("SC_PHYS_PAGES")
ALL = len(os.sched_getaffinity(0))


def process(folder: Path, membership: str, mount: str) -> Path:
    """A folder as /proc/PID of a process of that control group."""
    folder.mkdir(exist_ok=True)
    (folder / "cgroup").write_text(membership)
    (folder / "mountinfo").write_text(f"22 1 0:21 / /proc rw - proc proc rw\n{mount}\n")
    return folder


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def version_2(tmp_path: Path, path: str = "/a/b", root: str = "/") -> Path:
    return process(tmp_path / "proc", f"0::{path}\n", f"30 22 0:26 {root} {tmp_path / 'fs'} rw - cgroup2 cgroup2 rw")


def test_without_control_groups_the_machine_and_the_affinity_are_the_limit(tmp_path: Path) -> None:
    assert cores(tmp_path).value == ALL
    assert str(memory_bytes(tmp_path)) == f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'):,}"
    assert cores(version_2(tmp_path)).value == ALL


@pytest.mark.parametrize("count", sorted({1, ALL}))
def test_the_affinity_of_a_process_is_its_limit(count: int) -> None:
    allowed = sorted(os.sched_getaffinity(0))[:count]
    program = f"import os; os.sched_setaffinity(0, {allowed}); from neunets.limits import cores; print(cores())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert answer.split()[0] == str(count)
    assert ("affinity" in answer) == (count < (os.cpu_count() or 1))


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", ALL)])
@pytest.mark.parametrize("limited", ["a/b", "a", "."])
def test_a_quota_of_the_group_or_of_one_above_it_is_kept(
    tmp_path: Path, quota: str, expected: int, limited: str
) -> None:
    write(tmp_path / "fs/a/b", cpu__max="max 100000")
    write(tmp_path / "fs" / limited, cpu__max=quota)
    found = cores(version_2(tmp_path))
    assert found.value == expected
    assert ("quota" in found.rule) == (expected < ALL)


def test_memory_of_version_2_is_the_least_of_all_levels(tmp_path: Path) -> None:
    write(tmp_path / "fs/a/b", memory__max="max", memory__high=str(3 * GIB), memory__current=str(GIB))
    write(
        tmp_path / "fs/a",
        memory__max=str(2 * GIB),
        memory__current=str(GIB),
        memory__stat=f"anon 5\ninactive_file {GIB // 2}",
    )
    found = memory_bytes(version_2(tmp_path))
    assert (found.value, found.rule) == (2 * GIB, str(tmp_path / "fs/a/memory.max"))
    assert free_bytes(version_2(tmp_path)) == 3 * GIB // 2


def test_limits_of_version_1_are_read_by_controller(tmp_path: Path) -> None:
    mounts = "\n".join(
        f"3{number} 22 0:26 /docker/x {tmp_path / name} rw - cgroup cgroup rw,{controllers}"
        for number, (name, controllers) in enumerate((("cpu", "cpu,cpuacct"), ("memory", "memory")))
    )
    write(tmp_path / "cpu", cpu__cfs_quota_us="60000", cpu__cfs_period_us="100000")
    write(tmp_path / "memory", memory__limit_in_bytes=str(1 << 63), memory__usage_in_bytes="9")
    write(tmp_path / "memory/job", memory__limit_in_bytes=str(GIB), memory__usage_in_bytes="24")
    proc = process(tmp_path / "proc", "3:memory:/docker/x/job\n2:cpu,cpuacct:/docker/x\n", mounts)
    assert cores(proc).value == 1
    assert memory_bytes(proc).value == GIB
    assert free_bytes(proc) == GIB - 24


def test_a_group_that_its_container_hides_is_the_one_that_is_mounted(tmp_path: Path) -> None:
    write(tmp_path / "fs", memory__max=str(GIB), memory__current="0")
    assert memory_bytes(version_2(tmp_path, "/docker/unseen")).value == GIB
    assert memory_bytes(version_2(tmp_path, "/../../other", "/../..")).value == GIB
