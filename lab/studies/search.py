"""Search for the schedule of weights that serves a goal best, under a cap and a budget.

The slope of the goal comes from evolution strategies, because differentiation through training is blind to seeds that
change basin (`experiments/studies/derivatives.py`); optax follows it and every step is projected back into cap and
budget.
"""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lab.config.schema import MAX_WEIGHT
from lab.config.seeds import SEARCHES
from lab.decision import budget_from_shares
from lab.results.store import publish
from lab.statistics import CELLS
from lab.studies.bounds import Bounds, Schedule, project
from lab.studies.regimens import Subject, find_condition
from lab.studies.study import StudyError
from lab.words import setting

if TYPE_CHECKING:
    from lab.config.experiment import Experiment

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
PUSHED = 0.15  # share of training for which the second start of a search pushes
CONTROL = "control"  # the proxy of every task that has nothing to do with alignment: no schedule needs it


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
        terms = [proxy.against]
    elif terms == "all":
        terms = [other.against for name, other in task.proxies.items() if name != CONTROL]
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
    if max(problem.subject.experiment.seeds) >= SEARCHES.first or effort.starts * _seeds(effort) > SEARCHES.count:
        raise StudyError(f"seeds from {SEARCHES.first:,} on are for searches: choose lower ones, or search less")


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
        first_seed = SEARCHES.first + index * _seeds(effort)
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
