"""What a synthesizer implements, and the values that it is given: the contract without gRPC."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from neunets.cost import STEP_COST
from neunets.graph import Graph, Input
from neunets.hyperparameters import HYPERPARAMETERS, recipe_schema
from neunets.morphisms import Morphism
from neunets.synthesizer.experience import Experience

__all__ = [
    "Assessment",
    "Budget",
    "BudgetChanged",
    "Candidate",
    "Description",
    "Event",
    "Exhausted",
    "Injected",
    "Measured",
    "Prediction",
    "Problem",
    "Proposals",
    "Proposed",
    "Recipe",
    "Rejected",
    "Session",
    "StopRule",
    "StopTrial",
    "Synthesizer",
    "TrialEnded",
    "TrialStarted",
    "TrialState",
    "Verdict",
    "Wait",
]

_NO_SCHEMA: Final[Mapping[str, object]] = MappingProxyType({"type": "object", "additionalProperties": False})
_NO_FIGURES: Final[Mapping[str, float]] = MappingProxyType({})
# FLOPs a second of a slot that nothing was measured on.
SLOT_FLOPS: Final = 5e10
# Of one example, that any run affords.
FEWEST_FLOPS: Final = 1e5
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


class TrialState(Enum):
    """How a trial ended; the numbers of `TrialEnded.State` on the wire."""

    UNKNOWN = 0
    SUCCEEDED = 1
    STOPPED = 2
    FAILED = 3
    LOST = 4
    INFEASIBLE = 5
    CANCELLED = 6


class Verdict(Enum):
    """The numbers of `AssessResponse.Verdict` on the wire."""

    CONTINUE = 1
    CONVERGED = 2
    STALLED = 3
    CANNOT_MEET = 4


@dataclass(frozen=True, slots=True)
class Description:
    """Of a synthesizer. `settings` is a JSON Schema; `tasks` are those it takes."""

    name: str
    version: str
    summary: str
    tasks: tuple[str, ...] = ("image-classification", "sequence-classification")
    settings: Mapping[str, object] = field(default_factory=lambda: _NO_SCHEMA)
    is_deterministic: bool = True
    hears_injected: bool = False  # of networks that a user enters, by `Injected`
    hears_budget: bool = False  # of changes of the budget, by `BudgetChanged`
    inherits_weights: bool = False  # it proposes candidates with a lineage
    continues_trials: bool = False  # it proposes candidates that continue an ended trial
    stops_trials: bool = False  # it is asked after each validation, and may stop running trials
    gives_rules: bool = False  # its assessments have stop rules
    predicts: bool = False  # its candidates have predictions
    max_batch: int = 16
    propose_p99_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Problem:
    """What to design a network for; None: no bound."""

    task: str
    input: Input
    classes: int
    train_rows: int
    valid_rows: int
    max_params: int | None = None
    max_flops: int | None = None
    metric: str = "valid_accuracy"  # to be maximised
    mirror_keeps_class: bool | None = None  # None: not known
    class_rows: tuple[int, ...] = ()  # training examples of each class
    meta_features: Mapping[str, float] = field(default_factory=lambda: _NO_FIGURES)
    # JSON Schema of a recipe: its ranges, and what the engine takes where a candidate leaves it open.
    recipe_schema: Mapping[str, object] = field(default_factory=lambda: recipe_schema({}, is_image=True))
    # What runs that were over before this one began have learned on other data, most similar first; it is asked for
    # when it is wanted, and is empty where nobody can tell.
    past: Callable[[], Sequence[Experience]] = field(default=tuple, compare=False, repr=False)

    def most_epochs(self) -> float:
        """That a recipe may have."""
        properties = self.recipe_schema.get("properties", {})
        epochs = properties.get("epochs", {}) if isinstance(properties, Mapping) else {}
        return float(epochs.get("maximum", math.inf))


@dataclass(frozen=True, slots=True)
class Budget:
    """None: unlimited."""

    slots: int
    wall_s: float | None = None
    trials: int | None = None
    wall_s_left: float | None = None
    trials_left: int | None = None
    slot_flops: float | None = None  # a second, at which a slot trains; None: not measured yet

    def slot_speed(self) -> float:
        """FLOPs a second at which a slot trains; where it was not measured, what is usual."""
        return self.slot_flops or SLOT_FLOPS

    def affordable_flops(self, passes: float, train_rows: int) -> float | None:
        """Of one example, forward, in a network that the whole wall budget trains on the data so many times.

        On all slots; None: there is no wall budget.
        """
        if self.wall_s is None:
            return None
        return self.wall_s * (self.slots * self.slot_speed() / STEP_COST) / (passes * train_rows)

    def most_flops(self, passes: float, problem: Problem) -> int | None:
        """As `affordable_flops`, but no less than any run affords, within the user's bound; None: there is no bound."""
        flops = self.affordable_flops(passes, problem.train_rows)
        affordable = None if flops is None else int(max(flops, FEWEST_FLOPS))
        return min((bound for bound in (affordable, problem.max_flops) if bound is not None), default=None)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. What is None, the engine chooses; at most one of `epochs`, `device_s` and `steps` is given.

    `Problem.recipe_schema` has the ranges, the engine's choices, and what each does. With `resume_trial`, the engine's
    id of an ended trial, its training goes on up to the total given, which counts from its first step; all else is
    that trial's.
    """

    epochs: float | None = None
    device_s: float | None = None
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    batch_size: int | None = None
    warmup: float | None = None  # fraction of the training, 0..1
    shift: int | None = None  # largest shift in pixels
    mirror: bool | None = None
    steps: int | None = None
    cutout: int | None = None  # side in pixels
    averaging: float | None = None  # fraction of the steps so far
    norm_momentum: float | None = None
    test_mirror: bool | None = None
    class_weighting: float | None = None
    cycles: int | None = None  # of "cosine_restarts"
    schedule: str | None = None  # "one_cycle", "cosine_restarts", "constant"
    resume_trial: str | None = None

    def hyperparameters(self) -> dict[str, float | int | bool]:
        """Those that are given."""
        return {name: value for name in HYPERPARAMETERS if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of a metric at the end of a training; `deviation`: of its error, None where it is not known."""

    mean: float
    deviation: float | None = None
    metric: str = "valid_accuracy"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network to train. `rationale`: one sentence for people. `parents`: the engine's ids of earlier candidates.

    `lineage`: the steps by which it comes from the first parent, with the weights that the parent's trial has left; the
    graph may then be None, and the engine derives it: what it echoes in `Proposed` has one. So it has for a candidate
    that continues a trial, by `Recipe.resume_trial`; that one has neither parents nor a lineage.
    """

    graph: Graph | None
    recipe: Recipe = field(default_factory=Recipe)
    rationale: str = ""
    local_id: str = ""
    parents: tuple[str, ...] = ()
    lineage: tuple[Morphism, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_LABELS)
    prediction: Prediction | None = None


@dataclass(frozen=True, slots=True)
class Proposals:
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to propose before so many new results, or so much time."""

    reason: str
    min_new_results: int = 1
    after_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Nothing more will be proposed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Proposed:
    """The synthesizer's own candidates, by the engine's ids."""

    candidates: tuple[tuple[str, Candidate], ...]


