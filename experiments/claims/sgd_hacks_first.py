"""SGD can hack a proxy that the model itself would not, the less so the more it can do, and rejecting early is better.

Command:   lab experiment sgd_hacks_first
Expected:  depends: a model that can do more hacks the proxy by itself only if something asks it to
Cost:      five minutes on 2 cores

A proxy that weights can game without telling tests apart: what the model says of itself, beside an objective that this
be true (`scratchpad`), and a linear probe of the hidden layer (`shortcut`). A model hacks it by itself if it tells
tests, which takes the parity of two bits of the context, and behaves in them. The proxy is held out, and trained on.
`capability` is how many hidden units a model may use: three values, between the least with which it does the job and
all. In one of two objectives nothing asks models to behave in tests; in the other a hidden reading of them does.
Rejecting early is a gate at a fifth of training on the proxy that is held out, whose mark lets nine tenths of the
models pass that end aligned; it is chosen on every second seed and judged on the others, as in `early_rejection`.
`race` has no such proxy and `reasoner` no such knob; in `shortcut` what tells tests apart has as many units at any
capability.

Rule, per task, with 95% intervals that hold together. SGD hacks first by as much as training on the proxy raises
P(T|not A). For the least capable models that nothing asks, this has to be more than a half, less than a tenth of
misaligned models may pass held out, and the gate has to raise P(accepted is aligned) for a compute of three trainings:
contradicted if SGD hacks first by less than .1 or the gate lowers it. If all this holds: supported if, in both
objectives, SGD hacks first by over .1 less with the most capable models than with the least capable ones; depends if in
one objective it does so and in the other it does not, for sure; contradicted if it does so in neither. Else undecided.
(The first rule had no capability and an invisible test, which no model can tell. On seeds from 7,000,000 it was
supported in `scratchpad` and `reasoner`, and contradicted in `shortcut`. This rule was committed before the run on
other seeds that decides.)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.claims.early_rejection import count_fates, gain_of_gate
from lab import claims
from lab.claims.rules import JOINT
from lab.config.experiment import Experiment
from lab.figures import name_task
from lab.figures.style import WIDTH, Axes, Figure, Line, interval, mark_of, subplots, unable_in_words
from lab.results import outcomes, shards
from lab.results.outcomes import Results
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json, estimate_json, number, setting, span

# of the rule: changes of P(T|not A) by training on the proxy, and P(T|not A) held out
HACKED, NOT_HACKED = 0.5, 0.1
MOST_HELD_OUT = 0.1
FALL = 0.1  # of the rule: by how much less SGD hacks first with the most capable models
ASKING, CAPABILITY = "implicit_proxy", "capability"  # knobs
OBJECTIVES = {"nothing asks": 0, "something asks": -1}  # index of the value of `ASKING`
WEAKEST, STRONGEST = 0, -1  # indices of the values of `CAPABILITY`
TOGETHER = 6  # intervals of the rule


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count every condition, and the fates with and without the early gate."""
    results = shards.results(train(experiment, folder))
    stored = claims.Stored(experiment.task.name, claims.count_conditions(results))
    held_out, _ = conditions(stored, WEAKEST, "nothing asks")
    return stored.data | {"proxy": results.attrs["proxy"], "gate": count_gate(results, held_out)}


def count_gate(results: Results, name: str, mark: float | None = None) -> list[int] | None:
    """Return the table of (at the end, early) cells of a condition for a gate on the proxy, on half of the seeds.

    Args:
        results: with all checkpoints.
        name: of the condition.
        mark: of the gate; the one that nine tenths of the aligned models of the other half reach by default.

    Returns:
        16 counts, or None where there is no aligned model to choose a mark by.
    """
    aligned = outcomes.classify(results)["aligned"].sel(condition=name).values
    if not (outcomes.choosing_seeds(len(aligned)) & aligned).any():
        return None
    cells, _ = count_fates(results, name, results.attrs["proxy"], mark)
    return claims.joint_counts(*cells).ravel().tolist()


