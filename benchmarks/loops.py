"""Two training loops in plain PyTorch to measure the trainer against: the usual one, and the best one tuned by hand.

Both do what the trainer does with the same recipe: shifted images, label smoothing, SGD with Nesterov's momentum and
weight decay on kernels, a learning rate set at each step.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from nets import CLASSES, Net
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from neunets_trainer.data import Split
from neunets_trainer.recipe import Recipe

__all__ = ["BATCH", "RECIPE", "WARM_UP", "Format", "rate", "split", "synchronise", "tuned", "usual"]

BATCH, SHIFT = 128, 2
RATE, MOMENTUM, WEIGHT_DECAY, SMOOTHING = 0.05, 0.9, 5e-4, 0.1
# The same for the trainer; no training of the benchmark comes to its end.
RECIPE: Final = Recipe(
    epochs=1e6, learning_rate=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, label_smoothing=SMOOTHING,
    batch_size=BATCH, shift=SHIFT,
)  # fmt: skip
# Of each format that `tuned` tries.
TRIAL_S: Final = 0.4
# Steps before the clock starts: kernels are built, and what a data loader has prepared before is used up.
WARM_UP: Final = 5

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Format:
    number: torch.dtype  # of the forward pass
    memory: torch.memory_format
    fused: bool  # torch's fused optimizer, otherwise foreach

    def __str__(self) -> str:
        memory = "channels last" if self.memory == torch.channels_last else "contiguous"
        return f"{str(self.number).removeprefix('torch.')}, {memory}, {'fused' if self.fused else 'foreach'}"


NUMBERS: Final = (torch.float32, torch.bfloat16)
MEMORIES: Final = (torch.contiguous_format, torch.channels_last)
FORMATS: Final = tuple(itertools.starmap(Format, itertools.product(NUMBERS, MEMORIES, (False, True))))


def split(net: Net, rows: int, seed: int, device: str) -> Split:
    """Images and labels at random."""
    draws = np.random.default_rng(seed)
    x = torch.from_numpy(draws.integers(0, 256, (rows, *net.shape), dtype=np.uint8))
    return Split(x.to(device), torch.from_numpy(draws.integers(0, CLASSES, rows)).to(device))


def rate(step: Step, seconds: float, device: str, warm_up: int = WARM_UP) -> float:
    """Images per second over about `seconds`, until the device is done."""
    for _ in range(warm_up):
        step()
    synchronise(device)
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        step()
        steps += 1
    synchronise(device)
    return steps * BATCH / (time.perf_counter() - begin)


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


class _Samples(Dataset[tuple[Tensor, int]]):
    """One image at a time, with the transforms of torchvision."""

    def __init__(self, net: Net, data: Split) -> None:
        given = net.graph.input
        scale = [transforms.Normalize([v / 255 for v in given.mean], [v / 255 for v in given.std])]
        crop = transforms.RandomCrop(net.shape[:2], padding=SHIFT)
        self._transform = transforms.Compose([transforms.ToTensor(), crop, *scale])
        self._x, self._y = data.x.cpu().numpy(), data.y.tolist()

    def __len__(self) -> int:
        return len(self._y)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self._transform(self._x[row]), self._y[row]


def usual(net: Net, data: Split, device: str, threads: int) -> Step:
    """A data loader, float32, the optimizer as it comes; the loss is looked at in each step."""
    network = net.module().to(device)
    optimizer = torch.optim.SGD(_groups(network), lr=RATE, momentum=MOMENTUM, nesterov=True)
    workers = threads if threads > 1 else 0
    loader = DataLoader(_Samples(net, data), BATCH, True, num_workers=workers, drop_last=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def step() -> None:
        x, y = next(batches)
        optimizer.zero_grad()
        loss = criterion(network(x.to(device)), y.to(device))
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def tuned(net: Net, data: Split, device: str) -> tuple[Step, Format]:
    """The fastest of all formats: data on the device, whole batches changed at once, the loss looked at by nobody."""
    steps = {each: _tuned(net, data, device, each) for each in FORMATS}
    rates = dict.fromkeys(FORMATS, 0.0)
    for _ in range(2):
        for each, step in steps.items():
            rates[each] = max(rates[each], rate(step, TRIAL_S / 2, device, warm_up=1))
    best = max(rates, key=lambda each: rates[each])
    return steps[best], best


def _tuned(net: Net, data: Split, device: str, form: Format) -> Step:
    network = net.module().to(device, memory_format=form.memory)
    # A learning rate in a tensor can change under a captured step.
    peak = torch.tensor(RATE, device=device) if device.startswith("cuda") else RATE
    optimizer = torch.optim.SGD(
        _groups(network), lr=peak, momentum=MOMENTUM, nesterov=True, foreach=not form.fused, fused=form.fused
    )
    change, images = _Change(net, device, form.memory), data.stored
    rows = torch.empty(BATCH, dtype=torch.int64, device=device)
    order = _rows(len(data), device)
    kind = device.partition(":")[0]

    def step() -> None:
        x = change(images.index_select(0, rows))
        with torch.autocast(kind, form.number) if form.number != torch.float32 else nullcontext():
            logits = network(x)
        F.cross_entropy(logits.float(), data.y.index_select(0, rows), label_smoothing=SMOOTHING).backward()
        optimizer.step()
        optimizer.zero_grad()

    def next_step() -> None:
        rows.copy_(next(order))
        run()

    run: Step = step
    for _ in range(WARM_UP):
        next_step()
    if device.startswith("cuda"):
        run = _captured(step)
    return next_step


def _captured(step: Step) -> Step:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


class _Change:
    """Shifts a batch of stored images (N, H, W, C) and normalises it: (N, C, H, W)."""

    def __init__(self, net: Net, device: str, memory: torch.memory_format) -> None:
        given, (height, width, channels) = net.graph.input, net.shape
        self._mean = torch.tensor(given.mean, device=device).repeat(height * width)
        self._scale = torch.tensor(given.std, device=device).repeat(height * width).reciprocal()
        self._line = (width + 2 * SHIFT) * channels
        self._shape, self._memory, self._device = net.shape, memory, device
        self._lines = torch.arange(height, device=device) * self._line
        self._images = torch.arange(BATCH, device=device) * ((height + 2 * SHIFT) * self._line)

    def __call__(self, x: Tensor) -> Tensor:
        _, width, channels = self._shape
        padded = F.pad(x, (0, 0, SHIFT, SHIFT, SHIFT, SHIFT)).view(-1)
        by = torch.randint(0, 2 * SHIFT + 1, (2, BATCH), device=self._device)
        begin = self._images + by[0] * self._line + by[1] * channels
        lines = padded.unfold(0, width * channels, 1).index_select(0, (begin[:, None] + self._lines).view(-1))
        value = (lines.view(BATCH, -1) - self._mean) * self._scale
        return value.view(BATCH, *self._shape).movedim(-1, 1).contiguous(memory_format=self._memory)


def _rows(count: int, device: str) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(count).to(device)
        yield from order[: count // BATCH * BATCH].view(-1, BATCH)


def _groups(network: nn.Module) -> list[dict[str, object]]:
    kernels = [value for value in network.parameters() if value.ndim > 1]
    rest = [value for value in network.parameters() if value.ndim == 1]
    return [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
