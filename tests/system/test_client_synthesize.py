"""`synthesize` as a notebook calls it, and the example program."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import pytest
from sklearn.datasets import load_digits

from neunets.errors import IllegalTransition
from neunets_client import Connection, Synthesis, synthesize

EXAMPLE: Final = Path(__file__).parents[2] / "clients" / "python" / "examples" / "synthesize.py"
INTERRUPTED: Final = """
import sys
from neunets_client import synthesize
synthesis = synthesize(sys.argv[1], None, trials=100_000, synthesizer="good", server=sys.argv[2], out=sys.argv[3])
print(synthesis.state, synthesis.model)
"""


@pytest.fixture(scope="module")
def synthesis(
    connection: Connection, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Synthesis, Connection]:
    out = tmp_path_factory.mktemp("out")
    options = {"synthesizer": "good", "server": connection.target, "out": out, "metric": "balanced-accuracy"}
    return synthesize(images, None, trials=3, progress="none", **options), connection  # type: ignore[arg-type]


def test_a_synthesis_has_its_figures_and_its_files(synthesis: tuple[Synthesis, Connection]) -> None:
    found, _ = synthesis
    assert (found.state, found.classes) == ("COMPLETED", ("0", "1", "2", "3"))
    assert 0.5 < found.test_accuracy <= 1.0
    assert found.model.stat().st_size == found.figures["model_bytes"]
    assert "accuracy" in found.card
    assert "<svg" in found._repr_html_()


def test_its_trials_are_a_table(synthesis: tuple[Synthesis, Connection]) -> None:
    table = synthesis[0].trials()
    assert table["final"].tolist() == [False] * 3 + [True] * 3
    assert table["valid_balanced_accuracy"].max() > 0.5
    assert (table["state"] == "SUCCEEDED").all()


def test_it_predicts_what_the_runtime_does(synthesis: tuple[Synthesis, Connection], images: Path) -> None:
    found, x = synthesis[0], np.load(images)["x_train"][:8]
    session = onnxruntime.InferenceSession(found.model, providers=["CPUExecutionProvider"])
    (labels,) = session.run(["label"], {"image": x[..., np.newaxis]})
    assert found.predict(x).labels.tolist() == labels.tolist()


def test_a_run_without_a_model_says_why(connection: Connection, images: Path, tmp_path: Path) -> None:
    with pytest.raises(IllegalTransition, match=r"PAUSED and has no model: .*quarantine"):
        synthesize(
            images, None, trials=1, synthesizer="faulty", server=connection.target, out=tmp_path, progress="none"
        )


def test_an_interrupt_takes_the_best_so_far(connection: Connection, images: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(images), connection.target, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        next(line for line in process.stderr if "succeeded" in line)
        process.send_signal(signal.SIGINT)
        said, _ = process.stderr.read(), process.wait(120)
        state, model = process.stdout.read().split()
    assert process.returncode == 0, said
    assert "the best network so far is exported" in said
    assert (state, Path(model)) == ("STOPPED", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").exists()


@pytest.mark.slow
def test_digits_are_synthesized_by_an_engine_of_its_own(tmp_path: Path) -> None:
    found = synthesize("digits", "30s", home=tmp_path / "home", out=tmp_path / "out", progress="lines")
    assert found.test_accuracy > 0.8
    digits = load_digits()
    x = (digits.images * (255 / 16)).astype(np.uint8)
    labels = found.predict(x).labels
    assert np.mean(labels == digits.target.astype(str)) > 0.9


@pytest.mark.slow
def test_the_example_predicts_raw_images(connection: Connection, tmp_path: Path) -> None:
    x = (load_digits().images[:16] * (255 / 16)).astype(np.uint8)
    (tmp_path / "images.raw").write_bytes(x.tobytes())
    words = ["--server", connection.target, "--data", "digits", "--trials", "2", "--images", tmp_path / "images.raw"]
    command = [sys.executable, EXAMPLE, *words, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ended") >= 2
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(["probabilities"], {"image": x[..., np.newaxis]})
    with (tmp_path / "predictions.csv").open() as stream:
        written = np.array([list(map(float, row)) for row in csv.reader(stream)])
    np.testing.assert_allclose(written, expected, rtol=1e-6)  # what nine digits leave of a float32
