"""Examples that are mapped from their file are those that would be in memory, and cost no memory of the process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import NotFound
from neunets_trainer.data import Data, Split, load_data
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Task
from trainer.problems import assert_same_weights, network, train, write_images

RECIPE = Recipe(epochs=3.0, batch_size=16, shift=1)


def in_memory(data: Data) -> Data:
    """The same splits, copied."""
    folder = data.folder
    x, y, is_valid = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("x_train", "y_train", "split"))
    return Data(folder, "cpu", Split(x[~is_valid], y[~is_valid]), Split(x[is_valid], y[is_valid]))


def curve(metrics: Mapping[str, float]) -> dict[str, float]:
    """What no clock and no other process has a part in."""
    return {name: value for name, value in metrics.items() if name.endswith(("_loss", "_accuracy", "_f1", "epochs"))}


def test_the_curve_is_that_of_data_in_memory_bit_for_bit(data: Data) -> None:
    one, first = train(Task(network(), RECIPE, 0, data, final=True))
    other, second = train(Task(network(), RECIPE, 0, in_memory(data), final=True))
    assert [curve(event.metrics) for event in (*one, first)] == [curve(event.metrics) for event in (*other, second)]
    assert_same_weights(first.weights, second.weights)


@given(rows=st.lists(st.integers(0, 95), max_size=40), size=st.integers(1, 50), end=st.none() | st.integers(0, 120))
def test_rows_and_blocks_are_those_of_data_in_memory(data: Data, rows: list[int], size: int, end: int | None) -> None:
    copied, chosen = in_memory(data), torch.tensor(rows, dtype=torch.int64)
    for one, other in zip(data.train.take(chosen), copied.train.take(chosen), strict=True):
        assert torch.equal(one, other)
    for one_block, other_block in zip(data.valid.blocks(size, end), copied.valid.blocks(size, end), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(one_block, other_block, strict=True))


def test_train_and_valid_share_one_array(data: Data) -> None:
    assert data.train.stored.data_ptr() == data.valid.stored.data_ptr()


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "x_train.npy").unlink()
    with pytest.raises(NotFound, match=r"x_train\.npy is missing: register"):
        load_data(tmp_path, "cpu")


@pytest.mark.parametrize("left", [0, 20, 150])
def test_an_array_that_was_cut_is_named(left: int, tmp_path: Path) -> None:
    write_images(tmp_path)
    file = tmp_path / "x_train.npy"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(NotFound, match=r"x_train\.npy is damaged .*: register"):
        load_data(tmp_path, "cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="the memory is read from /proc")
def test_reading_all_of_a_mapped_set_takes_no_memory_of_the_process(tmp_path: Path) -> None:
    x = np.lib.format.open_memmap(tmp_path / "x_train.npy", "w+", np.uint8, (64 << 10, 1 << 10, 1, 1))  # 64 MiB
    x.flush()
    for name, array in {"y_train": np.zeros(len(x), np.int64), "split": np.arange(len(x)) % 8 == 0}.items():
        np.save(tmp_path / f"{name}.npy", array)
    program = """
        import sys
        from pathlib import Path

        from neunets_trainer.data import load_data

        def private_bytes() -> int:
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))

        data = load_data(Path(sys.argv[1]), "cpu")
        _ = sum(int(x.sum()) for x, _ in data.train.blocks(256, 1024))
        before = private_bytes()
        _ = sum(int(x.sum()) for x, _ in data.train.blocks(256))
        print(private_bytes() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < x.nbytes // 2  # a copy would take all of it; what is left are the allocator's own pages


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_rows_come_to_the_device_from_a_file_and_from_its_own_memory(
    share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neunets_trainer.data.RESIDENT_SHARE", share)
    data = load_data(write_images(tmp_path), "cuda:0")
    copied, rows = in_memory(data), torch.tensor([5, 2, 2, 90])
    assert data.train.stored.device.type == ("cuda" if share else "cpu")
    for one, other in zip(data.train.take(rows.to("cuda:0")), copied.train.take(rows), strict=True):
        assert torch.equal(one.cpu(), other)
    (block, *_), (expected, *_) = data.valid.blocks(7), copied.valid.blocks(7)
    assert torch.equal(block[0].cpu(), expected[0])
