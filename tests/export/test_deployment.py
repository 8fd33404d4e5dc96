"""The page on deployment, followed to the letter: other runtimes answer as `predict` does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from neunets.graph import DataType, Graph, Input, Node
from neunets.reference import initialise
from neunets.spaces.chain import ChainSpace
from neunets_client.predict import predict
from neunets_engine.export import Format, convert, describe_plain, export_onnx, to_any_size
from strategies import CLASSES

PAGE = (Path(__file__).parents[2] / "docs/deployment.md").read_text()
FILES = dict(re.findall(r"^```python ([\w.]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
NAMES = [f"class {number}" for number in range(CLASSES)]
COLOUR = Input("image", (9, 12, 3), DataType.UINT8, (110.0, 120.0, 130.0), (60.0, 50.0, 40.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model and images of other sizes than its own."""
    made, rng = tmp_path_factory.mktemp("deployed"), np.random.default_rng(0)
    nodes = (
        Node("conv", "separable_conv", ("image",), {"channels": 6, "kernel": 3}),
        Node("pool", "global_pool", ("conv",), {"function": "max"}),
        Node("logits", "linear", ("pool",), {"units": CLASSES}),
    )
    graph = Graph(COLOUR, nodes, "logits")
    fixed = export_onnx(graph, initialise(graph, rng), NAMES, with_mirror=True)
    (made / "model.onnx").write_bytes(to_any_size(fixed))
    (made / "model.plain.onnx").write_bytes(convert(fixed, Format.PLAIN, np.zeros((1, *COLOUR.shape), np.uint8)))
    (made / "model.plain.json").write_text(describe_plain((made / "model.plain.onnx").read_bytes()))
    for number, size in enumerate([(40, 31), (12, 9), (7, 30), (100, 80)]):
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(made / f"{number}.png")
    return made


@pytest.mark.parametrize("name", ["any_size.py", "plain.py"])
def test_the_page_s_programs_answer_as_predict_does(name: str, folder: Path) -> None:
    if name == "plain.py":
        pytest.importorskip("cv2")
    files = sorted(folder.glob("*.png"))
    (folder / name).write_text(FILES[name])
    done = subprocess.run([sys.executable, name, *files], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for line, expected in zip(done.stdout.splitlines(), predict(folder / "model.onnx", files), strict=True):
        label, _, probability = line.rpartition(" ")
        assert (label, float(probability)) == (expected.label, pytest.approx(expected.probability, abs=0.02))


@pytest.mark.parametrize("with_mirror", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_opencv_reads_plain_models_of_networks_that_are_searched(seed: int, with_mirror: bool) -> None:
    cv2 = pytest.importorskip("cv2")
    rng, space = np.random.default_rng(seed), ChainSpace(COLOUR, CLASSES, max_params=20_000)
    graph = space.sample(rng)
    x = rng.integers(0, 256, (1, *COLOUR.shape), dtype=np.uint8)
    model = export_onnx(graph, initialise(graph, rng), NAMES, with_mirror)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(convert(model, Format.PLAIN, x), np.uint8))
    net.setInput(np.ascontiguousarray(x.astype(np.float32).transpose(0, 3, 1, 2)))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (expected,) = session.run(["probabilities"], {"image": x})
    np.testing.assert_allclose(net.forward().reshape(1, -1), expected, atol=1e-3)
