"""Checkpoints survive their bytes, and no other bytes are taken for one."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from neunets.errors import BadCheckpoint
from neunets_trainer.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint

values = arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
keys = st.builds("{}.{}".format, st.text("abc/_0123", min_size=1), st.sampled_from(("weight", "bias", "running_var")))
named: st.SearchStrategy[dict[str, NDArray[np.float32]]] = st.dictionaries(keys, values, max_size=4)
averages = st.none() | named.filter(bool)
checkpoints = st.builds(Checkpoint, st.integers(0, 1 << 53), st.floats(0.0, 1e9), named, named, averages)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
trees = st.recursive(scalars, lambda t: st.lists(t) | st.dictionaries(st.text() | st.just("__metadata__"), t))


@given(checkpoint=checkpoints)
def test_a_checkpoint_survives_its_bytes(checkpoint: Checkpoint) -> None:
    again = decode_checkpoint(encode_checkpoint(checkpoint))
    assert (again.step, again.device_s) == (checkpoint.step, checkpoint.device_s)
    assert (again.average is None) == (checkpoint.average is None)
    pairs = [(again.weights, checkpoint.weights), (again.momentum, checkpoint.momentum)]
    for kept, given_ in (*pairs, (again.average or {}, checkpoint.average or {})):
        assert kept.keys() == given_.keys()
        for key, value in given_.items():
            assert kept[key].dtype == np.float32
            np.testing.assert_array_equal(kept[key], value, strict=True)


@given(checkpoint=checkpoints, cut=st.data())
def test_a_truncated_checkpoint_is_refused(checkpoint: Checkpoint, cut: st.DataObject) -> None:
    whole = encode_checkpoint(checkpoint)
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        decode_checkpoint(whole[: cut.draw(st.integers(0, len(whole) - 1))])


@given(data=st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        decode_checkpoint(data)


@given(header=trees)
def test_another_header_is_refused(header: Any) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(BadCheckpoint):
        decode_checkpoint(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize(
    "metadata", [{}, {"step": "1"}, {"step": "one", "device_s": "1.0"}, {"step": "1", "device_s": ""}]
)
def test_a_header_without_the_numbers_is_refused(metadata: dict[str, str]) -> None:
    text = json.dumps({"__metadata__": metadata}).encode()
    with pytest.raises(BadCheckpoint):
        decode_checkpoint(struct.pack("<Q", len(text)) + text)
