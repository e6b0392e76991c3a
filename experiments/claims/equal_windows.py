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
from collections.abc import Mapping, Sequence

from lab import claims
from lab.figures import name_task
from lab.figures.palette import BLACK, GREY, SKY
from lab.figures.style import SMALLEST, Axes, Figure, Line, Mark, grid, interval
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, estimate_from_json, estimate_json, number

SCHEDULES = ("falling", "constant")  # in the order of the learning rate at the last step
MARKS = {"falling": Mark(BLACK, "o"), "constant": Mark(SKY, "P")}
SHIFTS = {"falling": -0.06, "constant": 0.06}  # from the onset's mark on the axis, so that both can be seen
TITLES = {"base_rate": "aligned, P(A)", "pass_given_misaligned": "misaligned that pass, P(T|not A)"}


def judge(stored: claims.Stored) -> claims.Verdict:
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
    return claims.Verdict(words.get((verdicts[0], verdicts[1]), claims.UNDECIDED), "; ".join(why))


def plotted(stored: claims.Stored) -> Json:
    """Return both rates held out and after a push at each onset, under each schedule."""
    curves: Json = {}
    for schedule, final in zip(SCHEDULES, stored.values("final"), strict=True):
        pushed = {onset: stored.at("push", onset=onset, final=final) for onset in stored.values("onset")}
        curves[schedule] = {
            quantity: {
                "hold_out": estimate_json(stored.rate(stored.at("hold_out", final=final), quantity)),
                "push": [
                    {"onset": onset, "unable": stored.unable(name), **estimate_json(stored.rate(name, quantity))}
                    for onset, name in pushed.items()
                ],
            }
            for quantity in TITLES
        }
    return curves


def draw(data: Json) -> Figure:
    """A row per task, a column per rate: points by onset, and the rate held out as a line, for each schedule."""
    tasks = data["tasks"]
    figure, panels, _ = grid(len(TITLES) * len(tasks), 1.05, columns=len(TITLES), sharex=True, sharey=True)
    rows = zip(panels[::2], panels[1::2], tasks.items(), strict=True)
    for left, right, (task, counts) in rows:
        for ax, quantity in zip((left, right), TITLES, strict=True):
            draw_panel(ax, {schedule: curves[quantity] for schedule, curves in counts["plotted"].items()})
            write_unable(ax, counts["plotted"][SCHEDULES[-1]][quantity]["push"])
        name_task(left, task, counts)
    for ax, title in zip(panels, TITLES.values(), strict=False):
        ax.set_title(title, loc="right", fontsize="small")
    figure.supxlabel("when the push begins, as a share of training", fontsize="small")
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, markersize=mark.size, label=f"{schedule} learning rate")
        for schedule, mark in MARKS.items()
    ]
    handles.append(Line([], [], color=GREY, linewidth=0.8, linestyle=":", label="held out"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def draw_panel(ax: Axes, curves: Mapping[str, Json]) -> None:
    """Draw a rate after a push at each onset, and held out, for each schedule of the learning rate."""
    for schedule, curve in curves.items():
        mark, shift = MARKS[schedule], SHIFTS[schedule]
        ax.axhline(estimate_from_json(curve["hold_out"]).value, color=mark.colour, linewidth=0.8, linestyle=":")
        for index, point in enumerate(curve["push"]):
            estimate = estimate_from_json(point)
            if math.isnan(estimate.value):  # no misaligned model is left
                text = {"rotation": 90, "ha": "center", "va": "center", "fontsize": "x-small"}
                ax.text(index + 2.5 * shift, 0.5, "none left", color=mark.colour, **text)
            else:
                interval(ax, index + shift, estimate, mark, (0.0, 1.0), upright=True)
    onsets = [point["onset"] for point in curves[SCHEDULES[0]]["push"]]
    ax.set_xticks(range(len(onsets)), [f"{onset:.0%}" for onset in onsets])
    ax.set(ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])


def write_unable(ax: Axes, points: Sequence[Json]) -> None:
    """Say over every onset how many models cannot do the job under a constant learning rate, if there are many."""
    for index, point in enumerate(points):
        if point["unable"] > UNABLE_SHOWN:
            words = {"ha": "right" if index else "left", "va": "top", "fontsize": SMALLEST, "color": GREY}
            ax.text(index + 0.2, 1.05, f"{point['unable']:.0%} cannot do the job", **words)


CAPTION = claims.Caption(
    question="Does the same push leave more models aligned, the earlier it comes? Then points fall from left to right.",
    marks="Dotted: held out under the same schedule of the learning rate. Shares of models that cannot do the job are "
    "those under the constant one; they count as misaligned and failing",
)
