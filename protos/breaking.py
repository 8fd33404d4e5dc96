"""Lint the protos, and compare them with the released image, which may only be added to; `--release` writes it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
IMAGE = "released.binpb"
# The store's messages are the engine's own: its migrations, not this image, keep old data readable.
PRIVATE = "neunets/store"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="store_true", help="make the protos as they are the released ones")
    buf = Path(sys.executable).parent / "buf"
    if parser.parse_args().release:
        return subprocess.run([buf, "build", "--exclude-path", PRIVATE, "-o", IMAGE], cwd=PROTOS).returncode
    lint = subprocess.run([buf, "lint"], cwd=PROTOS).returncode
    breaking = [buf, "breaking", "--against", IMAGE, "--exclude-path", PRIVATE]
    return lint or subprocess.run(breaking, cwd=PROTOS).returncode


if __name__ == "__main__":
    raise SystemExit(main())
