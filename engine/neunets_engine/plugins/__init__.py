"""Plugins: which are installed, their processes, and the conversation with them."""

from neunets_engine.plugins.authority import Authority
from neunets_engine.plugins.catalog import Manifest, installed, parse_manifest, read_manifest
from neunets_engine.plugins.conformance import conform
from neunets_engine.plugins.enrolment import Enrolments, RemotePluginHost
from neunets_engine.plugins.host import PluginHost
from neunets_engine.plugins.listed import ListedProcess
from neunets_engine.plugins.plugin import Fault, Link, Plugin, PluginState
from neunets_engine.plugins.process import ChildProcess, sweep_sockets
from neunets_engine.plugins.session import PluginSession
from neunets_engine.plugins.settings import SettingsCheck, settings_of

__all__ = [
    "Authority",
    "ChildProcess",
    "Enrolments",
    "Fault",
    "Link",
    "ListedProcess",
    "Manifest",
    "Plugin",
    "PluginHost",
    "PluginSession",
    "PluginState",
    "RemotePluginHost",
    "SettingsCheck",
    "conform",
    "installed",
    "parse_manifest",
    "read_manifest",
    "settings_of",
    "sweep_sockets",
]
