"""A proxy's weight moves values only at the start of training; later it moves only the test.

Command:   lab experiment sensitivity
Expected:  supported where gaming can be learned late (scratchpad, reasoner); in race values move at any time
Cost:      about eight minutes on 2 cores

The derivative of P(A), P(T|A), P(T|not A), ln LR and ln o(A|T) with respect to the weight of the test in each of 20
segments of holding out, finest early, counted by central differences on shared seeds (`lab sensitivity`), and the same
from a whole push in each. Worlds in which a held-out test is itself imperfect.

In `reasoner` one thing is open with 256 seeds: whether a push after the first tenth raises P(T|not A). Its largest
change per unit of weight is 3.0 [0.7, 5.3] by itself, and not above 0 together over 20 segments. If shares stay as they
are, 512 seeds decide, which is 31,000 models.

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

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lab import claims
from lab.config.experiment import Experiment, from_values
from lab.figures import name_task
from lab.figures.palette import BLUE, GREY, WHITE
from lab.figures.studies import draw_moments
from lab.figures.style import SMALLEST, Figure, Line, grid
from lab.results import outcomes, shards, summary
from lab.results.outcomes import Results
from lab.statistics import Counts, Estimate
from lab.statistics.counts import UNABLE_SHOWN
from lab.studies import sensitivity
from lab.words import Json, estimate_from_json, estimate_json, number, percent, with_interval

TERM = "test"
SIZES = {"race": (0.1, 1.0), "scratchpad": (0.004, 0.03), "shortcut": (0.03, 0.3), "reasoner": (0.003, 0.03)}
BATCHES = 16  # of seeds, for the calibration
EARLY_SEGMENTS = 6  # whose calibration is counted apart from that of the later ones
# of the rule: where the first tenth ends and the second half begins, as shares of training, and which part of the
# largest derivative counts as nothing in the second half
FIRST_TENTH, SECOND_HALF = 0.1, 0.5
FIFTH = 5
ROUNDING = 1e-9  # of shares of training, which are quotients of steps

Coverage = dict[str, dict[str, list[int]]]  # quantity -> early or later -> intervals that cover, intervals


class Segment(NamedTuple):
    """Indices of the conditions in which the weight is other in one segment: a step higher, a step lower, pushed."""

    up: int
    down: int
    push: int


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Train the profile of the config's only regimen and count it."""
    changed = sensitivity.changes(experiment.task, [TERM], *SIZES[experiment.task.name])
    change = changed[TERM]
    values = sensitivity.config(experiment, experiment.conditions[0], changed)
    results = shards.results(train(from_values(values), folder), last_only=True)
    names = list(map(str, results.condition.values))
    segments = [
        Segment(*map(names.index, sensitivity.regimen_names(TERM, index))) for index in range(len(experiment.ends))
    ]
    as_is = names.index(sensitivity.AS_IS)
    pairs = [(segment.up, segment.down) for segment in segments] + [(as_is, segment.push) for segment in segments]
    ends = [end / experiment.training.steps for end in experiment.ends]
    return {
        **claims.count_conditions(results, pairs),
        **{"ends": ends, "step": change.step, "push": change.push},
        "calibration": calibration(results, segments, 2 * change.step),
    }


def calibration(results: Results, segments: Sequence[Segment], difference: float) -> Coverage:
    """Return quantity -> [intervals that cover the estimate from other seeds, intervals], early and later.

    Args:
        results: of all seeds.
        segments: conditions of every segment.
        difference: of the weight between raised and lowered.
    """
    cells: np.ndarray = summary.cells(outcomes.classify(results)).astype(int)
    size = cells.shape[1] // BATCHES
    coverage: Coverage = {}
    for index, segment in enumerate(segments):
        part = "early" if index < EARLY_SEGMENTS else "later"
        raised, lowered = cells[segment.up], cells[segment.down]
        for batch in range(BATCHES):
            in_batch = np.zeros(len(raised), bool)
            in_batch[batch * size : (batch + 1) * size] = True
            joint, rest = (claims.joint_counts(raised[chosen], lowered[chosen]) for chosen in (in_batch, ~in_batch))
            intervals = sensitivity.derivative(Counts(*joint.sum(1)), Counts(*joint.sum(0)), joint, difference)
            one, other = (sensitivity.quantities(rest.sum(axis).astype(float)) for axis in (1, 0))
            for name, interval in intervals.items():
                with np.errstate(invalid="ignore"):  # inf - inf
                    truth = float(one[name] - other[name]) / difference
                if math.isfinite(truth) and math.isfinite(interval.value):
                    row = coverage.setdefault(name, {}).setdefault(part, [0, 0])
                    row[0] += interval.low <= truth <= interval.high
                    row[1] += 1
    return coverage


