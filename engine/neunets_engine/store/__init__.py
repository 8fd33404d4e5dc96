"""The LMDB store: the only place that imports lmdb."""

from neunets_engine.store.store import Store

__all__ = ["Store"]
