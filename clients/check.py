"""Build and test the clients of every language for which this machine has the tools, and compare their predictions.

Each client's tests and its example run against a real engine: from data to a model, downloaded and run in that
language. The probabilities that it wrote have to be those of the same file in Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from with_engine import engine, write_images

CLIENTS: Final = Path(__file__).resolve().parent
# By the name of the folder: the programs without which it is skipped.
TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "python": (),
    "go": ("go", "gcc"),
    "typescript": ("node", "npm"),
    "java": ("java", "mvn"),
    "cpp": ("cmake", "g++"),
}
# Whose committed code is generated, or whose packages are the system's.
GENERATED: Final = ("go", "typescript")
SYSTEM_PACKAGES: Final = ("cpp",)
TOLERANCE: Final = 1e-4
# A proxy of the environment does not lead to this machine: no client asks it. gRPC for C and Node look at this name.
NOBODY: Final = "http://127.0.0.1:9"


def make(language: str, target: str, **variables: str) -> None:
    """Raises: CalledProcessError."""
    given = [f"{name.upper()}={value}" for name, value in variables.items()]
    environment = {**os.environ, "NEUNETS_SERVER": variables.get("server", ""), "grpc_proxy": NOBODY}
    command = ["make", "--no-print-directory", "-C", str(CLIENTS / language), target, *given]
    subprocess.run(command, check=True, env=environment)


def check(language: str, target: str, images: Path, out: Path) -> float:
    """The largest difference of a probability from Python's. Raises: CalledProcessError."""
    if language in SYSTEM_PACKAGES:
        make(language, "deps")
    make(language, "build")
    if language in GENERATED:
        make(language, "check")
    make(language, "test", server=target)
    make(language, "example", server=target, images=str(images), out=str(out))
    told = np.loadtxt(out / "predictions.csv", delimiter=",")
    return float(np.abs(told - _expected(out / "model.onnx", images)).max())


def _expected(model: Path, images: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    session = onnxruntime.InferenceSession(str(model))
    shape = session.get_inputs()[0].shape[1:]
    x = np.frombuffer(images.read_bytes(), np.uint8).reshape(-1, *shape)
    probabilities: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = session.run(["probabilities"], {"image": x})[0]
    return probabilities


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", default=list(TOOLS), help=f"of {', '.join(TOOLS)}")
    failed, lines = 0, []
    with tempfile.TemporaryDirectory(prefix="neunets-") as scratch:
        images = Path(scratch) / "images.raw"
        write_images(images)
        with engine(Path(scratch) / "home") as target:
            for language in parser.parse_args().languages:
                missing = [tool for tool in TOOLS[language] if shutil.which(tool) is None]
                if missing:
                    lines.append(f"{language}: skipped, {' and '.join(missing)} is not installed")
                    continue
                try:
                    difference = check(language, target, images, Path(scratch) / language)
                except subprocess.CalledProcessError as error:
                    failed += 1
                    lines.append(f"{language}: FAILED in `{' '.join(error.cmd[2:])}`")
                    continue
                verdict = "agree" if difference <= TOLERANCE else "FAILED: they differ"
                failed += difference > TOLERANCE
                lines.append(f"{language}: predictions {verdict}, {difference:.1e} from Python's at most")
    print("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