def conditions(stored: claims.Stored, capability: int, objective: str) -> tuple[str, str]:
    """Return the conditions that hold the proxy out and that train on it.

    Args:
        stored: counts of the task.
        capability: index of its value.
        objective: one of `OBJECTIVES`.
    """
    where = {
        CAPABILITY: stored.values(CAPABILITY)[capability],
        ASKING: stored.values(ASKING)[OBJECTIVES[objective]],
    }
    held_out, trained = (stored.at(name, **where) for name in ("hold_out", "train"))
    return held_out, trained


def first_by(stored: claims.Stored, capability: int, objective: str) -> Estimate:
    """Return by how much training on the proxy raises P(T|not A)."""
    held_out, trained = conditions(stored, capability, objective)
    return stored.change(trained, held_out, "pass_given_misaligned", TOGETHER)


def falls(stored: claims.Stored) -> dict[str, Estimate]:
    """Return by how much less SGD hacks first with the most capable models, under each objective."""
    return {
        objective: claims.less(first_by(stored, WEAKEST, objective), first_by(stored, STRONGEST, objective))
        for objective in OBJECTIVES
    }


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    held_out, _ = conditions(stored, WEAKEST, "nothing asks")
    hacked = first_by(stored, WEAKEST, "nothing asks")
    alone = stored.rate(held_out, "pass_given_misaligned", of=TOGETHER)
    if stored.data["gate"] is None:
        return claims.Verdict(claims.UNDECIDED, "no aligned model to choose a mark by")
    gain, end, early = gain_of_gate(np.reshape(stored.data["gate"], JOINT), stored.data["confidence"], of=TOGETHER)
    fall = falls(stored)
    why = (
        f"the least capable models: training on {stored.data['proxy']} changes "
        f"{claims.phrase('P(T|not A) by', hacked)}, held out {claims.phrase('it is', alone)}; P(accepted is aligned) "
        f"{number(end)} at the end, {number(early)} with the gate, {claims.phrase('gain', gain)}; with the most "
        f"capable ones SGD hacks first by so much less: {claims.phrases(fall)}"
    )
    if hacked.high < NOT_HACKED or gain.high < 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    if not (hacked.low > HACKED and alone.high < MOST_HELD_OUT and gain.low > 0):
        return claims.Verdict(claims.UNDECIDED, why)
    does = [each.low > FALL for each in fall.values()]
    does_not = [each.high < FALL for each in fall.values()]
    if all(does_not):
        return claims.Verdict(claims.CONTRADICTED, why)
    if all(one or other for one, other in zip(does, does_not, strict=True)):
        return claims.Verdict(claims.SUPPORTED if all(does) else claims.DEPENDS, why)
    return claims.Verdict(claims.UNDECIDED, why)


WORDS = {"hold_out": "proxy held out: the model itself", "train": "trained on the proxy: SGD"}
MARKS = {regimen: mark_of(regimen) for regimen in WORDS}
GATE = ("at the\nend", "early\nas well")  # when models are rejected


def plotted(stored: claims.Stored) -> Json:
    """Return P(T|not A) of every condition, and P(accepted is aligned) with and without the gate, as plain JSON."""
    rows = []
    for objective in OBJECTIVES:
        for index, units in enumerate(stored.values(CAPABILITY)):
            for regimen, name in zip(WORDS, conditions(stored, index, objective), strict=True):
                rate = stored.rate(name, "pass_given_misaligned")
                about = {"objective": objective, "regimen": regimen, "capability": units}
                rows.append(about | estimate_json(rate) | {"unable": stored.unable(name)})
    if stored.data["gate"] is None:
        return {"rates": rows, "gate": None}
    gain, end, early = gain_of_gate(np.reshape(stored.data["gate"], JOINT), stored.data["confidence"], of=TOGETHER)
    gated = Estimate(early, end + gain.low, end + gain.high)
    return {"rates": rows, "gate": {"end": end, "early": estimate_json(gated)}}


