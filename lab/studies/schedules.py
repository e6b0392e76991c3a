"""Search for the schedule of weights that serves a goal best, under a cap and a budget.

A schedule is a weight of every chosen loss term in every segment, its sign free. Its budget is the sum over segments
and terms of |weight| times the share of training that it lasts; its cap bounds each |weight|. The slope of the goal
comes from evolution strategies, because differentiation through training is blind to seeds that change basin
(`experiments/studies/derivatives.py`); optax follows it and every step is projected back into cap and budget.

What is found is compared with hand-made schedules of the same cap and budget, on seeds that the search never saw.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from lab.config.schema import MAX_SEED, MAX_WEIGHT
from lab.decision import budget_from_shares
from lab.results import outcomes
from lab.results.outcomes import Results, attribute, classify
from lab.results.store import publish
from lab.results.summary import paired_counts
from lab.statistics import CELLS, Counts, Estimate, contrast, draw_pair, draw_shares, family_wise, from_draws
from lab.studies.regimens import Subject, column, config_head, find_condition, phases, values_by_segment
from lab.studies.study import About, StudyError, Train, read_config, train_here
from lab.words import setting

if TYPE_CHECKING:
    from lab.config.experiment import Experiment

SEARCH = 3 * 2**30  # the first seed of searches, far from those of any config
SIGMAS = 0.3, 0.1  # size of the perturbations at the start and at the end of a search, as a share of the cap
RATE = 0.15  # of Adam, as a share of the cap, falling to 0
MEMORY = 0.8, 0.95  # decay rates of both moments of Adam: short, because a search has few steps
GOALS = {"posterior_odds": "ln posterior odds", "accepted_aligned": "P(accepted is aligned)"}
STEEP = 20.0  # what a missing share of competent models costs
MOST_RUNS = 10**9  # that accepted_aligned may allow
CAP, BUDGET = 0.1, 0.2  # by default: of the weight that the proxy suggests, and of training at that cap
JUDGING = 4  # steps' worth of seeds that judge where a search ended
DIGITS = 1000  # steps of the cap to which weights are rounded
SMALL_STEP = 1e-4  # by which shares are moved for the slope of a goal, less where one is small
EARLY = (1, 2, 4)  # segments for which a schedule made by hand pushes at the start
PUSHED = 0.15  # share of training for which the second start of a search pushes
CONTROL = "control"  # the proxy of every task that has nothing to do with alignment: no schedule needs it
LEARNED = "learned"

Schedule = Float[np.ndarray, "segments terms"]
Lengths = Float[np.ndarray, " segments"]  # share of training of each segment


class Goal(NamedTuple):
    """What is to be large.

    Attributes:
        name: posterior_odds (their natural log), or accepted_aligned: P(accepted is aligned).
        runs: the most runs that accepted_aligned allows.
        floor: share of models that must do the job.
    """

    name: str = "posterior_odds"
    runs: int = 10
    floor: float = 0.0

    def value(self, shares: Float[np.ndarray, "4 ..."]) -> Float[np.ndarray, "..."]:
        """Return the goal from shares of the four cells."""
        aligned_pass, aligned_fail, misaligned_pass, _ = shares
        if self.name == "posterior_odds":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.log(aligned_pass) - np.log(misaligned_pass)
        return np.asarray(budget_from_shares(aligned_pass, aligned_fail, misaligned_pass, self.runs).accepted_aligned)

    def slopes(
        self, cell: Int[np.ndarray, "sides seeds"], able: Bool[np.ndarray, "sides seeds"]
    ) -> Float[np.ndarray, "sides seeds"]:
        """Return what each seed adds to the goal and its floor, up to a constant.

        It is the slope with respect to the share of its cell, half a seed added to every cell, and `STEEP` for doing
        the job while the floor is not met.

        Args:
            cell: index into `CELLS` in which each seed ended.
            able: whether its model does the job.
        """
        shares = _filled_shares(cell)
        steps = SMALL_STEP * np.minimum(1, 10 * shares.min()) * np.eye(len(CELLS))
        slope = (self.value((shares + steps).T) - self.value((shares - steps).T)) / (2 * np.diag(steps))
        return slope[cell] + STEEP * able * (able.mean() < self.floor)

    def reached(self, cell: Int[np.ndarray, " seeds"], able: Bool[np.ndarray, " seeds"]) -> float:
        """Return the goal that seeds reach, less what a missing share of competent models costs."""
        return float(self.value(_filled_shares(cell))) - STEEP * max(0.0, self.floor - float(able.mean()))


USUAL_GOAL = Goal()


def _filled_shares(cell: Int[np.ndarray, "..."]) -> Float[np.ndarray, "4"]:
    """Return the shares of the four cells, half a seed added to every cell."""
    counts = np.bincount(cell.ravel(), minlength=len(CELLS)) + 0.5
    return counts / counts.sum()


# --- schedules within a cap and a budget --------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """What a schedule may spend.

    Attributes:
        lengths: share of training of each segment.
        cap: largest |weight|.
        budget: largest sum of |weight| times length.
    """

    lengths: Lengths
    cap: float
    budget: float


def project(weights: Schedule, bounds: Bounds) -> Schedule:
    """Return the nearest weights within bounds.

    The nearest point of a box and a weighted ball of the 1-norm: weights shrink by a multiple of how long they last,
    then are cut off at the cap; the multiple is found by bisection.

    Args:
        weights: any.
        bounds: to keep.
    """
    spans = np.asarray(bounds.lengths)[:, None]

    def shrunk(by: float) -> Schedule:
        return np.clip(np.sign(weights) * np.maximum(np.abs(weights) - by * spans, 0.0), -bounds.cap, bounds.cap)

    low, high = 0.0, float(np.max(np.abs(weights) / spans, initial=0.0))
    if (spans * np.abs(shrunk(low))).sum() <= bounds.budget:
        return shrunk(low)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (spans * np.abs(shrunk(middle))).sum() > bounds.budget else (low, middle)
    return shrunk(high)


def spend_from_start(bounds: Bounds) -> Lengths:
    """Return weights of one term that spend a budget at the cap from the start of training on."""
    return _spend(bounds, range(len(bounds.lengths)))


def spend_to_end(bounds: Bounds) -> Lengths:
    """Return weights of one term that spend a budget at the cap in the last part of training."""
    return _spend(bounds, reversed(range(len(bounds.lengths))))


def _spend(bounds: Bounds, order: Iterable[int]) -> Lengths:
    weights, left = np.zeros(len(bounds.lengths)), bounds.budget
    for segment in order:
        weights[segment] = min(bounds.cap, left / bounds.lengths[segment])
        left = max(0.0, left - weights[segment] * bounds.lengths[segment])
    return weights


def handmade(bounds: Bounds, terms: Sequence[str]) -> dict[str, Schedule]:
    """Return name -> schedule of what one would try by hand with one term at a time.

    Hold out; push at the start, for one, two or four segments; the same and then against it with what is left of the
    budget, evenly over the rest of training or at its end; push or go against throughout or at the end.
    """
    nothing = np.zeros((len(bounds.lengths), len(terms)))
    schedules = {"hold_out": nothing}
    for index, term in enumerate(terms):
        for name, weights in _handmade_of_one(bounds).items():
            schedule = nothing.copy()
            schedule[:, index] = weights
            schedules[f"{name}_{term}" if len(terms) > 1 else name] = schedule
    kept: dict[str, Schedule] = {}
    for name, schedule in schedules.items():
        if not any(np.allclose(schedule, other) for other in kept.values()):
            kept[name] = schedule
    return kept


def _handmade_of_one(bounds: Bounds) -> dict[str, Lengths]:
    """Return name -> weights of one term."""
    lengths, cap, budget = np.asarray(bounds.lengths), bounds.cap, bounds.budget
    throughout, late = np.full(len(lengths), min(cap, budget / lengths.sum())), spend_to_end(bounds)
    weights = {"throughout": throughout, "late": late, "anti_throughout": -throughout, "anti_late": -late}
    for first in (count for count in EARLY if count < len(lengths)):
        early = np.zeros(len(lengths))
        early[:first] = spend_from_start(Bounds(lengths[:first], cap, budget))
        left = budget - (early * lengths).sum()
        at_end, evenly = np.zeros(len(lengths)), np.zeros(len(lengths))
        at_end[first:] = spend_to_end(Bounds(lengths[first:], cap, left))
        evenly[first:] = min(cap, left / lengths[first:].sum())
        weights[f"early_{first}"] = early
        weights[f"early_{first}_then_anti"] = early - evenly
        weights[f"early_{first}_then_anti_last"] = early - at_end
    return weights


# --- the search ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What is searched.

    Attributes:
        subject: the training whose loss terms get a schedule; seeds of its experiment are never used.
        goal: what is to be large.
        bounds: what a schedule may spend.
    """

    subject: Subject
    goal: Goal
    bounds: Bounds


