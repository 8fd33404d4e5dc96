"""Damage to what a run has left is a refusal that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines import follow
from neunets.errors import Damaged, NeunetsError, NotFound
from neunets.service.v1 import service_pb2
from neunets_client.client import Client

INT8 = service_pb2.ExportModelRequest.FORMAT_INT8


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def run(client: Client, dataset: service_pb2.Dataset) -> service_pb2.Run:
    return follow(client, client.create(dataset.name, synthesizer="good", trials=2, seed=11).name).run


@pytest.mark.parametrize(("damage", "kind"), [(flip, Damaged), (Path.unlink, NotFound)])
def test_a_damaged_artifact_is_named(
    client: Client, home: Path, run: service_pb2.Run, tmp_path: Path, damage: Callable[[Path], None],
    kind: type[NeunetsError],
) -> None:  # fmt: skip
    final = client.model(run.model)
    other = next(each for each in client.models(run.name, "final = false") if each.trial != final.final_of)
    digests = {each.file: each.ref.sha256 for each in final.artifacts}
    onnx, weights = digests["model.onnx"], other.result.artifacts["weights"].sha256
    calls: list[tuple[str, Callable[[], object]]] = [
        (onnx, lambda: client.download(run.model, tmp_path / "model")),
        (onnx, lambda: client.export(run.model, [INT8])),
        (onnx, lambda: client.pick(run.model)),
        (weights, lambda: client.pick(other.name)),
    ]
    for digest in (onnx, weights):
        damage(home / "artifacts" / digest[:2] / digest)
    for digest, call in calls:
        with pytest.raises(kind, match=f"{digest[:2]}/{digest}.*restore this file"):
            call()
