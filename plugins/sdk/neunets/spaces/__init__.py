"""Search spaces that synthesizers may share."""

from neunets.spaces.chain import ChainSpace

__all__ = ["ChainSpace"]