class Effort(NamedTuple):
    """How hard is searched.

    Attributes:
        starts: searches, from different starts.
        iterations: steps of each.
        pairs: seeds per step, each trained twice; fresh ones every time.
    """

    starts: int = 3
    iterations: int = 60
    pairs: int = 256


USUAL_EFFORT = Effort()


class Optimum(NamedTuple):
    """What one search came to.

    Attributes:
        weights: the schedule.
        slopes: of the goal at the end of the search, averaged over its last quarter.
        errors: their standard errors.
        value: the goal on seeds kept for choosing between searches.
    """

    weights: Schedule
    slopes: Schedule
    errors: Schedule
    value: float


# trains seeds under several arrays of weights: cells and whether models do their job (`lab.studies.estimators`)
Sample = Callable[..., tuple[Int[np.ndarray, "sides seeds"], Bool[np.ndarray, "sides seeds"]]]


def problem(
    experiment: "Experiment",
    condition: str | None = None,
    terms: Sequence[str] | Literal["all"] | None = None,
    goal: Goal = USUAL_GOAL,
    cap: float | None = None,
    budget: float | None = None,
) -> Problem:
    """Return what is to be searched.

    Args:
        experiment: its segments are those of the schedule, its seeds those of the comparison.
        condition: name of the one whose weights of `terms` are chosen; the first of the baseline by default.
        terms: loss terms to weigh, or all: the bounded one of every proxy; by default that of the experiment's proxy.
        goal: what is to be large.
        cap: largest weight of either sign; a tenth of what the proxy suggests by default.
        budget: largest sum of |weight| times share of training; the cap for a fifth of training by default.

    Raises:
        StudyError: no such condition or term, or a number out of range.
    """
    task, proxy = experiment.task, experiment.task.proxies[experiment.config.proxy]
    looked_at = find_condition(experiment, condition)
    if terms is None:
        terms = [proxy.terms[-1]]
    elif terms == "all":
        terms = [other.terms[-1] for name, other in task.proxies.items() if name != CONTROL]
    terms = tuple(terms)
    if unknown := [term for term in terms if term not in task.terms or term == "main"]:
        raise StudyError(f"terms: no proxy's loss term {unknown[0]!r}; known: {', '.join(list(task.terms)[1:])}")
    if goal.name == "accepted_aligned" and goal.runs < 1:
        raise StudyError("runs must be at least 1")
    if goal.runs > MOST_RUNS:
        raise StudyError(f"runs must be at most {MOST_RUNS:,}")
    if not 0 <= goal.floor <= 1:
        raise StudyError(f"floor must lie in 0 to 1, not {setting(goal.floor)}")
    cap = CAP * proxy.push if cap is None else cap
    budget = BUDGET * cap if budget is None else budget
    subject = Subject(experiment, looked_at, terms)
    return Problem(subject, goal, Bounds(subject.lengths, cap, budget))


