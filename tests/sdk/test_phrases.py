"""Morphisms are told in words, those that are made alike in several cells at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.lineage import lineage_to_proto
from neunets.morphisms import MORPHISMS, Branch, BranchAndInsert, Deepen, InsertSkip, Morphism, Widen, WidenKernel
from neunets.phrases import phrases
from neunets.synthesizer.v1 import synthesizer_pb2

WORDS: list[tuple[Morphism, str]] = [
    (Widen("cell1/conv", 24), "widen cell1/conv to 24"),
    (Widen("conv", 24, noise=0.01), "widen conv to 24 with noise 0.01"),
    (Widen("conv", 24, shares=0.5), "widen conv to 24"),
    (Deepen("cell1/conv", function="none"), "deepen conv 3x3 behind cell1/conv"),
    (Deepen("relu", "separable_conv", 5, norm=True), "deepen separable conv 5x5 + norm + relu behind relu"),
    (Deepen("relu", "linear", noise=0.001), "deepen linear + relu behind relu with noise 0.001"),
    (WidenKernel("a/b/conv", 7), "widen kernel of a/b/conv to 7x7"),
    (InsertSkip("relu", "depthwise_conv"), "insert skip with depthwise conv 3x3 + norm + relu behind relu"),
    (Branch("conv"), "branch conv"),
    (Branch("conv", 5), "branch conv at 5"),
    (BranchAndInsert("conv"), "branch conv and insert conv 3x3 + relu on the right"),
    (
        BranchAndInsert("conv", 3, "left", norm=True, function="none"),
        "branch conv at 3 and insert conv 3x3 + norm on the left",
    ),
]


def told(*lineage: Morphism, axes: int = 2) -> tuple[str, ...]:
    return phrases(lineage_to_proto(lineage), axes)


@pytest.mark.parametrize(("change", "words"), WORDS)
def test_a_morphism_has_its_words(change: Morphism, words: str) -> None:
    assert told(change) == (words,)


def test_every_kind_has_words_of_its_own() -> None:
    assert {change.kind for change, _ in WORDS} == MORPHISMS.keys()


def test_a_kernel_has_the_axes_of_the_input() -> None:
    assert told(WidenKernel("conv", 5), axes=1) == ("widen kernel of conv to 5",)


def test_the_same_change_in_several_cells_is_one_phrase() -> None:
    lineage = [
        Deepen("cell1/conv", seed=1),
        Widen("cell1/conv", 8),
        Deepen("cell2/conv", seed=2),
        Widen("cell2/conv", 16),
        Deepen("cell1/relu"),
    ]
    assert told(*lineage) == (
        "deepen conv 3x3 + relu behind conv of cell1, cell2",
        "widen cell1/conv to 8",
        "widen cell2/conv to 16",
        "deepen conv 3x3 + relu behind cell1/relu",
    )


def test_of_many_cells_the_first_are_named() -> None:
    lineage = [Branch(f"cell{number}/conv") for number in range(1, 8)]
    assert told(*lineage) == ("branch conv of cell1, cell2, cell3 and 4 more",)
    assert told(*lineage[:3]) == ("branch conv of cell1, cell2, cell3",)


@given(kind=st.text(), node=st.text().filter(lambda node: not node or all(node.split("/"))))  # scopes have names
def test_what_is_not_known_is_told_by_its_kind(kind: str, node: str) -> None:
    (words,) = phrases([synthesizer_pb2.Morph(kind=f"x{kind}", node=node)], 2)
    assert words == f"x{kind} at {node}".strip()


def test_arguments_of_another_version_do_not_matter() -> None:
    message = lineage_to_proto([Widen("conv", 24)])[0]
    message.args["later"].int = 3
    assert phrases([message], 2) == ("widen at conv",)


def test_nothing_is_told_of_nothing() -> None:
    assert phrases([], 2) == ()
