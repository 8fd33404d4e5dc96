"""The kit as a program and as a library: against plugins that keep the laws, and one that does not always."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from neunets.conform import CHECKS, Level, Request, conform, table
from neunets.conform.host import Host
from neunets.conform.launch import Launched

TESTS = Path(__file__).resolve().parents[1]
RANDOM = f"{sys.executable} -m neunets_random"
QUICK = ("core/describe-name", "core/injected", "core/assess-first")

POISONED = """
from neunets.synthesizer import Description, serve

class Poisoned:
    def describe(self):
        return Description("poisoned", "1.0.0", "Fails whatever it is asked.")

    def open(self, problem, settings, seed):
        raise RuntimeError("poison")

raise SystemExit(serve(Poisoned()))
"""
NAMELESS = """
import os, grpc
from neunets.synthesizer.v1 import synthesizer_pb2 as pb, synthesizer_pb2_grpc

host = synthesizer_pb2_grpc.PluginHostStub(grpc.insecure_channel(os.environ["NEUNETS_HOST"]))
token, endpoint = os.environ["NEUNETS_LAUNCH_TOKEN"], "unix:" + os.environ["NEUNETS_SOCKET_DIR"] + "/s"
host.Register(pb.RegisterRequest(token=token, endpoint=endpoint, protocol_majors=[1]), timeout=30)
"""
ONCE = """
import os, pathlib, sys
from neunets.synthesizer import Description, serve

mark = pathlib.Path(sys.argv[1])
if mark.exists():
    print("no licence")
    raise SystemExit(3)
mark.touch()

class Once:
    def describe(self):
        return Description("once", "1.0.0", "Ends with its first run.")

    def open(self, problem, settings, seed):
        os._exit(1)

