"""Content-addressed bytes behind an fsspec URL: a folder by default, `s3://bucket/prefix` in a team."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Final
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from neunets.errors import Damaged, InvalidRequest, NotFound
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.disk import keeping

__all__ = ["CHUNK_BYTES", "Artifacts"]

CHUNK_BYTES: Final = 256 << 10
FIX: Final = "restore this file from a backup, or run the synthesis again"


class Artifacts:
    """Weights, models and reports, each under its SHA-256."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._fs.makedirs(self._root, exist_ok=True)
        self._is_local = isinstance(self._fs, LocalFileSystem)

    def put(self, data: bytes, media_type: str) -> synthesizer_pb2.ArtifactRef:
        """Keep `data`, durably once this returns; the same bytes are kept once, and again where they are damaged.

        Raises: DiskFull.
        """
        digest = hashlib.sha256(data).hexdigest()
        if not self.is_whole(digest):
            with keeping(self._root):
                self._write(self._path(digest), data)
        return synthesizer_pb2.ArtifactRef(sha256=digest, size=len(data), media_type=media_type)

    def get(self, sha256: str, offset: int = 0) -> bytes:
        """The bytes from `offset` on. Raises: InvalidRequest for what is no hash; NotFound for an unknown one; Damaged
        where the bytes have another hash.
        """
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise InvalidRequest("sha256", "64 lower case hexadecimal digits are needed")
        try:
            data: bytes = self._fs.cat_file(self._path(sha256))
        except FileNotFoundError:
            raise NotFound(f"no artifact {sha256}: there is no file {self._path(sha256)}; {FIX}") from None
        except OSError as error:
            raise Damaged(f"the file {self._path(sha256)} cannot be read: {error.strerror or error}; {FIX}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(f"the file {self._path(sha256)} is damaged, its content has another hash: {FIX}")
        return data[offset:]

    def is_whole(self, sha256: str) -> bool:
        """Whether the artifact is there, and undamaged."""
        try:
            self.get(sha256)
        except (NotFound, Damaged):
            return False
        return True

    def remove(self, sha256: str) -> None:
        """What is not there need not go."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(sha256))

    def _write(self, path: str, data: bytes) -> None:
        """Readers never see half a file: it gets its name once it is whole. Two threads may write the same bytes."""
        folder = path.rpartition("/")[0]
        self._fs.makedirs(folder, exist_ok=True)
        scratch = f"{path}.{uuid4().hex}.part"
        try:
            self._fs.pipe_file(scratch, data)
            if self._is_local:
                _sync(scratch)
            self._fs.mv(scratch, path)
            if self._is_local:
                _sync(folder)
                _sync(self._root)  # `folder` may be new
        except OSError:
            with contextlib.suppress(OSError):
                self._fs.rm_file(scratch)  # half a file would fill the disk for nothing
            raise

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"


def _sync(path: str) -> None:
    """Make a file's content, or a folder's list of names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
