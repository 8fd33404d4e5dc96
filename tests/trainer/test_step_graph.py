"""A step graph does what its step does."""

from __future__ import annotations

import pytest
import torch

from neunets_trainer.step_graph import StepGraph

STEPS = 8
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU, and there is none")


def test_on_a_cpu_each_run_is_one_call() -> None:
    calls = []
    graph = StepGraph("cpu", lambda: calls.append(1), [torch.Generator()])
    for _ in range(STEPS):
        graph.run()
    assert len(calls) == STEPS


def test_an_error_of_the_step_is_the_callers() -> None:
    def step() -> None:
        raise ValueError("shapes differ")

    with pytest.raises(ValueError, match="shapes differ"):
        StepGraph(torch.device("cpu"), step, []).run()


@needs_gpu
def test_replayed_steps_add_up_as_called_ones() -> None:
    total, amount = torch.zeros((), device="cuda"), torch.zeros((), device="cuda")
    graph = StepGraph("cuda", lambda: total.add_(amount), [])  # type: ignore[arg-type, return-value]
    for number in range(STEPS):
        amount.fill_(number)
        graph.run()
    assert float(total) == sum(range(STEPS))


@needs_gpu
def test_a_generator_that_is_seeded_between_replays_repeats_its_draws() -> None:
    generator, drawn = torch.Generator("cuda"), torch.zeros(1000, device="cuda")
    graph = StepGraph("cuda", lambda: drawn.bernoulli_(0.5, generator=generator), [generator])  # type: ignore[arg-type, return-value]
    found = []
    for number in range(STEPS):
        generator.manual_seed(number % 2)
        graph.run()
        found.append(drawn.clone())
    assert all(torch.equal(found[number], found[number % 2]) for number in range(STEPS))
    assert not torch.equal(found[0], found[1])


@needs_gpu
def test_a_step_that_cannot_be_captured_is_called(caplog: pytest.LogCaptureFixture) -> None:
    value, read = torch.zeros((), device="cuda"), []

    def step() -> None:
        value.add_(1.0)
        read.append(float(value))  # waits for the device, which a capture may not

    graph = StepGraph("cuda", step, [])
    for _ in range(STEPS):
        graph.run()
    assert read[-1] == STEPS
    assert "cannot be captured" in caplog.text
