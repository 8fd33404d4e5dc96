"""The command line as its user meets it: in a process of its own, by exit codes and output."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from neunets_client.connection import Connection

CLI: Final = (sys.executable, "-m", "neunets_client")
FIELDS: Final = {
    "run", "state", "task", "metric", "validation", "test", "params", "model", "model_bytes", "latency_ms", "wall_s",
    "budget_s", "trials", "failed_trials", "peak_bytes",
}  # fmt: skip
NODE: Final = Path(__file__).parents[1] / "node"


def cli(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *map(str, words)], capture_output=True, text=True, timeout=240, **options)


@pytest.fixture(scope="module")
def outcome(connection: Connection, home: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a run over three small networks."""
    out = tmp_path_factory.mktemp("out")
    done = cli("synthesize", images.name, "--trials", 3, "--server", f"unix:{home}/engine.sock", "--out", out, "--json",
               "--synthesizer", "good", cwd=images.parent)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_outcome_is_one_object_with_every_field(outcome: dict[str, Any]) -> None:
    assert outcome.keys() == FIELDS
    assert (outcome["state"], outcome["metric"], outcome["trials"]) == ("COMPLETED", "accuracy", 3)
    assert 0.5 < outcome["test"] <= 1.0
    assert 0.5 < outcome["validation"] <= 1.0
    assert Path(outcome["model"]).stat().st_size == outcome["model_bytes"]
    assert outcome["peak_bytes"] > 100e6


def test_predict_says_what_the_model_says(outcome: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4, 4:] = 200
    Image.fromarray(pixels).save(tmp_path / "bright.png")
    done = cli("predict", outcome["model"], tmp_path / "bright.png")
    assert done.returncode == 0
    assert done.stdout.split("\t")[1] == "1"


def test_predict_answers_for_the_files_that_it_can_read(outcome: dict[str, Any], tmp_path: Path) -> None:
    good, bad, gone = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "gone.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(good)
    bad.write_bytes(b"text")
    done = cli("predict", outcome["model"], bad, good, gone)
    assert (done.returncode, done.stdout.split("\t")[0]) == (1, str(good))
    assert [str(file) in line for file, line in zip((bad, gone), done.stderr.splitlines(), strict=True)] == [True, True]
    assert cli("predict", outcome["model"], bad).returncode == 2


def test_columns_of_a_table_are_named(tmp_path: Path, home: Path, outcome: object) -> None:
    for row in range(8):
        Image.fromarray(np.full((4, 4), 30 * row, np.uint8)).save(tmp_path / f"{row}.png")
    table = tmp_path / "data.csv"
    table.write_text("photo,label,kind\n" + "".join(f"{row},x,{'ab'[row % 2]}\n" for row in range(8)))
    options = ("--image-column", "photo", "--label-column", "kind", "--server", f"unix:{home}/engine.sock", "--json")
    done = cli("inspect", table, "--out", tmp_path / "sheet.png", *options)
    facts = json.loads(done.stdout.splitlines()[-1])
    assert list(facts["classes"]) == ["a", "b"]
    assert "warning: images are found as NAME.png" in done.stderr


