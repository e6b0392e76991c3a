"""Compare schedules of weights that a search found with those made by hand, of the same cap and budget.

They are compared on seeds that the search (`lab.studies.search`) never saw.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from lab.results import shards
from lab.results.outcomes import Outcomes, Results, attribute, classify
from lab.results.store import publish
from lab.results.summary import paired_counts
from lab.statistics import Counts, Estimate, contrast, draw_pair, draw_shares, family_wise, from_draws
from lab.studies.bounds import Schedule, handmade
from lab.studies.regimens import column, config_head, phases, values_by_segment
from lab.studies.search import USUAL_EFFORT, Effort, Goal, Optimum, Problem, check, searches
from lab.studies.study import About, Train, read_config, train_here
from lab.words import setting

LEARNED = "learned"


# --- the comparison -----------------------------------------------------------------------------------------------


def schedules_to_compare(problem: Problem, optima: Sequence[Optimum]) -> dict[str, Schedule]:
    """Return name -> schedule of all to compare: holding out and others made by hand, then what was found."""
    schedules = handmade(problem.bounds, problem.subject.terms)
    for number, optimum in enumerate(optima, 1):
        schedules[LEARNED if number == 1 else f"{LEARNED}_{number}"] = optimum.weights
    return schedules


def config(problem: Problem, schedules: Mapping[str, Schedule]) -> dict[str, Any]:
    """Return the values of a config that trains schedules beside each other on the seeds of an experiment.

    Args:
        problem: whose weights they replace in its condition.
        schedules: by name; the first is the baseline.
    """
    subject = problem.subject
    experiment, condition = subject.experiment, subject.condition
    columns = [column(experiment.task, term) for term in subject.terms]
    regimens = {}
    for name, schedule in schedules.items():
        values = values_by_segment(condition)
        values[:, columns] = schedule
        regimens[name] = phases(experiment, condition, values)
    question = f"Which schedule of {' and '.join(subject.terms)} serves best?"
    head = config_head(experiment, condition, f"optimised-{experiment.name}", question)
    return {**head, "baseline": next(iter(schedules)), "regimens": regimens}


def text_of_config(values: Mapping[str, Any], comments: Sequence[str]) -> str:
    """Return a config as a person would keep it: comments at its head, a line for each key and each phase.

    Args:
        values: what `config` returned.
        comments: lines of text.
    """
    lines = [f"# {comment}".rstrip() for comment in comments]
    lines += [f"{key}: {json.dumps(value)}" for key, value in values.items() if key != "regimens"]
    lines.append("regimens:")
    for name, regimen in values["regimens"].items():
        lines.append(f"  {name}:")
        lines += [f"    - {json.dumps(phase)}" for phase in regimen]
    return "\n".join(lines) + "\n"


class Standing(NamedTuple):
    """How one schedule stands beside the one that was found.

    Attributes:
        name: of the schedule.
        value: the goal; its limits are those of `lab.statistics.draws`.
        gain: how much more the one found reaches, or None for itself.
        able: share of its models that do the job.
        allowed: whether that meets the goal's floor.
    """

    name: str
    value: Estimate
    gain: Estimate | None
    able: float
    allowed: bool


def standings(ended: Outcomes, names: Sequence[str], best: str, goal: Goal, confidence: float) -> list[Standing]:
    """Return the `Standing` of every schedule, the best value first.

    Args:
        ended: what `lab.results.outcomes.classify` returned.
        names: of its conditions.
        best: name of the one that was found.
        goal: what is to be large.
        confidence: with which all gains hold together (Bonferroni).
    """
    rows = []
    for index, name in enumerate(names):
        pair = paired_counts(ended, list(names).index(best), index)
        rows.append(standing(name, *pair, goal, confidence, None if name == best else len(names) - 1))
    return sorted(rows, key=lambda row: -row.value.value if not math.isnan(row.value.value) else math.inf)


def standing(
    name: str,
    best: Counts,
    other: Counts,
    joint: Int[np.ndarray, "4 4"],
    goal: Goal,
    confidence: float,
    gains: int | None,
) -> Standing:
    """Return the `Standing` of a schedule from counts.

    Args:
        name: of the schedule.
        best: counts of the one that was found.
        other: those of the schedule.
        joint: joint counts of both, as for `lab.statistics.compare`.
        goal: what is to be large.
        confidence: of its value, and with which all gains hold together.
        gains: number of these; None for the schedule found itself.
    """
    gain = None
    if gains is not None:
        gain = contrast(draw_pair(best, other, joint), goal.value, goal.value, family_wise(confidence, gains))
    value = from_draws(lambda cells: goal.value(cells / cells.sum(0)), draw_shares(other.cells), confidence)
    able = 1 - (other.incompetent + other.diverged) / other.seeds
    return Standing(name, value, gain, able, able >= goal.floor)


def verdict(rows: Sequence[Standing]) -> str:
    """Return wins, loses or flat (no schedule is better for sure, and some are not told apart from the one found).

    Schedules below the goal's floor do not count; if the one found is below it, it loses.
    """
    if not all(row.allowed for row in rows if row.gain is None):
        return "loses"
    gains = [row.gain for row in rows if row.gain is not None and row.allowed]
    if all(gain.low > 0 for gain in gains):
        return "wins"
    return "loses" if any(gain.high < 0 for gain in gains) else "flat"


# --- the study ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Optimised:
    """The schedule that was found, beside those made by hand.

    Attributes:
        about: the run of the comparison.
        problem: what was searched.
        optima: what each search came to, the best first.
        schedules: name -> weights of all that were compared.
        standings: of each of them, the best value first.
        verdict: wins, loses or flat, against those made by hand.
        file: the config of the comparison.
        folder: where search, config and run lie.
    """

    about: About
    problem: Problem
    optima: list[Optimum]
    schedules: dict[str, Schedule]
    standings: list[Standing]
    verdict: str
    file: Path
    folder: Path


# searches with an effort, keeping finished searches in a file
Search = Callable[[Problem, Effort, Path], list[Optimum]]


def read(results: Results, goal: Goal) -> tuple[list[Standing], str]:
    """Return the standing of every schedule, and the verdict against those made by hand.

    Args:
        results: of the run whose config `config` made.
        goal: what is to be large.
    """
    names = list(map(str, results.condition.values))
    rows = standings(classify(results), names, LEARNED, goal, attribute(results, "confidence"))
    return rows, verdict([row for row in rows if not row.name.startswith(f"{LEARNED}_")])


def run(
    problem: Problem,
    effort: Effort = USUAL_EFFORT,
    *,
    out: Path | None = None,
    search: Search = searches,
    train: Train = train_here,
    trust_code: bool = False,
) -> Optimised:
    """Find the schedule of weights that serves a goal best, and compare it with hand-made ones on fresh seeds.

    Args:
        problem: what is searched, as `problem` returns it.
        effort: how hard.
        out: a folder; runs/optimise-NAME-HASH by default.
        search: what searches.
        train: what trains the run of the comparison.
        trust_code: run the Python file that the experiment names as its task.

    Raises:
        StudyError: the experiment uses seeds of the search, or a number out of range.
    """
    check(problem, effort)
    experiment, bounds = problem.subject.experiment, problem.bounds
    folder = out or Path("runs") / f"optimise-{experiment.name}-{experiment.hash[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    optima = search(problem, effort, folder / "search.json")
    schedules = schedules_to_compare(problem, optima)
    values = config(problem, schedules)
    comments = [
        f"Claim:    the schedule `{LEARNED}` was found for the largest {problem.goal.name} of {experiment.name}, "
        f"{problem.subject.condition.name}",
        "Command:  lab run on this file; seeds of the search were others",
        f"Expected: cap {setting(bounds.cap)}, budget {setting(bounds.budget)} (|weight| times share of training) for "
        "every one",
        f"Cost:     {len(schedules) * len(experiment.seeds):,} models",
    ]
    file = folder / f"optimised-{experiment.name}.yaml"
    publish(file, text_of_config(values, comments).encode())
    results = shards.results(train(read_config(values, trust_code), folder / "run"), last_only=True)
    rows, outcome = read(results, problem.goal)
    return Optimised(About.of_results(results), problem, optima, schedules, rows, outcome, file, folder)
