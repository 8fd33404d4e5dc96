"""The synthesizers that can be started here: installed packages, and manifests of programs in any language."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from neunets.errors import InvalidRequest, PluginFault
from neunets.sockets import is_open_to_others

__all__ = ["GROUP", "Manifest", "installed", "parse_manifest", "read_manifest"]

GROUP: Final = "neunets.synthesizers"
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEYS: Final = frozenset({"name", "command", "directory", "sha256", "endpoint", "tls", "host_name"})
_NO_PINS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a synthesizer is started. `directory`: where its command runs; None: where the engine does.

    `sha256`: digests that files of the directory have to have, by their names. Without a command somebody else starts
    it, and it is called at `endpoint` (a gRPC target), over mutual TLS with `ca.pem`, `cert.pem` and `key.pem` of the
    folder `tls`; `host_name`: in its certificate, where that is not its host.
    """

    name: str
    command: tuple[str, ...] = ()
    directory: Path | None = None
    sha256: Mapping[str, str] = field(default_factory=lambda: _NO_PINS)
    endpoint: str = ""
    tls: Path | None = None
    host_name: str = ""

    def check_pins(self) -> None:
        """Raises: PluginFault where a pinned file is missing or another."""
        for name, pinned in self.sha256.items():
            path = (self.directory or Path()) / name
            try:
                found = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise PluginFault(f"{self.name}: its pinned file {path} cannot be read: {error.strerror}") from error
            if found != pinned.lower():
                text = f"{path} has SHA-256 {found}, its manifest says {pinned}"
                raise PluginFault(f"{self.name} is not started: {text}; build it again, or pin the new digest")


def installed() -> Mapping[str, Manifest]:
    """Name → manifest. An entry point names a module, which is run with this interpreter, without the
    current folder on its path (`python -P -m module`)."""
    return {
        point.name: Manifest(point.name, (sys.executable, "-P", "-m", point.value.partition(":")[0]))
        for point in entry_points(group=GROUP)
    }


def parse_manifest(text: str) -> Manifest:
    """Of "NAME=COMMAND", or of the path of a manifest (`read_manifest`). Raises: InvalidRequest."""
    if text.endswith(".toml") and "=" not in text:
        return read_manifest(Path(text))
    name, _, command = text.partition("=")
    words = tuple(shlex.split(command))
    if not name or not words:
        raise InvalidRequest("--plugin", f"{text!r} is neither NAME=COMMAND nor the path of a manifest (.toml)")
    return Manifest(name, words)


def read_manifest(path: Path) -> Manifest:
    """A TOML file with `name`, `command` (a list), and where wished `directory`, relative to the file, and a table
    `sha256` of files in that directory. Or with `name`, `endpoint`, and `tls`, a folder relative to the file, and
    `host_name`.

    Raises: InvalidRequest, which names the key.
    """
    try:
        entries: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidRequest(str(path), f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequest(str(path), f"no TOML: {error}") from error
    unknown = sorted(entries.keys() - KEYS)
    if unknown:
        raise InvalidRequest(f"{path}: {unknown[0]}", f"unknown; a manifest has {', '.join(sorted(KEYS))}")
    name, command = entries.get("name"), entries.get("command")
    directory, pins = entries.get("directory", "."), entries.get("sha256", {})
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise InvalidRequest(f"{path}: name", "lower case letters, digits and '-' are needed")
    if "endpoint" in entries:
        return _endpoint(path, name, entries)
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise InvalidRequest(f"{path}: command", 'a list of words is needed, such as ["./search", "--fast"]')
    if not isinstance(directory, str):
        raise InvalidRequest(f"{path}: directory", "a path relative to the manifest is needed")
    if not isinstance(pins, dict) or not all(re.fullmatch("[0-9a-fA-F]{64}", str(pin)) for pin in pins.values()):
        raise InvalidRequest(f"{path}: sha256", 'a table of FILE = "64 hexadecimal digits" is needed')
    folder = (path.parent / directory).resolve()
    if not folder.is_dir():
        raise InvalidRequest(f"{path}: directory", f"there is no folder {folder}")
    return Manifest(name, tuple(command), folder, pins)


def _endpoint(path: Path, name: str, entries: Mapping[str, Any]) -> Manifest:
    """Raises: InvalidRequest."""
    odd = sorted({"command", "directory", "sha256"} & entries.keys())
    if odd:
        raise InvalidRequest(f"{path}: {odd[0]}", "somebody else starts what has an endpoint")
    endpoint, tls, host_name = entries["endpoint"], entries.get("tls"), entries.get("host_name", "")
    if not isinstance(endpoint, str) or not re.fullmatch(r"unix:.+|.+:\d{1,5}", endpoint):
        raise InvalidRequest(f"{path}: endpoint", "HOST:PORT or unix:PATH is needed")
    if not isinstance(host_name, str):
        raise InvalidRequest(f"{path}: host_name", "a name in its certificate is needed")
    if tls is None and is_open_to_others(endpoint):
        raise InvalidRequest(
            f"{path}: tls", f"{endpoint} is another machine: a folder of ca.pem, cert.pem, key.pem is needed"
        )
    if tls is not None and not isinstance(tls, str):
        raise InvalidRequest(f"{path}: tls", "a folder relative to the manifest is needed")
    folder = (path.parent / tls).resolve() if tls is not None else None
    missing = [
        file for file in ("ca.pem", "cert.pem", "key.pem") if folder is not None and not (folder / file).is_file()
    ]
    if missing:
        raise InvalidRequest(f"{path}: tls", f"there is no {missing[0]} in {folder}")
    return Manifest(name, endpoint=endpoint, tls=folder, host_name=host_name)
