"""A proxy's weight moves values only at the start of training; later it moves only the test.

Command:   lab experiment sensitivity
Expected:  supported where gaming can be learned late (scratchpad, reasoner); in race values move at any time
Cost:      about eight minutes on 2 cores

The derivative of P(A), P(T|A), P(T|not A), ln LR and ln o(A|T) with respect to the weight of the test in each of 20
segments of holding out, finest early, counted by central differences on shared seeds (`lab sensitivity`), and the same
from a whole push in each. Worlds in which a held-out test is itself imperfect.

Rule, per task, with 95% intervals that hold together over segments and per unit of weight and 1% of training: supported
if the largest derivative of P(A) is above 0 and in the first tenth, every derivative of P(A) in the second half of
training is nearer to 0 than a fifth of its estimate, and a push after the first tenth raises P(T|not A); contradicted
if a derivative in the second half is further from 0 than that fifth, or the largest lies there and is not 0; else
undecided. (After the run: the largest lying in the second half no longer counts against the claim if its interval holds
0. No verdict changed.)

Calibration, of what `lab sensitivity` prints: the run's seeds in batches, each with intervals of its own, against the
estimate from all other seeds, where both are finite: `python -m experiments.claims.sensitivity` prints the share that
cover
it. That estimate is not exact: of intervals that are right at 95%, a little fewer cover it (94.2% with 16 batches); and
segments share seeds, so those of a batch miss together.
"""

import json
import math

import numpy as np

from lab import claims
from lab.config.experiment import from_values
from lab.figures.studies import draw_moments
from lab.figures.style import WIDTH, subplots
from lab.report import estimate_json
from lab.results import outcomes, shards, summary
from lab.statistics import Counts, Estimate
from lab.studies import sensitivity
from lab.words import number, percent, with_interval

TERM = "test"
SIZES = {"race": (0.1, 1.0), "scratchpad": (0.004, 0.03), "shortcut": (0.03, 0.3), "reasoner": (0.003, 0.03)}
BATCHES = 16


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Train the profile of the config's only regimen and count it."""
    changed = sensitivity.changes(experiment.task, [TERM], *SIZES[experiment.task.name])
    values = sensitivity.config(experiment, experiment.conditions[0], changed)
    results = shards.results(train(from_values(values), folder), last_only=True)
    names = list(map(str, results.condition.values))
    trios = [
        [names.index(f"{side}-{TERM}-{index:03d}") for side in ("up", "down", "push")]
        for index in range(len(experiment.ends))
    ]
    base = names.index("as-is")
    pairs = [(up, down) for up, down, _ in trios] + [(base, push) for *_, push in trios]
    ends = [end / experiment.training.steps for end in experiment.ends]
    own = {"ends": ends, "step": changed[TERM].step, "push": changed[TERM].push}
    return (
        claims.count_conditions(results, pairs)
        | own
        | {"calibration": calibration(results, trios, 2 * changed[TERM].step)}
    )


def calibration(results, trios, difference):
    """Return quantity -> [intervals that cover the estimate from other seeds, intervals], early and later."""
    cells, found = summary.cells(outcomes.classify(results)), {}
    size = cells.shape[1] // BATCHES
    for index, (up, down, _) in enumerate(trios):
        joint = 4 * cells[up].astype(int) + cells[down]
        for batch in range(BATCHES):
            mine = np.zeros(len(joint), bool)
            mine[batch * size : (batch + 1) * size] = True
            own, rest = (np.bincount(joint[part], minlength=16).reshape(4, 4) for part in (mine, ~mine))
            intervals = sensitivity.derivative(Counts(*own.sum(1)), Counts(*own.sum(0)), own, difference)
            one, other = (sensitivity.quantities(rest.sum(axis).astype(float)) for axis in (1, 0))
            for name, interval in intervals.items():
                with np.errstate(invalid="ignore"):  # inf - inf
                    truth = float(one[name] - other[name]) / difference
                if math.isfinite(truth) and math.isfinite(interval.value):
                    row = found.setdefault(name, {}).setdefault("early" if index < 6 else "later", [0, 0])
                    row[0] += interval.low <= truth <= interval.high
                    row[1] += 1
    return found


