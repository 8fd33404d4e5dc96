"""Whether the curve stop of `hyperband` knows what it does not know, on recorded learning curves.

The trainings of each data set come in a random order. Each is forecast from its first epochs, as uncertain as the ones
before it have shown forecasts to be, regressed to their ends, and compared with the best of them. Prints how often it
comes to more than that among forecasts of like chances, with the regression and without it, and what is lost and saved
where a training ends at the first chance below 5 %.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from typing import Any, Final

import numpy as np
import report

from neunets.draws import generator
from neunets.simulation import Recorded, shipped
from neunets_hyperband.curves import FEWEST_POINTS, forecast, miss, regressed, widened
from neunets_hyperband.settings import FAST
from neunets_hyperband.stopping import REMEMBERED

# Of the chances, the bounds between which they count as alike.
BINS: Final = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
# Of chances, by their names in the result.
KINDS: Final = {"chance": "regressed", "alone": "not regressed"}
# Trainings before a forecast is compared with the best of them.
FIRST: Final = 3
# Of the stopped trainings, those that may have come to more.
MOST_WRONG: Final = 0.1


def forecasts(recorded: Recorded, seed: int) -> list[dict[str, float]]:
    """One row for each training and epoch: the chance, what came, and whether it is the first below the bound."""
    rng, rows = generator(seed, 0), list[dict[str, float]]()
    misses, ends, end = list[float](), list[float](), recorded.epochs
    order = [row for row in rng.permutation(len(recorded.accuracies)) if not np.isnan(recorded.accuracies[row]).any()]
    for number, row in enumerate(order):
        values = recorded.accuracies[row]
        curve = {float(epoch): float(value) for epoch, value in enumerate(values, 1)}
        is_stopped, best = False, max(ends, default=0.0)
        for epochs in range(FEWEST_POINTS, end) if number >= FIRST else ():
            found = forecast({epoch: value for epoch, value in curve.items() if epoch <= epochs}, float(end))
            assert found is not None
            alone = widened(found, misses[-REMEMBERED:])
            chance = regressed(alone, ends).chance_above(best)
            is_first = not is_stopped and chance < FAST.stop_below
            is_stopped |= is_first
            row_of = {"chance": chance, "alone": alone.chance_above(best), "stops": is_first}
            rows.append(row_of | {"beats": float(values[-1] > best), "epochs": epochs})
        missed = miss(curve, float(end))
        assert missed is not None
        misses.append(missed)
        ends.append(float(values[-1]))
    return rows


def bins(rows: list[dict[str, float]], kind: str) -> list[dict[str, float]]:
    """What was said and what came, of chances of a `kind` that are alike."""
    found = []
    for low, high in itertools.pairwise(BINS):
        alike = [row for row in rows if low <= row[kind] < high or row[kind] == high == 1.0]
        if alike:
            said, came = (statistics.fmean(row[key] for row in alike) for key in (kind, "beats"))
            found.append({"from": low, "to": high, "forecasts": len(alike), "said": said, "came": came})
    return found


def summary(rows: list[dict[str, float]], end: int) -> dict[str, Any]:
    stops = [row for row in rows if row["stops"]]
    trainings = sum(row["epochs"] == FEWEST_POINTS for row in rows)
    return {
        "bins": {kind: bins(rows, kind) for kind in KINDS},
        "trainings": trainings,
        "stopped": len(stops),
        "wrong": int(sum(row["beats"] for row in stops)),
        "epochs_saved": sum(end - row["epochs"] for row in stops) / (end * trainings),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    result, is_calibrated = dict[str, Any](), True
    for recorded in shipped().recorded:
        rows = [row for seed in range(arguments.seeds) for row in forecasts(recorded, seed)]
        found = result[recorded.name] = summary(rows, recorded.epochs)
        wrong = found["wrong"] / max(1, found["stopped"])
        is_calibrated &= wrong <= MOST_WRONG
        print(
            f"{recorded.name}: {found['stopped']} of {found['trainings']} trainings stopped, {wrong:.2%} of them "
            f"wrongly, {found['epochs_saved']:.0%} of all epochs saved"
        )
        for kind, told in KINDS.items():
            for each in found["bins"][kind]:
                came = f"said {each['said']:.3f}, came {each['came']:.3f}"
                print(f"  {told}, {each['from']:.2f} to {each['to']:.2f}: {each['forecasts']:6d}, {came}")
    print(report.write("calibration", list(range(arguments.seeds)), result))
    return 0 if is_calibrated else 1


if __name__ == "__main__":
    sys.exit(main())
