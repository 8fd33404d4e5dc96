"""Evolution as a synthesizer: what it proposes follows from the seed, the budget and the events alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import UnsupportedProblem
from neunets.graph import Graph
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Problem,
    Proposals,
    Wait,
)
from neunets_ncevolve.bounds import Bounds
from neunets_ncevolve.mutations import Asymmetry, mutate
from neunets_ncevolve.population import ALONE, ORIGIN, Population, selected
from neunets_ncevolve.progress import assessed, progress_of
from neunets_ncevolve.recipes import Recipes
from neunets_ncevolve.settings import SCHEMA, Settings, settings_of
from neunets_ncevolve.template import NARROWEST, Template, template_of

__all__ = ["Evolution", "NCEvolve"]

# Of a child, before nothing counts as left to breed.
DRAWS: Final = 100
# Of the user's bounds, what the first template may take: the rest is for what grows from it.
ROOT_SHARE: Final = 0.25
# Passes over the data that a template is for of which nothing grows, and layers of its cells: nobody deepens them.
ALONE_PASSES, ALONE_LAYERS = 16.0, 2
TOO_SHORT: Final = "the budget is too short for a search: its time is spent on the template"


class NCEvolve:
    def describe(self) -> Description:
        return Description(
            "ncevolve",
            "0.1.0",
            "Evolution of neuro-cells by changes that keep the function, with inherited weights.",
            settings=SCHEMA,
            hears_injected=True,
            inherits_weights=True,
            propose_p99_s=5.0,
        )

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> Evolution:
        return Evolution(problem, settings_of(settings), seed)


class Evolution:
    """One run of NCEvolve: Wistuba, ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15; NeuNetS, section 4.1.1.

    Candidate k draws from the seed and k, so that a replay restores everything. Each slot has a child of its own: it
    is bred of all results that are there when the slot is free, and waits for no generation.
    """

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Raises: UnsupportedProblem, which names the smallest bounds that could be kept; InvalidRequest."""
        self._problem, self._settings, self._seed = problem, settings, seed
        self._template = template_of(problem.input, problem.classes, settings)
        self._recipes = Recipes(problem, settings)
        self._asymmetry = Asymmetry(settings.shares, settings.noise)
        self._bounds = Bounds.of(problem)
        self._population = Population(problem.metric)
        smallest = cost(self._template.graph(NARROWEST))
        if not self._bounds.keep(smallest):
            raise UnsupportedProblem(
                f"the smallest network for this input and {problem.classes} classes has {smallest.params:,} parameters "
                f"and {smallest.flops:,} operations: raise max_params and max_flops to at least these"
            )

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        population, found = self._population, list[Candidate]()
        if population.is_alone or (not population.proposed and not self._can_search(budget)):
            return self._alone(budget)
        taken = set(population.known)
        for number in range(population.proposed, population.proposed + want):
            roots = population.roots + sum(not each.parents for each in found)
            digest, candidate = self._next(number, roots, budget, taken) or ("", None)
            if candidate is None:
                break
            taken.add(digest)
            found.append(candidate)
        if found:
            return Proposals(tuple(found))
        if population.is_training:
            return Wait("nothing can be bred before more networks are trained")
        return Exhausted("every change that keeps to the bounds and to the time left was tried")

    def _can_search(self, budget: Budget) -> bool:
        """Whether the wall budget is long enough: else what a search takes is missing at the end."""
        flops = budget.affordable_flops(max(self._settings.search_passes, 1e-9), self._problem.train_rows)
        widest = self._template.fitted(self._settings.width, self._bounds.share(ROOT_SHARE))
        return flops is None or cost(self._template.graph(widest)).flops <= flops

    def _alone(self, budget: Budget) -> Proposals | Wait | Exhausted:
        """The template that the time is for, and narrower ones where it cannot be trained."""
        population = self._population
        if population.trained:
            return Exhausted(TOO_SHORT)
        if population.is_training:
            return Wait("the template is tried out")
        bounds = self._bounds.affordable(self._problem, budget, ALONE_PASSES)
        deep = replace(self._template, layers=ALONE_LAYERS)
        template = deep if self._bounds.keep(cost(deep.graph(NARROWEST))) else self._template
        found = self._template_of(template, population.roots, bounds, population.known)
        if found is None:
            return Exhausted("no template could be trained")
        told = f"{_cells(template)}, without a search: the time is enough for one training alone"
        return Proposals((Candidate(found[1], self._recipes.alone(), told, labels={ORIGIN: ALONE}),))

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            self._population.apply(event)

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        population = self._population
        endless, over = Budget(budget.slots), ""
        if population.is_alone:
            over = TOO_SHORT if population.trained else ""
        elif not population.is_training and self._child(population.proposed, endless, population.known) is None:
            over = "every change within the bounds was tried"
        progress = progress_of(budget, population.device_s)
        return assessed(population.trained, self._settings.patience, over, progress)

    def _next(self, number: int, roots: int, budget: Budget, taken: Collection[str]) -> tuple[str, Candidate] | None:
        """Candidate `number` with the hash of its network, which is none of `taken`. `roots`: templates before it."""
        population = self._population
        is_barren = not population.trained and not population.is_training and roots == population.roots
        root = self._root(roots, budget, taken) if roots < self._settings.roots or is_barren else None
        return root or self._child(number, budget, taken)

    def _root(self, number: int, budget: Budget, taken: Collection[str]) -> tuple[str, Candidate] | None:
        """The template, with half the filters for each one before it. None: there is none so narrow."""
        bounds = self._bounds.share(ROOT_SHARE).affordable(self._problem, budget, self._settings.passes)
        found = self._template_of(self._template, number, bounds, taken)
        if found is None:
            return None
        digest, graph = found
        told = "the template" if number == 0 else f"the template with 1/{2**number} of the filters"
        rationale = f"{told}: {_cells(self._template)}"
        return digest, Candidate(graph, self._recipes.root(), rationale, labels={ORIGIN: told})

    def _template_of(
        self, template: Template, number: int, bounds: Bounds, taken: Collection[str]
    ) -> tuple[str, Graph] | None:
        width = template.fitted(self._settings.width, bounds) / 2**number
        graph = template.graph(max(width, NARROWEST))
        digest = canonical_hash(graph)
        return (digest, graph) if digest not in taken else None

    def _child(self, number: int, budget: Budget, taken: Collection[str]) -> tuple[str, Candidate] | None:
        """Of the best of a tournament, by a mutation that applies. None: many draws have brought nothing new."""
        trained = self._population.trained
        for draw in range(DRAWS if trained else 0):
            rng = generator(self._seed, number, draw)
            parent = selected(trained, self._settings.tournament, rng)
            mutant = mutate(parent.graph, rng, self._asymmetry)
            if mutant is None:
                continue
            price, digest = cost(mutant.graph), canonical_hash(mutant.graph)
            recipe = self._recipes.child(price.flops, parent, budget)
            if recipe is not None and self._bounds.keep(price) and digest not in taken:
                labels = {ORIGIN: f"from {parent.id} by {mutant.mutation.value}"}
                rationale = f"{mutant.told()} of {parent.id}"
                return digest, Candidate(None, recipe, rationale, "", (parent.id,), mutant.lineage, labels)
        return None


def _cells(template: Template) -> str:
    return "1 cell" if template.cells == 1 else f"{template.cells} equal cells"
