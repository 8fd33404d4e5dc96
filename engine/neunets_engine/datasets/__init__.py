"""From what a person has to arrays, checked and split."""

from neunets_engine.datasets.register import register

__all__ = ["register"]
