"""What the documents promise is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from neunets.errors import (
    BadCheckpoint,
    CallInFlight,
    InvalidRequest,
    RunNotOpen,
    SequenceGap,
    StaleEpoch,
    UnsupportedProblem,
)
from neunets.morphisms import MORPHISMS, RULES
from neunets.ops import OPERATORS
from neunets.status import STATUS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_each_hop_of_a_candidate_is_a_function_in_the_code() -> None:
    hops = re.findall(r"^\| (\d+) \| `(\w+)` \| `([\w/.]+)` \|$", README, re.MULTILINE)
    assert [int(number) for number, _, _ in hops] == list(range(1, len(hops) + 1))
    assert 2 <= len(hops) <= 12
    for _, name, path in hops:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        tree = ast.walk(ast.parse((ROOT / path).read_text()))
        assert name in {node.name for node in tree if isinstance(node, functions)}, path


def test_the_readme_is_short_and_its_paths_exist() -> None:
    assert len(README.splitlines()) <= 150
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_morphism_and_every_rule_that_refuses_one_is_told() -> None:
    page = (ROOT / "docs/morphisms.md").read_text()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [*MORPHISMS]
    assert {*re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)} == {*RULES}
    for made in MORPHISMS.values():
        section = page.partition(f"## {made.kind}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE) == [*made.arguments]


def test_the_checklist_has_every_refusal_of_a_synthesizer_and_the_cost_of_every_operator() -> None:
    page = (ROOT / "docs/any-language.md").read_text()
    for kind in (InvalidRequest, UnsupportedProblem, RunNotOpen, StaleEpoch, CallInFlight, SequenceGap, BadCheckpoint):
        code, reason = STATUS[kind]
        assert f"| {code.name} | {reason} |" in page
    costs = page.partition("| operator | parameters | FLOPs |")[2].partition("\n\n")[0]
    assert {*re.findall(r"`(\w+)`", costs)} - {"bias"} == {*OPERATORS}


def test_every_variable_that_a_launched_synthesizer_gets_is_told() -> None:
    page = (ROOT / "docs/launching.md").read_text()
    for source in ("engine/neunets_engine/plugins/process.py", "plugins/sdk/neunets/conform/launch.py"):
        for name in re.findall(r'"(NEUNETS_\w+)":', (ROOT / source).read_text()):
            assert f"| `{name}` |" in page, name


def test_the_example_plugin_is_short() -> None:
    source = (ROOT / "plugins/random/neunets_random/__main__.py").read_text()
    assert len(source.splitlines()) <= 80
