"""Searches in virtual time on recorded trainings: ours against random search, Syne Tune's ASHA and Optuna's TPE.

The table that `table.py` makes answers for each network and recipe with the curve of the most similar one that was
trained. All search chains with skips and the same hyper-parameters on four slots, with rungs of 1 to 27 epochs by a
factor of 3; `hyperband` runs as the process that it is, over its contract. Prints, of each data set, virtual seconds
until a training comes within 0.5 points of the best recorded one whose hyper-parameters were drawn, as medians over the
seeds, and ratios over all data sets; a search that never does counts with the whole time. Wants `pip install optuna
syne-tune`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import report
from peers import PEERS, SEARCHED, played

from neunets.conform.drive import propose_deadline_s
from neunets.conform.exchange import Exchange
from neunets.conform.host import Host
from neunets.conform.launch import Launched
from neunets.conform.problem import message_of
from neunets.conform.quality import random_search, setting_of
from neunets.conform.virtual import Played, Setting, Virtual
from neunets.simulation import shipped
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

WITHIN: Final = 0.005
# Times as long as the kit's runs, so that most searches come so far.
LONGER: Final = 2.0
EPOCHS: Final = 27
OURS: Final = {"space": SEARCHED[0], "joint": True, "min_epochs": 1, "max_epochs": EPOCHS, "eta": 3, "warm": 0}
# Ours may take so much of the time of each: half of random search's, no more than a peer's.
LIMITS: Final = {"random search": 0.5} | dict.fromkeys(PEERS, 1.0)

Search = Callable[[Setting, int], Played]


@contextmanager
def ours() -> Iterator[Search]:
    """The plugin's process."""
    with tempfile.TemporaryDirectory() as scratch, Host(Path(scratch) / "host.sock") as host:
        command = f"{sys.executable} -m neunets_hyperband"
        with Launched(command, None, host, Path(scratch)) as plugin:
            exchange, propose_s = Exchange(plugin.channel), propose_deadline_s(plugin.description)

            def search(setting: Setting, seed: int) -> Played:
                opening = pb.OpenRequest(
                    call=pb.Call(run=f"{setting.recorded.name}-{seed}", epoch=1, request_id="open"),
                    problem=message_of(setting.recorded.problem),
                    seed=seed,
                )
                opening.settings.update(OURS)
                run = Virtual(exchange, opening, propose_s, setting)
                host.runs[run.name] = run
                opening.budget.CopyFrom(run.budget())
                return run.play(stops=True)

            yield search


def measured(search: Search, setting: Setting, seeds: int) -> dict[str, Any]:
    times, trainings, begin = list[float | None](), list[int](), time.monotonic()
    for seed in range(seeds):
        found = search(setting, seed)
        times.append(found.reached(setting.recorded.best - WITHIN))
        trainings.append(found.trainings)
    counted = [setting.wall_s if each is None else each for each in times]
    return {
        "seconds": [None if each is None else round(each, 1) for each in times],
        "median_s": round(statistics.median(counted), 1),
        "mean_s": round(statistics.fmean(counted), 1),
        "reached": sum(each is not None for each in times),
        "trainings": statistics.median(trainings),
        "real_s_a_run": round((time.monotonic() - begin) / seeds, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    with ours() as hyperband:
        searches: dict[str, Search] = {"hyperband": hyperband, "random search": partial(random_search, spaces=SEARCHED)}
        searches |= {name: partial(played, new) for name, new in PEERS.items()}
        for recorded in (each.searched() for each in shipped().recorded):
            setting = setting_of(recorded)
            setting = replace(setting, wall_s=LONGER * setting.wall_s)
            result[recorded.name] = {name: measured(each, setting, arguments.seeds) for name, each in searches.items()}
            told = ", ".join(
                f"{name} {row['median_s']:g} ({row['reached']} of {arguments.seeds})"
                for name, row in result[recorded.name].items()
            )
            print(f"{recorded.name}, of {setting.wall_s:.0f} virtual s: {told}", flush=True)
    ratios = {
        other: {
            kind: round(
                statistics.geometric_mean(row["hyperband"][kind] / row[other][kind] for row in result.values()), 3
            )
            for kind in ("median_s", "mean_s")
        }
        for other in LIMITS
    }
    print(f"hyperband's time over that of others, geometric mean over the data sets: {ratios}")
    print(report.write("simulated", list(range(arguments.seeds)), {"data": result, "ratios": ratios}))
    return 0 if all(ratios[other]["median_s"] <= limit for other, limit in LIMITS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
