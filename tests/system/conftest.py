"""One engine for all tests of this folder that do not kill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import engine
from fakes import small_images
from neunets.service.v1 import service_pb2
from neunets_client.client import Client
from neunets_client.connection import Connection


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_images(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def connection(home: Path) -> Iterator[Connection]:
    with engine(home) as opened:
        yield opened


@pytest.fixture(scope="session")
def client(connection: Connection) -> Client:
    return Client(connection)


@pytest.fixture(scope="session")
def dataset(client: Client, images: Path) -> service_pb2.Dataset:
    return client.register(str(images), seed=0)
