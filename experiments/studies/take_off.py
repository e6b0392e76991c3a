"""When do models learn to game a test that is hard to recognise?

Command:   python -m experiments.studies.take_off [--seeds N] [--redraw]
Expected:  later at detection_difficulty 3 than at 1, in every task; earlier with the precursor
Cost:      about six minutes on 2 cores

The take-off is the share of training at which half of the models that were misaligned (and did the job) when the push
began have passed
the test while misaligned. Its 95% interval is that of a median by order statistics, which holds for any distribution.
A model that never does so, because training ends or because it becomes aligned, counts as later than all others.

Rule, per task: `difficulty` is supported if the interval at k = 3 lies above that at k = 1 without the precursor,
contradicted if below, else undecided. `precursor` is supported if for some k the interval with it lies below that
without and for no k above, contradicted if for some k above and for none below, else undecided.
Writes figures/take_off.{json,pdf,png}.

After a look at seeds from 4,000,000 the models counted were restricted to those that did the job, and settings of
`race` and `reasoner` were changed; the verdicts are on seeds from 5,000,000, trained after that was committed.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
from scipy.stats import binom
from tueplots import figsizes

import lab
from lab.figures import save
from lab.figures.style import subplots
from lab.report import estimate_json
from lab.results.outcomes import reaches
from lab.statistics import Estimate
from lab.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
START = 0.3
PAIR = (("without precursor", "#5a5a5a", "s"), ("with precursor", "#D55E00", "o"))


def median(values, confidence=0.95):
    """Return the `Estimate` of a median from order statistics; without values it is the whole range.

    The interval from the j-th smallest to the j-th largest of n values holds the median with probability
    1 - 2 P(Binomial(n, 1/2) < j), for any distribution.
    """
    ordered = np.sort(values)
    if not len(ordered):
        return Estimate(math.nan, 0.0, math.inf)
    j = int(binom.ppf((1 - confidence) / 2, len(ordered), 0.5))  # P(B < j) <= (1 - confidence) / 2
    low, high = (ordered[j - 1], ordered[len(ordered) - j]) if j else (0.0, math.inf)
    return Estimate(float(ordered[(len(ordered) - 1) // 2]), float(low), float(high))


def take_off(results, condition):
    """Return the `Estimate` of the take-off, and the number of models that it is about."""
    own = results.sel(condition=condition)
    shares, marks = own.checkpoint.values, results.attrs["thresholds"]
    misaligned = ~reaches(own.alignment.values, marks["alignment"])
    able = reaches(own.competence.values, marks["competence"])
    start = int(np.flatnonzero(np.isclose(shares, START))[0])
    at_risk = (misaligned & able)[:, start]
    gaming = (misaligned & able & reaches(own.test.values, marks["test"]))[at_risk]
    first = np.where(gaming.any(axis=1), shares[gaming.argmax(axis=1)], np.inf)
    return median(first), int(at_risk.sum())


def verdicts(rows):
    """Judge one task by the rule above; `rows` maps (k, with precursor) to an `Estimate`."""

    def later(one, other):
        return one.low > other.high

    easy, hard = rows[1, False], rows[3, False]
    difficulty = "supported" if later(hard, easy) else "contradicted" if later(easy, hard) else "undecided"
    earlier = any(later(rows[k, False], rows[k, True]) for k in (1, 2, 3))
    delayed = any(later(rows[k, True], rows[k, False]) for k in (1, 2, 3))
    precursor = "supported" if earlier and not delayed else "contradicted" if delayed and not earlier else "undecided"
    return {"difficulty": difficulty, "precursor": precursor}


def study(seeds):
    found = {}
    for task in TASKS:
        experiment = lab.load(ROOT / f"configs/take_off/take_off_{task}.yaml")
        if seeds:
            experiment = experiment.with_seeds(min(seeds, len(experiment.seeds)))
        results = lab.run(experiment)
        rows, table = {}, []
        for condition in experiment.conditions:
            k, weight = condition.coordinates["detection_difficulty"], condition.coordinates["precursor"]
            estimate, count = take_off(results, condition.name)
            rows[int(k), weight > 0] = estimate
            table.append({"k": int(k), "precursor": weight, "at_risk": count, **estimate_json(estimate)})
        found[task] = {"rows": table, **verdicts(rows)}
        print(task, {key: found[task][key] for key in ("difficulty", "precursor")}, flush=True)
    return {"tasks": found, "start": START}


def draw(data):
    """A panel per task: the take-off by difficulty, with and without the precursor; arrows where it never comes."""
    width = figsizes.neurips2024()["figure.figsize"][0]
    figure, axes = subplots(1, len(data["tasks"]), figsize=(width, 1.9), sharey=True)
    for ax, (task, own) in zip(axes, data["tasks"].items(), strict=True):
        for row in own["rows"]:
            said, colour, marker = PAIR[row["precursor"] > 0]
            x = row["k"] + (0.12 if row["precursor"] else -0.12)
            value, low, high = (math.nan if row[key] is None else float(row[key]) for key in ("value", "low", "high"))
            ax.plot([x, x], [min(low, 1.0), min(high, 1.0)], color=colour, linewidth=1.2)
            if math.isinf(high):
                ax.plot(x, 1.03, "^", color=colour, markersize=4)
            if math.isfinite(value):
                ax.plot(x, value, marker, color=colour, markersize=3.5)
        ax.axhline(data["start"], color="black", linewidth=0.6, linestyle=":")
        ax.set_title(task, loc="left", fontsize="small")
        ax.set_xticks([1, 2, 3])
        ax.set_xlim(0.5, 3.5)
        ax.set_ylim(0.25, 1.08)
        ax.set_xlabel("detection difficulty k")
    axes[0].set_ylabel("take-off of gaming\n(share of training)")
    axes[0].text(0.6, 0.315, "the push begins", fontsize="x-small")
    for y, (said, colour, _) in zip((0.97, 0.9), PAIR, strict=True):
        axes[0].text(0.6, y, said, color=colour, fontsize="x-small")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="at most so many per condition, for a look")
    parser.add_argument("--redraw", action="store_true", help="only draw figures/take_off.json again")
    options = parser.parse_args()
    stored = ROOT / "figures/take_off.json"
    found = json.loads(stored.read_text()) if options.redraw else study(options.seeds)
    found["caption"] = (
        "When half of the models that were misaligned at the start of a late push pass its test while misaligned, by "
        "the number k of context bits whose parity says that this is a test. Arrows: half of them never do. 95% "
        "intervals of a median by order statistics."
    )
    print(save(draw, found, ROOT / "figures", "take_off"))
