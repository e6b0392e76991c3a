"""Anti-training on a proxy costs many more failures before a pass; done right it strengthens the test, else weakens it.

Command:   lab experiment anti_training
Expected:  supported, but where a negative weight on the test moves values
Cost:      three minutes on 2 cores

In a world whose main objective teaches a precursor of gaming (to tell tests from deployment; in `race`, to fake) and
in which something like the test pays. Six ways to train against the test stand beside holding it out there: leaving
the precursor out, leaving it out after 40% of training, a negative weight on it, and a negative weight on the
(linear) test in the first tenth, from 40% on, and from 40% on but much larger.

A way is dramatic if it costs at least three times as many failures before a pass, 1 / P(T) - 1, and at least one more.
It strengthens the test if it at least doubles the LR and raises P(T|A) - P(T|not A). It weakens the test if it lowers
this difference by over .05.

Rule, per task, with 95% intervals that hold together over the six ways: supported if some way is dramatic and
strengthens the test, and some other weakens it, all for sure. Depends if the first is there and no way weakens the
test for sure, or if some way strengthens it, some other weakens it and none that strengthens it is dramatic, for sure.
Contradicted if no way can be dramatic, or none can strengthen the test; else undecided. (The first rule asked only for
a lower P(T) and a higher LR with a negative weight on the test from 40% on. On seeds from 7,000,000 it was supported in
`scratchpad`, `race`, `shortcut`, `reasoner` and `digits`, and undecided in `gridworld`. It said nothing of precursors,
took any cost for a dramatic one, and did not ask whether the test can get worse. This rule was committed before the run
on other seeds that decides. In `shortcut`, 512 seeds from 7,320,000 left open whether the late weight strengthens the
test, and so showed that more are needed; 1,536 others are counted.)

By the first rule the verdict in `shortcut` became its opposite with Adam instead of SGD: training against the test late
let none of 150 aligned models pass, and 28 of 362 misaligned ones.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims.runs_to_discard import discarded
from lab import claims, figures
from lab.figures import name_task
from lab.figures.palette import GREY, OUTCOMES
from lab.figures.style import WIDTH, Axes, Line, Mark, interval, mark_of, name_rows, subplots, unable_in_words
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json, estimate_json

TIMES = 3  # as many failures before a pass, from which the cost is dramatic; of the rule
MORE = 1  # failure before a pass that the cost rises by at least; of the rule
DOUBLED = math.log(2)  # change of ln LR from which the test is stronger; of the rule
WORSE = 0.05  # fall of P(T|A) - P(T|not A) from which the test is weaker; of the rule
WAYS = {  # regimen -> what is done, in words
    "no_precursor": "precursor left out",
    "no_precursor_late": "precursor left out late",
    "anti_precursor": "against the precursor",
    "anti_early": "against the test early",
    "anti_late": "against the test late",
    "anti_late_strong": "against it late, strongly",
}
TOGETHER = 4 * len(WAYS)  # intervals of the rule
FAILURES = (0.01, 1000.0)  # edges of the axis of failures
PASSING = {
    "pass_given_aligned": ("aligned models, P(T|A)", Mark(OUTCOMES["aligned_pass"].colour)),
    "pass_given_misaligned": ("misaligned models, P(T|not A)", Mark(OUTCOMES["misaligned_pass"].colour, "D", 5)),
}


class Way(NamedTuple):
    """What a way to train against a test does, compared with holding it out.

    Attributes:
        times: failures before a pass, as a multiple.
        more: failures before a pass, as a difference.
        ratio: change of ln LR.
        gap: change of P(T|A) - P(T|not A).
    """

    times: Estimate
    more: Estimate
    ratio: Estimate
    gap: Estimate

    @property
    def dramatic(self) -> bool:
        """Whether it costs many more failures, for sure."""
        return self.times.low > TIMES and self.more.low > MORE

    @property
    def never_dramatic(self) -> bool:
        """Whether it does not, for sure."""
        return self.times.high < TIMES or self.more.high < MORE

    @property
    def strengthens(self) -> bool:
        """Whether it strengthens the test, for sure."""
        return self.ratio.low > DOUBLED and self.gap.low > 0

    @property
    def never_strengthens(self) -> bool:
        """Whether it does not, for sure."""
        return self.ratio.high < DOUBLED or self.gap.high < 0

    @property
    def weakens(self) -> bool:
        """Whether it weakens the test, for sure."""
        return self.gap.high < -WORSE

    @property
    def never_weakens(self) -> bool:
        """Whether it does not, for sure."""
        return self.gap.low > -WORSE


def gap(shares: claims.Shares) -> Float[np.ndarray, " *draws"]:
    """Return P(T|A) - P(T|not A)."""
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = shares
    return aligned_pass / (aligned_pass + aligned_fail) - misaligned_pass / (misaligned_pass + misaligned_fail)


def ways(stored: claims.Stored) -> dict[str, Way]:
    """Return the `Way` of each regimen that trains against the test."""
    return {
        name: Way(
            stored.of_both(name, "hold_out", lambda one, other: discarded(one) / discarded(other), TOGETHER),
            stored.difference(name, discarded, "hold_out", discarded, TOGETHER),
            stored.impact(name, "hold_out", TOGETHER).likelihood_ratio,
            stored.difference(name, gap, "hold_out", gap, TOGETHER),
        )
        for name in WAYS
    }


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    found = ways(stored)
    why = "; ".join(f"{WAYS[name]}: {_in_words(stored, name, way)}" for name, way in found.items())
    return claims.Verdict(decide(list(found.values())), why)


def decide(found: list[Way]) -> str:
    """Return the verdict from what all ways do."""
    if all(way.never_dramatic for way in found) or all(way.never_strengthens for way in found):
        return claims.CONTRADICTED
    right = [way for way in found if way.strengthens]
    poor = any(way.weakens for way in found)
    if any(way.dramatic for way in right):
        never = all(way.never_weakens for way in found)
        return claims.SUPPORTED if poor else claims.DEPENDS if never else claims.UNDECIDED
    cheap = all(way.never_dramatic or way.never_strengthens for way in found)
    return claims.DEPENDS if right and poor and cheap else claims.UNDECIDED


def _in_words(stored: claims.Stored, name: str, way: Way) -> str:
    marks = {"dramatic": way.dramatic, "stronger": way.strengthens, "weaker": way.weakens}
    said = " and ".join(word for word, holds in marks.items() if holds) or "neither dramatic, stronger nor weaker"
    numbers = {"failures times": way.times, "ln LR by": way.ratio, "P(T|A) - P(T|not A) by": way.gap}
    return f"{said} ({claims.phrases(numbers | {'P(A)': stored.rate(name, 'base_rate')})})"


def plotted(stored: claims.Stored) -> list[Json]:
    """Return failures before a pass and who passes, held out and of each way, as plain JSON values."""
    found = ways(stored)
    rows = []
    for name in ("hold_out", *WAYS):
        row = {"name": WAYS.get(name, "hold out"), "regimen": name}
        row |= {"failures": estimate_json(stored.of_shares(name, discarded)), "unable": stored.unable(name)}
        row |= {quantity: estimate_json(stored.rate(name, quantity)) for quantity in PASSING}
        way = found.get(name)
        test = "stronger test" if way and way.strengthens else "weaker test" if way and way.weakens else ""
        rows.append(row | {"dramatic": bool(way and way.dramatic), "test": test})
    return rows


def finding(tasks: Mapping[str, Json]) -> str:
    """Return how many ways in all tasks are dramatic, and how many strengthen and weaken the test."""
    rows = [row for counts in tasks.values() for row in counts["plotted"] if row["regimen"] in WAYS]
    tests = Counter(row["test"] for row in rows)
    dramatic = [row for row in rows if row["dramatic"]]
    both = sum(row["test"] == "stronger test" for row in dramatic)
    return (
        f"Of {len(rows)} ways to train against a test, {len(dramatic)} cost many more failures ({both} of them for a "
        f"stronger test), {tests['stronger test']} make it stronger and {tests['weaker test']} weaker"
    )


def draw(data: Json) -> figures.Figure:
    """A row of panels per task: failures before a pass, and who passes, a line per way."""
    tasks = data["tasks"]
    figure, axes = subplots(len(tasks), 2, figsize=(WIDTH, 0.8 + 1.5 * len(tasks)), squeeze=False, sharex="col")
    low, high = FAILURES
    for (left, right), (task, counts) in zip(axes, tasks.items(), strict=True):
        rows = counts["plotted"]
        _draw_failures(left, rows)
        _draw_passing(right, rows)
        name_task(left, task, counts)
        names = [f"{row['name']}\n{unable_in_words([row['unable']])}".strip() for row in rows]
        name_rows(left, names, fontsize="x-small")
        name_rows(right, [""] * len(rows))
        for ax in (left, right):
            ax.tick_params(axis="y", length=0)
    axes[0][0].set_xscale("log")
    axes[0][0].set_xlim(low * 0.8, high * 1.25)
    axes[0][0].set_xticks((0.01, 1, 100), (f"{low:g} or less", "1", "100"))
    axes[0][1].set_xlim(-0.05, 1.05)
    axes[-1][0].set_xlabel("failures before a pass", fontsize="small")
    axes[-1][1].set_xlabel("share that passes", fontsize="small")
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, linestyle="none", markersize=mark.size, label=words)
        for words, mark in PASSING.values()
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize="x-small")
    return figure


def _say(ax: Axes, height: int, words: str) -> None:
    """Write what is sure of a row at the right of a panel."""
    place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    ax.annotate(words, (1, height), (3, 0), fontsize="x-small", fontweight="bold", **place)


def _draw_failures(ax: Axes, rows: Sequence[Json]) -> None:
    """Draw the failures before a pass of each way, and a dotted line where they are held out."""
    for height, row in enumerate(rows):
        mark = mark_of(row["regimen"])
        interval(ax, height, estimate_from_json(row["failures"]), mark, FAILURES, height > 0 and not row["dramatic"])
        if row["dramatic"]:
            _say(ax, height, "costly")
    ax.axvline(max(rows[0]["failures"]["value"], FAILURES[0]), color=GREY, linewidth=0.6, linestyle=":")


def _draw_passing(ax: Axes, rows: Sequence[Json]) -> None:
    """Draw how many aligned and how many misaligned models pass: the further apart, the more the test tells."""
    for height, row in enumerate(rows):
        ax.plot([row[quantity]["value"] for quantity in PASSING], [height] * 2, color=GREY, linewidth=0.5)
        for quantity, (_, mark) in reversed(PASSING.items()):  # the smaller mark above the larger one
            interval(ax, height, estimate_from_json(row[quantity]), mark, (0, 1))
        _say(ax, height, row["test"])


CAPTION = claims.Caption(
    question="What does training against a test cost, and what does the test tell then?",
    before="Left: how many models fail before one passes. Right: how many aligned and how many misaligned models pass; "
    "the further apart, the more the test tells.",
    marks="costly, filled on the left: dramatic for sure; stronger, weaker: for sure; dotted: held out",
)
