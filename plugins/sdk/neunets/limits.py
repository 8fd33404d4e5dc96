"""What this process may use of its machine: cores by affinity and quota, memory by its container, and by which rule.

Control groups of version 1 and 2 are read where the kernel says that they are mounted, each with all that it is in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Limit", "cores", "free_bytes", "memory_bytes"]

PROCESS: Final = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Limit:
    """`value`: cores or bytes; `rule`: what sets it, in words for the user; empty: the machine itself."""

    value: int
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.value:,}" + (f" ({self.rule})" if self.rule else "")


@dataclass(frozen=True, slots=True)
class _Group:
    """A folder of a control group. Files that are not there limit nothing."""

    folder: Path
    version: int

    def number(self, name: str) -> float | None:
        """The first word of a file."""
        with suppress(OSError, ValueError, IndexError):
            return float((self.folder / name).read_text().split()[0])
        return None  # "max", or no such file

    def quota(self) -> float | None:
        """Cores that the group may keep busy."""
        if self.version == 2:
            with suppress(OSError, ValueError):
                quota, period = map(float, (self.folder / "cpu.max").read_text().split())
                return quota / period
            return None
        quota_us, period_us = self.number("cpu.cfs_quota_us"), self.number("cpu.cfs_period_us")
        return quota_us / period_us if quota_us and period_us and quota_us > 0 else None

    def memory(self) -> tuple[float, str] | None:
        """Bytes, and the name of the file that says so."""
        names = ("memory.max", "memory.high") if self.version == 2 else ("memory.limit_in_bytes",)
        found = [(value, name) for name in names if (value := self.number(name)) is not None]
        return min(found, default=None)

    def used_bytes(self) -> float:
        """Without what the kernel gives back before memory runs out: files that were read once."""
        name, reclaimed = (
            ("current", "inactive_file") if self.version == 2 else ("usage_in_bytes", "total_inactive_file")
        )
        used = self.number(f"memory.{name}") or 0.0
        with suppress(OSError, ValueError):
            for line in (self.folder / "memory.stat").read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == reclaimed:
                    used -= float(value)
        return max(used, 0.0)


def cores(process: Path = PROCESS) -> Limit:
    """Cores that threads of this process can keep busy, at least 1. `process`: its folder below /proc."""
    allowed, all_ = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    found = Limit(allowed, f"the affinity of the process, of {all_} cores" if allowed < all_ else "")
    for group in _groups(process, "cpu"):
        quota = group.quota()
        if quota is not None and max(1, int(quota + 0.5)) < found.value:
            found = Limit(max(1, int(quota + 0.5)), f"a quota of {quota:.2g} cores in {group.folder}")
    return found


def memory_bytes(process: Path = PROCESS) -> Limit:
    """Memory that this process and its siblings may use."""
    return _memory(process, _machine_bytes("SC_PHYS_PAGES", "MemTotal"), lambda group: 0.0)


def free_bytes(process: Path = PROCESS) -> int:
    """Memory that is free, on the machine and within each control group."""
    return _memory(process, _machine_bytes("SC_AVPHYS_PAGES", "MemAvailable"), _Group.used_bytes).value


def _memory(process: Path, machine: int, used_bytes: Callable[[_Group], float]) -> Limit:
    found = Limit(machine)
    for group in _groups(process, "memory"):
        limit = group.memory()
        if limit is not None and limit[0] - used_bytes(group) < found.value:
            found = Limit(max(0, int(limit[0] - used_bytes(group))), f"{group.folder / limit[1]}")
    return found


def _machine_bytes(pages: str, row: str) -> int:
    """The bytes in a row of /proc/meminfo; where there is none, those of the pages."""
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(f"{row}:")).split()[1])
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _groups(process: Path, controller: str) -> Iterator[_Group]:
    """Those that the process is in, each with its parents, as far as they are mounted."""
    try:
        memberships = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:  # another system
        return
    for line in mounts:
        fields, _, filesystem = (part.split() for part in line.partition(" - "))
        version = {"cgroup2": 2, "cgroup": 1}.get(filesystem[0])
        if version is None or (version == 1 and controller not in filesystem[-1].split(",")):
            continue
        root, mounted = fields[3], Path(fields[4].replace("\\040", " "))
        for _, controllers, path in memberships:
            if (version == 2 and not controllers) or (version == 1 and controller in controllers.split(",")):
                yield from (_Group(folder, version) for folder in _up(mounted, root, path))


def _up(mounted: Path, root: str, path: str) -> Iterator[Path]:
    """From the group of a `path` up to the one that is mounted: it is `root`, and may hide where it is itself."""
    below = os.path.relpath(path, root) if os.path.commonpath([path, root]) == root else path.lstrip("/")
    folder = mounted / below
    while folder != mounted:
        if folder.is_dir():
            yield folder
        folder = folder.parent
    yield mounted
