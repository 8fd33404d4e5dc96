"""The model card is complete, in both forms, and says nothing that was not measured."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.graph import DataType, Input
from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.export import Ancestor, ModelCard, measure
from neunets_engine.export.card import NOT_MEASURED

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
    preprocessing=Preprocessing(28, 20, 1, Fit.PAD),
    is_any_size=False,
    params=12345,
    flops=6789012,
    valid_accuracy=0.925,
    test_accuracy=0.915,
    test_balanced_accuracy=0.875,
    test_macro_f1=0.8625,
    measures=None,
    onnx_bytes=54321,
    latency_ms=0.125,
    max_abs_difference=2.5e-6,
    recipe='{"epochs": 3.5}',
    lineage=(
        Ancestor("t000001", (), 9000, 0.9),
        Ancestor("t000004", ("deepen conv 3x3 behind conv1", "widen conv1 to 24"), 12345, 0.9175),
    ),
    seed=17,
    wall_s=3661.0,
    versions={"onnx": "1.99", "torch": "2.98"},
    architecture=("conv1: conv", "logits: linear"),
    pictures=("curve.svg",),
)
# A cat, taken for a dog with 60 %, and two dogs, one of which is taken for a cat with 90 %.
MEASURES = measure(np.array([[0.4, 0.6], [0.9, 0.1], [0.0, 1.0]], np.float32), np.array([0, 1, 1]), 2)
SEPARATOR = re.compile(r"(?<!\\)\|")


def tables(markdown: str) -> dict[str, list[list[str]]]:
    """The cells of every section's table, as a renderer splits them; without the line below the header."""
    found: dict[str, list[list[str]]] = {}
    for section in re.split(r"^##? ", markdown, flags=re.MULTILINE):
        lines = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in SEPARATOR.split(line)[1:-1]] for line in lines]
        assert len({len(row) for row in cells}) <= 1
        found[section.partition("\n")[0]] = [row for row in cells if set(row) != {"---"}]
    return found


def rows(markdown: str) -> dict[str, str]:
    """Of all tables of pairs."""
    return {row[0]: row[1] for table in tables(markdown).values() for row in table if len(row) == 2}


def predictions_of(classes: int, taken_for: dict[int, int]) -> ModelCard:
    """A row of each class, told rightly with certainty, but for `taken_for`."""
    probabilities = np.eye(classes, dtype=np.float32)[[taken_for.get(label, label) for label in range(classes)]]
    names = tuple(f"kind {number}" for number in range(classes))
    return replace(CARD, classes=names, measures=measure(probabilities, np.arange(classes), classes))


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
        *("87.50%", "86.25%", "![curve](curve.svg)"),
        *("17", "3,661 s", "onnx 1.99, torch 2.98", "conv1: conv\nlogits: linear"),
    ):
        assert part in text


def test_how_images_were_resized_is_said() -> None:
    found = rows(CARD.to_markdown())
    assert found["size"] == "28 high, 20 wide"
    assert found["other aspects"] == "whole, in the middle between black bars"
    assert "(255, 255, 255)" in found["transparent pixels"]
    said = json.loads(CARD.to_json())["preprocessing"]
    assert Preprocessing.from_metadata(json.dumps(said)) == CARD.preprocessing
    assert (said["filter"], said["antialias"], said["orientation"]) == ("bilinear", True, "exif")
    assert "--any-size" in CARD.to_markdown()


def test_a_model_of_any_size_says_so() -> None:
    text = replace(CARD, is_any_size=True).to_markdown()
    assert "uint8 (N, height, width, channels), NHWC" in text
    assert "The file does all of it but the first step" in text


def test_sequences_have_no_section_on_images() -> None:
    assert "## Images" not in replace(CARD, preprocessing=None).to_markdown()


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
    measures = measure(np.eye(len(classes), dtype=np.float32), np.arange(len(classes)), len(classes))
    card = replace(CARD, classes=classes, dataset_source=source, measures=measures)
    assert rows(card.to_markdown()).keys() >= rows(CARD.to_markdown()).keys()
    assert len(tables(card.to_markdown())["Confusion"]) == len(classes) + 1
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


