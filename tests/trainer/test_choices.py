"""The settings of a device are measured once, and what is chosen is among the fastest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from neunets.machine import Choices, MemoryFormat, Precision, fingerprint, read, write
from neunets_trainer.choices import choose, complete
from neunets_trainer.measurement import Setting, TrainingStep, rates, settings
from neunets_trainer.precision import autocast, tensor_cores

MEASURED = Choices(Precision.FLOAT32, MemoryFormat.CHANNELS_LAST, 96, 3, 2)


def test_a_first_start_measures_the_formats_and_keeps_them(tmp_path: Path) -> None:
    chosen = choose("cpu", tmp_path)
    assert chosen.format_rates.keys() == {setting.form for setting in settings("cpu")}
    assert read(tmp_path, "cpu") == chosen


def test_the_chosen_format_is_the_fastest_of_its_precision(tmp_path: Path) -> None:
    chosen = choose("cpu", tmp_path)
    own = {form: rate for form, rate in chosen.format_rates.items() if form.startswith(chosen.precision.value)}
    assert max(own, key=lambda form: own[form]) == f"{chosen.precision.value} {chosen.memory_format.value}"


def test_what_is_known_is_not_measured_again(tmp_path: Path) -> None:
    write(tmp_path, "cpu", MEASURED)
    assert choose("cpu", tmp_path) == MEASURED
    assert complete("cpu", tmp_path) == MEASURED


def test_a_file_that_cannot_be_read_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f"{fingerprint('cpu')}.json").write_text('{"precision": "bfloat16"')
    assert read(tmp_path, "cpu") is None
    assert choose("cpu", tmp_path) == read(tmp_path, "cpu")


def test_a_folder_that_cannot_be_written_to_costs_the_measurement_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert choose("cpu", tmp_path / "file" / "folder").format_rates


@pytest.mark.slow
def test_the_rest_is_measured_on_demand(tmp_path: Path) -> None:
    formats = choose("cpu", tmp_path)
    known = complete("cpu", tmp_path)
    assert known.is_complete
    assert known.format_rates == formats.format_rates
    assert str(known.batch_size) in known.batch_rates
    assert known.worker_rates[f"{known.workers} x {known.threads}"] > 0.0
    assert (known.workers or 0) * (known.threads or 0) <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("setting", settings("cpu"), ids=lambda setting: setting.form)
def test_a_measured_step_trains(setting: Setting) -> None:
    step = TrainingStep(Setting(setting.precision, setting.memory_format, 4), "cpu")
    assert step.images_per_s(0.0) > 0.0


def test_every_setting_has_a_rate() -> None:
    tried = [Setting(Precision.FLOAT32, MemoryFormat.CONTIGUOUS, batch) for batch in (1, 2)]
    assert list(rates(tried, "cpu")) == tried


@pytest.mark.parametrize("precision", Precision)
def test_only_tf32_lets_tensor_cores_round_and_leaves_no_trace(precision: Precision) -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    with tensor_cores(precision):
        assert (matmul.fp32_precision == "tf32") is (precision is Precision.TENSOR_FLOAT32)
    assert matmul.fp32_precision == before


def test_only_bfloat16_is_cast() -> None:
    x = torch.ones(2, 2)
    types = {}
    for precision in Precision:
        with autocast(precision, "cpu"):
            types[precision] = (x @ x).dtype
    assert types.pop(Precision.BFLOAT16) == torch.bfloat16
    assert set(types.values()) == {torch.float32}
