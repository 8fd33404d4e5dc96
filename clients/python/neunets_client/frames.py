"""Trials as a table of pandas, for notebooks. pandas is imported where it is needed: it is an extra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from neunets.errors import NotReady
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client.family import changes_of
from neunets_client.states import trial_state

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["trials_frame"]


def trials_frame(models: Iterable[service_pb2.Model]) -> pd.DataFrame:
    """A row a trial, under its name.

    Columns: `state` (how the trial ended, once it has), `final`, the metrics by their names, `params`, `flops`,
    `device_s`, `peak_bytes`, what of the recipe was set as `recipe_…`, `parent` (the trial that it came from),
    `lineage` (by which changes, in words), `rationale`. What a trial does not have is NaN, or None among words.
    Raises: NotReady without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise NotReady("pandas is not installed: pip install 'neunets[notebook]'") from error
    known = list(models)
    recipes = [dict(_recipe(model.recipe)) for model in known]
    results = [model.result if model.HasField("result") else None for model in known]
    columns: dict[str, list[object]] = {
        "state": list(map(trial_state, known)),
        "final": [model.final for model in known],
        **{
            name: [model.result.metrics.get(name) for model in known]
            for name in sorted({name for model in known for name in model.result.metrics})
        },
        "params": [model.params for model in known],
        "flops": [model.flops for model in known],
        "device_s": [result.device_s if result else None for result in results],
        "peak_bytes": [result.peak_bytes if result else None for result in results],
        **{
            name: [recipe.get(name) for recipe in recipes]
            for name in dict.fromkeys(name for recipe in recipes for name in recipe)
        },
        "parent": [model.parent or None for model in known],
        "lineage": ["; ".join(changes_of(model)) or None for model in known],
        "rationale": [model.rationale for model in known],
    }
    return pd.DataFrame(columns, index=pd.Index([model.trial for model in known], name="trial"))


def _recipe(recipe: synthesizer_pb2.Recipe) -> Iterator[tuple[str, object]]:
    """(column, value) of what was set."""
    for field, value in recipe.ListFields():
        known = field.enum_type and field.enum_type.values_by_number.get(value)
        yield f"recipe_{field.name}", known.name.removeprefix(f"{field.name.upper()}_") if known else value
