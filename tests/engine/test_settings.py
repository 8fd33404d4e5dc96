"""What plugins say of themselves and of their settings: nothing is fetched, and nothing takes for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from neunets.errors import InvalidRequest, PluginFault
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.plugins import SettingsCheck
from neunets_engine.plugins.description import check_description

# Each level asks for the next one twice.
DOUBLING = {f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(40)}


def described(schema: Any) -> synthesizer_pb2.DescribeResponse:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return synthesizer_pb2.DescribeResponse(name="odd", settings_schema_json=text)


async def check(schema: Any, settings: dict[str, Any], within_s: float = 30.0) -> None:
    await SettingsCheck(within_s).check("odd", json.dumps(schema), settings)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "http://127.0.0.1:1/schema"}, "refers to 'http://127.0.0.1:1/schema': nothing is fetched"),
        ({"properties": {"a": {"anyOf": [{"$ref": "file:///etc/passwd"}]}}}, "refers to 'file:///etc/passwd'"),
        ({"$id": "https://example.org/a", "$dynamicRef": "b.json#c"}, "refers to 'b.json#c'"),
        ("{", "is no JSON"),
        ("[" * 60_000, "is no JSON"),
        ({"description": "x" * 70_000}, "has 70019 bytes"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_at_once(schema: Any, why: str) -> None:
    with pytest.raises(PluginFault, match=r"synthesizer odd: Describe\.settings_schema_json ") as refused:
        check_description("odd", described(schema))
    assert why in refused.value.message


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/a", "$defs": {"a": {}}}, {"const": {"$ref": "http://a"}}, ""])
def test_a_schema_that_stands_alone_is_taken(schema: Any) -> None:
    check_description("odd", described(schema))


@pytest.mark.parametrize(
    ("field", "value"), [("summary", "x" * (3 << 20)), ("version", "../x\n\x1b[31m"), ("tasks", ["a"] * 300)]
)
def test_what_cannot_be_shown_is_refused(field: str, value: object) -> None:
    with pytest.raises(PluginFault, match=f"Describe.{field} has "):
        check_description("odd", synthesizer_pb2.DescribeResponse(**{field: value}))


async def test_settings_are_refused_by_their_path() -> None:
    schema = {"properties": {"a": {"properties": {"b": {"type": "integer", "minimum": 1}}}}}
    await check(schema, {"a": {"b": 1}})
    with pytest.raises(InvalidRequest) as refused:
        await check(schema, {"a": {"b": 0}})
    assert refused.value.field == "spec.settings.a.b"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "nothing"}, "'nothing' is not valid"),
        ({"$ref": "#/$defs/none"}, "it has no '/$defs/none'"),
        ({"$ref": "#"}, "without an end"),
    ],
)
async def test_a_schema_that_is_none_is_the_plugins_fault(schema: Any, why: str) -> None:
    with pytest.raises(PluginFault) as refused:
        await check(schema, {"a": "x"})
    assert why in refused.value.message


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#/$defs/d0", "$defs": DOUBLING | {"d40": {}}}, {"properties": {"a": {"pattern": "^(a+)+$"}}}],
)
async def test_a_check_that_takes_too_long_is_the_plugins_fault(schema: Any) -> None:
    with pytest.raises(PluginFault, match="takes longer than 1 s"):
        await check(schema, {"a": "a" * 64 + "!"}, within_s=1.0)
