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

from lab import claims
from lab.config.experiment import from_values
from lab.figures.studies import draw_rivals, draw_schedule
from lab.figures.style import WIDTH, subplots
from lab.report import estimate_json, optimised_json
from lab.results import shards
from lab.studies import schedules as optimise
from lab.studies import search
from lab.studies.study import About
from lab.words import with_interval

GOAL = search.Goal("accepted_aligned", 3)
EFFORT = search.Effort(starts=3, iterations=40)
SHARES = (0.1, 0.4)  # of training for which the cap would spend the budget
CAPS = {"race": 0.3, "scratchpad": 0.02, "shortcut": 0.3}
PAIRS = {"race": 512, "scratchpad": 128, "shortcut": 256}
TERMS = ["test_linear"]


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Search under both budgets and count what was found beside what is made by hand."""
    cap, condition, budgets = CAPS[experiment.task.name], experiment.conditions[0], []
    for share in SHARES:
        own = folder / f"budget-{share:g}"
        own.mkdir(parents=True, exist_ok=True)
        problem = search.problem(experiment, condition.name, TERMS, GOAL, cap, cap * share)
        found = search.searches(problem, EFFORT._replace(pairs=PAIRS[experiment.task.name]), own / "search.json")
        schedules = optimise.schedules_to_compare(problem, found)
        made = from_values(optimise.config(problem, schedules))
        results = shards.results(train(made, own / "run"), last_only=True)
        best = list(schedules).index("learned")
        counted = claims.count_conditions(results, [(min(best, i), max(best, i)) for i in range(len(schedules))])
        about = About.of_results(results)
        optimised = optimise.Optimised(about, problem, found, schedules, [], "", own / "search.json", own)
        budgets.append(counted | {"search": optimised_json(optimised)})
    return {"confidence": experiment.config.confidence, "seeds": len(experiment.seeds), "conditions": {},
            "budgets": budgets}  # fmt: skip


def rows(task, budget):
    """Return a `lab.studies.schedules.Standing` of every schedule at one budget, the best first."""
    stored = claims.Stored(task, budget)
    found = [
        optimise.standing(name, *stored.pair("learned", name), GOAL, budget["confidence"],
                       None if name == "learned" else len(stored.names) - 1)
        for name in stored.names
    ]  # fmt: skip
    return sorted(found, key=lambda row: -row.value.value)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    said, why, small = [], [], True
    for share, budget in zip(SHARES, stored.data["budgets"], strict=True):
        every = rows(stored.task, budget)
        by_hand = [row for row in every if not row.name.startswith("learned")]
        said.append({"wins": "wins", "loses": "loses", "flat": "level"}[optimise.verdict(by_hand)])
        mine = next(row for row in every if row.name == "learned")
        small &= by_hand[0].gain.high < 0.03
        why.append(
            f"budget {share:g}: {said[-1]}, {with_interval(mine.value)} against {with_interval(by_hand[0].value)} of "
            f"{by_hand[0].name}, gain {with_interval(by_hand[0].gain)}"
        )
    verdict = claims.UNDECIDED
    if "loses" in said or (said == ["level", "level"] and small):
        verdict = claims.CONTRADICTED
    elif said == ["wins", "wins"]:
        verdict = claims.SUPPORTED
    elif set(said) == {"wins", "level"}:
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
        len(tasks), 3, figsize=(WIDTH * 1.15, 2.4 * len(tasks)), squeeze=False, width_ratios=[1, 1, 1.2]
    )
    for row, (task, counts) in zip(axes, tasks.items(), strict=True):
        for ax, share, budget in zip(row, SHARES, counts["budgets"], strict=False):
            draw_schedule(budget["search"], ax, 0)
            ax.set_title(f"{task}, budget {share:g} cap", loc="left", fontsize="x-small")
            ax.set_xlabel("share of training")
        row[1].set_ylabel("")
        draw_rivals(counts["plotted"], row[2], GOAL.name)
    return figure


CAPTION = claims.Caption(
    after="Left and middle: the schedule found (orange, filled where the goal still has a slope beyond noise) and "
    "those from other starts (grey). Right: P(accepted is aligned) within three runs at the larger budget."
)