@dataclass(frozen=True, slots=True)
class Injected:
    """A user's own network, by the engine's id: it is trained like the synthesizer's own."""

    id: str
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class BudgetChanged:
    budget: Budget


@dataclass(frozen=True, slots=True)
class Rejected:
    """`why`: (code, path, summary) of each failed check."""

    candidate: str
    why: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class TrialStarted:
    candidate: str
    trial: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Measured:
    trial: str
    epoch: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """`metrics` may hold NaN. With `will_retry` another end of the same trial follows.

    `device_s` and the metric "epochs" count from the first step, also of the trial that it continues.
    """

    candidate: str
    trial: str
    state: TrialState
    metrics: Mapping[str, float]
    device_s: float
    will_retry: bool
    error: str = ""


Event: TypeAlias = Proposed | Injected | Rejected | TrialStarted | Measured | TrialEnded | BudgetChanged


@dataclass(frozen=True, slots=True)
class StopTrial:
    """A running trial that is to finish now, with what it has. `predicted`: of the objective, had it gone on."""

    trial: str
    reason: str
    predicted: float | None = None


@dataclass(frozen=True, slots=True)
class StopRule:
    """A trial finishes at a validation after `epoch` or more epochs where its `metric` is below `at_least`.

    The engine applies it as a validation comes in, without asking again.
    """

    metric: str
    epoch: float
    at_least: float
    reason: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """`progress` in 0..1; `expected_gain` of the objective per device hour.

    `stop`: only of a plugin that `stops_trials`; `rules`, in place of those before: only of one that `gives_rules`.
    """

    verdict: Verdict = Verdict.CONTINUE
    progress: float | None = None
    expected_gain: float | None = None
    reason: str = ""
    stop: tuple[StopTrial, ...] = ()
    rules: tuple[StopRule, ...] = ()


class Session(Protocol):
    """One run. Its state is a fold over the events it ingested: after a restart it gets all of them again."""

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        """First operation: up to `want` candidates. May be asked twice for the same: answer the same."""

    def ingest(self, events: Sequence[Event]) -> None:
        """Second operation: what happened, in order, each event once."""

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        """Third operation: how the search stands. Changes nothing. `running`: trials that train now."""


class Synthesizer(Protocol):
    """A search algorithm."""

    def describe(self) -> Description:
        """Cheap, always the same."""

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> Session:
        """The initialization contract. `settings` keep to the schema. Raises: UnsupportedProblem, InvalidRequest."""
