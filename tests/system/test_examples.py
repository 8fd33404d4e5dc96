"""The synthesizers in other languages, from their manifests: by the law, and in a whole synthesis."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines import engine, follow
from neunets_client.client import Client
from neunets_engine.plugins import read_manifest

EXAMPLES = Path(__file__).resolve().parents[2] / "plugins/examples"
TOOLS = {"go-hillclimb": "go", "go-evolve": "go", "ts-random": "npm", "rust-random": "cargo"}
RUST = EXAMPLES.parents[1] / "clients/rust"

# Of the logits, by the noise of one layer that tells copies apart.
MOST_CHANGE = 0.5

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(params=TOOLS)
def manifest(request: pytest.FixtureRequest) -> Path:
    return built(request.param)


def built(name: str) -> Path:
    """Its manifest."""
    if shutil.which(TOOLS[name]) is None:
        pytest.skip(f"{TOOLS[name]} is not installed")
    subprocess.run(["make", "--no-print-directory", "-C", EXAMPLES / name, "build"], check=True)
    return EXAMPLES / name / "plugin.toml"


def test_it_conforms(manifest: Path) -> None:
    found = read_manifest(manifest)
    command = [sys.executable, "-m", "neunets.conform", "--level", "recovery", "--pause-s", "5"]
    command += ["--directory", str(found.directory), "--command", " ".join(found.command)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("conformant: core+recovery")


def test_a_whole_synthesis(manifest: Path, tmp_path: Path, images: Path) -> None:
    with engine(tmp_path / "home", "--plugin", str(manifest)) as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        run = client.create(dataset.name, synthesizer=manifest.parent.name, trials=4, max_params=50_000).name
        history = follow(client, run)
        assert history.state == "COMPLETED"
        assert len(set(history.candidates())) == 4
        assert all(model.params <= 50_000 for model in client.models(run))
        assert client.download(history.run.model, tmp_path / "out")


def test_evolved_networks_begin_with_their_parents_weights(tmp_path: Path, images: Path) -> None:
    with engine(tmp_path / "home", "--plugin", str(built("go-evolve"))) as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        run = client.create(dataset.name, synthesizer="go-evolve", trials=8).name
        history = follow(client, run)
        models = {model.trial: model for model in client.models(run)}
    assert history.state == "COMPLETED"
    assert history.rejections() == []
    assert all(history.candidates())  # the engine has derived what was proposed without a graph
    children = [model for model in models.values() if model.lineage and not model.final]
    assert len(children) >= 4
    for child in children:
        assert child.graph != models[child.parent].graph
        assert child.result.metrics["inherited_delta"] < MOST_CHANGE
        assert not child.result.HasField("error"), child.result.error  # where it claims to keep the function, it does


def test_the_client_in_rust_brings_a_model(tmp_path: Path, images: Path) -> None:
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed")
    subprocess.run(["cargo", "build", "--quiet", "--example", "synthesize"], cwd=RUST, check=True)
    with engine(tmp_path / "home") as connection:
        command = [RUST / "target/debug/examples/synthesize", connection.target, images, "2", tmp_path / "out"]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Completed" in done.stdout
    assert (tmp_path / "out/model.onnx").read_bytes()


def test_the_examples_are_short() -> None:
    """What a stranger would have to write: the algorithm alone."""
    assert len(code_of(EXAMPLES / "go-hillclimb", "*.go")) <= 150
    assert len((EXAMPLES / "rust-random/src/main.rs").read_text().splitlines()) <= 120
    assert len((EXAMPLES / "go-evolve/main.go").read_text().splitlines()) <= 200
    assert len(code_of(EXAMPLES / "ts-random/src", "*.ts")) <= 120


def code_of(folder: Path, pattern: str) -> list[str]:
    """Lines of the sources without tests, blank lines and comments."""
    sources = [path for path in folder.glob(pattern) if not path.name.endswith("_test.go")]
    lines = [line.strip() for path in sources for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith(("//", "/*", "*"))]
