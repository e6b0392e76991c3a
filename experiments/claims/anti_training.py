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
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims.runs_to_discard import discarded
from lab import claims, figures
from lab.figures.style import GREY, WIDTH, Axes, interval, mark_of, name_rows, subplots
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
EDGES = {"failures": (0.01, 1000.0), "gap": (-1.0, 1.0)}  # of the axes of the figure


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
    """Return failures before a pass and what the test tells, held out and of each way, as plain JSON values."""
    found = ways(stored)
    return [
        {
            "name": WAYS.get(name, "held out"),
            "regimen": name,
            "failures": estimate_json(stored.of_shares(name, discarded)),
            "gap": estimate_json(stored.of_shares(name, gap)),
            "differs": {
                "failures": name in found and found[name].dramatic,
                "gap": name in found and (found[name].strengthens or found[name].weakens),
            },
        }
        for name in ("hold_out", *WAYS)
    ]


def draw(data: Json) -> figures.Figure:
    """A row of panels per task: failures before a pass, and what the test tells, a line per way."""
    tasks = data["tasks"]
    figure, axes = subplots(
        len(tasks), 2, figsize=(WIDTH, 0.5 + 1.25 * len(tasks)), squeeze=False, sharex="col", sharey=True
    )
    for panels, (task, counted) in zip(axes, tasks.items(), strict=True):
        for ax, quantity in zip(panels, EDGES, strict=True):
            _draw(ax, counted["plotted"], quantity)
        panels[0].set_title(task, loc="left", fontsize="small", fontweight="bold")
        name_rows(panels[0], [row["name"] for row in counted["plotted"]], fontsize="x-small")
    for ax, words in zip(axes[-1], ("failures before a pass", "P(T|A) - P(T|not A)"), strict=True):
        ax.set_xlabel(words)
    for panels in axes:
        panels[0].set_xscale("log")
        panels[0].set_xlim(EDGES["failures"][0] * 0.8, EDGES["failures"][1] * 1.25)
    axes[0][1].set_xlim(-1.05, 1.05)
    return figure


def _draw(ax: Axes, rows: list[Json], quantity: str) -> None:
    """Draw a quantity held out, which a dotted line goes on with, and of each way."""
    for height, row in enumerate(rows):
        hollow = height > 0 and not row["differs"][quantity]
        interval(ax, height, estimate_from_json(row[quantity]), mark_of(row["regimen"]), EDGES[quantity], hollow)
    ax.axvline(max(rows[0][quantity]["value"], EDGES[quantity][0]), color=GREY, linewidth=0.6, linestyle=":")


CAPTION = claims.Caption(
    before="Left: how many models fail before one passes. Right: how much more often aligned models pass than others.",
    marks="filled: dramatic on the left, stronger or weaker on the right, for sure; dotted: held out",
)
