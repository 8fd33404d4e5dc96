"""Where a synthesizer's process runs, as its environment tells: a child of the engine, or on a host of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import grpc

from neunets.errors import InvalidRequest, PermissionDenied
from neunets.messages import CHANNEL_LIMITS
from neunets.process import die_with_parent
from neunets.sockets import channel_options, is_open_to_others

__all__ = ["Alone", "Enrolled", "Launched", "Place", "Site", "place_of"]

# In the engine's certificate, whatever its address is.
ENGINE_NAME: Final = "engine.neunets"
# Else a new channel waits as long as one that has failed before.
OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), *CHANNEL_LIMITS)


class Site(Protocol):
    """The way from the engine to this process."""

    def bind(self, server: grpc.Server) -> str:
        """Let the server listen; returns the gRPC target for the engine. Raises: InvalidRequest."""

    def admit(self, context: grpc.ServicerContext) -> None:
        """Raises: PermissionDenied for a caller that is not the engine."""

    def close(self) -> None:
        """Leave nothing behind."""


class Place(Site, Protocol):
    """And back: it registers."""

    @property
    def token(self) -> str:
        """With which it registers."""

    @property
    def is_kept(self) -> bool:
        """Whether it outlives an engine, and registers with the next one."""

    def channel(self) -> grpc.Channel:
        """A new one, to the plugin host."""

    def rotate(self, certificate: bytes) -> None:
        """From now on show another certificate (PEM), of the same key."""


def place_of(environment: Mapping[str, str]) -> Place | Alone:
    """Raises: InvalidRequest, which names what is missing."""
    if "NEUNETS_ENROLMENT" in environment:
        return Enrolled(environment)
    if "NEUNETS_LISTEN" in environment and "NEUNETS_HOST" not in environment:
        return Alone(environment)
    return Launched(environment)


class Launched:
    """A child of the engine, on a unix socket.

    NEUNETS_HOST (gRPC target of the plugin host), NEUNETS_LAUNCH_TOKEN, NEUNETS_SOCKET_DIR, NEUNETS_PARENT_DEATH=1
    (end with the engine).
    """

    is_kept: Final = False

    def __init__(self, environment: Mapping[str, str]) -> None:
        hint = "a synthesizer is started by the engine, or on another host with NEUNETS_ENROLMENT"
        self._host = _needed(environment, "NEUNETS_HOST", hint)
        self.token = _needed(environment, "NEUNETS_LAUNCH_TOKEN", hint)
        self._socket = Path(_needed(environment, "NEUNETS_SOCKET_DIR", hint)) / f"{os.getpid()}.sock"
        if environment.get("NEUNETS_PARENT_DEATH") == "1":
            die_with_parent()

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self._host, channel_options(self._host, *OPTIONS))

    def bind(self, server: grpc.Server) -> str:
        before = os.umask(0o077)  # nobody else may connect
        try:
            self.close()
            server.add_insecure_port(f"unix:{self._socket}")
        finally:
            os.umask(before)
        return f"unix:{self._socket}"

    def admit(self, context: grpc.ServicerContext) -> None:
        """Nobody else may open the socket."""

    def rotate(self, certificate: bytes) -> None:
        """A socket that nobody else may open has no certificate."""

    def close(self) -> None:
        with suppress(FileNotFoundError):
            self._socket.unlink()


class Enrolled:
    """A process on another host, over mutual TLS.

    NEUNETS_ENROLMENT: folder with `ca.pem`, `cert.pem`, `key.pem`, `token` and `host`, as `neunets synthesizers enroll`
    writes them; `cert.pem` is replaced before it ends. NEUNETS_LISTEN: HOST:PORT to listen on, NEUNETS_ENDPOINT: as the
    engine calls it, the same unless it is set.
    """

    is_kept: Final = True

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = Path(environment["NEUNETS_ENROLMENT"])
        hint = "the address on which the engine reaches this process, HOST:PORT"
        self._listen = _needed(environment, "NEUNETS_LISTEN", hint)
        self._endpoint = environment.get("NEUNETS_ENDPOINT", self._listen)
        self._authority, self._key = self._read("ca.pem"), self._read("key.pem")
        self._certificate = self._read("cert.pem")
        self.token = self._read("token").decode().strip()
        self._host = self._read("host").decode().strip()

    def channel(self) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(self._authority, self._key, self._certificate)
        options = channel_options(self._host, ("grpc.ssl_target_name_override", ENGINE_NAME), *OPTIONS)
        return grpc.secure_channel(self._host, credentials, options)

    def bind(self, server: grpc.Server) -> str:
        _bind(server, self._listen, grpc.dynamic_ssl_server_credentials(self._shown(), self._shown, True))
        return self._endpoint

    def admit(self, context: grpc.ServicerContext) -> None:
        """Other synthesizers have certificates of the same authority."""
        if ENGINE_NAME.encode() not in context.auth_context().get("x509_subject_alternative_name", ()):
            raise PermissionDenied("only the engine may call this synthesizer")

    def rotate(self, certificate: bytes) -> None:
        scratch = self._folder / "cert.pem.part"
        scratch.write_bytes(certificate)
        scratch.replace(self._folder / "cert.pem")
        self._certificate = certificate

    def close(self) -> None:
        """The folder is good for the next process."""

    def _shown(self) -> grpc.ServerCertificateConfiguration:
        """For each handshake as it is then."""
        return grpc.ssl_server_certificate_configuration([(self._key, self._certificate)], self._authority)

    def _read(self, name: str) -> bytes:
        return _read(self._folder / name, "NEUNETS_ENROLMENT", "enrol with `neunets synthesizers enroll`")


class Alone:
    """A process that registers nowhere: the engine's operator lists its address.

    NEUNETS_LISTEN: HOST:PORT or unix:PATH. NEUNETS_TLS: folder with `ca.pem`, `cert.pem`, `key.pem`, for mutual TLS;
    without it only this machine may call.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._listen, self._tls = environment["NEUNETS_LISTEN"], environment.get("NEUNETS_TLS", "")
        if not self._tls and is_open_to_others(self._listen):
            text = (
                f"{self._listen} is open to other machines, without encryption: set NEUNETS_TLS, or listen on 127.0.0.1"
            )
            raise InvalidRequest("NEUNETS_LISTEN", text)

    def bind(self, server: grpc.Server) -> str:
        credentials = None
        if self._tls:
            fix = "a folder with ca.pem, cert.pem and key.pem is needed"
            authority, certificate, key = (
                _read(Path(self._tls) / name, "NEUNETS_TLS", fix) for name in ("ca.pem", "cert.pem", "key.pem")
            )
            credentials = grpc.ssl_server_credentials([(key, certificate)], authority, True)
        _bind(server, self._listen, credentials)
        return self._listen

    def admit(self, context: grpc.ServicerContext) -> None:
        """Whoever has a certificate of the authority."""

    def close(self) -> None:
        with suppress(FileNotFoundError):
            if self._listen.startswith("unix:"):
                Path(self._listen.removeprefix("unix:")).unlink()


def _read(path: Path, variable: str, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(variable, f"{path} cannot be read ({error.strerror}): {fix}") from error


def _bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> None:
    try:
        bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise InvalidRequest("NEUNETS_LISTEN", f"cannot listen on {address}: is it taken?")


def _needed(environment: Mapping[str, str], name: str, hint: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise InvalidRequest(name, f"it is not set: {hint}")
    return value
