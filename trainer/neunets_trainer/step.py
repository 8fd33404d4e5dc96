"""One training step: which rows, how they are changed, the loss, and the move of the weights."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from neunets.draws import generator
from neunets_trainer.augment import cutout, mirror, shift
from neunets_trainer.averaging import Average
from neunets_trainer.build import Network
from neunets_trainer.joined import Joined
from neunets_trainer.layers import BatchNorm
from neunets_trainer.optimizer import Nesterov
from neunets_trainer.precision import autocast, tensor_cores
from neunets_trainer.recipe import Recipe
from neunets_trainer.schedule import Schedule, constant, cosine_restarts, one_cycle
from neunets_trainer.step_graph import StepGraph
from neunets_trainer.task import Task

__all__ = ["INITIAL", "Stepper"]

# Streams of random numbers of one seed.
INITIAL, ORDER_OF_ROWS, CHANGES = 0, 1, 2
SEEDS_AT_ONCE = 256


class Stepper:
    """What a step does follows from its number and the weights before it: a resumed training repeats it."""

    def __init__(self, network: Network, optimizer: Nesterov, average: Average | None, task: Task) -> None:
        self._network, self._optimizer, self._average = network, optimizer, average
        data = task.data
        self._train = Joined(data.train, data.valid) if task.trains_on_validation else data.train
        self._recipe, self._seed = task.recipe, task.seed
        self._precision, self._accumulate = task.precision, task.accumulate
        self._device = torch.device(task.device)
        self.batch = min(task.recipe.batch_size, len(self._train))
        self.steps_an_epoch = max(1, len(self._train) // self.batch)
        self.rate = 0.0
        self.losses = 0  # that are summed in the following
        self._loss = torch.zeros((), device=self._device)
        self._class_weights = _class_weights(self._train.y, network.classes, task.recipe.class_weighting)
        self._fill = torch.tensor(network.graph.input.mean, device=self._device).round().to(torch.uint8)
        self._draws = torch.Generator(self._device)
        self._permutation: tuple[int, Tensor] = (-1, torch.empty(0))
        self._seeds: tuple[int, list[int]] = (-1, [])  # of a block of steps
        self._norms = _Norms(network, task.recipe.norm_momentum)
        # Where the step is replayed from a graph, what changes between steps stands at fixed places.
        self._is_static = self._device.type == "cuda"
        self._x, self._y = self._train.take(self._rows(0))
        self._static_rate = torch.zeros((), device=self._device)
        self._graph = StepGraph(self._device, self._compute, (self._draws, network.generator))

    def run(self, step: int, progress: float) -> None:
        """Step number `step`, from 0, when the fraction `progress` of the training is over."""
        self._load(*self._train.take(self._rows(step)))
        seed = self._seed_of(step)
        self._draws.manual_seed(seed)
        self._network.seed(seed ^ 1)
        self.rate = _rate(self._recipe, progress, (step + 0.5) / self.steps_an_epoch)
        self._static_rate.fill_(self.rate)
        self._norms.set(step)
        with tensor_cores(self._precision) if self._is_static else nullcontext():
            if self._norms.is_settled(step):
                self._graph.run()
            else:
                self._compute()
        self.losses += 1
        if self._average is not None:
            self._average.add(step + 1)

    def mean_loss(self) -> float:
        """Since the last time it was asked for; also waits for the device."""
        mean = float(self._loss) / max(1, self.losses)
        self._loss.zero_()
        self.losses = 0
        return mean

    def _load(self, x: Tensor, y: Tensor) -> None:
        if self._is_static:
            self._x.copy_(x)
            self._y.copy_(y)
        else:
            self._x, self._y = x, y

    def _compute(self) -> None:
        x, y = self._changed(self._x), self._y
        self._optimizer.zero_grad()
        parts = min(self._accumulate, len(y))
        both = [(x, y)] if parts == 1 else zip(x.tensor_split(parts), y.tensor_split(parts), strict=True)
        for part_x, part_y in both:
            with autocast(self._precision, self._device.type):
                logits = self._network(part_x)
            loss = self._loss_of(logits.float(), part_y)
            loss = loss if parts == 1 else loss * (len(part_y) / len(y))
            loss.backward()  # type: ignore[no-untyped-call]
            self._loss += loss.detach()
        self._optimizer.step(self._static_rate if self._is_static else self.rate)

    def _loss_of(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean over the rows. torch's mean with class weights is over the sum of the weights of just these rows."""
        weights, smoothing = self._class_weights, self._recipe.label_smoothing
        if weights is None:
            return F.cross_entropy(logits, y, label_smoothing=smoothing)
        return F.cross_entropy(logits, y, weights, label_smoothing=smoothing, reduction="sum") / len(y)

    def _changed(self, x: Tensor) -> Tensor:
        if x.ndim == 4 and self._recipe.shift:
            x = shift(x, self._recipe.shift, self._draws)
        if x.ndim == 4 and self._recipe.mirror:
            x = mirror(x, self._draws)
        if x.ndim == 4 and self._recipe.cutout:
            x = cutout(x, self._recipe.cutout, self._fill, self._draws)
        return x

    def _rows(self, step: int) -> Tensor:
        """(batch,) of a step: each epoch has an order of its own."""
        epoch, position = divmod(step, self.steps_an_epoch)
        if self._permutation[0] != epoch:
            seed = int(generator(self._seed, epoch, ORDER_OF_ROWS).integers(1 << 62))
            draws = torch.Generator().manual_seed(seed)
            self._permutation = (epoch, torch.randperm(len(self._train), generator=draws).to(self._device))
        return self._permutation[1][position * self.batch : (position + 1) * self.batch]

    def _seed_of(self, step: int) -> int:
        """Of a step's changes; drawn for many steps at once, since a generator of its own for each costs 7 us."""
        block, position = divmod(step, SEEDS_AT_ONCE)
        if self._seeds[0] != block:
            seeds = generator(self._seed, block, CHANGES).integers(1 << 62, size=SEEDS_AT_ONCE)
            self._seeds = (block, seeds.tolist())
        return self._seeds[1][position]


