"""Other formats of an exported model: made once, measured on the whole test set, kept beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neunets.draws import generator
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets_engine.artifacts import Artifacts
from neunets_engine.datasets.integrity import Checked
from neunets_engine.export import (
    Format,
    Variant,
    accuracy,
    append_json,
    append_markdown,
    convert,
    describe_plain,
    latency_ms,
)
from neunets_engine.store import Store

__all__ = ["FORMATS", "Variants", "variant_to_proto"]

ONNX_TYPE: Final = "application/onnx"
JSON_TYPE: Final = "application/json"
PLAIN_JSON: Final = "model.plain.json"
CALIBRATION_ROWS: Final = 512
CALIBRATION_DRAW: Final = 1
FORMATS: Final[Mapping[service_pb2.ExportModelRequest.Format.ValueType, Format]] = {
    service_pb2.ExportModelRequest.FORMAT_INT8: Format.INT8,
    service_pb2.ExportModelRequest.FORMAT_FLOAT16: Format.FLOAT16,
    service_pb2.ExportModelRequest.FORMAT_ANY_SIZE: Format.ANY_SIZE,
    service_pb2.ExportModelRequest.FORMAT_PLAIN: Format.PLAIN,
}
NUMBERS: Final = {wanted: number for number, wanted in FORMATS.items()}


class Variants:
    """`datasets`: the folder of all kept arrays. Requests are worked on one by one, since each uses all cores."""

    def __init__(self, store: Store, artifacts: Artifacts, datasets: Path) -> None:
        self._store = store
        self._artifacts = artifacts
        self._datasets = datasets
        self._checked = Checked(datasets)
        self._working = asyncio.Lock()

    async def export(self, run_id: str, trial: str, formats: Sequence[Format], max_drop: float) -> list[Variant]:
        """The variants of an exported trial, in the order of `formats`; those that are not kept yet are made.

        One whose test accuracy is lower by more than `max_drop` is refused: then it has no file, also where it had one.
        Raises: IllegalTransition where the data are gone or damaged.
        """
        async with self._working:
            record = self._store.trial(run_id, trial)
            kept = {variant.format: variant for variant in map(_from_proto, record.variants)}
            found = {wish: kept[wish].judged(max_drop) for wish in formats if wish in kept}
            absent = {wish for wish in formats if wish not in kept or (kept[wish].refused and not found[wish].refused)}
            if absent or any(kept[wish] != variant for wish, variant in found.items()):
                made = await asyncio.to_thread(self._make, record, absent, max_drop)
                found |= {variant.format: variant for variant, _ in made}
                files = {variant.format.file: model for variant, model in made}
                variants = [(kept | found)[wish] for wish in Format if wish in kept | found]
                artifacts = await asyncio.to_thread(self._put, record, variants, files)
                await self._store.keep_variants(run_id, trial, artifacts, list(map(variant_to_proto, variants)))
            return [found[wish] for wish in formats]

    def _make(self, trial: store_pb2.TrialRecord, formats: Set[Format], max_drop: float) -> list[tuple[Variant, bytes]]:
        """Each with its file's content."""
        if not formats:
            return []
        spec = self._store.run(trial.run).run.spec
        dataset = self._store.dataset(spec.dataset)
        folder = self._datasets / dataset.sha256
        self._checked.check(dataset)
        float32 = self._artifacts.get(_refs(trial)["model.onnx"].ref.sha256)
        x, y = np.load(folder / "x_test.npy", mmap_mode="r"), np.load(folder / "y_test.npy")
        float32_accuracy = accuracy(float32, x, y)
        made = []
        for wish in formats:
            model = convert(float32, wish, _calibration(folder, spec.seed))
            figures = accuracy(model, x, y), float32_accuracy, len(model), latency_ms(model, x[:1])
            made.append((Variant(wish, *figures).judged(max_drop), model))
        return made

    def _put(
        self, trial: store_pb2.TrialRecord, variants: Sequence[Variant], files: Mapping[str, bytes]
    ) -> list[service_pb2.Artifact]:
        """All files of the model: the new ones too, none of a refused variant, and the card says so."""
        refs = _refs(trial)
        cards = {"card.md": append_markdown, "card.json": append_json}
        contents = {name: (files[name], ONNX_TYPE) for name in files}
        for name, append in cards.items():
            before = self._artifacts.get(refs[name].ref.sha256).decode()
            contents[name] = append(before, variants).encode(), refs[name].ref.media_type
        if Format.PLAIN.file in files:
            contents[PLAIN_JSON] = describe_plain(files[Format.PLAIN.file]).encode(), JSON_TYPE
        refused = {variant.format.file for variant in variants if variant.refused}
        new = {
            name: service_pb2.Artifact(file=name, ref=self._artifacts.put(data, media_type))
            for name, (data, media_type) in contents.items()
            if name not in refused
        }
        return [artifact for name, artifact in (refs | new).items() if name not in refused]


def _refs(trial: store_pb2.TrialRecord) -> dict[str, service_pb2.Artifact]:
    return {artifact.file: artifact for artifact in trial.artifacts}


def _calibration(folder: Path, seed: int) -> NDArray[Any]:
    """Some hundred training rows: (n, H, W, C) or (n, L, C), as stored."""
    rows = np.flatnonzero(~np.load(folder / "split.npy"))
    chosen = generator(seed, CALIBRATION_DRAW).choice(rows, min(CALIBRATION_ROWS, len(rows)), replace=False)
    x: NDArray[Any] = np.load(folder / "x_train.npy", mmap_mode="r")[np.sort(chosen)]
    return x


def variant_to_proto(variant: Variant) -> service_pb2.Variant:
    return service_pb2.Variant(
        format=NUMBERS[variant.format],
        file="" if variant.refused else variant.format.file,
        accuracy=variant.accuracy,
        float32_accuracy=variant.float32_accuracy,
        bytes=variant.size,
        latency_ms=variant.latency_ms,
        refused=variant.refused,
    )


def _from_proto(variant: service_pb2.Variant) -> Variant:
    return Variant(
        FORMATS[variant.format],
        variant.accuracy,
        variant.float32_accuracy,
        variant.bytes,
        variant.latency_ms,
        variant.refused,
    )
