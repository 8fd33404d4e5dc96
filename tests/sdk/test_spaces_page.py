"""The page on spaces: its example runs, and it names every parameter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neunets.graph import DataType, Input
from neunets.spaces import BranchedCells, Motifs, Parameters, PlainChains, SkipChains, training_parameters

PAGE = (Path(__file__).resolve().parents[2] / "docs/spaces.md").read_text()
GREY = Input("image", (28, 28, 1), DataType.UINT8, (0.0,), (1.0,))
SPACES = {kind.__name__: kind(GREY, 10) for kind in (PlainChains, SkipChains, BranchedCells, Motifs)}


def forms(text: str) -> set[str]:
    """Names in backticks without their numbers, with all sides and kinds of cells alike."""
    names = re.findall(r"`([a-z_0-9/]+)`", text)
    return {re.sub(r"\d+", "", name).replace("left", "right").replace("reduction", "normal") for name in names}


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert sum(bool(line) for line in example.splitlines()) <= 15
    exec(compile(example, "spaces.md", "exec"), {})
    assert "filters" in capsys.readouterr().out


@pytest.mark.parametrize("name", SPACES)
def test_the_page_tells_size_and_parameters_of_a_space(name: str) -> None:
    space = SPACES[name]
    assert re.search(rf"^\| `{name}` \| {len(space.parameters)} \| 10\^\d+ \|", PAGE, re.MULTILINE)
    assert told(space.parameters) <= forms(PAGE)


def test_the_page_tells_the_parameters_of_a_training() -> None:
    space = training_parameters(is_image=True, mirror_is_allowed=True, schedules=("one_cycle", "cosine_restarts"))
    section = PAGE.partition("## Beside the network")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [entry.name for entry in space]


def told(space: Parameters) -> set[str]:
    return forms(" ".join(f"`{entry.name}`" for entry in space))