def _rate(recipe: Recipe, progress: float, epoch: float) -> float:
    match recipe.schedule:
        case Schedule.COSINE_RESTARTS:
            return cosine_restarts(progress, recipe.learning_rate, recipe.cycles)
        case Schedule.CONSTANT:
            return constant(epoch, recipe.learning_rate, recipe.warmup)
        case Schedule.ONE_CYCLE:
            return one_cycle(progress, recipe.learning_rate, recipe.warmup)


class _Norms:
    """The running statistics of batch norm: plain means at first, so that they do not remember the start."""

    def __init__(self, network: Network, momentum: float) -> None:
        """`momentum`: of all nodes; 0: their own."""
        layers = [layer for layer in network.layers if isinstance(layer, BatchNorm)]
        self._norms = [(layer, momentum or layer.momentum) for layer in layers]
        self._lowest = min((lasting for _, lasting in self._norms), default=1.0)

    def set(self, step: int) -> None:
        """The share of a new batch at a step, from 0."""
        for layer, lasting in self._norms:
            layer.momentum = max(lasting, 1.0 / (step + 1))

    def is_settled(self, step: int) -> bool:
        """Whether the shares change no more after the step."""
        return step * self._lowest >= 1.0


def _class_weights(labels: Tensor, classes: int, power: float) -> Tensor | None:
    """(classes,): the frequency of each class to the minus `power`, 1 in the mean over the rows; 0 without rows."""
    if not power:
        return None
    rows = torch.bincount(labels, minlength=classes).double()
    weights = torch.where(rows > 0.0, rows**-power, 0.0)
    return (weights * len(labels) / (weights * rows).sum()).float()
