"""Run a command beside an engine of its own: `with_engine.py COMMAND …`. The engine and its data are gone afterwards.

The command finds in its environment NEUNETS_SERVER, the gRPC target of the engine (127.0.0.1:PORT), and NEUNETS_IMAGES,
a file of raw test images of the built-in data set "digits": uint8, one image after another, each (8, 8, 1).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sklearn.datasets import load_digits

from neunets.sockets import channel_options

START_DEADLINE_S: Final = 60.0
IMAGES: Final = 64


@contextmanager
def engine(home: Path, *options: str) -> Iterator[str]:
    """The target of an engine that listens on a free port of this machine."""
    target = f"127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "neunets_engine", "--home", str(home), "--listen", target, *options]
    process = subprocess.Popen([*command, "--child-of", str(os.getpid())])
    try:
        with grpc.insecure_channel(target, channel_options(target)) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            check(health_pb2.HealthCheckRequest(), timeout=START_DEADLINE_S, wait_for_ready=True)
        yield target
    finally:
        process.terminate()
        process.wait()


def write_images(path: Path) -> None:
    """The first images of the digits as raw bytes: their sixteen shades of grey spread over 0..255."""
    path.write_bytes((load_digits().images[:IMAGES] * (255 / 16)).astype("uint8").tobytes())


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="neunets-") as scratch, engine(Path(scratch)) as target:
        images = Path(scratch) / "images.raw"
        write_images(images)
        environment = {**os.environ, "NEUNETS_SERVER": target, "NEUNETS_IMAGES": str(images)}
        return subprocess.run(sys.argv[1:], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