def check(problem: Problem, effort: Effort) -> None:
    """Raise `StudyError` if a search cannot be done."""
    cap = problem.bounds.cap
    numbers = {"cap": cap, "budget": problem.bounds.budget, **effort._asdict()}
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise StudyError(f"{name} must be a positive number, not {value:g}")
    if cap > MAX_WEIGHT:  # or its schedules could not be trained
        raise StudyError(f"cap must be at most {MAX_WEIGHT:,}, not {cap:g}")
    if max(problem.subject.experiment.seeds) >= SEARCH or SEARCH + effort.starts * _seeds(effort) > MAX_SEED:
        raise StudyError(f"seeds from {SEARCH:,} on are for searches: choose lower ones, or search less")


def _seeds(effort: Effort) -> int:
    """Return the number of seeds of one search."""
    return (effort.iterations + JUDGING) * effort.pairs


def starts(bounds: Bounds, terms: Sequence[str], count: int) -> list[Schedule]:
    """Return where searches begin: nothing, then a push early and against it later, then at random."""
    lengths, cap = np.asarray(bounds.lengths), bounds.cap
    nothing = np.zeros((len(lengths), len(terms)))
    pushed = nothing.copy()
    pushed[:, 0] = np.where(np.cumsum(lengths) <= PUSHED + 1e-9, cap, -cap)
    random = np.random.default_rng(0)
    at_random = (random.uniform(-cap, cap, nothing.shape) for _ in itertools.count())
    schedules = itertools.islice(itertools.chain([nothing, pushed], at_random), count)
    return [project(schedule, bounds) for schedule in schedules]


