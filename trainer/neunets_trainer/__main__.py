"""`python -m neunets_trainer`: a worker of an engine, or with `--doctor` what this machine can train with."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import grpc
import torch

from neunets.machine import Choices, cache_folder
from neunets.messages import CHANNEL_LIMITS
from neunets.process import die_with_parent
from neunets.sockets import channel_options
from neunets.status import rpc_error
from neunets_trainer.choices import choose, complete
from neunets_trainer.usable import fault
from neunets_trainer.worker import Worker

LOG: Final = logging.getLogger(__name__)


def main() -> int:
    parser = argparse.ArgumentParser(prog="neunets-trainer", description=__doc__)
    parser.add_argument("--engine", help="gRPC target of the engine's host address")
    parser.add_argument("--worker", default="worker", help="name of the slot")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, ...")
    parser.add_argument("--memory-bytes", type=int, default=1 << 62, help="of this machine, for this worker")
    parser.add_argument("--doctor", action="store_true", help="print a JSON object and exit")
    arguments = parser.parse_args()
    folder = cache_folder()
    torch.set_num_threads(1)
    # A switch of the process that is on from the start; a step turns it on again where its precision says so.
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    if arguments.doctor:
        print(json.dumps(_doctor(folder)))
        return 0
    if not arguments.engine:
        parser.error("--engine is needed")
    if os.environ.get("NEUNETS_PARENT_DEATH") == "1":
        die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    device, warning = arguments.device, fault(arguments.device)
    if warning:
        LOG.warning(warning)
        device = "cpu"
    with grpc.insecure_channel(arguments.engine, channel_options(arguments.engine, *CHANNEL_LIMITS)) as channel:
        try:
            Worker(channel, arguments.worker, device, choose(device, folder), arguments.memory_bytes, warning).work()
        except grpc.RpcError as error:
            print(f"the engine does not answer: {rpc_error(error).message}", file=sys.stderr)
            return 1


def _doctor(folder: Path) -> dict[str, object]:
    """Measures what was not measured before: some seconds."""
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    different = [f"cuda:{names.index(name)}" for name in dict.fromkeys(names)] or ["cpu"]
    found: dict[str, object] = {
        "torch": torch.__version__,
        "devices": names,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    for number, device in enumerate(different):
        suffix = f" {device}" if number else ""
        found |= {f"{key}{suffix}": text for key, text in _findings(device, complete(device, folder)).items()}
    return found


def _findings(device: str, chosen: Choices) -> dict[str, str]:
    """Each choice, with what else was tried."""
    return {
        "device": device,
        "precision": chosen.precision.value,
        "memory_format": f"{chosen.memory_format.value} ({_ratios(chosen.format_rates)})",
        "batch_size": f"{chosen.batch_size} ({_ratios(chosen.batch_rates)})",
        "workers": f"{chosen.workers}, {chosen.threads} threads each ({_ratios(chosen.worker_rates)})",
    }


def _ratios(rates: Mapping[str, float]) -> str:
    """Images per second over those of the first."""
    first = next(iter(rates.values()), 0.0)
    return ", ".join(f"{tried}: {rate / first if first else 0.0:.2f}" for tried, rate in rates.items())


if __name__ == "__main__":
    raise SystemExit(main())
