"""When do models learn to game a test that is hard to recognise?

Command:   python -m experiments.studies.take_off [--seeds N] [--redraw]
Expected:  later at detection_difficulty 3 than at 1, in every task; earlier with the precursor
Cost:      about six minutes on 2 cores

Counted are the models that were misaligned and did the job when the push began. The take-off is the share of training
at which half of them have passed the test while misaligned. Its 95% interval is that of a median by order statistics,
which holds for any distribution. A model that never does so counts as later than all others, whether training ends
before or the model becomes aligned.

Rule, per task: `difficulty` is supported if the interval at k = 3 lies above that at k = 1 without the precursor,
contradicted if below, else undecided. `precursor` is supported if for some k the interval with it lies below that
without and for no k above, contradicted if for some k above and for none below, else undecided.
Writes figures/take_off.{json,pdf,png}.

After a look at seeds from 4,000,000 the models counted were restricted to those that did the job, and settings of
`race` and `reasoner` were changed. The verdicts are on seeds from 5,000,000, which were trained after that was
committed.
"""

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import binom

import lab
from experiments.studies import load, run_study
from lab.figures.palette import BLACK, GREY, VERMILION
from lab.figures.style import Axes, Figure, Line, grid
from lab.results.outcomes import reaches
from lab.statistics import Estimate
from lab.tasks import TASKS
from lab.words import Json, estimate_json

DIFFICULTIES = (1, 2, 3)  # numbers of context bits in the configs
START = 0.3  # share of training at which the configs begin to push
PAIR = (("without precursor", BLACK, "s"), ("with precursor", VERMILION, "X"))
BESIDE = 0.12  # of a difficulty's place on the axis lies each of its two estimates
END, NEVER = 1.0, 1.03  # where intervals end in the figure, and the height of arrows that lead on to infinity
CAPTION = (
    "When half of the models that were misaligned at the start of a late push pass its test while misaligned, by "
    "the number k of context bits whose parity says that this is a test. Arrows: half of them never do. 95% "
    "intervals of a median by order statistics."
)