def search(
    sample: Sample,
    goal: Goal,
    bounds: Bounds,
    start: Schedule,
    effort: Effort,
    first_seed: int,
    progress: Callable[[], None] | None = None,
) -> Optimum:
    """Climb from a start.

    Args:
        sample: a `lab.studies.estimators.CellSampler`.
        goal: what is to be large.
        bounds: what a schedule may spend.
        start: where to begin.
        effort: of one search.
        first_seed: of those it trains; as many again as four steps take are used to judge the result.
        progress: called after each step.

    Returns:
        Where the search ended, or where it began if that is better on the seeds that judge.
    """
    import jax.numpy as jnp
    import optax

    cap, pairs, iterations = bounds.cap, effort.pairs, effort.iterations
    weights, random = project(start, bounds), np.random.default_rng(first_seed)
    climber = optax.adam(optax.cosine_decay_schedule(RATE, iterations), *MEMORY)
    state, trail = climber.init(jnp.asarray(weights)), []
    for index in range(iterations):
        draws = random.standard_normal((pairs, *weights.shape))
        sigma = SIGMAS[0] + (SIGMAS[1] - SIGMAS[0]) * index / max(1, iterations - 1)
        seeds = first_seed + index * pairs + np.arange(pairs)
        up, down = goal.slopes(*sample(seeds, *(weights + sign * sigma * cap * draws for sign in (1, -1))))
        slope_of_seed = (up - down)[:, None, None] * draws / (2 * sigma)
        updates, state = climber.update(jnp.asarray(-slope_of_seed.mean(0)), state)
        weights = project(weights + cap * np.asarray(updates, float), bounds)
        trail.append((slope_of_seed.mean(0), slope_of_seed.std(0) / math.sqrt(pairs)))
        if progress:
            progress()
    last = trail[-max(1, iterations // 4) :]
    slopes = np.mean([mean for mean, _ in last], axis=0) / cap
    errors = np.sqrt(np.sum([error**2 for _, error in last], axis=0)) / len(last) / cap
    ended = np.trunc(weights / cap * DIGITS) * cap / DIGITS  # toward 0, so that it stays within the budget
    begun = project(start, bounds)
    seeds = first_seed + iterations * pairs + np.arange(JUDGING * pairs)
    cell, able = sample(seeds, *(np.broadcast_to(table, (len(seeds), *table.shape)) for table in (ended, begun)))
    values = [goal.reached(*side) for side in zip(cell, able, strict=True)]
    return Optimum(ended if values[0] >= values[1] else begun, slopes, errors, max(values))


def searches(
    problem: Problem,
    effort: Effort = USUAL_EFFORT,
    file: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Optimum]:
    """Search from several starts.

    Args:
        problem: what is searched.
        effort: how hard.
        file: JSON in which finished searches are kept, so that the same call goes on after them; with other code,
            versions or devices it searches again.
        progress: called with how many of all steps are done, and how many there are.

    Returns:
        An `Optimum` per start, the best on the seeds kept for choosing first.

    Raises:
        StudyError: the experiment uses seeds of the search, or a number out of range.
    """
    check(problem, effort)
    from lab.machine.fixed import fixed
    from lab.studies.estimators import CellSampler

    asked = _asked(problem, effort)
    optima = _stored(file, asked)[: effort.starts]
    sample, done = CellSampler(problem.subject), itertools.count(len(optima) * effort.iterations + 1)

    def step_done() -> None:
        if progress:
            progress(next(done), effort.starts * effort.iterations)

    for index, start in enumerate(starts(problem.bounds, problem.subject.terms, effort.starts)):
        if index < len(optima):
            continue
        first_seed = SEARCH + index * _seeds(effort)
        with fixed():
            optima.append(search(sample, problem.goal, problem.bounds, start, effort, first_seed, step_done))
        if file:
            rows = [[*(part.tolist() for part in optimum[:3]), optimum.value] for optimum in optima]
            publish(file, (json.dumps({"asked": asked, "found": rows}) + "\n").encode())
    return sorted(optima, key=lambda optimum: -optimum.value)


def _asked(problem: Problem, effort: Effort) -> str:
    """Return all that a search depends on as text, code and devices included; another text's searches are not used."""
    import jax

    from lab.training import engine

    experiment, condition = problem.subject.experiment, problem.subject.condition
    shared = {**experiment.as_json(), "seeds": None, "stop": None, "regimens": None, "sweep": None, "name": None}
    segments = [[*segment] for segment in condition.settings]
    spent = (problem.bounds.cap, problem.bounds.budget, effort.iterations, effort.pairs)
    made_by = engine.identity(experiment.task, jax.devices())
    asked = [shared, segments, list(problem.subject.terms), problem.goal, *spent, made_by]
    return json.dumps(asked, sort_keys=True)


def _stored(file: Path | None, asked: str) -> list[Optimum]:
    """Return the searches that a file holds, if it is there, whole and about the same."""
    if file is None or not file.exists():
        return []
    try:
        stored = json.loads(file.read_text())
    except json.JSONDecodeError:  # damaged: search again
        return []
    if not isinstance(stored, dict) or stored.get("asked") != asked:
        return []
    return [
        Optimum(np.array(weights), np.array(slopes), np.array(errors), value)
        for weights, slopes, errors, value in stored["found"]
    ]


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


def standings(ended: xr.Dataset, names: Sequence[str], best: str, goal: Goal, confidence: float) -> list[Standing]:
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
    results = outcomes.results(train(read_config(values, trust_code), folder / "run"), last_only=True)
    rows, outcome = read(results, problem.goal)
    return Optimised(About.of_results(results), problem, optima, schedules, rows, outcome, file, folder)
