"""The addresses on which the engine's servers listen."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import Final

import grpc

from neunets.errors import InvalidRequest, NotReady
from neunets.sockets import is_open_to_others

__all__ = ["bind", "check_loopback"]

UNIX: Final = "unix:"
PROBE_S: Final = 1.0


def check_loopback(address: str) -> None:
    """Raises: InvalidRequest. There is no TLS here and nobody is asked who they are: other machines stay out."""
    if is_open_to_others(address):
        fix = "listen on 127.0.0.1, [::1] or unix:PATH; reach it from elsewhere through an SSH tunnel"
        raise InvalidRequest("--listen", f"{address!r} is open to other machines, without encryption: {fix}")


def bind(server: grpc.aio.Server, address: str, home: Path, credentials: grpc.ServerCredentials | None = None) -> None:
    """Listen on HOST:PORT or unix:PATH. A socket that nobody listens on is replaced, and every socket in `home`, whose
    lock this engine holds: an engine that stands still and cannot be killed from here would keep the address.

    Raises: NotReady where the address cannot be had: the port is taken, PATH is another file or a socket in use.
    """
    if address.startswith(UNIX):
        _clear(Path(address.removeprefix(UNIX)), home)
    try:
        bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise NotReady(f"cannot listen on {address}: is it taken? ({error})") from error
    if not bound and not address.startswith(UNIX):
        raise NotReady(f"cannot listen on {address}: is it taken?")


def _clear(path: Path, home: Path) -> None:
    """Raises: NotReady."""
    try:
        around = path.parent.stat().st_mode
        if around & stat.S_IWOTH and not around & stat.S_ISVTX:
            text = f"every user may replace files in {path.parent.resolve()}; name a path in a folder of your own"
            raise NotReady(f"cannot listen on {UNIX}{path}: {text}")
    except OSError as error:
        raise NotReady(f"cannot listen on {UNIX}{path}: {path.parent}: {error.strerror}") from error
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotReady(f"cannot listen on {UNIX}{path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise NotReady(f"cannot listen on {UNIX}{path}: that is no socket; name a path where nothing is")
    if not path.parent.resolve().is_relative_to(home) and _is_live(path):
        raise NotReady(f"cannot listen on {UNIX}{path}: another process listens there; name another path")
    path.unlink(missing_ok=True)


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # a full queue, or no permission: somebody is there
            return True
    return True
