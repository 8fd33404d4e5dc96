"""The command line where a home, a terminal, its letters or a proxy are not as usual."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

CLI = (sys.executable, "-m", "neunets_client")
# A user id that the system does not know.
STRANGER = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
Done = subprocess.CompletedProcess[str]


def cli(*words: str | bytes | Path, start: tuple[str, ...] = (), **environment: str) -> Done:
    bare = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run([*start, *CLI, *words], env=bare, capture_output=True, text=True, timeout=120)


def refused(done: Done, *texts: str) -> None:
    """In one sentence, the last one."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert all(text in done.stderr.splitlines()[-1] for text in texts), done.stderr


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(option: str) -> None:
    done = cli(option)
    assert (done.returncode, done.stdout) == (0, f"neunets {metadata.version('neunets')}\n")


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_a_home_that_cannot_be_made_is_refused(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").touch()
    refused(cli("runs", "--home", tmp_path / home), "--home", str(tmp_path / home))
    refused(cli("runs", NEUNETS_HOME=str(tmp_path / home)), "--home", str(tmp_path / home))
    refused(cli("runs", HOME=str(tmp_path / home)), "--home", str(tmp_path / home))


def test_a_user_without_a_home_is_asked_for_one(tmp_path: Path) -> None:
    if subprocess.run([*STRANGER, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    refused(cli("runs", start=STRANGER), "--home", "NEUNETS_HOME")
    refused(cli("runs", start=STRANGER, NEUNETS_HOME="", XDG_DATA_HOME=""), "--home", "NEUNETS_HOME")
    done = cli("runs", "--home", tmp_path / "home", start=STRANGER)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "--home", b"/tmp/\xff"),
        ("runs", "--server", b"\xff"),
        ("synthesize", "digits", "--budget", "20s", "--synthesizer", b"\xff"),
    ],
)
def test_words_that_are_no_text_are_refused(words: tuple[str | bytes, ...], tmp_path: Path) -> None:
    refused(cli(*words, NEUNETS_HOME=str(tmp_path / "h")), "udcff")


def test_a_terminal_of_ascii_shows_what_it_can(tmp_path: Path) -> None:
    done = cli("runs", "--home", tmp_path / "höme", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
    assert done.stdout.isascii()


def test_a_command_needs_no_streams(tmp_path: Path) -> None:
    script = 'exec "$0" -m neunets_client runs --home "$1" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", script, sys.executable, tmp_path / "home"], timeout=120).returncode == 0


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(tmp_path: Path) -> None:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = cli("synthesizers", "--home", tmp_path / "home", HOME=str(tmp_path), **proxies)
    assert done.returncode == 0, done.stderr
