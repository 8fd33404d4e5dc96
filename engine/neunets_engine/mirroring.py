"""Whether mirrored images keep their class, measured for a run."""

from __future__ import annotations

from typing import Final

from neunets.service.v1 import service_pb2
from neunets_engine.budget import BudgetPlan
from neunets_engine.resources import Resources
from neunets_engine.setting import Setting

__all__ = ["measure_mirror"]

# A probe takes about this long.
PROBE_S: Final = 3.0


async def measure_mirror(run_id: str, setting: Setting, plan: BudgetPlan, resources: Resources) -> bool:
    """Find out whether mirrored images keep their class; what is found is the data set's, for all later runs.

    False: it is known already, costs too much of the budget, or was not found out, which the run's log tells.
    """
    if not setting.wants_mirror_measured or not plan.affords(PROBE_S):
        return False
    store, dataset = resources.store, setting.dataset
    probed = await resources.probes.measure(dataset, setting.spec.seed, resources.slots)
    if probed is None or probed.error:
        why = "no worker answered" if probed is None else probed.error
        await store.log(run_id, "engine", "warning", f"images are not mirrored in training: {why}")
        return False
    known = service_pb2.Dataset()
    known.CopyFrom(dataset)
    known.mirror_keeps_class = probed.keeps_class
    await store.put_dataset(known)
    verb = "keep" if probed.keeps_class else "change"
    text = f"mirrored images {verb} their class: validation accuracy {probed.plain:.3f}, {probed.mirrored:.3f} with"
    await store.log(run_id, "engine", "info", f"{text} mirrors in training, of a small network")
    return True
