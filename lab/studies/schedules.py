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
from typing import NamedTuple

import numpy as np

from lab.config.schema import MAX_SEED, MAX_WEIGHT
from lab.decision import budget_from_shares
from lab.results.store import publish
from lab.results.summary import paired_counts
from lab.statistics import Estimate, contrast, draw_pair, draw_shares, family_wise, from_draws
from lab.studies.sensitivity import around, phases, place, settings

SEARCH = 3 * 2**30  # the first seed of searches, far from those of any config
SIGMAS = 0.3, 0.1  # width of the perturbations at the start and at the end of a search, as a share of the cap
RATE = 0.15  # of Adam, as a share of the cap, falling to 0
GOALS = {"posterior_odds": "ln posterior odds", "accepted_aligned": "P(accepted is aligned)"}
STEEP = 20.0  # what a missing share of competent models costs


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

    def value(self, shares):
        """Return the goal from shares of the four cells, the first axis of an array of any shape."""
        aligned_pass, aligned_fail, misaligned_pass, _ = shares
        if self.name == "posterior_odds":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.log(aligned_pass) - np.log(misaligned_pass)
        return budget_from_shares(aligned_pass, aligned_fail, misaligned_pass, self.runs).accepted_aligned

    def slopes(self, cells, able):
        """Return what each seed adds to the goal and its floor, shape like `cells`, up to a constant.

        It is the slope with respect to the share of its cell, half a seed added to every cell, and `STEEP` for doing
        the job while the floor is not met.
        """
        counts = np.bincount(cells.ravel(), minlength=4) + 0.5
        shares = counts / counts.sum()
        steps = 1e-4 * np.minimum(1, 10 * shares.min()) * np.eye(4)
        slope = (self.value((shares + steps).T) - self.value((shares - steps).T)) / (2 * np.diag(steps))
        return slope[cells] + STEEP * able * (able.mean() < self.floor)


def projected(weights, lengths, cap, budget):
    """Return the nearest weights within a cap and a budget.

    The nearest point of a box and a weighted ball of the 1-norm: weights shrink by a multiple of how long they last,
    then are cut off at the cap; the multiple is found by bisection.

    Args:
        weights: shape (segments, terms).
        lengths: share of training of each segment, shape (segments,).
        cap: largest |weight|.
        budget: largest sum of |weight| times length.
    """
    spans = np.asarray(lengths)[:, None]

    def shrunk(by):
        return np.clip(np.sign(weights) * np.maximum(np.abs(weights) - by * spans, 0.0), -cap, cap)

    low, high = 0.0, float(np.max(np.abs(weights) / spans, initial=0.0))
    if (spans * np.abs(shrunk(low))).sum() <= budget:
        return shrunk(low)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (spans * np.abs(shrunk(middle))).sum() > budget else (low, middle)
    return shrunk(high)


def spent(lengths, cap, budget, backward=False):
    """Return weights of one term that spend a budget at the cap from the start of training on, or from its end back."""
    order = range(len(lengths))[:: -1 if backward else 1]
    weights, left = np.zeros(len(lengths)), budget
    for index in order:
        weights[index] = min(cap, left / lengths[index])
        left = max(0.0, left - weights[index] * lengths[index])
    return weights


def handmade(lengths, terms, cap, budget):
    """Return name -> weights, shape (segments, terms), of what one would try by hand with one term at a time.

    Hold out; push at the start, for one, two or four segments; the same and then against it with what is left of the
    budget, evenly over the rest of training or at its end; push or go against throughout or at the end.
    """
    lengths, found = np.asarray(lengths), {"hold_out": np.zeros((len(lengths), len(terms)))}
    for column, term in enumerate(terms):
        most = min(cap, budget / lengths.sum())
        own = {
            "throughout": np.full(len(lengths), most),
            "late": spent(lengths, cap, budget, backward=True),
            "anti_throughout": np.full(len(lengths), -most),
            "anti_late": -spent(lengths, cap, budget, backward=True),
        }
        for first in (count for count in (1, 2, 4) if count < len(lengths)):
            early = np.concatenate([spent(lengths[:first], cap, budget), np.zeros(len(lengths) - first)])
            left = budget - (early * lengths).sum()
            against = np.concatenate([np.zeros(first), spent(lengths[first:], cap, left, backward=True)])
            rest = np.where(np.arange(len(lengths)) < first, 0.0, min(cap, left / lengths[first:].sum()))
            own[f"early_{first}"] = early
            own[f"early_{first}_then_anti"] = early - rest
            own[f"early_{first}_then_anti_last"] = early - against
        for name, weights in own.items():
            table = np.zeros((len(lengths), len(terms)))
            table[:, column] = weights
            found[f"{name}_{term}" if len(terms) > 1 else name] = table
    kept = {}
    for name, table in found.items():
        if not any(np.allclose(table, other) for other in kept.values()):
            kept[name] = table
    return kept


class Found(NamedTuple):
    """What one search came to.

    Attributes:
        weights: shape (segments, terms).
        slopes: of the goal at the end of the search, averaged over its last quarter, of the same shape.
        errors: their standard errors.
        value: the goal on seeds kept for choosing between searches.
    """

    weights: np.ndarray
    slopes: np.ndarray
    errors: np.ndarray
    value: float


