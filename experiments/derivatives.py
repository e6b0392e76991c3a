"""Where does differentiation through training work, and where does it lie? Four estimators beside counted differences.

Command:   python -m experiments.derivatives [--seeds N] [--out FILE]
Expected:  counted differences and evolution strategies agree everywhere; derivatives through training agree in `race`
           and inside a basin, and give next to nothing where seeds change basin; the surrogate agrees where its sign
           decides
Cost:      about fifteen minutes on 2 cores at 4,096 seeds

The derivative of P(A) with respect to the weight of the first term of the test, in 20 segments of holding out, by

    counted    central differences of counted outcomes on shared seeds (`lab.sensitivity`), the truth here
    evolution  antithetic pairs with all segments moved at once
    pathwise   the mean slope of the alignment score at the end, through all of training in reverse mode
    surrogate  the slope of a margin read at the end of the segment

and, inside a basin, the derivative of the mean test score of those that end misaligned, late in training, pathwise
against counted. The rule, written before the deciding seeds (from 6,000,000) were trained: an estimator *agrees* with
the counts in a task and stretch of training (early: the first three segments; late: the rest) if of the segments there
at most one in ten differs by more than three joint standard errors, and the sum over the stretch does not; else it
*disagrees*. It is *blind* if it disagrees and its sum is less than a fifth of the counted one. The default of
`lab sensitivity` is the cheapest estimator that agrees everywhere; cost is in trainings.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np

from lab import derivatives, engine, outcomes, sensitivity
from lab.config import parse

FIRST = 6_000_000
EARLY = 3
CONFIG = """
name: derivatives
task: {task}
seeds: {{first: {first}, count: {seeds}}}
knobs: {{{knobs}}}
training: {{segments: 20}}
regimens:
  hold_out: [{{until: 1}}]
"""
# task -> knobs with which outcomes of both kinds are common, term, step, width of evolution strategies
SETTINGS = {
    "race": ("preference: 0", "push", 0.02, 0.01),
    "scratchpad": ("preference: -0.004", "test", 0.003, 0.003),
    "shortcut": ("preference: 0", "test", 0.01, 0.01),
}


def counted(experiment, condition, term, step):
    """Return values and standard errors of shape (segments,) for P(A), and the slope of the test inside a basin."""
    changed = sensitivity.changes(experiment.task, [term], step)
    text = sensitivity.config(experiment, condition, changed)
    values = json.loads(text)
    values["regimens"] = {name: own for name, own in values["regimens"].items() if not name.startswith("push")}
    made = parse(json.dumps(values))
    with tempfile.TemporaryDirectory() as folder:
        results = outcomes.results(engine.run(made, Path(folder, "run")), last_only=True)
    ends = outcomes.classify(results)
    aligned = ends["aligned"].astype(float).values
    tested = results["test"].values[:, :, -1].astype(float)
    names = list(map(str, results.condition.values))
    basin = []
    slopes = []
    for index in range(len(experiment.ends)):
        up, down = (names.index(f"{side}-{term}-{index:03d}") for side in ("up", "down"))
        slopes.append((aligned[up] - aligned[down]) / (2 * step))
        inside = (aligned[up] == 0) & (aligned[down] == 0)
        basin.append((tested[up] - tested[down])[inside].mean() / (2 * step))
    slopes = np.array(slopes)
    # where no seed changed side one might have: that is what the counts cannot tell from nothing
    errors = np.maximum(slopes.std(1) / math.sqrt(slopes.shape[1]), 1 / (2 * step * slopes.shape[1]))
    return slopes.mean(1), errors, np.array(basin), aligned[names.index("as-is")]


def verdict(truth, errors, values, own_errors):
    """Return agrees, disagrees or blind for one stretch of training."""
    there = np.isfinite(values)
    truth, errors, values, own_errors = (part[there] for part in (truth, errors, values, own_errors))
    apart = np.abs(values - truth) / np.maximum(np.hypot(errors, own_errors), 1e-12)
    total = abs(values.sum() - truth.sum()) / max(math.hypot(np.linalg.norm(errors), np.linalg.norm(own_errors)), 1e-12)
    if (apart > 3).mean() <= 0.1 and total <= 3:
        return "agrees"
    return "blind" if abs(values.sum()) < 0.2 * abs(truth.sum()) else "disagrees"


def measure(task, seeds):
    """Return everything about one task."""
    knobs, term, step, sigma = SETTINGS[task]
    experiment = parse(CONFIG.format(task=task, first=FIRST, seeds=seeds, knobs=knobs))
    condition, places = experiment.conditions[0], np.arange(seeds, dtype=np.uint32)
    started = time.monotonic()
    values, errors, basin, aligned = counted(experiment, condition, term, step)
    rows = {"counted": (values, errors, 2 * 20 * 0.525)}
    clock = {"counted": time.monotonic() - started}
    # seeds of its own: it is to agree on fresh ones
    started = time.monotonic()
    found = derivatives.evolution(experiment, condition, [term], sigma, seeds, FIRST + 10 * seeds)["base_rate"]
    rows["evolution"] = (found.values[:, 0], found.errors[:, 0], 2.0)
    clock["evolution"] = time.monotonic() - started
    fewer = places[: max(32, seeds // 8 // 32 * 32)] + FIRST
    started = time.monotonic()
    slopes = derivatives.pathwise(experiment, condition, [term], fewer)[:, :, 0].astype(float)
    clock["pathwise"] = time.monotonic() - started
    rows["pathwise"] = (slopes.mean(0), slopes.std(0) / math.sqrt(len(slopes)), 4.0)
    started = time.monotonic()
    early = derivatives.surrogate(experiment, condition, [term], fewer)
    clock["surrogate"] = time.monotonic() - started
    rows["surrogate"] = (early.slopes.values[:, 0], early.slopes.errors[:, 0], 30.0)
    tests = derivatives.pathwise(experiment, condition, [term], fewer, "test")[:, :, 0].astype(float)
    inside = tests[aligned[: len(fewer)] == 0].mean(0)
    stretches = {"early": slice(0, EARLY), "late": slice(EARLY, None)}
    return {
        "term": term,
        "step": step,
        "seeds": seeds,
        "base_rate": float(aligned.mean()),
        "estimators": {
            name: {
                "values": [None if math.isnan(x) else float(x) for x in own],
                "errors": [None if math.isnan(x) else float(x) for x in error],
                "trainings_per_seed": cost,
                "seconds": round(clock[name], 1),
                "verdicts": {
                    stretch: verdict(values[part], errors[part], own[part], error[part])
                    for stretch, part in stretches.items()
                },
            }
            for name, (own, error, cost) in rows.items()
        },
        "decides": [None if math.isnan(x) else float(x) for x in early.decides],
        "basin": {"counted": basin.tolist(), "pathwise": inside.tolist()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4096)
    parser.add_argument("--out", type=Path, default=Path("figures/derivatives.json"))
    parser.add_argument("--tasks", nargs="*", default=list(SETTINGS))
    options = parser.parse_args()
    data = {}
    for task in options.tasks:
        data[task] = measure(task, options.seeds)
        for name, own in data[task]["estimators"].items():
            shown = [f"{x:.3g}" if x is not None else "-" for x in own["values"]]
            print(task, name, own["verdicts"], f"{own['seconds']} s", *shown, flush=True)
        options.out.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
