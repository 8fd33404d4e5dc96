"""Zip and tar files are read as what they hold, and unpack nothing beyond their bounds or outside their folder."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from neunets.errors import InvalidRequest
from neunets_engine.datasets import Request, register
from neunets_engine.datasets.bounds import Bounds
from neunets_engine.datasets.process import Reader
from neunets_engine.disk import DiskFull
from sources import labels, pixels, png, write_folder, write_npz

X, Y = pixels(12, 4, 5), labels(12)
PNG: Final = png(X[0])


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def write_zip(path: Path, files: Mapping[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:
        for member, data in members:
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def link(name: str, kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    return member


def dataset_folder(path: Path) -> Path:
    write_folder(path / "data", X, Y)
    (path / "__MACOSX" / "data").mkdir(parents=True)
    (path / "__MACOSX" / "data" / "._000.png").write_bytes(b"no image")
    return path


@pytest.mark.parametrize("name", ["a.zip", "windows.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_an_archive_is_the_same_data_as_its_folder(name: str, tmp_path: Path) -> None:
    files = files_of(dataset_folder(tmp_path / "source"))
    if name.lower().endswith(".zip"):
        separator = "\\" if name.startswith("windows") else "/"
        packed = write_zip(tmp_path / name, {file.replace("/", separator): data for file, data in files.items()})
    else:
        mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(name.rpartition(".")[2], "w")
        packed = write_tar(tmp_path / name, *((tar_member(file), data) for file, data in files.items()), mode=mode)
    dataset = register(Request(str(packed)), tmp_path / "root")
    assert dataset.sha256 == register(Request(str(tmp_path / "source" / "data")), tmp_path / "other").sha256
    assert dataset.source == str(packed)
    assert left(tmp_path / "root") == [dataset.sha256]


def test_an_archive_of_one_file_is_read_as_this_file(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "source", x_train=X, y_train=Y)
    packed = write_zip(tmp_path / "a.zip", {"inner/data.npz": source.read_bytes(), "inner/README.md": b"Hello"})
    assert register(Request(str(packed)), tmp_path / "root").sha256 == register(Request(str(source)), tmp_path).sha256


def test_files_are_told_by_their_place_in_the_archive(tmp_path: Path) -> None:
    files = files_of(write_folder(tmp_path / "source", X, Y))
    packed = write_zip(tmp_path / "a.zip", files | {"cat/notes.txt": b"Hello"})
    (warning,) = register(Request(str(packed)), tmp_path / "root").warnings
    assert f"{packed}/cat/notes.txt" in warning
    broken = write_zip(tmp_path / "b.zip", files | {"cat/broken.png": b"no image"})
    with pytest.raises(InvalidRequest, match=f"source: {broken}/cat/broken.png: "):
        register(Request(str(broken)), tmp_path / "root")


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zip above": (lambda p: write_zip(p / "a.zip", {"../cat/a.png": PNG}), "'../cat/a.png' leads out"),
    "zip above by backslash": (lambda p: write_zip(p / "a.zip", {"..\\a.png": PNG}), "leads out"),
    "zip absolute": (lambda p: write_zip(p / "a.zip", {"/tmp/a.png": PNG}), "'/tmp/a.png' leads out"),
    "zip drive": (lambda p: write_zip(p / "a.zip", {"C:\\a.png": PNG}), "leads out"),
    "zip link": (lambda p: write_zip(p / "a.zip", {link("cat"): b"/etc"}), "'cat' is a link"),
    "zip device": (lambda p: write_zip(p / "a.zip", {link("cat", stat.S_IFCHR): b""}), "'cat' is a link, a device"),
    "zip bomb": (
        lambda p: write_zip(p / "a.zip", {f"cat/{n}.png": bytes(10 << 20) for n in range(8)}),
        "more than 200 times its size",
    ),
    "tar above": (lambda p: write_tar(p / "a.tar.gz", (tar_member("x/../../a.png"), PNG)), "leads out"),
    "tar absolute": (lambda p: write_tar(p / "a.tar.gz", (tar_member("/tmp/a.png"), PNG)), "leads out"),
    "tar symlink": (
        lambda p: write_tar(p / "a.tar", (tar_member("cat", tarfile.SYMTYPE, "/etc"), b""), mode="w"),
        "'cat' is a link",
    ),
    "tar hard link": (
        lambda p: write_tar(p / "a.tar.gz", (tar_member("cat", tarfile.LNKTYPE, "/etc/passwd"), b"")),
        "'cat' is a link",
    ),
    "tar device": (lambda p: write_tar(p / "a.tar.gz", (tar_member("cat", tarfile.CHRTYPE), b"")), "a device"),
    "tar pipe": (lambda p: write_tar(p / "a.tar.gz", (tar_member("cat", tarfile.FIFOTYPE), b"")), "special file"),
    "tar bomb": (
        lambda p: write_tar(p / "a.tar.gz", *((tar_member(f"cat/{n}.png"), bytes(10 << 20)) for n in range(8))),
        "more than 200 times its size",
    ),
    "no zip": (lambda p: written(p / "a.zip", b"no archive"), "a.zip: it cannot be unpacked"),
    "empty": (lambda p: written(p / "a.tar.gz", b""), "a.tar.gz: it cannot be unpacked"),
    "damaged header": (lambda p: written(p / "b.tar", damaged(p / "a.tar")), "b.tar: it cannot be unpacked"),
    "no end": (lambda p: written(p / "b.tar", damaged(p / "a.tar", 4)), "b.tar: it cannot be unpacked"),
    "cut": (
        lambda p: written(p / "b.tar.gz", write_tar(p / "a.tar.gz", (tar_member("a"), noise())).read_bytes()[:9000]),
        "b.tar.gz: it cannot be unpacked",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    make, told = HOSTILE[case]
    packed = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidRequest) as refused:
        register(Request(str(packed)), tmp_path / "root")
    assert str(packed) in str(refused.value)
    assert told in str(refused.value)
    assert left(tmp_path / "root") == []
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "root"])


def test_more_than_the_disk_holds_is_refused_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = write_zip(tmp_path / "a.zip", {"cat/a.png": bytes(1 << 23)})
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 22)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFull, match="unpacked takes 8"):
        register(Request(str(packed)), tmp_path / "root")
    assert left(tmp_path / "root") == []


async def test_the_process_that_reads_unpacks_and_leaves_nothing(tmp_path: Path) -> None:
    packed = write_zip(tmp_path / "a.zip", files_of(write_folder(tmp_path / "source", X, Y)))
    reader = Reader(tmp_path / "root", Bounds())
    stages: list[str] = []
    try:
        dataset = await reader.register(Request(str(packed)), lambda now: stages.append(now.stage))
    finally:
        await reader.close()
    assert stages[0] == "unpacking"
    assert (dataset.source, left(tmp_path / "root")) == (str(packed), [dataset.sha256])


def damaged(path: Path, keep: int = 0) -> bytes:
    """A tar with a bit flipped in its second header, or its first `keep` blocks."""
    members = [(tar_member(name), PNG) for name in ("cat/a.png", "dog/b.png")]
    data = bytearray(write_tar(path, *members, mode="w").read_bytes())
    path.unlink()
    if keep:
        return bytes(data[: keep * 512])
    data[2 * 512 + 1] ^= 1
    return bytes(data)


def noise() -> bytes:
    return np.random.default_rng(0).bytes(20_000)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def left(root: Path) -> list[str]:
    return [entry.name for entry in root.iterdir()]