def search(ends, goal, lengths, start, cap, budget, *, iterations, pairs, first_seed, progress=None):
    """Climb from a start.

    Args:
        ends: a `lab.studies.estimators.Ends`.
        goal: a `Goal`.
        lengths: share of training of each segment.
        start: weights, shape (segments, terms).
        cap: as for `projected`.
        budget: as for `projected`.
        iterations: number of steps.
        pairs: seeds per step, each trained twice; fresh ones every time.
        first_seed: of these; as many again as four steps take are used to judge the result.
        progress: called after each step.

    Returns:
        A `Found`: where the search ended, or where it began if that is better on the seeds that judge.
    """
    import jax.numpy as jnp
    import optax

    weights, random = projected(start, lengths, cap, budget), np.random.default_rng(first_seed)
    climber = optax.adam(optax.cosine_decay_schedule(RATE, iterations), b1=0.8, b2=0.95)
    state, trail = climber.init(jnp.asarray(weights)), []
    for index in range(iterations):
        draws = random.standard_normal((pairs, *weights.shape))
        sigma = SIGMAS[0] + (SIGMAS[1] - SIGMAS[0]) * index / max(1, iterations - 1)
        seeds = first_seed + index * pairs + np.arange(pairs)
        cells, able = ends(seeds, *(weights + sign * sigma * cap * draws for sign in (1, -1)))
        up, down = goal.slopes(cells, able)
        each = (up - down)[:, None, None] * draws / (2 * sigma)
        updates, state = climber.update(jnp.asarray(-each.mean(0)), state)
        weights = projected(weights + cap * np.asarray(updates, float), lengths, cap, budget)
        trail.append((each.mean(0), each.std(0) / math.sqrt(pairs)))
        if progress:
            progress()
    last = trail[-max(1, iterations // 4) :]
    slopes = np.mean([mean for mean, _ in last], axis=0) / cap
    errors = np.sqrt(np.sum([error**2 for _, error in last], axis=0)) / len(last) / cap
    weights = np.trunc(weights / cap * 1000) * cap / 1000  # toward 0, so that it stays within the budget
    seeds = first_seed + iterations * pairs + np.arange(4 * pairs)
    begun = projected(start, lengths, cap, budget)
    cells, able = ends(seeds, *(np.broadcast_to(own, (len(seeds), *own.shape)) for own in (weights, begun)))
    values = []
    for each, does in zip(cells, able, strict=True):
        shares = (np.bincount(each, minlength=4) + 0.5) / (len(seeds) + 2)
        values.append(float(goal.value(shares)) - STEEP * max(0.0, goal.floor - float(does.mean())))
    return Found(weights if values[0] >= values[1] else begun, slopes, errors, max(values))


def starts(lengths, terms, cap, budget, count):
    """Return where searches begin: nothing, then a push early and against it later, then at random."""
    lengths = np.asarray(lengths)
    nothing = np.zeros((len(lengths), len(terms)))
    pushed = nothing.copy()
    early = np.cumsum(lengths) <= 0.15 + 1e-9
    pushed[:, 0] = np.where(early, cap, -cap)
    random = np.random.default_rng(0)
    at_random = (random.uniform(-cap, cap, nothing.shape) for _ in itertools.count())
    made = itertools.islice(itertools.chain([nothing, pushed], at_random), count)
    return [projected(own, lengths, cap, budget) for own in made]


def check(experiment, cap, budget, starts, iterations, pairs):
    """Raise `ValueError` if a search cannot be done; arguments as for `searches`."""
    numbers = {"cap": cap, "budget": budget, "starts": starts, "iterations": iterations, "pairs": pairs}
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"--{name} must be a positive number, not {value:g}")
    if cap > MAX_WEIGHT:  # or its schedules could not be trained
        raise ValueError(f"--cap must be at most {MAX_WEIGHT:,}, not {cap:g}")
    if max(experiment.seeds) >= SEARCH or SEARCH + starts * (iterations + 4) * pairs > MAX_SEED:
        raise ValueError(f"seeds from {SEARCH:,} on are for searches: choose lower ones, or search less")


def searches(
    experiment, condition, terms, goal, cap, budget, *, count=3, iterations=60, pairs=256, file=None, progress=None
):
    """Search from several starts.

    Args:
        experiment: a `lab.config.experiment.Experiment`; its segments are those of the schedule, its seeds are never
        used.
        condition: the `lab.config.experiment.Condition` whose weights of `terms` are chosen.
        terms: names of loss terms.
        goal: a `Goal`.
        cap: as for `projected`.
        budget: as for `projected`.
        count: number of starts.
        iterations: as for `search`.
        pairs: as for `search`.
        file: JSON in which finished searches are kept, so that the same call goes on after them; with other code,
            versions or devices it searches again.
        progress: called with how many of all steps are done, and how many there are.

    Returns:
        A `Found` per start, the best on the seeds kept for choosing first.

    Raises:
        ValueError: the experiment uses seeds of the search, or a number out of range.
    """
    check(experiment, cap, budget, count, iterations, pairs)
    per_start = (iterations + 4) * pairs
    import jax

    from lab.machine.fixed import fixed
    from lab.studies.estimators import Ends
    from lab.training import engine

    lengths = np.diff([0, *experiment.ends]) / experiment.training.steps
    shared = {**experiment.as_json(), "seeds": None, "stop": None, "regimens": None, "sweep": None, "name": None}
    own = [[*each] for each in condition.settings]
    made = engine.identity(experiment.task, jax.devices())
    asked = json.dumps([shared, own, list(terms), goal, cap, budget, iterations, pairs, made], sort_keys=True)
    try:
        stored = json.loads(file.read_text()) if file and file.exists() else {}
    except json.JSONDecodeError:
        stored = {}  # damaged: search again
    kept = stored["found"] if isinstance(stored, dict) and stored.get("asked") == asked else []
    found = [Found(*map(np.array, own[:3]), own[3]) for own in kept[:count]]
    ends = Ends(experiment, condition, terms)
    for index, start in enumerate(starts(lengths, terms, cap, budget, count)):
        if index < len(found):
            continue
        steps = itertools.count(index * iterations + 1)
        with fixed():
            found.append(
                search(ends, goal, lengths, start, cap, budget, iterations=iterations, pairs=pairs,
                       first_seed=SEARCH + index * per_start,
                       progress=progress and (lambda steps=steps: progress(next(steps), count * iterations)))
            )  # fmt: skip
        if file:
            rows = [[*(part.tolist() for part in own[:3]), own.value] for own in found]
            publish(file, (json.dumps({"asked": asked, "found": rows}) + "\n").encode())
    return sorted(found, key=lambda own: -own.value)


def beside(experiment, terms, cap, budget, found):
    """Return name -> weights of all schedules to compare: holding out and others made by hand, then what was found."""
    lengths = np.diff([0, *experiment.ends]) / experiment.training.steps
    learned = {"learned" + (f"_{index + 1}" if index else ""): own.weights for index, own in enumerate(found)}
    return {**handmade(lengths, terms, cap, budget), **learned}


def config(experiment, condition, terms, schedules, about):
    """Return the text of a config that trains schedules beside each other on the seeds of an experiment.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        condition: the `lab.config.experiment.Condition` whose weights of `terms` they replace.
        terms: names of loss terms.
        schedules: name -> weights, shape (segments, terms); the first is the baseline.
        about: lines for its head.
    """
    at = [place(experiment.task, term) for term in terms]
    question = f"Which schedule of {' and '.join(terms)} serves best?"
    head = around(experiment, condition, f"optimised-{experiment.name}", question)
    head["baseline"] = next(iter(schedules))
    lines = [f"# {line}".rstrip() for line in about] + [f"{key}: {json.dumps(value)}" for key, value in head.items()]
    lines.append("regimens:")
    for name, table in schedules.items():
        all_of_them = settings(condition)
        all_of_them[:, at] = table
        lines.append(f"  {name}:")
        lines += [f"    - {json.dumps(phase)}" for phase in phases(experiment, condition, all_of_them)]
    return "\n".join(lines) + "\n"


class Rival(NamedTuple):
    """One schedule beside the one that was found.

    Attributes:
        name: of it.
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


def rivals(outcomes, names, best, goal, confidence):
    """Return a `Rival` for every schedule, the best value first.

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        names: of its conditions.
        best: name of the one that was found.
        goal: a `Goal`.
        confidence: with which all gains hold together (Bonferroni).
    """
    place_of_best, rows = names.index(best), []
    for index, name in enumerate(names):
        pair = paired_counts(outcomes, place_of_best, index)
        rows.append(rival(name, *pair, goal, confidence, None if name == best else len(names) - 1))
    return sorted(rows, key=lambda row: -row.value.value if not math.isnan(row.value.value) else math.inf)


def rival(name, best, other, joint, goal, confidence, of):
    """Return the `Rival` of a schedule from counts.

    Args:
        name: of it.
        best: `Counts` of the schedule that was found.
        other: its own.
        joint: joint counts of both, as for `lab.statistics.compare`.
        goal: a `Goal`.
        confidence: of its value, and with which `of` gains hold together; None for the schedule found itself.
        of: number of gains.
    """
    gain = None
    if of is not None:
        gain = contrast(draw_pair(best, other, joint), goal.value, goal.value, family_wise(confidence, of))
    value = from_draws(lambda cells: goal.value(cells / cells.sum(0)), draw_shares(other.cells), confidence)
    able = 1 - (other.incompetent + other.diverged) / other.seeds
    return Rival(name, value, gain, able, able >= goal.floor)


def verdict(rows):
    """Return wins, loses or flat (no schedule is better for sure, and some are not told apart from the one found).

    Rivals below the goal's floor do not count; if the one found is below it, it loses.
    """
    if not all(row.allowed for row in rows if row.gain is None):
        return "loses"
    gains = [row.gain for row in rows if row.gain is not None and row.allowed]
    if all(gain.low > 0 for gain in gains):
        return "wins"
    return "loses" if any(gain.high < 0 for gain in gains) else "flat"
