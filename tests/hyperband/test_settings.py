"""What users may set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from neunets.errors import InvalidRequest
from neunets_hyperband.levels import Convention
from neunets_hyperband.settings import PRESETS, SCHEMA, Mode, Modelling, Representation, settings_of


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(dict(SCHEMA))


def test_every_setting_is_in_the_schema() -> None:
    properties = SCHEMA["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == {"preset", *PRESETS["fast"].__dataclass_fields__}


def test_the_preset_is_where_the_others_start() -> None:
    found = settings_of({"preset": "bohb", "eta": 4.0, "space": "motifs"})
    assert (found.mode, found.model, found.convention) == (Mode.HYPERBAND, Modelling.KDE, Convention.HPBANDSTER)
    assert (found.eta, found.space) == (4, Representation.MOTIFS)
    assert isinstance(found.eta, int)
    assert settings_of({}) == PRESETS["fast"]


def test_the_highest_rung_is_not_below_the_lowest() -> None:
    with pytest.raises(InvalidRequest, match="max_epochs"):
        settings_of({"min_epochs": 3.0, "max_epochs": 2.0})


def test_the_page_tells_every_setting() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/hyperband.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    properties = SCHEMA["properties"]
    assert isinstance(properties, dict)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == [*properties]


def test_a_run_may_begin_with_what_did_well_on_other_data() -> None:
    assert {name: preset.warm for name, preset in PRESETS.items()} == {"fast": 5, "hyperband": 0, "asha": 0, "bohb": 0}
    assert settings_of({"warm": 32.0}).warm == 32
