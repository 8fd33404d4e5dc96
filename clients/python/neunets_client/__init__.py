"""The client of NeuNetS: `synthesize` in one call, `Client` and `AsyncClient` for an engine, and its command line."""

from neunets_client.async_client import AsyncClient, connect_async
from neunets_client.client import Client, connect
from neunets_client.connection import Connection, default_home
from neunets_client.family import Relative
from neunets_client.frames import trials_frame
from neunets_client.predict import Predictions, predict_all
from neunets_client.saving import DamagedFile
from neunets_client.synthesis import Synthesis, synthesize

__all__ = [
    "AsyncClient",
    "Client",
    "Connection",
    "DamagedFile",
    "Predictions",
    "Relative",
    "Synthesis",
    "connect",
    "connect_async",
    "default_home",
    "predict_all",
    "synthesize",
    "trials_frame",
]
