"""Number formats of training steps, as torch is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from neunets.machine import Precision

__all__ = ["Precision", "autocast", "tensor_cores"]


def autocast(precision: Precision, device: str) -> AbstractContextManager[object]:
    """Of a forward pass."""
    if precision is Precision.BFLOAT16:
        return torch.autocast(device.partition(":")[0], torch.bfloat16)
    return nullcontext()


@contextmanager
def tensor_cores(precision: Precision) -> Iterator[None]:
    """Of a whole step, forward and backward: TF32 is a switch of the process, and evaluation wants it off."""
    wanted = "tf32" if precision is Precision.TENSOR_FLOAT32 else "ieee"
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = (matmul.fp32_precision, convolution.fp32_precision)
    matmul.fp32_precision, convolution.fp32_precision = wanted, wanted
    try:
        yield
    finally:
        matmul.fp32_precision, convolution.fp32_precision = before
