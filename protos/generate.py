"""Generate the Python code of the protos into plugins/sdk; `--check` only compares.

Runs in a throw-away environment with a pinned, old grpcio-tools: code of 1.66 runs from protobuf 5.27 up to 7.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
SDK = PROTOS.parent / "plugins" / "sdk"
PINS = ("grpcio-tools==1.66.2", "mypy-protobuf==3.6.0", "setuptools<81")
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def environment(folder: Path) -> Path:
    """Create the throw-away environment and return its bin folder."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", *PINS], check=True)
    return folder / "bin"


def generate(bin_folder: Path, out: Path) -> list[Path]:
    """Write the generated files below `out` and return them, relative to it."""
    sources = sorted(path.relative_to(PROTOS) for path in PROTOS.rglob("*.proto"))
    command = [
        bin_folder / "python", "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}",
        f"--plugin=protoc-gen-mypy={bin_folder / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_folder / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}", f"--grpc_python_out={out}", f"--mypy_out={out}", f"--mypy_grpc_out={out}",
        *map(str, sources),
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, stderr=subprocess.DEVNULL)
    for source in sources:
        (out / source).parent.joinpath("__init__.py").touch()
    return sorted(
        path.relative_to(out) for path in out.rglob("*.py*") if path.name.endswith((*SUFFIXES, "__init__.py"))
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where the committed code is not current")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        files = generate(environment(Path(scratch) / "env"), out)
        stale = [
            file
            for file in files
            if not (SDK / file).exists() or not filecmp.cmp(out / file, SDK / file, shallow=False)
        ]
        if check:
            for file in stale:
                print(f"not current: plugins/sdk/{file}; run `make proto`", file=sys.stderr)
            return 1 if stale else 0
        for file in stale:
            (SDK / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out / file, SDK / file)
        print(f"{len(stale)} of {len(files)} files written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
