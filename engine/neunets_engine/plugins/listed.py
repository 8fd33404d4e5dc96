"""A plugin whose address the operator has listed: it registers nowhere, and is called there."""

from __future__ import annotations

import grpc

from neunets.sockets import channel_options
from neunets_engine.plugins.catalog import Manifest
from neunets_engine.plugins.plugin import Connected, Ending, first_answer
from neunets_engine.plugins.remote import OPTIONS

__all__ = ["ListedProcess"]


class ListedProcess:
    """The `Link` to a process that others start and end."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._is_cut = False

    @property
    def command(self) -> tuple[str, ...]:
        return ()

    def pid(self) -> int | None:
        return None

    def is_up(self) -> bool:
        return not self._is_cut

    def has_lapsed(self) -> bool:
        return False

    async def connect(self) -> Connected:
        """Raises: NotReady where it does not answer; what it answers else."""
        channel = self._channel()
        description = await first_answer(channel, self._manifest.name, f"at {self._manifest.endpoint}")
        self._is_cut = False
        return Connected(channel, description)

    async def until_ended(self) -> None:
        """Only its host knows."""

    def ending(self) -> Ending | None:
        return None

    def endpoint(self) -> str:
        return self._manifest.endpoint

    def is_leaving(self) -> bool:
        """It registers nowhere, and so renews nothing."""
        return False

    async def cut(self) -> None:
        """The process is not ours to end: only the connection is made anew."""
        self._is_cut = True

    def _channel(self) -> grpc.aio.Channel:
        options = channel_options(self._manifest.endpoint, *OPTIONS)
        if self._manifest.tls is None:
            return grpc.aio.insecure_channel(self._manifest.endpoint, options=options)
        authority, key, certificate = (
            (self._manifest.tls / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem")
        )
        if self._manifest.host_name:
            options += (("grpc.ssl_target_name_override", self._manifest.host_name),)
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        return grpc.aio.secure_channel(self._manifest.endpoint, credentials, options=options)
