"""An image of any size is resized inside the file as training resizes it, to one grey level."""

from __future__ import annotations

import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.graph import DataType, Graph, Input, Node
from neunets.images import Fault, decode
from neunets.preprocessing import Fit, Preprocessing
from neunets.reference import initialise
from neunets_engine.export import check_resizing, export_onnx, to_any_size
from neunets_engine.export.any_size import resizing_alone
from sources import png

SIDES = st.integers(1, 40) | st.integers(41, 400)
WANTED = st.builds(
    Preprocessing,
    st.integers(1, 64),
    st.integers(1, 64),
    st.sampled_from([1, 3]),
    st.sampled_from(Fit),
    st.sampled_from([(255, 255, 255), (0, 0, 0), (200, 30, 90)]),
)


def run(wanted: Preprocessing, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(resizing_alone(wanted), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": x})[0].astype(int)


def ours(wanted: Preprocessing, x: np.ndarray) -> np.ndarray:
    found = decode(png(x[..., 0] if x.shape[2] == 1 else x), wanted)
    assert not isinstance(found, Fault)
    return found[0].astype(int)


@given(
    wanted=WANTED,
    height=SIDES,
    width=SIDES,
    channels=st.integers(1, 4),
    seed=st.integers(0, 99),
    is_smooth=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_resizing_inside_agrees_with_ours(
    wanted: Preprocessing, height: int, width: int, channels: int, seed: int, is_smooth: bool
) -> None:
    x = np.random.default_rng(seed).integers(0, 256, (1, height, width, channels), dtype=np.uint8)
    if is_smooth:
        x = x // 128 * 255
    found = run(wanted, x)
    assert found.shape == (1, *wanted.shape)
    assert np.abs(found[0] - ours(wanted, x[0])).max() <= 1


def test_the_check_of_an_export_passes_for_every_fit() -> None:
    nodes = (Node("flat", "flatten", ("image",)), Node("logits", "linear", ("flat",), {"units": 2}))
    graph = Graph(Input("image", (9, 7, 3), DataType.UINT8, (100.0,) * 3, (60.0,) * 3), nodes, "logits")
    weights = initialise(graph, np.random.default_rng(0))
    for fit in Fit:
        check_resizing(to_any_size(export_onnx(graph, weights, "ab", preprocessing=Preprocessing(9, 7, 3, fit))))
