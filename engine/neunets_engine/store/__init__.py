"""The LMDB store: the only place that imports lmdb."""

from neunets_engine.store.copying import copy_store
from neunets_engine.store.integrity import check_files
from neunets_engine.store.store import Store
from neunets_engine.store.synthesizers import SynthesizerStore
from neunets_engine.store.trials import DEFAULT_METRIC, WORKER_LOST, Wanted, has_result, is_current

__all__ = [
    "DEFAULT_METRIC",
    "WORKER_LOST",
    "Store",
    "SynthesizerStore",
    "Wanted",
    "check_files",
    "copy_store",
    "has_result",
    "is_current",
]
