"""The LMDB store: the only place that imports lmdb."""

from neunets_engine.store.store import Store, has_result

__all__ = ["Store", "has_result"]
