"""From what a person has to arrays, checked and split."""

from neunets_engine.datasets.register import Request, register

__all__ = ["Request", "register"]
