"""A file on its way from the engine: it gets its name once it is whole and what it was kept as."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from neunets.errors import Damaged, InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_client.source import is_text, shown

__all__ = ["DamagedFile", "check_folder", "saving"]


class DamagedFile(Damaged):
    """What came is not what the engine has kept: look after its disk, or export the model of another run."""


class _Part:
    """`path` is where the file is to be."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self._stream = stream
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self._size += len(data)

    def check(self, artifact: service_pb2.Artifact) -> None:
        """Raises: DamagedFile."""
        if self._size != artifact.ref.size or self._hash.hexdigest() != artifact.ref.sha256:
            text = f"{artifact.file} came with {self._size:,} bytes and the SHA-256 {self._hash.hexdigest()[:16]}…"
            kept = f"it was kept with {artifact.ref.size:,} and {artifact.ref.sha256[:16]}…"
            raise DamagedFile(f"{text}, but {kept}: the file is damaged on the engine's disk")


@contextmanager
def saving(folder: Path, artifact: service_pb2.Artifact) -> Iterator[_Part]:
    """Take an artifact's bytes into `folder`, which is made. Nothing is left there of what fails.

    Raises: DamagedFile, at the end of the `with` or where the engine refuses what it has kept.
    """
    name = Path(artifact.file).name  # an engine does not choose the folder
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{name}.part"
    try:
        with scratch.open("wb") as stream:
            part = _Part(folder / name, stream)
            yield part
            part.check(artifact)
        scratch.replace(part.path)
    except Damaged as error:
        raise DamagedFile(f"{artifact.file}: {error.message}") from error
    finally:
        scratch.unlink(missing_ok=True)


def check_folder(out: Path | None, field: str) -> None:
    """Whether a model could be written, before anything is trained. `out`: None: the current folder.

    Raises: InvalidRequest of `field`.
    """
    if out is not None and not is_text(str(out)):
        raise InvalidRequest(field, f"{shown(str(out))} is no name in UTF-8: choose another")
    try:
        folder = out if out is not None else Path.cwd()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        what = f"{out} cannot be made a folder" if out is not None else "the current folder cannot be used"
        raise InvalidRequest(field, f"{what}: {getattr(error, 'strerror', None) or error}") from error
    try:
        tempfile.TemporaryFile(dir=folder).close()  # permissions alone do not tell, on a disk that is only read
    except OSError as error:
        raise InvalidRequest(field, f"{folder} cannot be written to ({error.strerror}): name another folder") from error
