"""Search spaces that synthesizers may share."""

from neunets.spaces.branched import BranchedCells
from neunets.spaces.chain import ChainSpace
from neunets.spaces.designs import SPACES, Designs
from neunets.spaces.motifs import Motifs
from neunets.spaces.parameters import (
    AnyOf,
    Condition,
    Configuration,
    Parameter,
    Parameters,
    Value,
    choice,
    real,
    value_of,
    whole,
)
from neunets.spaces.plain import PlainChains
from neunets.spaces.skip import SkipChains
from neunets.spaces.space import Space
from neunets.spaces.training import recipe_of, training_parameters

__all__ = [
    "SPACES",
    "AnyOf",
    "BranchedCells",
    "ChainSpace",
    "Condition",
    "Configuration",
    "Designs",
    "Motifs",
    "Parameter",
    "Parameters",
    "PlainChains",
    "SkipChains",
    "Space",
    "Value",
    "choice",
    "real",
    "recipe_of",
    "training_parameters",
    "value_of",
    "whole",
]
