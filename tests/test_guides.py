"""The guide for plugin authors, followed to the letter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neunets_engine.plugins import read_manifest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
GUIDE = (ROOT / "docs/plugins.md").read_text()
FILES = {name: text for _, name, text in re.findall(r"^```(\w+) ([\w.]+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)}
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def shell(command: str, folder: Path) -> str:
    """What the command prints; with the tools of this environment first."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NEUNETS_HOME": str(folder / "home")}
    done = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guide_has_these_files_and_commands() -> None:
    assert FILES.keys() == {"search.py", "plugin.toml", "listed.toml", "main.go", "evolve.go"}
    assert len(COMMANDS) == 4


def test_the_python_plugin_conforms_and_searches(tmp_path: Path) -> None:
    for name in ("search.py", "plugin.toml"):
        (tmp_path / name).write_text(FILES[name])
    assert "conformant: core" in shell(COMMANDS[0], tmp_path)
    shell(COMMANDS[1], tmp_path)
    assert list(tmp_path.glob("neunets-*/model.onnx"))


def test_the_listed_address_is_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "listed.toml").write_text(FILES["listed.toml"])
    assert read_manifest(tmp_path / "listed.toml").endpoint == "127.0.0.1:7400"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
@pytest.mark.parametrize(("file", "command"), [("main.go", 2), ("evolve.go", 3)])
def test_the_go_plugins_build_and_conform(file: str, command: int, tmp_path: Path) -> None:
    (tmp_path / file).write_text(FILES[file])
    client = ROOT / "clients/go"
    needed = re.findall(r"^\t[\w./-]+ v[\w.+-]+.*$", (client / "go.mod").read_text(), re.MULTILINE)
    module = ["module example.org/search", "go 1.24.0", "require neunets.dev/go v0.0.0", "require (", *needed, ")"]
    (tmp_path / "go.mod").write_text("\n".join([*module, f"replace neunets.dev/go => {client}"]) + "\n")
    shutil.copy(client / "go.sum", tmp_path / "go.sum")
    assert "conformant: core" in shell(COMMANDS[command], tmp_path)
