"""Zip and tar files: unpacked within bounds into a folder that lives as long as they are read."""

from __future__ import annotations

import lzma
import os
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from neunets.files import open_regular
from neunets_engine.datasets.passed_over import is_passed_over
from neunets_engine.datasets.source import Progress, Tell, refusal
from neunets_engine.disk import disk_full, free_bytes, keeping

__all__ = ["as_in_archive", "data_in", "is_archive", "unpacked"]

SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
UNPACKED: Final = "unpacked"
MOST_MEMBERS: Final = 2_000_000
MOST_BYTES: Final = 1 << 40
# Images are packed already, tables shrink by 20, and what is made to fill a disk by 1000 and more.
MOST_RATIO: Final = 200
# Below this size no ratio is looked at: arrays of zeros are small as well.
HARMLESS_BYTES: Final = 64 << 20
SINGLE: Final = frozenset({".npz", ".csv", ".tsv"})
BLOCK_BYTES: Final = 4096  # which the smallest file takes on disk
DAMAGE: Final = (
    OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    tarfile.TarError,
)  # fmt: skip
REPACK: Final = "unpack it yourself, or pack it again"


def is_archive(path: Path) -> bool:
    return path.name.casefold().endswith(SUFFIXES) and os.path.isfile(path)


@contextmanager
def unpacked(archive: Path, within: Path, tell: Tell) -> Iterator[Path]:
    """A folder with the content of `archive`, a child of `within`, for the time of a `with`.

    Raises: InvalidRequest, which names the archive and its member; DiskFull before anything is written.
    """
    within.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=within, prefix="part-") as scratch:
        folder = Path(scratch) / UNPACKED
        folder.mkdir()
        try:
            with keeping(within):
                _unpack(archive, folder, tell)
        except DAMAGE as error:
            raise refusal(archive, f"it cannot be unpacked ({error or type(error).__name__})", REPACK) from error
        yield folder


def data_in(folder: Path) -> Path:
    """What of an unpacked archive is to be read: a single table or file of arrays, or the innermost folder."""
    while len(entries := _entries(folder)) == 1 and entries[0].is_dir():
        folder = entries[0]
    files = [entry for entry in entries if entry.suffix.lower() in SINGLE]
    return files[0] if len(files) == 1 and sum(entry.is_dir() for entry in entries) < 2 else folder


def as_in_archive(text: str, within: Path, archive: str) -> str:
    """`text` with names of files that were unpacked below `within` as they are in `archive`."""
    return re.sub(f"{re.escape(str(within))}/(part-[^/ ]+/)?{UNPACKED}", lambda _: archive, text)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not is_passed_over(entry.name)]


def _unpack(archive: Path, folder: Path, tell: Tell) -> None:
    with open_regular(archive) as stream:
        if zipfile.is_zipfile(stream):
            _unpack_zip(archive, stream, folder, tell)
        else:
            stream.seek(0)
            _unpack_tar(archive, stream, folder, tell)


@dataclass(slots=True)
class _Sums:
    """What the members announce, checked one by one before any of them is unpacked."""

    archive: Path
    packed_bytes: int
    folder: Path
    free_bytes: int
    members: int = 0
    bytes: int = 0

    def add(self, name: str, size: int) -> None:
        self.members += 1
        self.bytes += size
        if self.members > MOST_MEMBERS:
            raise refusal(self.archive, f"it has more than {MOST_MEMBERS:,} members", "give the folder itself")
        if size < 0 or self.bytes > MOST_BYTES:
            raise refusal(self.archive, f"it announces more than {MOST_BYTES / 1e12:.1f} TB, at {name}", "divide it")
        if self.bytes > max(HARMLESS_BYTES, MOST_RATIO * self.packed_bytes):
            text = f"with {name} it is {self.bytes / 1e6:,.0f} MB of {self.packed_bytes / 1e6:,.1f} MB packed"
            raise refusal(self.archive, f"{text}, more than {MOST_RATIO} times its size", "unpack it yourself")
        needed = self.bytes + self.members * BLOCK_BYTES
        if needed > self.free_bytes:
            raise disk_full(self.folder, f"{self.archive} unpacked takes {needed / 1e6:,.1f} MB and more")


def _sums(archive: Path, stream: BinaryIO, folder: Path) -> _Sums:
    return _Sums(archive, os.fstat(stream.fileno()).st_size, folder, free_bytes(folder))


def _unpack_zip(archive: Path, stream: BinaryIO, folder: Path, tell: Tell) -> None:
    with zipfile.ZipFile(stream) as file:
        members = [member for member in file.infolist() if not _is_passed_over(member.filename)]
        sums = _sums(archive, stream, folder)
        for member in members:
            member.filename = member.filename.replace("\\", "/")  # as older packers of Windows write it
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check(archive, member.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if member.flag_bits & 1:
                raise refusal(archive, f"{member.filename} is encrypted", "unpack it yourself")
            sums.add(member.filename, member.file_size)
        for number, member in enumerate(members):
            file.extract(member, folder)
            tell(Progress("unpacking", number + 1, len(members)))


def _unpack_tar(archive: Path, stream: BinaryIO, folder: Path, tell: Tell) -> None:
    sums = _sums(archive, stream, folder)
    for member in _members(archive, stream):
        sums.add(member.name, member.size)
        tell(Progress("unpacking", 0, 0))
    stream.seek(0)
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as file:
        for number, member in enumerate(_checked(archive, file)):
            file.extract(member, folder, set_attrs=False, filter="data")
            tell(Progress("unpacking", number + 1, sums.members))


class _Member(tarfile.TarInfo):
    """Refuses a damaged header or a missing end, which tarfile takes for the end: the rest would be lost in silence."""

    @classmethod
    def fromtarfile(cls, file: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(file)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _members(archive: Path, stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    # As a stream: each header comes before what it announces.
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as file:
        yield from _checked(archive, file)


def _checked(archive: Path, file: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := file.next()) is not None:
        file.members = []  # type: ignore[attr-defined]  # a stream is never sought back, and there may be a million
        if _is_passed_over(member.name):
            continue
        _check(archive, member.name, (member.isreg() and not member.issparse()) or member.isdir())
        yield member


def _check(archive: Path, name: str, is_plain: bool) -> None:
    """That a member is a file or a folder below the one it is unpacked into."""
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise refusal(archive, f"its member {name!r} leads out of the folder it is unpacked into", REPACK)
    if not is_plain:
        text = f"its member {name!r} is a link, a device or another special file"
        raise refusal(archive, text, "pack the files themselves")


def _is_passed_over(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." not in parts and any(is_passed_over(part) for part in parts if part != ".")