raise SystemExit(serve(Once()))
"""


def broken(flaw: str) -> str:
    return f"{sys.executable} -m conform.broken --flaw {flaw}"


def kit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neunets.conform", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=TESTS, check=False, timeout=120)


def test_random_search_is_conformant() -> None:
    report = conform(Request(RANDOM))
    assert report.is_conformant, report.summary
    assert report.summary.startswith("conformant: core, protocol 1.0, skipped: 7 (no WEIGHT_INHERITANCE; ")


@pytest.mark.slow
def test_random_search_recovers() -> None:
    report = conform(Request(RANDOM, level=Level.RECOVERY, repeat=2, pause_s=2.0))
    assert report.is_conformant, report.summary
    assert report.summary.startswith("conformant: core+recovery, protocol 1.0")
    assert {verdict.check.level for verdict in report.verdicts} == {Level.CORE, Level.RECOVERY}


def test_reports_say_the_same_of_a_conformant_plugin(tmp_path: Path) -> None:
    done = kit(
        "--command", broken("none"), "--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml", "--only", *QUICK
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["plugin"] == {"name": "ladder", "version": "1.0.0"}
    assert (told["protocol"], told["level"], told["conformant"]) == ("1.0", "3 checks alone", True)
    assert told["counts"] == {"checks": 3, "passed": 2, "failed": 0, "skipped": 1}
    assert [check["id"] for check in told["checks"]] == list(QUICK)
    assert told["checks"][1]["reason"] == "no INJECTED_CANDIDATES"
    assert done.stdout.splitlines()[-1] == told["summary"]
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "0", "1")
    assert [case.get("name") for case in suite] == [id_.partition("/")[2] for id_ in QUICK]


def test_a_failure_shows_the_law_the_exchange_and_what_the_plugin_printed(tmp_path: Path) -> None:
    only = ("--only", "core/assess-zero-budget")
    done = kit(
        "--command", broken("divides-by-budget"), "--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml", *only
    )
    assert done.returncode == 1
    check = json.loads((tmp_path / "r.json").read_text())["checks"][0]
    assert check["outcome"] == "failed"
    assert "ZeroDivisionError" in check["reason"]
    assert any(line.startswith("→ Assess") for line in check["exchange"])
    assert any("ZeroDivisionError" in line for line in check["output"])
    failure = ElementTree.parse(tmp_path / "r.xml").getroot()[0][0][0]
    assert failure.tag == "failure"
    assert "With no budget left" in (failure.text or "")
    assert "With no budget left" in done.stdout
    assert done.stdout.splitlines()[-1] == "not conformant: 1 of 1 checks failed: core/assess-zero-budget"


def test_a_stream_has_a_line_a_check_and_the_result_last() -> None:
    done = kit("--command", broken("none"), "--stream", "--only", *QUICK)
    *checks, result = map(json.loads, done.stdout.splitlines())
    assert [check["id"] for check in checks] == list(QUICK)
    assert checks[0]["outcome"] == "passed"
    assert (result["conformant"], result["failed"], result["skipped"]) == (True, [], ["core/injected"])


def test_a_check_that_fails_in_one_repetition_has_failed() -> None:
    request = Request(broken("flaky"), directory=TESTS, repeat=3, only=("core/assess-first", "core/describe-name"))
    report = conform(request)
    assert [verdict.check.id for verdict in report.failed] == ["core/assess-first"]
    assert report.failed[0].reason.startswith("1 of 3 repetitions: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "one of --command and --endpoint"),
        (("--command", "x", "--endpoint", "y"), "one of --command and --endpoint"),
        (("--command", "x", "--only", "core/nothing"), "no check 'core/nothing'"),
        (("--command", "x", "--level", "best"), "invalid choice"),
        (("--command", "x", "--repeat", "0"), "--repeat"),
        (("--command", "/no/such/program"), "cannot be executed"),
        (("--command", "sh -c 'echo out of coffee; exit 3'"), "ended with code 3; last: out of coffee"),
        (("--command", "x", "--directory", "/no/such/folder"), "cannot be executed"),
    ],
)
def test_what_cannot_be_checked_is_said(arguments: tuple[str, ...], complaint: str) -> None:
    done = kit(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kit_that_is_told_to_end_ends_its_plugin_too() -> None:
    """Also what does not end with its parent: a program beside the plugin."""
    command = shlex.join(["sh", "-c", f"sleep 600 & exec {broken('none')}"])
    arguments = ["--command", command, "--only", "core/describe-name", "recovery/paused", "--pause-s", "60"]
    with subprocess.Popen(
        [sys.executable, "-m", "neunets.conform", "--stream", *arguments], cwd=TESTS, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["outcome"] == "passed"
        plugin = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert len(plugin) == 2
    assert psutil.wait_procs(plugin, timeout=60)[1] == []


def test_the_list_has_every_check_with_its_law() -> None:
    done = kit("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [id_ for id_, _, _ in table()]


def test_a_plugin_that_listens_is_checked_without_its_process(tmp_path: Path) -> None:
    only = ("core/propose-repeat", "core/lease", "recovery/stale-epoch", "recovery/killed-at-boundaries")
    with Host(tmp_path / "host.sock") as host, Launched(broken("none"), TESTS, host, tmp_path) as plugin:
        report = conform(Request(endpoint=plugin.registered.endpoint, only=only))
    assert report.is_conformant
    assert {verdict.check.id for verdict in report.skipped} == {"core/lease", "recovery/killed-at-boundaries"}
    assert "the process is not the kit's" in report.summary


def test_ids_are_unique_and_say_their_level() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert all(check.id.startswith(f"{check.level.value}/") and check.law.endswith(".") for check in CHECKS)


def test_a_plugin_that_registers_without_itself_is_told_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "nameless.py").write_text(NAMELESS)
    done = kit("--command", f"{sys.executable} {tmp_path / 'nameless.py'}")
    assert done.returncode == 2
    assert "its Register was refused (self: unset" in done.stderr.splitlines()[-1]


def test_what_fails_of_one_cause_is_one_failure_with_those_that_follow(tmp_path: Path) -> None:
    plugin = tmp_path / "poisoned.py"
    plugin.write_text(POISONED)
    done = kit("--command", f"{sys.executable} {plugin}", "--json", tmp_path / "r.json")
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert told[0].startswith("Open answers INTERNAL, of which ")
    assert sum(line.startswith("core/") for line in told) < 8, done.stdout
    assert "(Open answers INTERNAL)" in told[-1]
    failed = [
        check for check in json.loads((tmp_path / "r.json").read_text())["checks"] if check["outcome"] == "failed"
    ]
    assert len(failed) > 30
    assert all(check["exchange"] or check["reason"] for check in failed)


def test_nothing_is_tried_once_the_plugin_cannot_be_started_again(tmp_path: Path) -> None:
    plugin = tmp_path / "once.py"
    plugin.write_text(ONCE)
    report = conform(Request(f"{sys.executable} {plugin} {tmp_path / 'mark'}"))
    assert [verdict.telling.cause for verdict in report.failed][-1] == "the plugin cannot be started again"
    assert "ended with code 3; last: no licence" in report.failed[-1].reason
    assert "were not tried" in report.summary
