"""What is no regular file is refused by what it is, without a wait."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from neunets.files import open_regular
from neunets.images import Fault, header


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a named pipe"),
    "socket": (a_socket, "it is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "folder": (Path.mkdir, "it is a folder"),
    "kernel": (lambda path: path.symlink_to("/proc/self/environ"), "it is a file of the kernel"),
    "loop": (lambda path: path.symlink_to(path), "symbolic links"),
    "dangling": (lambda path: path.symlink_to(path.parent / "nowhere"), "No such file"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_not_opened(kind: str, tmp_path: Path) -> None:
    make, said = KINDS[kind]
    path = tmp_path / "it.png"
    make(path)
    with pytest.raises(OSError, match=r".") as caught:
        open_regular(path)
    assert said in (caught.value.strerror or "")
    assert isinstance(header(str(path)), Fault)


def test_postscript_named_as_a_picture_is_given_to_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 10.0 >> {ran}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    found = header(page)
    assert isinstance(found, Fault)
    assert "none of BMP, GIF" in found.text
    assert not ran.exists()
