"""The LMDB store: the only place that imports lmdb."""

from neunets_engine.store.store import Store
from neunets_engine.store.trials import DEFAULT_METRIC, WORKER_LOST, has_result, is_current

__all__ = ["DEFAULT_METRIC", "WORKER_LOST", "Store", "has_result", "is_current"]
