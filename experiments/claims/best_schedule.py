"""A schedule of weights found by optimisation beats every hand-made one, pushing early and against it later included.

Command:   lab experiment best_schedule
Expected:  it wins in scratchpad, where gaming forms late and can be undone there; it is flat where holding out is best
Cost:      about twelve minutes on 2 cores

The schedule of the weight of the (linear) test that makes an accepted model most likely aligned, with three runs
allowed and the last accepted in any case, under a cap and two budgets: the cap for a tenth and for two fifths of
training. Searched by evolution strategies from three starts (`lab optimise`), compared with schedules made by hand of
the same cap and budget on seeds that the search never saw. After a first run on seeds from 7,000,000, in which searches
in `race` ended below where they began, perturbations shrink during a search and a search returns where it began if that
is better; the verdicts are on seeds from 8,000,000.

Rule, per task, with 95% intervals that hold together over rivals: at a budget the schedule *wins* if its gain over
every one made by hand is above 0, *loses* if one is below, and is *level* otherwise. Supported if it wins at both
budgets; contradicted if it loses at one, or is level at both and its gain over the best by hand is for sure below .03;
depends (on the budget) if it wins at one and is level at the other; else undecided.
"""

from collections.abc import Sequence
from pathlib import Path

from lab import claims
from lab.config.experiment import Experiment, from_values
from lab.figures import name_task
from lab.figures.palette import GREY, VERMILION
from lab.figures.studies import draw_rivals, draw_schedule
from lab.figures.style import WIDTH, Figure, Line, subplots
from lab.report import optimised_json
from lab.results import shards
from lab.statistics import Estimate
from lab.studies import schedules, search
from lab.studies.schedules import LEARNED, Standing
from lab.studies.study import About
from lab.words import Json, estimate_json, with_interval

GOAL = search.Goal("accepted_aligned", 3)
EFFORT = search.Effort(starts=3, iterations=40)
SHARES = (0.1, 0.4)  # of training for which the cap would spend the budget; of the rule
CAPS = {"race": 0.3, "scratchpad": 0.02, "shortcut": 0.3}
PAIRS = {"race": 512, "scratchpad": 128, "shortcut": 256}
TERMS = ["test_linear"]
SMALL = 0.03  # gain over the best by hand that does not count; of the rule
WORDS = {"wins": "wins", "loses": "loses", "flat": "level"}  # what the rule calls each outcome of a comparison


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Search under both budgets and count what was found beside what is made by hand."""
    return {
        "confidence": experiment.config.confidence,
        "seeds": len(experiment.seeds),
        "conditions": {},
        "budgets": [count_budget(experiment, share, folder / f"budget-{share:g}", train) for share in SHARES],
    }


def count_budget(experiment: Experiment, share: float, folder: Path, train: claims.Train) -> Json:
    """Search under one budget and count what was found beside what is made by hand.

    Args:
        experiment: whose first condition is searched.
        share: of training for which the cap would spend the budget.
        folder: where search and run lie.
        train: what trains the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task, file = experiment.task.name, folder / "search.json"
    problem = search.problem(experiment, experiment.conditions[0].name, TERMS, GOAL, CAPS[task], CAPS[task] * share)
    optima = search.searches(problem, EFFORT._replace(pairs=PAIRS[task]), file)
    compared = schedules.schedules_to_compare(problem, optima)
    results = shards.results(train(from_values(schedules.config(problem, compared)), folder / "run"), last_only=True)
    learned = list(compared).index(LEARNED)
    counts = claims.count_conditions(
        results, [(min(learned, index), max(learned, index)) for index in range(len(compared))]
    )
    optimised = schedules.Optimised(About.of_results(results), problem, optima, compared, [], "", file, folder)
    return counts | {"search": optimised_json(optimised)}