def moments(stored: claims.Stored, of: int = 1) -> list[Json]:
    """Return the moments of a task as plain JSON values, as `lab.figures.studies` draws them."""
    data = stored.data
    edges = [0.0, *data["ends"]]
    quantities = ("base_rate", "pass_given_misaligned", "posterior_odds")

    def per_unit(first: str, second: str, difference: float) -> dict[str, Json]:
        """What a unit of weight does to each quantity, from two conditions that differ in the weight."""
        changes = {name: stored.change(first, second, name, of) for name in quantities}
        return {
            name: estimate_json(Estimate(*(limit / difference for limit in change))) for name, change in changes.items()
        }

    rows = []
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        up, down, push = sensitivity.regimen_names(TERM, index)
        rows.append(
            {
                "start": start,
                "end": end,
                "derivative": per_unit(up, down, 2 * data["step"]),
                "pushed": per_unit(push, sensitivity.AS_IS, data["push"]),
                "unable": max(stored.unable(name) for name in (up, down, push)),
            }
        )
    return rows


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    rows = moments(stored, len(stored.data["ends"]))
    slopes = [
        sensitivity.per_percent(estimate_from_json(row["derivative"]["base_rate"]), row["start"], row["end"])
        for row in rows
    ]
    top = max(range(len(rows)), key=lambda index: abs(slopes[index].value))
    largest, nothing = slopes[top], abs(slopes[top].value) / FIFTH
    late = [slope for slope, row in zip(slopes, rows, strict=True) if row["start"] >= SECOND_HALF - ROUNDING]
    furthest = max(late, key=lambda slope: abs(slope.value))
    why = (
        f"largest dP(A) {with_interval(largest)} per unit and 1%, at {percent(rows[top]['start'])} of training; in "
        f"the second half at most {with_interval(furthest)}"
    )
    gaming = any(
        float(row["pushed"]["pass_given_misaligned"]["low"]) > 0
        for row in rows
        if row["start"] >= FIRST_TENTH - ROUNDING
    )
    not_0 = not largest.low <= 0 <= largest.high
    late_moves = any(slope.low > nothing or slope.high < -nothing for slope in late)
    if (not_0 and rows[top]["start"] >= SECOND_HALF) or late_moves:
        return claims.Verdict(claims.CONTRADICTED, why)
    early = largest.low > 0 and rows[top]["end"] <= FIRST_TENTH + ROUNDING
    if early and gaming and all(claims.within(slope, nothing) for slope in late):
        return claims.Verdict(claims.SUPPORTED, why + "; a later push raises P(T|not A)")
    return claims.Verdict(claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return the moments of a task, each with its own 95% interval."""
    return moments(stored)


def draw(data: Json) -> Figure:
    """A row per task, a column per quantity, as `lab sensitivity` draws them."""
    tasks = data["tasks"]
    figure, panels, _ = grid(len(TITLES) * len(tasks), 1.25, columns=len(TITLES), sharex=True)
    for left, right, (task, counts) in zip(panels[::2], panels[1::2], tasks.items(), strict=True):
        for ax, quantity in zip((left, right), TITLES, strict=True):
            draw_moments(counts["plotted"], ax, quantity)
            ax.axvspan(0, FIRST_TENTH, color=GREY, alpha=0.15, linewidth=0)
            ax.axvspan(SECOND_HALF, 1, color=GREY, alpha=0.15, linewidth=0)
        name_task(left, task, counts)
        if (most := max(moment["unable"] for moment in counts["plotted"])) > UNABLE_SHOWN:
            words = {"ha": "right", "va": "center", "transform": left.transAxes, "fontsize": SMALLEST}
            left.text(0.98, 0.22, f"up to {most:.0%} cannot do the job", **words)
    for ax, title in zip(panels, TITLES.values(), strict=False):
        ax.set_title(title, loc="right", fontsize="small")
    figure.supylabel("change per unit of weight that is held for 1% of training", fontsize="small")
    figure.supxlabel("when, as a share of training; grey: the first tenth and the second half", fontsize="small")
    handles = [
        Line([], [], color=BLUE, label="a small step of the weight"),
        Line([], [], marker="o", color=GREY, markerfacecolor=WHITE, linewidth=0.6, markersize=3, label="a whole push"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


TITLES = {"base_rate": "aligned, P(A)", "pass_given_misaligned": "misaligned that pass, P(T|not A)"}
CAPTION = claims.Caption(
    question="What does a little weight on the test do, when? Left it should matter in the first tenth alone, right "
    "later too.",
    marks="Blue: derivative at the weight 0 by counted differences; hollow: the same from a whole push in that segment",
)


if __name__ == "__main__":
    tasks = json.loads((claims.FIGURES / "sensitivity.json").read_text())["tasks"]
    for task, counts in tasks.items():
        for name, parts in counts["calibration"].items():
            shares = ", ".join(f"{part} {number(hit / of)} of {of:,}" for part, (hit, of) in parts.items())
            print(f"{task} {name}: {shares}")