def test_node_gives_the_same_answers_from_the_same_images(
    outcome: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    if shutil.which("node") is None or not (NODE / "node_modules").exists():
        pytest.skip("Node is not installed here")
    x = np.load(images)["x_train"][:64, :, :, np.newaxis]
    (tmp_path / "images").write_bytes(x.tobytes())
    command = ["node", NODE / "predict.mjs", outcome["model"], tmp_path / "images", json.dumps(x.shape)]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    session = onnxruntime.InferenceSession(outcome["model"], providers=["CPUExecutionProvider"])
    probabilities, labels = session.run(["probabilities", "label"], {"image": x})
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
    assert answer["labels"] == labels.tolist()


def test_a_finished_run_can_be_listed_watched_and_exported(outcome: dict[str, Any], home: Path, tmp_path: Path) -> None:
    server = ("--server", f"unix:{home}/engine.sock")
    assert outcome["run"] in [row["run"] for row in json.loads(cli("runs", *server, "--json").stdout)]
    models = json.loads(cli("models", outcome["run"], *server, "--json").stdout)
    assert [model["final"] for model in models] == [False] * 3 + [True] * 3
    assert "the ONNX model is exported and checked" in cli("watch", outcome["run"], *server).stderr
    exported = cli("export", outcome["run"], "--out", tmp_path, *server)
    assert exported.returncode == 0
    assert (tmp_path / "model.onnx").read_bytes() == Path(outcome["model"]).read_bytes()
    assert cli("stop", outcome["run"], *server).returncode == 2
    assert cli("budget", outcome["run"], "--trials", 9, *server).returncode == 2
    first, second = (f"{outcome['run']}/{model['trial']}" for model in models[:2])
    rows = {row["figure"]: row["values"] for row in json.loads(cli("compare", first, second, *server, "--json").stdout)}
    assert rows["params"] == [models[0]["params"], models[1]["params"]]
    assert "t000002: " in cli("compare", first, second, *server).stdout
    assert cli("compare", first, *server).returncode == 2
    picked = json.loads(cli("pick", second, *server, "--json").stdout)
    assert picked[0]["params"] == models[1]["params"]
    assert cli("pick", "nobody/t000001", *server).returncode == 2
    completed = json.loads(cli("runs", "--filter", "state = COMPLETED", *server, "--json").stdout)
    assert outcome["run"] in [run["run"] for run in completed]
    names = [row["name"] for row in json.loads(cli("synthesizers", *server, "--json").stdout)]
    assert "random" in names
    assert cli("delete", outcome["run"], *server).returncode == 0
    assert cli("watch", outcome["run"], *server).returncode == 2


def test_synthesizers_are_checked_drained_and_enrolled(home: Path, connection: Connection, tmp_path: Path) -> None:
    server = ("--server", f"unix:{home / 'engine.sock'}")
    checked = cli("synthesizers", "check", "random", *server)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "ok      core/ingest-gap" in checked.stdout
    assert "conformant: core" in checked.stdout
    listed = {row["name"]: row for row in json.loads(cli("synthesizers", *server, "--json").stdout)}
    assert listed["random"]["conformance"] == "conformant: core"
    assert listed["garbage"]["conformance"] == "not checked"
    assert cli("synthesizers", "check", "random", "--level", "best", *server).returncode == 2
    assert cli("synthesizers", "check", "nobody", *server).returncode == 2
    assert "small is DRAINING" in cli("synthesizers", "drain", "small", *server).stdout
    assert "small is INSTALLED" in cli("synthesizers", "drain", "small", "--resume", *server).stdout
    local = cli("synthesizers", "enroll", "far", "--out", tmp_path / "far", *server)
    assert local.returncode == 2
    assert "--plugin-listen" in local.stderr


def one_class(folder: Path) -> tuple[Path, str]:
    (folder / "cat").mkdir()
    Image.new("L", (8, 8)).save(folder / "cat" / "a.png")
    return folder, "at least 2 classes"


def empty_file(folder: Path) -> tuple[Path, str]:
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for number in range(4):
            Image.new("L", (8, 8)).save(folder / name / f"{number}.png")
    (folder / "dog" / "3.png").write_bytes(b"")
    return folder, "3.png"


def nan_label(folder: Path) -> tuple[Path, str]:
    labels = np.arange(20.0) % 2
    labels[7] = np.nan
    np.savez(folder / "data.npz", x_train=np.zeros((20, 8, 8), np.uint8), y_train=labels)
    return folder / "data.npz", "y_train[7]"


@pytest.mark.parametrize("make", [one_class, empty_file, nan_label])
def test_bad_data_is_refused_in_one_sentence_before_any_training(make, home: Path, connection, tmp_path: Path) -> None:
    source, culprit = make(tmp_path)
    done = cli("synthesize", source, "--budget", "60s", "--server", f"unix:{home}/engine.sock")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert culprit in done.stderr


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["digits"], "--budget"),
        (["digits", "--budget", "soon"], "--budget"),
        (["digits", "--budget", "2s"], "10 s"),
        (["digits", "--trials", "0"], "--trials"),
        (["digits", "--trials", "1", "--max-params", "few"], "--max-params"),
        (["digits", "--trials", "1", "--setting", "fast"], "--setting"),
        (["digits", "--trials", "1", "--synthesizer", "ncevolve", "--setting", "preset=slow"], "settings.preset"),
        (["digits", "--trials", "1", "--synthesizer", "nobody"], "nobody"),
        (["digits", "--trials", "1", "--seed", "-1"], "--seed"),
        (["digits", "--trials", "1", "--out", "/proc/nowhere"], "--out"),
        (["digits", "--trials", "1", "--speed", "9"], "--speed"),
        (["nowhere", "--trials", "1"], "nowhere"),
        ([], "argument"),
    ],
)
def test_a_bad_word_is_refused_by_its_name(words: list[str], culprit: str, home: Path, connection) -> None:
    done = cli("synthesize", *words, "--server", f"unix:{home}/engine.sock")
    assert done.returncode == 2
    assert culprit in done.stderr.strip().splitlines()[-1]


def test_a_server_that_is_not_there_has_its_own_code(tmp_path: Path) -> None:
    done = cli("runs", "--server", f"unix:{tmp_path}/nobody.sock")
    assert done.returncode == 3
    assert "neunets up" in done.stderr


def test_a_home_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    done = cli("runs", "--home", tmp_path / ("x" * 80))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "at most 80" in done.stderr


def test_an_address_open_to_other_machines_is_refused(tmp_path: Path) -> None:
    done = cli("up", "--listen", "0.0.0.0:7390", "--home", tmp_path)
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr


def test_up_lists_the_synthesizers_with_their_states(tmp_path: Path) -> None:
    manifest = tmp_path / "plugin.toml"
    manifest.write_text('name = "elsewhere"\nendpoint = "127.0.0.1:1"\n')
    words = ["up", "--listen", f"unix:{tmp_path}/s", "--home", tmp_path / "home", "--plugin", manifest]
    with subprocess.Popen([*CLI, *map(str, words)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        listed = next(line for line in process.stderr if "synthesizers: " in line)
        process.terminate()
        process.stderr.read()
    assert "elsewhere REMOTE 127.0.0.1:1, " in listed
    assert "random INSTALLED" in listed


@pytest.mark.parametrize(
    "ending",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_says_how_to_go_on(images: Path, tmp_path: Path, ending: signal.Signals) -> None:
    words = ["synthesize", images, "--trials", 2, "--max-params", "2k", "--home", tmp_path / "home", "--out", tmp_path]
    process = subprocess.Popen([*CLI, *map(str, words)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "succeeded" in line:
            process.send_signal(ending)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 130
    if ending != signal.SIGTERM:
        assert "interrupted; come back with: neunets resume" in rest
        return
    command = next(line for line in rest.splitlines() if "neunets resume" in line).partition("neunets ")[2].split()
    done = cli(*command, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["trials"] == 2
    assert (tmp_path / "model.onnx").exists()


def test_the_doctor_finds_what_is_installed(tmp_path: Path) -> None:
    done = cli("doctor", "--home", tmp_path, "--json", env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    checks = {row["check"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0
    assert all(row["ok"] for row in checks.values())
    assert {"onnxruntime", "lmdb", "trainer torch", "trainer precision", "synthesizers", "home"} <= checks.keys()
