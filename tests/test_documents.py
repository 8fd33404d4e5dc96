"""What the documents promise is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from neunets.morphisms import MORPHISMS, RULES

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


def test_the_example_plugin_is_short() -> None:
    source = (ROOT / "plugins/random/neunets_random/__main__.py").read_text()
    assert len(source.splitlines()) <= 80
