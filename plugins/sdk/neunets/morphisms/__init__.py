"""Function-preserving morphisms: the graph of a network and, with its weights, what a changed one inherits."""

from neunets.morphisms.branch import Branch
from neunets.morphisms.branch_and_insert import BranchAndInsert
from neunets.morphisms.deepen import Deepen
from neunets.morphisms.insert_skip import InsertSkip
from neunets.morphisms.morphism import Morphism, Weights
from neunets.morphisms.registry import MORPHISMS, arguments_of, derive, inherit, morphism
from neunets.morphisms.rules import RULES
from neunets.morphisms.widen import Widen, width_step
from neunets.morphisms.widen_kernel import WidenKernel

__all__ = [
    "MORPHISMS",
    "RULES",
    "Branch",
    "BranchAndInsert",
    "Deepen",
    "InsertSkip",
    "Morphism",
    "Weights",
    "Widen",
    "WidenKernel",
    "arguments_of",
    "derive",
    "inherit",
    "morphism",
    "width_step",
]