def test_the_classes_and_who_is_taken_for_whom_are_tables() -> None:
    found = tables(replace(CARD, measures=MEASURES).to_markdown())
    assert found["Classes"][1:] == [
        ["cat", "0.00%", "0.00%", "0.00%", "1"],
        ["dog", "50.00%", "50.00%", "50.00%", "2"],
    ]
    assert found["Confusion"] == [["", "cat", "dog"], ["**cat**", "·", "1"], ["**dog**", "1", "1"]]


def test_the_calibration_is_said() -> None:
    found = rows(replace(CARD, measures=MEASURES).to_markdown())
    assert found["expected calibration error"] == "50.00% (15 bins of equal width)"
    assert found["mean confidence"].startswith("83.33%")
    assert found["Brier score"].startswith("0.7800")


def test_the_json_has_all_measures_and_null_for_a_ratio_to_nothing() -> None:
    values = json.loads(replace(CARD, measures=MEASURES).to_json(), parse_constant=pytest.fail)["measures"]
    assert values["confusion"] == [[0, 1], [1, 1]]
    assert values["classes"][1] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    bins = values["calibration"]["bins"]
    assert [bin_["rows"] for bin_ in bins if bin_["rows"]] == [1, 1, 1]
    assert bins[0]["accuracy"] is None


def test_what_an_older_worker_did_not_measure_is_said() -> None:
    card = replace(CARD, test_balanced_accuracy=math.nan, test_macro_f1=math.nan)
    text = card.to_markdown()
    for title in ("Classes", "Confusion", "Calibration"):
        assert f"## {title}\n\nNot measured.\n" in text
    assert rows(text)["macro F1 of the test set"] == NOT_MEASURED
    assert json.loads(card.to_json())["measures"] is None


def test_of_many_classes_the_worst_and_the_most_confused_pairs_are_shown() -> None:
    found = tables(predictions_of(60, {7: 8}).to_markdown())
    assert [row[0] for row in found["Classes"][1:3]] == ["kind 7", "kind 8"]
    assert len(found["Classes"]) == 51
    assert found["Confusion"] == [["true class", "predicted", "test rows"], ["kind 7", "kind 8", "1"]]


def test_many_classes_without_a_confusion_are_not_a_table() -> None:
    assert "No row is confused." in predictions_of(21, {}).to_markdown()


def test_how_it_was_found_is_told_step_by_step() -> None:
    assert tables(CARD.to_markdown())["How it was found"] == [
        ["trial", "change", "parameters", "validation accuracy", "gain"],
        ["t000001", "first of its line", "9,000", "90.00%", ""],
        ["t000004", "deepen conv 3x3 behind conv1; widen conv1 to 24", "12,345", "91.75%", "+1.75 points"],
    ]
    steps = json.loads(CARD.to_json())["lineage"]
    assert steps[0] == {"trial": "t000001", "changes": [], "params": 9000, "valid_accuracy": 0.9}
    assert steps[1]["changes"] == ["deepen conv 3x3 behind conv1", "widen conv1 to 24"]


def test_a_step_without_an_accuracy_has_no_gain() -> None:
    lineage = (replace(CARD.lineage[0], valid_accuracy=math.nan), replace(CARD.lineage[1], changes=()))
    card = replace(CARD, lineage=lineage)
    found = tables(card.to_markdown())["How it was found"]
    assert found[1][3:] == [NOT_MEASURED, ""]
    assert found[2][1:] == ["another network, with weights of its own", "12,345", "91.75%", ""]
    assert json.loads(card.to_json())["lineage"][0]["valid_accuracy"] is None


def test_a_picture_that_was_not_drawn_is_not_linked() -> None:
    assert "![" not in replace(CARD, pictures=()).to_markdown()