def moments(stored, of=1):
    """Return the moments of a task as plain JSON values, as `lab.figures.studies` draws them."""
    data = stored.data
    edges, found = [0.0, *data["ends"]], []

    def per(estimate, by):
        return estimate_json(Estimate(*(x / by for x in estimate)))

    for index in range(len(data["ends"])):
        names = [f"{side}-{TERM}-{index:03d}" for side in ("up", "down", "push")]
        quantities = ("base_rate", "pass_given_misaligned", "posterior_odds")
        small = {name: stored.change(*names[:2], name, of) for name in quantities}
        pushed = {name: stored.change(names[2], "as-is", name, of) for name in quantities}
        found.append(
            {
                "start": edges[index],
                "end": edges[index + 1],
                "derivative": {name: per(own, 2 * data["step"]) for name, own in small.items()},
                "pushed": {name: per(own, data["push"]) for name, own in pushed.items()},
            }
        )
    return found


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    rows = moments(stored, len(stored.data["ends"]))

    def values(moment):
        per = 100 * (moment["end"] - moment["start"])
        own = (moment["derivative"]["base_rate"][key] for key in ("value", "low", "high"))
        return Estimate(*(float(x) / per for x in own))

    slopes = [values(moment) for moment in rows]
    top = max(range(len(rows)), key=lambda index: abs(slopes[index].value))
    late = [own for own, moment in zip(slopes, rows, strict=True) if moment["start"] >= 0.5 - 1e-9]
    fifth = abs(slopes[top].value) / 5
    furthest = max(late, key=lambda own: abs(own.value))
    why = (
        f"largest dP(A) {with_interval(slopes[top])} per unit and 1%, at {percent(rows[top]['start'])} of training; in "
        f"the second half at most {with_interval(furthest)}"
    )
    gaming = any(
        float(moment["pushed"]["pass_given_misaligned"]["low"]) > 0 for moment in rows if moment["start"] >= 0.1 - 1e-9
    )
    there = not slopes[top].low <= 0 <= slopes[top].high
    if (there and rows[top]["start"] >= 0.5) or any(own.low > fifth or own.high < -fifth for own in late):
        return claims.Verdict(claims.CONTRADICTED, why)
    early = slopes[top].low > 0 and rows[top]["end"] <= 0.1 + 1e-9
    if early and gaming and all(-fifth < own.low <= own.high < fifth for own in late):
        return claims.Verdict(claims.SUPPORTED, why + "; a later push raises P(T|not A)")
    return claims.Verdict(claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return the moments of a task, each with its own 95% interval."""
    return moments(stored)


def draw(data: Json) -> Figure:
    """A row per task, a column per quantity, as `lab sensitivity` draws them."""
    tasks = data["tasks"]
    figure, axes = subplots(len(tasks), 2, figsize=(WIDTH, 0.4 + 1.25 * len(tasks)), squeeze=False, sharex=True)
    for row, (task, counts) in zip(axes, tasks.items(), strict=True):
        for ax, quantity in zip(row, ("base_rate", "pass_given_misaligned"), strict=True):
            draw_moments(counts["plotted"], ax, quantity)
        row[0].set_ylabel(task)
    for ax, text in zip(axes[0], ("P(A), change per unit of weight and 1%", "P(T|not A), the same"), strict=True):
        ax.set_title(text, loc="left", fontsize="small")
    for ax in axes[-1]:
        ax.set_xlabel("share of training")
    return figure


CAPTION = claims.Caption(
    marks="Blue: derivative at the weight 0 by counted differences; hollow: the same from a whole push in that segment"
)


if __name__ == "__main__":
    tasks = json.loads((claims.FIGURES / "sensitivity.json").read_text())["tasks"]
    for task, own in tasks.items():
        for name, parts in own["calibration"].items():
            shares = ", ".join(f"{part} {number(hit / of)} of {of:,}" for part, (hit, of) in parts.items())
            print(f"{task} {name}: {shares}")
