"""Whether torch can use a GPU that the driver lists."""

from __future__ import annotations

import torch

__all__ = ["fault"]


def fault(device: str) -> str:
    """Why torch cannot train on the `device`, in a sentence for the user; empty: it can."""
    if not device.startswith("cuda"):
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        why, fix = "is built for the CPU alone", "install a build of torch for CUDA"
    elif not torch.cuda.is_available():
        why, fix = "finds no driver or GPU that it can use", "update the driver, or install the torch that fits it"
    else:
        try:
            (torch.zeros(1, device=device) + 1).item()
        except RuntimeError as error:
            why, fix = f"fails on it: {str(error).splitlines()[0]}", "install a build of torch for this GPU"
        else:
            return ""
    return f"a GPU is listed ({device}), but torch {torch.__version__} {why}: training is on the CPU; {fix}"
