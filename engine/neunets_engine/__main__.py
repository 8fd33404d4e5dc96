"""`python -m neunets_engine`: one engine in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Final

from neunets.errors import InvalidRequest, NeunetsError
from neunets.users import Users
from neunets_engine.datasets.bounds import PATIENCE_S, Bounds
from neunets_engine.engine import EngineSettings, Remote, serve
from neunets_engine.executor import TRAINER, local_devices
from neunets_engine.plugins import parse_manifest

LOOK_EVERY_S: Final = 0.5
PLUGINS: Final = "NEUNETS_PLUGINS"
READ_MEMORY: Final = "NEUNETS_READ_MEMORY"


def main() -> int:
    """Exit codes: 0 asked to end; 2 refused options; 3 the folder or the address is taken, or an engine has taken over;
    4 the store cannot grow; 5 the store's writer has failed.
    """
    parser = argparse.ArgumentParser(prog="neunets-engine", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of everything that is kept")
    parser.add_argument("--listen", default="127.0.0.1:7390", help="address of the service API, or unix:PATH")
    parser.add_argument(
        "--devices", default="", help="one device a slot, comma separated; by default every GPU, else one cpu a core"
    )
    parser.add_argument("--take-up", default="all", help="unfinished runs to go on with: all, none, or a run's id")
    parser.add_argument(
        "--plugin", action="append", default=[],
        help=f"a synthesizer beside the installed ones: its manifest (.toml), or NAME=COMMAND; {PLUGINS} adds "
        f"manifests, separated by '{os.pathsep}'",
    )  # fmt: skip
    parser.add_argument("--plugin-listen", help="HOST:PORT for synthesizers of other hosts, over mutual TLS")
    parser.add_argument("--plugin-host", help="HOST:PORT under which they reach it; by default --plugin-listen")
    parser.add_argument("--certificate-life", type=float, default=86400.0, help="of their certificates, in seconds")
    parser.add_argument("--child-of", type=int, help="id of a process: when it ends, the engine ends in good order")
    parser.add_argument("--while-used", action="store_true", help="end in good order once no command uses its home")
    parser.add_argument(
        "--trainer", type=shlex.split, default=TRAINER, help="command of a worker that speaks neunets.worker.v1"
    )
    parser.add_argument(
        "--read-memory", type=float, metavar="GB", default=os.environ.get(READ_MEMORY, "0"),
        help="that reading a data set may take, and as much again to decode its images; by default a third of what is "
        f"free for each, or {READ_MEMORY}",
    )  # fmt: skip
    parser.add_argument(
        "--read-patience", type=float, default=PATIENCE_S, metavar="S",
        help="a reading without progress ends after so many seconds",
    )  # fmt: skip
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    devices = [name for name in arguments.devices.split(",") if name] or local_devices()
    try:
        listed = [path for path in os.environ.get(PLUGINS, "").split(os.pathsep) if path]
        plugins = [parse_manifest(text) for text in [*listed, *arguments.plugin]]
    except InvalidRequest as error:
        parser.error(error.message)
    settings = EngineSettings(
        arguments.home.resolve(),
        arguments.listen,
        devices,
        arguments.take_up,
        plugins,
        remote=_remote(arguments),
        trainer=arguments.trainer,
        reading=Bounds(int(1e9 * max(0.0, arguments.read_memory)), arguments.read_patience),
    )
    try:
        asyncio.run(_run(settings, arguments.child_of, Users(settings.home) if arguments.while_used else None))
    except NeunetsError as error:
        print(error.message, file=sys.stderr)
        return 2 if isinstance(error, InvalidRequest) else 3
    return 0


def _remote(arguments: argparse.Namespace) -> Remote | None:
    if arguments.plugin_listen is None:
        return None
    host = arguments.plugin_host or arguments.plugin_listen
    return Remote(arguments.plugin_listen, host, arguments.certificate_life)


async def _run(settings: EngineSettings, parent: int | None, users: Users | None) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) is signal.SIG_IGN:  # by nohup
            continue
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    if parent is not None and sys.platform == "linux":
        _stop_after(parent, stop)
    watching = asyncio.create_task(_stop_unused(users, stop)) if users is not None else None
    await serve(settings, stop)
    if watching is not None:
        watching.cancel()


async def _stop_unused(users: Users, stop: asyncio.Event) -> None:
    """Set `stop` once no command uses the engine. It has been started by one, which uses it."""
    while not users.are_none():
        await asyncio.sleep(LOOK_EVERY_S)
    stop.set()


def _stop_after(process: int, stop: asyncio.Event) -> None:
    """Set `stop` when `process` has ended, however it did."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        stop.set()
        return

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        stop.set()

    loop.add_reader(descriptor, ended)


if __name__ == "__main__":
    raise SystemExit(main())
