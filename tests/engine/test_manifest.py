"""Manifests of synthesizers: what they may say, and files that are pinned."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from neunets.errors import InvalidRequest, PluginFault
from neunets_engine.plugins import parse_manifest, read_manifest


def written(folder: Path, text: str) -> Path:
    path = folder / "plugin.toml"
    path.write_text(text)
    return path


def test_a_manifest_names_command_and_folder(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    path = written(tmp_path, 'name = "climb"\ncommand = ["./climb", "-v"]\ndirectory = "bin"\n')
    manifest = parse_manifest(str(path))
    assert (manifest.name, manifest.command, manifest.directory) == ("climb", ("./climb", "-v"), tmp_path / "bin")


def test_an_address_may_be_listed(tmp_path: Path) -> None:
    for file in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / file).touch()
    manifest = read_manifest(written(tmp_path, 'name = "far"\nendpoint = "10.0.0.7:7411"\ntls = "."\n'))
    assert (manifest.endpoint, manifest.tls, manifest.command) == ("10.0.0.7:7411", tmp_path, ())
    assert read_manifest(written(tmp_path, 'name = "near"\nendpoint = "unix:/tmp/s"\n')).tls is None


def test_name_and_command_suffice() -> None:
    manifest = parse_manifest("climb=python 'my file.py' --fast")
    assert manifest.command == ("python", "my file.py", "--fast")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('command = ["x"]', "name"),
        ('name = "Big Name"\ncommand = ["x"]', "name"),
        ('name = "a"', "command"),
        ('name = "a"\ncommand = "x"', "command"),
        ('name = "a"\ncommand = []', "command"),
        ('name = "a"\ncommand = ["x"]\ndirectory = "nowhere"', "directory"),
        ('name = "a"\ncommand = ["x"]\ndirectory = 3', "directory"),
        ('name = "a"\ncommand = ["x"]\n[sha256]\nx = "12"', "sha256"),
        ('name = "a"\ncommand = ["x"]\ncolour = "red"', "colour"),
        ("name = ", "no TOML"),
        ('name = "a"\nendpoint = "nowhere"', "endpoint"),
        ('name = "a"\nendpoint = "127.0.0.1:7411"\ncommand = ["x"]', "command"),
        ('name = "a"\nendpoint = "10.0.0.7:7411"', "tls"),
        ('name = "a"\nendpoint = "10.0.0.7:7411"\ntls = "."', r"no ca\.pem"),
        ('name = "a"\nendpoint = "10.0.0.7:7411"\ntls = 3', "tls"),
        ('name = "a"\nendpoint = "127.0.0.1:7411"\nhost_name = 3', "host_name"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InvalidRequest, match=key) as caught:
        read_manifest(written(tmp_path, text))
    assert "plugin.toml" in caught.value.message


@pytest.mark.parametrize("text", ["", "climb", "=x", "climb=", "missing.toml"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"--plugin|missing\.toml"):
        parse_manifest(text)


def test_a_pinned_file_has_to_be_the_one(tmp_path: Path) -> None:
    program = tmp_path / "climb"
    program.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    path = written(tmp_path, f'name = "climb"\ncommand = ["./climb"]\n[sha256]\nclimb = "{digest}"\n')
    read_manifest(path).check_pins()
    program.write_bytes(b"another")
    with pytest.raises(PluginFault, match="pin the new digest"):
        read_manifest(path).check_pins()
    program.unlink()
    with pytest.raises(PluginFault, match="cannot be read"):
        read_manifest(path).check_pins()
