"""The LMDB store: the only place that imports lmdb."""

from neunets_engine.store.store import Store
from neunets_engine.store.trials import WORKER_LOST, has_result, is_current

__all__ = ["WORKER_LOST", "Store", "has_result", "is_current"]
