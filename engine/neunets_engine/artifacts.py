"""Content-addressed bytes behind an fsspec URL: a folder by default, `s3://bucket/prefix` in a team."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Final
from uuid import uuid4

import fsspec

from neunets.errors import InvalidRequest, NotFound
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.disk import keeping

__all__ = ["CHUNK_BYTES", "Artifacts"]

CHUNK_BYTES: Final = 256 << 10


class Artifacts:
    """Weights, models and reports, each under its SHA-256."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._fs.makedirs(self._root, exist_ok=True)

    def put(self, data: bytes, media_type: str) -> synthesizer_pb2.ArtifactRef:
        """Keep `data`; the same bytes are kept once. Raises: DiskFull."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if not self._fs.exists(path):
            with keeping(self._root):
                self._write(path, data)
        return synthesizer_pb2.ArtifactRef(sha256=digest, size=len(data), media_type=media_type)

    def get(self, sha256: str, offset: int = 0) -> bytes:
        """Raises: InvalidRequest for what is no hash; NotFound for an unknown one."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise InvalidRequest("sha256", "64 lower case hexadecimal digits are needed")
        try:
            data: bytes = self._fs.cat_file(self._path(sha256), start=offset or None)
        except FileNotFoundError:
            raise NotFound(f"no artifact {sha256}") from None
        return data

    def remove(self, sha256: str) -> None:
        """What is not there need not go."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(sha256))

    def _write(self, path: str, data: bytes) -> None:
        """Readers never see half a file: it gets its name once it is whole. Two threads may write the same bytes."""
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        scratch = f"{path}.{uuid4().hex}.part"
        try:
            self._fs.pipe_file(scratch, data)
            self._fs.mv(scratch, path)
        except OSError:
            with contextlib.suppress(OSError):
                self._fs.rm_file(scratch)  # half a file would fill the disk for nothing
            raise

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"
