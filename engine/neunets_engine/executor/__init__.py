"""Executors start and supervise trainer workers; every worker speaks the same protocol."""

from neunets_engine.executor.devices import local_devices
from neunets_engine.executor.local import TRAINER, LocalExecutor

__all__ = ["TRAINER", "LocalExecutor", "local_devices"]
