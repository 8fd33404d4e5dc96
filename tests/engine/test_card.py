"""The model card is complete, in both forms, and says nothing that was not measured."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.graph import DataType, Input
from neunets_engine.export import ModelCard

CARD = ModelCard(
    run="runs/r1",
    trial="t000007",
    synthesizer="random",
    task="image-classification",
    dataset_source="/data/pets",
    dataset_sha256="ab" * 32,
    train_rows=7000,
    valid_rows=800,
    test_rows=1200,
    test_held_out=True,
    classes=("cat", "dog"),
    input=Input("image", (28, 20, 1), DataType.UINT8, (33.25,), (78.5,)),
    params=12345,
    flops=6789012,
    valid_accuracy=0.925,
    test_accuracy=0.915,
    onnx_bytes=54321,
    latency_ms=0.125,
    max_abs_difference=2.5e-6,
    recipe='{"epochs": 3.5}',
    seed=17,
    wall_s=3661.0,
    versions={"onnx": "1.99", "torch": "2.98"},
    architecture=("conv1: conv", "logits: linear"),
)
SEPARATOR = re.compile(r"(?<!\\)\|")


def rows(markdown: str) -> dict[str, str]:
    """Of all tables, as a renderer splits them."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in SEPARATOR.split(line)] for line in lines]
    assert all(len(row) == 4 for row in cells)
    return {row[1]: row[2] for row in cells}


def test_the_json_has_every_field_of_the_card() -> None:
    values = json.loads(CARD.to_json())
    assert list(values) == [field.name for field in fields(ModelCard)]
    assert values["classes"] == ["cat", "dog"]
    assert values["input"] == {
        "name": "image", "shape": [28, 20, 1], "dtype": "uint8", "mean": [33.25], "std": [78.5],
    }  # fmt: skip
    assert values["recipe"] == {"epochs": 3.5}
    assert values["versions"] == {"onnx": "1.99", "torch": "2.98"}


def test_the_markdown_says_everything() -> None:
    text = CARD.to_markdown()
    for part in (
        *("runs/r1", "t000007", "`random`", "image-classification", "/data/pets", "ab" * 32, "7,000", "800", "1,200"),
        *("held out of the source's only set", "cat, dog", "uint8 (N, 28, 20, 1), NHWC", '"image"', "33.25", "78.5"),
        *("12,345", "6,789,012", "92.50%", "91.50%", "54,321 bytes", "0.125 ms", "2.5e-06", '{"epochs": 3.5}'),
        *("17", "3,661 s", "onnx 1.99, torch 2.98", "conv1: conv\nlogits: linear"),
    ):
        assert part in text


def test_a_test_set_of_the_source_is_told_from_one_held_out() -> None:
    assert "1,200, the source's own test set" in replace(CARD, test_held_out=False).to_markdown()


def test_a_sequence_is_used_by_its_own_name_and_layout() -> None:
    given = Input("sequence", (100, 2), DataType.FLOAT32, (0.0, 1.0), (1.0, 2.0))
    text = replace(CARD, input=given).to_markdown()
    assert '{"sequence": x}' in text
    assert "float32 (N, 100, 2), NLC" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_was_not_measured_is_null(value: float) -> None:
    card = replace(CARD, test_accuracy=value, latency_ms=value)
    values = json.loads(card.to_json(), parse_constant=pytest.fail)
    assert (values["test_accuracy"], values["latency_ms"]) == (None, None)
    assert rows(card.to_markdown())["test accuracy"] == "not measured"


def test_an_accuracy_over_no_rows_is_not_measured() -> None:
    assert rows(replace(CARD, test_rows=0).to_markdown())["test accuracy"] == "not measured"


@given(classes=st.lists(st.text(), min_size=2, max_size=5).map(tuple), source=st.text())
def test_no_name_breaks_a_table(classes: tuple[str, ...], source: str) -> None:
    card = replace(CARD, classes=classes, dataset_source=source)
    assert rows(card.to_markdown()).keys() == rows(CARD.to_markdown()).keys()
    assert json.loads(card.to_json())["classes"] == list(classes)


def test_a_bar_in_a_name_is_kept() -> None:
    assert rows(replace(CARD, classes=("a|b", "c\nd")).to_markdown())["classes"] == r"a\|b, c d"


@given(rows_=st.integers(1, 10**7), share=st.floats(0.0, 1.0))
def test_the_interval_of_an_accuracy_holds_it_and_stays_within_0_to_1(rows_: int, share: float) -> None:
    accuracy = round(share * rows_) / rows_
    text = rows(replace(CARD, test_accuracy=accuracy, test_rows=rows_).to_markdown())["test accuracy"]
    percents = [float(number) for number in re.findall(r"([\d.]+)%", text)]
    value, low, high = percents
    assert value == pytest.approx(100.0 * accuracy, abs=0.01)
    assert 0.0 <= low <= value <= high <= 100.0
    assert high > low or rows_ > 1000


def test_the_interval_is_wilsons() -> None:
    text = rows(replace(CARD, test_accuracy=0.9, test_rows=10).to_markdown())["test accuracy"]
    assert text == "90.00% (95 % interval 59.58% to 98.21%, 10 rows)"