def rows(task: str, budget: Json) -> list[Standing]:
    """Return a `lab.studies.schedules.Standing` of every schedule at one budget, the best first."""
    stored = claims.Stored(task, budget)
    rivals, confidence = len(stored.names) - 1, budget["confidence"]
    standings = [
        schedules.standing(name, *stored.pair(LEARNED, name), GOAL, confidence, None if name == LEARNED else rivals)
        for name in stored.names
    ]
    return sorted(standings, key=lambda row: -row.value.value)


def best_by_hand(standings: Sequence[Standing]) -> tuple[Standing, Estimate]:
    """Return the best schedule made by hand, and the gain over it."""
    return next((row, row.gain) for row in standings if row.gain is not None and not row.name.startswith(LEARNED))


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    outcomes, why, small = [], [], True
    for share, budget in zip(SHARES, stored.data["budgets"], strict=True):
        standings = rows(stored.task, budget)
        outcome = WORDS[schedules.verdict([row for row in standings if not row.name.startswith(LEARNED)])]
        learned = next(row for row in standings if row.name == LEARNED)
        by_hand, gain = best_by_hand(standings)
        small &= gain.high < SMALL
        outcomes.append(outcome)
        why.append(
            f"budget {share:g}: {outcome}, {with_interval(learned.value)} against {with_interval(by_hand.value)} of "
            f"{by_hand.name}, gain {with_interval(gain)}"
        )
    verdict = claims.UNDECIDED
    if "loses" in outcomes or (outcomes == ["level", "level"] and small):
        verdict = claims.CONTRADICTED
    elif outcomes == ["wins", "wins"]:
        verdict = claims.SUPPORTED
    elif set(outcomes) == {"wins", "level"}:
        verdict = claims.DEPENDS
    return claims.Verdict(verdict, "; ".join(why))


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what every schedule reaches under the larger budget, the best first, as plain JSON values."""
    return [
        {"name": row.name, "value": estimate_json(row.value), "gain": row.gain and estimate_json(row.gain)}
        for row in rows(stored.task, stored.data["budgets"][-1])
    ]


def draw(data: Json) -> Figure:
    """A row per task: the schedules found under both budgets, and what every schedule reaches under the larger one."""
    tasks = data["tasks"]
    figure, axes = subplots(
        len(tasks), 3, figsize=(WIDTH, 2.25 * len(tasks)), squeeze=False, width_ratios=[1, 1, 1.2], sharex="col"
    )
    for row, (task, counts) in zip(axes, tasks.items(), strict=True):
        for ax, budget in zip(row, counts["budgets"], strict=False):
            draw_schedule(budget["search"], ax, 0)
        row[0].set_ylabel("weight of the test")
        row[1].set_ylabel("")
        row[1].tick_params(labelleft=False)
        draw_rivals(counts["plotted"], row[2], GOAL.name)
        row[2].set_xlabel("")
        name_task(row[0], task, counts)
    for ax, share in zip(axes[-1], SHARES, strict=False):
        ax.set_xlabel(f"share of training\n(the cap for {share:.0%} of it)")
    axes[-1][2].set_xlabel(f"P(accepted is aligned),\n{GOAL.runs} runs, cap for {SHARES[-1]:.0%}")
    handles = [
        Line([], [], color=VERMILION, linewidth=1.4, label="the schedule found"),
        Line([], [], color=GREY, linewidth=0.6, label="found from another start"),
        Line([], [], color="black", linewidth=0.5, linestyle=":", label="the cap"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


CAPTION = claims.Caption(
    question="What schedule does a search find, and do accepted models gain over those made by hand? Hollow: not told "
    "apart from the one found.",
    marks="hollow: not told apart from the schedule found",
    after="Left and middle: the schedule found (red, filled where the goal still has a slope beyond noise) and "
    "those from other starts (grey); dotted: the cap. Right: P(accepted is aligned) within three runs at the larger "
    "budget. `early 2` pushes in the first two segments; `then anti` spends what is left against the test, evenly or "
    "last.",
)
