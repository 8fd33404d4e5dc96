"""One thread, and one data set for all tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from neunets_trainer.data import Data, load_data
from trainer.problems import write_images


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data(write_images(tmp_path_factory.mktemp("images")), "cpu")