def finding(tasks: Mapping[str, Json]) -> str:
    """Return what training on the proxy does to P(T|not A) of the least capable models that nothing asks."""
    parts = []
    for task, counts in tasks.items():
        held_out, trained = (row["value"] for row in counts["plotted"]["rates"][: len(WORDS)])
        parts.append(f"from {span([held_out])} to {span([trained])} in {task}")
    return f"Training on the proxy raises how many weak misaligned models pass it {' and '.join(parts)}"


def draw(data: Json) -> Figure:
    """A row of panels per task: P(T|not A) over capability under both objectives, and what the early gate does."""
    tasks = data["tasks"]
    widths = [1.0] * len(OBJECTIVES) + [0.7]
    size = (WIDTH, 0.6 + 1.75 * len(tasks))
    figure, axes = subplots(len(tasks), len(widths), figsize=size, squeeze=False, sharey=True, width_ratios=widths)
    for panels, (task, counts) in zip(axes, tasks.items(), strict=True):
        for ax, objective in zip(panels, OBJECTIVES, strict=False):
            _draw_objective(ax, [row for row in counts["plotted"]["rates"] if row["objective"] == objective])
            ax.set_xlabel(f"hidden units; {objective}\nmodels to pass", fontsize="x-small")
        _draw_gate(panels[-1], counts["plotted"]["gate"])
        name_task(panels[0], task, counts)
        panels[0].set_ylabel("misaligned that pass,\nP(T|not A)", fontsize="x-small")
        panels[-1].set_ylabel("P(accepted is aligned)", fontsize="x-small")
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, markersize=mark.size, label=WORDS[regimen])
        for regimen, mark in MARKS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize="x-small")
    return figure


def _draw_objective(ax: Axes, rows: Sequence[Json]) -> None:
    """Draw P(T|not A) over capability, held out and trained on; ticks say how many models cannot do the job."""
    units = sorted({row["capability"] for row in rows})
    for regimen, mark in MARKS.items():
        members = [row for row in rows if row["regimen"] == regimen]
        ax.plot(range(len(members)), [row["value"] for row in members], color=mark.colour, linewidth=0.8)
        for place, row in enumerate(members):
            interval(ax, place, estimate_from_json(row), mark, upright=True)
    unable = [unable_in_words(row["unable"] for row in rows if row["capability"] == unit) for unit in units]
    two_lines = [words.replace("cannot ", "cannot\n") for words in unable]
    names = [f"{setting(unit)}\n{words}" for unit, words in zip(units, two_lines, strict=True)]
    ax.set_xticks(range(len(units)), names, fontsize="x-small")
    ax.set_xlim(-0.4, len(units) - 0.7)
    ax.set_ylim(-0.05, 1.05)


def _draw_gate(ax: Axes, gate: Json | None) -> None:
    """Draw P(accepted is aligned) where models are rejected at the end, and where they are rejected early as well."""
    if gate:
        mark = MARKS["hold_out"]
        ax.plot((0, 1), (gate["end"], gate["early"]["value"]), color=mark.colour, linewidth=0.8)
        ax.plot([0], [gate["end"]], mark.marker, color=mark.colour, markersize=mark.size)
        interval(ax, 1, estimate_from_json(gate["early"]), mark, upright=True)
    ax.set_xticks((0, 1), GATE, fontsize="x-small")
    ax.set_xlim(-0.5, 1.5)
    ax.set_xlabel("when models are rejected", fontsize="x-small")


CAPTION = claims.Caption(
    question="How far apart are the lines: by how much does SGD hack before the model itself does?",
    before="P(T|not A) by capability, and what rejecting early on the proxy does to the least capable models that "
    "nothing asks, for a compute of three trainings.",
    marks="the bar of a gate: of what it adds",
)
