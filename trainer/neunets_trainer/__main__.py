"""`python -m neunets_trainer`: a worker of an engine, or with `--doctor` what this machine can train with."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Final

import grpc
import torch

from neunets.process import die_with_parent
from neunets.status import rpc_error
from neunets_trainer.precision import choose
from neunets_trainer.worker import Worker

LOG: Final = logging.getLogger(__name__)


def main() -> int:
    parser = argparse.ArgumentParser(prog="neunets-trainer", description=__doc__)
    parser.add_argument("--engine", help="gRPC target of the engine's host address")
    parser.add_argument("--worker", default="worker", help="name of the slot")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, ...")
    parser.add_argument("--doctor", action="store_true", help="print a JSON object and exit")
    arguments = parser.parse_args()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "neunets"
    if arguments.doctor:
        print(json.dumps(_doctor(cache)))
        return 0
    if not arguments.engine:
        parser.error("--engine is needed")
    if os.environ.get("NEUNETS_PARENT_DEATH") == "1":
        die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    torch.set_num_threads(1)
    device = arguments.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        LOG.warning("torch %s sees no CUDA device: this slot trains on the CPU", torch.__version__)
        device = "cpu"
    with grpc.insecure_channel(arguments.engine) as channel:
        try:
            Worker(channel, arguments.worker, device, choose(device, cache)).work()
        except grpc.RpcError as error:
            print(f"the engine does not answer: {rpc_error(error).message}", file=sys.stderr)
            return 1


def _doctor(cache: Path) -> dict[str, object]:
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    return {
        "torch": torch.__version__,
        "device": device,
        "devices": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "precision": choose(device, cache).value,
    }


if __name__ == "__main__":
    raise SystemExit(main())
