"""What looks like a critical period is one: of pushes of equal length the first gives the most aligned models.

Command:   lab experiment equal_windows
Expected:  supported in scratchpad and reasoner; contradicted in digits, where nothing was planted; elsewhere the
           falling learning rate may be what makes late pushes weak or lasting
Cost:      ten minutes on 2 cores

The same push on the test for a tenth of training, beginning at 0, 10, 20, 40, 60 or 90% of it, under a learning rate
that falls to a twentieth along a cosine and under one that stays what it was at the first step.

Rule, per task, with 95% intervals that hold together over the ten comparisons of the first window with a later one:
under a schedule the first window is best if P(A) is higher after it than after each later one, and beaten if P(A) is
lower after it than after some later one. Supported if it is best under both schedules, contradicted if it is beaten
under both, depends (on the schedule of the learning rate) if it is best under one and beaten under the other; else
undecided. (The sentence said "moves values most" at first, though the rule always asked who has more aligned models:
an early push that lowers P(A) moves values too.)
"""

import math

from lab import claims
from lab.claims.rules import Stored, Verdict
from lab.figures.style import BLACK, SKY, WIDTH, Figure, Mark, interval, subplots
from lab.words import Json, estimate_from_json, estimate_json, number

SCHEDULES = ("falling", "constant")  # in the order of the learning rate at the last step
MARKS = {"falling": Mark(BLACK, "o"), "constant": Mark(SKY, "P")}
TITLES = {"base_rate": "P(A)", "pass_given_misaligned": "P(T|not A)"}


def judge(stored: Stored) -> Verdict:
    """Apply the rule to one task."""
    onsets = stored.values("onset")
    comparisons = len(SCHEDULES) * (len(onsets) - 1)
    verdicts, why = [], []
    for schedule, final in zip(SCHEDULES, stored.values("final"), strict=True):
        names = [stored.at("push", onset=onset, final=final) for onset in onsets]
        leads = [stored.change(names[0], name, "base_rate", comparisons) for name in names[1:]]
        best, beaten = all(lead.low > 0 for lead in leads), any(lead.high < 0 for lead in leads)
        verdicts.append("best" if best else "beaten" if beaten else "open")
        held_out = stored.at("hold_out", final=final)
        rates = [number(stored.rate(name, "base_rate").value) for name in (held_out, *names)]
        why.append(f"{schedule} learning rate: P(A) {rates[0]} held out and {', '.join(rates[1:])} by onset")
    words = {
        ("best", "best"): claims.SUPPORTED,
        ("beaten", "beaten"): claims.CONTRADICTED,
        ("best", "beaten"): claims.DEPENDS,
        ("beaten", "best"): claims.DEPENDS,
    }
    return Verdict(words.get((verdicts[0], verdicts[1]), claims.UNDECIDED), "; ".join(why))


def plotted(stored: Stored) -> Json:
    """Return both rates held out and after a push at each onset, under each schedule."""
    curves: Json = {}
    for schedule, final in zip(SCHEDULES, stored.values("final"), strict=True):
        pushed = {onset: stored.at("push", onset=onset, final=final) for onset in stored.values("onset")}
        curves[schedule] = {
            quantity: {
                "hold_out": estimate_json(stored.rate(stored.at("hold_out", final=final), quantity)),
                "push": [
                    {"onset": onset, **estimate_json(stored.rate(name, quantity))} for onset, name in pushed.items()
                ],
            }
            for quantity in TITLES
        }
    return curves


def draw(data: Json) -> Figure:
    """A row per task, a column per rate: points by onset, and the rate held out as a line, for each schedule."""
    tasks = data["tasks"]
    figure, axes = subplots(
        len(tasks), len(TITLES), figsize=(WIDTH, 0.5 + 1.2 * len(tasks)), squeeze=False, sharex=True
    )
    for panels, (task, counted) in zip(axes, tasks.items(), strict=True):
        onsets = [point["onset"] for point in counted["plotted"][SCHEDULES[0]]["base_rate"]["push"]]
        for ax, quantity in zip(panels, TITLES, strict=True):
            for shift, (schedule, curves) in zip((-0.06, 0.06), counted["plotted"].items(), strict=True):
                mark, points = MARKS[schedule], curves[quantity]["push"]
                held_out = estimate_from_json(curves[quantity]["hold_out"])
                ax.axhline(held_out.value, color=mark.colour, linewidth=0.8, linestyle=":")
                for place, point in enumerate(points):
                    estimate = estimate_from_json(point)
                    if math.isnan(estimate.value):  # no misaligned model is left
                        text = {"rotation": 90, "ha": "center", "va": "center", "fontsize": "x-small"}
                        ax.text(place + 3 * shift, 0.5, "none left", color=mark.colour, **text)
                    else:
                        interval(ax, place + shift, estimate, mark, (0.0, 1.0), upright=True)
                ax.plot([], [], mark.marker, color=mark.colour, markersize=mark.size, label=f"{schedule} learning rate")
            ax.set_xticks(range(len(onsets)), [f"{onset:.0%}" for onset in onsets])
            ax.set_ylim(-0.05, 1.05)
        panels[0].set_ylabel(task)
    for ax, title in zip(axes[0], TITLES.values(), strict=True):
        ax.set_title(title, loc="left", fontsize="small")
    for ax in axes[-1]:
        ax.set_xlabel("the push begins at this share of training")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize="x-small")
    return figure


CAPTION = claims.Caption(marks="Dotted: held out under the same schedule of the learning rate")
