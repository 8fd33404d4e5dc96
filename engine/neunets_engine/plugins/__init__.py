"""Plugins: which are installed, their processes, and the conversation with them."""

from neunets_engine.plugins.catalog import Manifest, installed, parse_manifest, read_manifest
from neunets_engine.plugins.conformance import conform
from neunets_engine.plugins.host import PluginHost
from neunets_engine.plugins.process import Plugin, PluginState
from neunets_engine.plugins.session import PluginSession

__all__ = [
    "Manifest",
    "Plugin",
    "PluginHost",
    "PluginSession",
    "PluginState",
    "conform",
    "installed",
    "parse_manifest",
    "read_manifest",
]