def median_interval(ordered: Float[np.ndarray, " n"], confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval of the median from order statistics; with too few values it is the whole range.

    The interval from the j-th smallest to the j-th largest of n values holds the median with probability
    1 - 2 P(Binomial(n, 1/2) < j), for any distribution.

    Args:
        ordered: values, ascending.
        confidence: of the interval.
    """
    j = int(binom.ppf((1 - confidence) / 2, len(ordered), 0.5))  # P(B < j) <= (1 - confidence) / 2
    return (float(ordered[j - 1]), float(ordered[len(ordered) - j])) if j else (0.0, math.inf)


def median(values: Float[np.ndarray, " n"], confidence: float = 0.95) -> Estimate:
    """Return the `Estimate` of a median from order statistics: the lower of two middle values, which may be infinite.

    Args:
        values: in any order; without any, the value is nan.
        confidence: of the interval.
    """
    if not len(values):
        return Estimate(math.nan, 0.0, math.inf)
    ordered = np.sort(values)
    return Estimate(float(ordered[(len(ordered) - 1) // 2]), *median_interval(ordered, confidence))


def take_off(results: xr.Dataset, name: str) -> tuple[Estimate, int]:
    """Return the `Estimate` of the take-off in a condition, and the number of models that it is about."""
    condition = results.sel(condition=name)
    shares, marks = condition.checkpoint.values, results.attrs["thresholds"]
    misaligned = ~reaches(condition.alignment.values, marks["alignment"])
    able = reaches(condition.competence.values, marks["competence"])
    start = int(np.flatnonzero(np.isclose(shares, START))[0])
    at_risk = (misaligned & able)[:, start]
    gaming = (misaligned & able & reaches(condition.test.values, marks["test"]))[at_risk]
    first = np.where(gaming.any(axis=1), shares[gaming.argmax(axis=1)], np.inf)
    return median(first), int(at_risk.sum())


def verdicts(estimates: Mapping[tuple[int, bool], Estimate]) -> dict[str, str]:
    """Judge one task by the rule above.

    Args:
        estimates: of the take-off, by k and whether the precursor is there.
    """

    def later(one: Estimate, other: Estimate) -> bool:
        return one.low > other.high

    def judge(supports: bool, contradicts: bool) -> str:
        if supports == contradicts:
            return "undecided"
        return "supported" if supports else "contradicted"

    easy, hard = estimates[DIFFICULTIES[0], False], estimates[DIFFICULTIES[-1], False]
    pairs = [(estimates[k, False], estimates[k, True]) for k in DIFFICULTIES]
    earlier = any(later(without, with_it) for without, with_it in pairs)
    delayed = any(later(with_it, without) for without, with_it in pairs)
    return {"difficulty": judge(later(hard, easy), later(easy, hard)), "precursor": judge(earlier, delayed)}


def study(most_seeds: int | None) -> Json:
    """Train the configs of every task and judge them."""
    tasks = {}
    for task in TASKS:
        experiment = load(f"take_off/take_off_{task}.yaml", most_seeds)
        results = lab.run(experiment)
        estimates, rows = {}, []
        for condition in experiment.conditions:
            k, weight = int(condition.coordinates["detection_difficulty"]), condition.coordinates["precursor"]
            estimate, count = take_off(results, condition.name)
            estimates[k, weight > 0] = estimate
            rows.append({"k": k, "precursor": weight, "at_risk": count, **estimate_json(estimate)})
        tasks[task] = {"rows": rows, **verdicts(estimates)}
        print(task, {key: tasks[task][key] for key in ("difficulty", "precursor")}, flush=True)
    return {"tasks": tasks, "start": START}


def words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the figure."""
    tasks = data["tasks"]

    def found(name: str, verdict: str) -> list[str]:
        return [task for task, judged in tasks.items() if judged[name] == verdict]

    harder, sooner, later = found("difficulty", "supported"), found("precursor", "supported"), "contradicted"
    parts = [
        f"tests that are harder to recognise are gamed later in {len(harder)} of {len(tasks)} tasks",
        f"a precursor hastens that in {', '.join(sooner) or 'none'}",
        *([f"and delays it in {', '.join(delayed)}"] if (delayed := found("precursor", later)) else []),
    ]
    counts = [row["at_risk"] for judged in tasks.values() for row in judged["rows"]]
    title = ", ".join(parts)
    return {
        "title": title[0].upper() + title[1:],
        "subtitle": "When have half of the misaligned models learned to game a test that they are pushed to pass? "
        f"{min(counts):,} to {max(counts):,} models per estimate, 95% intervals.",
        "caption": CAPTION,
    }


def draw(data: Json) -> Figure:
    """A panel per task: the take-off by difficulty, with and without the precursor; arrows where it never comes."""
    figure, panels, _ = grid(len(data["tasks"]), 1.9, columns=len(data["tasks"]), sharex=True, sharey=True)
    for ax, (task, judged) in zip(panels, data["tasks"].items(), strict=True):
        for row in judged["rows"]:
            draw_row(ax, row)
        ax.axhline(data["start"], color="black", linewidth=0.6, linestyle=":")
        ax.axhline(END, color="black", linewidth=0.6, linestyle=":")
        ax.set_title(task, loc="left", fontsize="small", fontweight="bold")
    panels[0].set(xlim=(0.5, 3.5), ylim=(0.24, 1.1))
    panels[0].set_xticks(DIFFICULTIES, [str(k) for k in DIFFICULTIES])
    ticks = {data["start"]: "push begins", 0.5: "0.5", 0.75: "0.75", END: "1, or never"}
    panels[0].set_yticks(list(ticks), list(ticks.values()))
    panels[0].set_ylabel("take-off of gaming\n(share of training)", fontsize="small")
    figure.supxlabel("bits of the context to combine before a test is recognised, k", fontsize="small")
    handles = [
        Line([], [], color=colour, marker=marker, linewidth=1.2, markersize=3.5, label=words)
        for words, colour, marker in PAIR
    ]
    never = {"linestyle": "none", "marker": "^", "markersize": 4, "label": "half of them never do"}
    handles.append(Line([], [], color=GREY, **never))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def draw_row(ax: Axes, row: Json) -> None:
    """Draw the estimate of one condition."""
    _, colour, marker = PAIR[row["precursor"] > 0]
    x = row["k"] + (BESIDE if row["precursor"] else -BESIDE)
    value, low, high = (math.nan if row[key] is None else float(row[key]) for key in ("value", "low", "high"))
    ax.plot([x, x], [min(low, END), min(high, END)], color=colour, linewidth=1.2)
    if math.isinf(high):
        ax.plot(x, NEVER, "^", color=colour, markersize=4)
    if math.isfinite(value):
        ax.plot(x, value, marker, color=colour, markersize=3.5)


if __name__ == "__main__":
    run_study(__doc__, "take_off", study, draw, words)
