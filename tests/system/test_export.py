"""A model in other formats, as the command line's user meets them."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from engines import follow
from exported import RUN, keep_exported
from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_client import predict_all
from neunets_client.client import Client

CLI: Final = (sys.executable, "-m", "neunets_client")
NODE: Final = Path(__file__).parents[1] / "node"
BOTH: Final = ("--format", "int8", "--format", "float16")
FORMATS: Final = ("int8", "float16", "any-size", "plain")
FILES: Final = ("model.onnx", "model.any-size.onnx", "model.plain.onnx")
ALL: Final = (*BOTH, "--any-size", "--plain")


def cli(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *map(str, words)], capture_output=True, text=True, timeout=240, **options)


@pytest.fixture(scope="module")
def run_id(client: Client, dataset: service_pb2.Dataset) -> str:
    history = follow(client, client.create(dataset.name, synthesizer="good", trials=2, seed=1).name)
    return history.run.name.removeprefix("runs/")


@pytest.fixture(scope="module")
def exported(run_id: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder, and what the command said of each format."""
    out = tmp_path_factory.mktemp("exported")
    server = f"unix:{home}/engine.sock"
    done = cli("export", run_id, "--out", out, *ALL, "--max-drop", "50", "--server", server, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout.splitlines()[-1])


def test_each_format_is_written_with_its_figures(exported: tuple[Path, list[dict[str, Any]]]) -> None:
    out, rows = exported
    assert [row["format"] for row in rows] == ["float32", *FORMATS]
    for row in rows:
        assert (out / row["file"]).stat().st_size == row["bytes"]
        assert 0.5 < row["accuracy"] <= 1.0
        assert row["latency_ms"] > 0.0
    assert [row["format"] for row in json.loads((out / "card.json").read_text())["variants"]] == list(FORMATS)
    assert "## Other formats" in (out / "card.md").read_text()
    shapes = {name: onnxruntime.InferenceSession(out / name).get_inputs()[0].shape for name in FILES}
    assert [shapes[name][1:] for name in FILES] == [[8, 8, 1], ["height", "width", "channels"], [1, 8, 8]]


def test_what_was_made_is_listed_with_the_model(
    exported: tuple[Path, list[dict[str, Any]]], client: Client, run_id: str
) -> None:
    model = client.model(client.get(f"runs/{run_id}").model)
    assert {variant.file for variant in model.variants} == {f"model.{wanted}.onnx" for wanted in FORMATS}
    assert {variant.file for variant in model.variants} <= {artifact.file for artifact in model.artifacts}


@pytest.mark.parametrize("wanted", FORMATS)
def test_predict_takes_a_variant(wanted: str, exported: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4, 4:] = 200
    Image.fromarray(pixels).save(tmp_path / "bright.png")
    done = cli("predict", exported[0] / f"model.{wanted}.onnx", tmp_path / "bright.png")
    assert (done.returncode, done.stdout.split("\t")[1]) == (0, "1")


@pytest.mark.parametrize("wanted", FORMATS[:-1])
def test_node_runs_a_variant(
    wanted: str, exported: tuple[Path, list[dict[str, Any]]], images: Path, tmp_path: Path
) -> None:
    if shutil.which("node") is None or not (NODE / "node_modules").exists():
        pytest.skip("Node is not installed here")
    x, model = np.load(images)["x_train"][:64, :, :, np.newaxis], exported[0] / f"model.{wanted}.onnx"
    (tmp_path / "images").write_bytes(x.tobytes())
    command = ["node", NODE / "predict.mjs", model, tmp_path / "images", json.dumps(x.shape)]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    probabilities, labels = session.run(["probabilities", "label"], {"image": x})
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-2)
    assert np.mean(np.array(answer["labels"]) == labels) > 0.95


def test_a_format_that_is_worse_is_refused_on_stderr_with_its_code(tmp_path: Path) -> None:
    async def prepare() -> None:
        (await keep_exported(tmp_path / "home")).close()

    asyncio.run(prepare())
    words = ("export", RUN, "--home", tmp_path / "home", "--out", tmp_path / "out", *BOTH)
    done = cli(*words)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["int8", "float16"]
    assert "50.00%" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.onnx", "card.md", "card.json"}
    assert cli(*words, "--max-drop", "60").returncode == 0
    assert (tmp_path / "out" / "model.int8.onnx").exists()


@pytest.mark.parametrize("words", [("--format", "int4"), ("--max-drop", "-1"), ("--max-drop", "101")])
def test_a_bad_word_of_export_is_refused(words: tuple[str, str], tmp_path: Path) -> None:
    done = cli("export", RUN, "--out", tmp_path / "out", "--home", tmp_path / "home", *words)
    assert done.returncode == 2
    assert words[0] in done.stderr


@pytest.mark.parametrize("max_drop", [-0.1, 1.1, float("nan")])
def test_a_bound_that_is_no_fraction_is_refused(max_drop: float, client: Client, run_id: str) -> None:
    with pytest.raises(InvalidRequest, match="max_accuracy_drop"):
        client.export(client.get(f"runs/{run_id}").model, [], max_drop)


def test_an_unknown_format_is_refused(client: Client, run_id: str) -> None:
    unspecified = service_pb2.ExportModelRequest.FORMAT_UNSPECIFIED
    with pytest.raises(InvalidRequest, match="formats"):
        client.export(client.get(f"runs/{run_id}").model, [unspecified])


def of_many_sizes(folder: Path) -> list[Path]:
    """Two classes of noise in coarse and fine grains, as colour images of as many sizes as there are."""
    rng, files = np.random.default_rng(0), []
    for number in range(96):
        name, (width, height) = ("coarse", "fine")[number % 2], rng.integers(20, 90, 2)
        grains = rng.integers(0, 256, (4, 5, 3) if name == "coarse" else (height, width, 3), dtype=np.uint8)
        (folder / name).mkdir(parents=True, exist_ok=True)
        files.append(folder / name / f"{number:03d}.png")
        Image.fromarray(grains).resize((int(width), int(height)), Image.Resampling.NEAREST).save(files[-1])
    return files


def test_images_of_many_sizes_lead_to_a_model_that_resizes_them_as_training_did(
    client: Client, home: Path, tmp_path: Path
) -> None:
    files = of_many_sizes(tmp_path / "images")
    data = client.register(str(tmp_path / "images"), image_size=(24, 32), image_fit="pad")
    name = follow(client, client.create(data.name, synthesizer="good", trials=2, seed=1).name).run.name
    done = cli("export", name, "--out", tmp_path / "out", "--plain", "--server", f"unix:{home}/engine.sock")
    assert done.returncode == 0, done.stderr
    model = tmp_path / "out" / "model.onnx"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    said = json.loads(session.get_modelmeta().custom_metadata_map["preprocessing"])
    assert said == json.loads((tmp_path / "out" / "card.json").read_text())["preprocessing"]
    assert (said["height"], said["width"], said["fit"]) == (24, 32, "pad")
    found = predict_all(model, files)
    np.testing.assert_array_equal(predict_all(tmp_path / "out" / "model.plain.onnx", files).labels, found.labels)
    assert len(set(found.labels)) == 2
    for row, file in enumerate(files):
        with Image.open(file) as image:
            probabilities, labels = session.run(["probabilities", "label"], {"image": np.asarray(image)[np.newaxis]})
        np.testing.assert_allclose(probabilities[0], found.probabilities[row], atol=0.02)
        assert labels[0] == found.labels[row]
