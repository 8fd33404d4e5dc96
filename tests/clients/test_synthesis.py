"""What a synthesis leaves, and what is refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import neunets_client
from neunets.errors import InvalidRequest
from neunets_client import Synthesis, synthesize

PUBLIC = {
    "AsyncClient", "Client", "Connection", "DamagedFile", "Predictions", "Relative", "Synthesis", "connect",
    "connect_async", "default_home", "predict_all", "synthesize", "trials_frame",
}  # fmt: skip


def left(folder: Path) -> Synthesis:
    (folder / "card.md").write_text("# Model card\n", encoding="utf-8")
    figures = {"test_accuracy": 0.75, "valid_accuracy": 0.8, "model_bytes": 1234.0, "latency_ms": 0.5}
    return Synthesis("runs/r", "COMPLETED", folder / "<model>.onnx", figures, 4321, ("0", "1"), 61.5, ())


def test_the_public_names_are_there() -> None:
    assert set(neunets_client.__all__) == PUBLIC
    assert all(hasattr(neunets_client, name) for name in PUBLIC)


def test_figures_and_card_are_at_hand(tmp_path: Path) -> None:
    synthesis = left(tmp_path)
    assert (synthesis.test_accuracy, synthesis.valid_accuracy) == (0.75, 0.8)
    assert synthesis.card == "# Model card\n"
    assert "models" not in repr(synthesis)
    with pytest.raises(AttributeError):
        synthesis.run = "another"  # type: ignore[misc]


def test_a_notebook_shows_the_figures_and_the_curve(tmp_path: Path) -> None:
    synthesis = left(tmp_path)
    assert "<svg" not in synthesis._repr_html_()
    (tmp_path / "curve.svg").write_text("<svg/>", encoding="utf-8")
    shown = synthesis._repr_html_()
    for part in (
        "0.7500",
        "0.8000",
        "4,321",
        "1,234 bytes",
        "0.500 ms",
        "&lt;model&gt;.onnx",
        "r, completed",
        "<svg/>",
    ):
        assert part in shown


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"budget": "soon"}, "budget"),
        ({"budget": 2}, "budget"),
        ({"budget": None}, "budget"),
        ({"out": "/proc/nowhere"}, "out"),
        ({"progress": "loud"}, "progress"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(options: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        synthesize("digits", home=tmp_path, **options)
    assert caught.value.field == field
    assert list(tmp_path.iterdir()) == []  # no engine was started for it
