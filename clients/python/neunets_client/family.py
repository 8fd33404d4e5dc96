"""From which networks of a run a network came, and what each change gained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neunets.errors import IllegalTransition
from neunets.phrases import phrases
from neunets.service.v1 import service_pb2
from neunets_client.states import run_state
from neunets_client.trials import ACCURACY, finite

__all__ = ["Relative", "changes_of", "elder_of", "relatives", "winner_of"]


@dataclass(frozen=True, slots=True)
class Relative:
    """A network that a run's search has trained. `changes`: how it came from its parent's, with that one's weights.

    `validation`: accuracy on the validation examples; None: it was not measured. `gain`: over the parent's.
    """

    trial: str
    parent: str  # the trial; empty: it is the first of its line
    changes: tuple[str, ...]
    params: int
    validation: float | None
    gain: float | None

    def line(self) -> str:
        """In words."""
        figures = [f"{self.params:,} parameters"]
        figures += [] if self.validation is None else [f"validation accuracy {self.validation:.4f}"]
        figures += [] if self.gain is None else [f"{self.gain:+.4f}"]
        return f"{self.trial} {self._origin()}: {', '.join(figures)}"

    def _origin(self) -> str:
        if self.changes:
            return "; ".join(self.changes)
        return f"from {self.parent}, with weights of its own" if self.parent else "first of its line"


def relatives(models: Iterable[service_pb2.Model]) -> tuple[Relative, ...]:
    """Of the search's trials among `models`, in their order; gains are over parents among them."""
    searched = [model for model in models if not model.final_of]
    accuracies = {model.trial: finite(model.result.metrics, ACCURACY.metric) for model in searched}
    return tuple(
        Relative(
            trial=model.trial,
            parent=model.parent,
            changes=changes_of(model),
            params=model.params,
            validation=accuracies[model.trial],
            gain=_difference(accuracies[model.trial], accuracies.get(model.parent)),
        )
        for model in searched
    )


def changes_of(model: service_pb2.Model) -> tuple[str, ...]:
    """In words."""
    return phrases(model.lineage, axes=len(model.graph.input.shape) - 1)


def winner_of(run: service_pb2.Run) -> str:
    """Name of the run's model; before there is one, of the best of the search so far. Raises: IllegalTransition."""
    if not run.model and not run.best_trial:
        state = run_state(run)
        raise IllegalTransition(f"{run.name} is {state} and has trained no network yet", state=state)
    return run.model or f"{run.name}/models/{run.best_trial}"


def elder_of(model: service_pb2.Model) -> str:
    """Name of the model that is next on the way to the first ancestor; empty: this is it."""
    trial = model.final_of or model.parent
    return f"{model.name.rpartition('/')[0]}/{trial}" if trial else ""


def _difference(value: float | None, before: float | None) -> float | None:
    return None if value is None or before is None else value - before
