"""Write the pages that are made from tables of the code; `--check` only compares."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import kinds
import reference
from kinds import values

from neunets.conform import table
from neunets.ops import OPERATORS
from neunets_engine.lifecycle import mermaid

DOCS: Final = Path(__file__).resolve().parent


def lifecycle() -> str:
    return (
        "# The life of a run\n\n"
        "Made from the table in `engine/neunets_engine/lifecycle.py`, which the store enforces.\n"
        "A PAUSED run goes back to the state in which it was paused.\n\n"
        f"```mermaid\n{mermaid()}\n```\n"
    )


def operators() -> str:
    lines = [
        "# Operators of the network IR",
        "",
        "Made from the table in `plugins/sdk/neunets/ops.py`. Shapes are channels first, without the batch.",
        "The padding `same` is ONNX's SAME_UPPER; a pool's stride of 0 is its kernel.",
        "An attribute that a node leaves out has its default; what each operator costs: "
        "[any-language.md](any-language.md#cost-and-duplicates).",
        "",
        "| operator | inputs | attributes | what it does |",
        "| --- | --- | --- | --- |",
    ]
    for operator in OPERATORS.values():
        fewest, most = operator.inputs
        inputs = str(fewest) if fewest == most else f"{fewest} to {most}"
        attributes = "; ".join(f"`{name}` ({values(rule)})" for name, rule in operator.attributes.items()) or "none"
        lines.append(f"| `{operator.name}` | {inputs} | {attributes} | {operator.summary} |")
    return "\n".join(lines) + "\n"


def laws() -> str:
    lines = [
        "# Laws that the conformance kit tests",
        "",
        "Made from its registry; `conformance.md` says how they are tested.",
    ]
    for level in dict.fromkeys(level for _, level, _ in table()):
        lines += ["", f"## {level}", "", "| check | law |", "| --- | --- |"]
        lines += [f"| `{id_}` | {law} |" for id_, of, law in table() if of == level]
    return "\n".join(lines) + "\n"


PAGES: Final[Mapping[str, str]] = {
    "lifecycle.md": lifecycle(),
    "operators.md": operators(),
    "morphisms.md": kinds.page(),
    "laws.md": laws(),
    **reference.pages(),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a page is not current")
    stale = [name for name, text in PAGES.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text]
    if parser.parse_args().check:
        for name in stale:
            print(f"not current: docs/{name}; run docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
