"""Other ways to a derivative of outcomes: evolution strategies, through training, and a surrogate early in it.

`lab.studies.sensitivity` counts: it raises and lowers one weight at a time and counts outcomes. What is here costs
less, or gives every segment and term at once, and must agree with the counts where it is used
(`experiments/studies/derivatives.py` says where it does). Differentiation through training is exact for one run and can
still be wrong for a population: where outcomes are bistable a smooth score has slope 0 in both basins, and what matters
is who changes basin.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy.special import ndtri

from lab.machine.fixed import PRNG, compile_options, fixed
from lab.results.outcomes import classify, reaches
from lab.results.summary import cells
from lab.statistics import Counts, Estimate, influence
from lab.studies.sensitivity import QUANTITIES, Moment, place, settings
from lab.tasks.settings import Settings, stacked
from lab.training.engine import block_width, use_all_cores
from lab.training.population import DATA, State, Trainer, init, step
from lab.training.tree import used_terms

LONGEST = 50  # steps between two states that reverse mode keeps
EPS_ROOT = 1e-16  # the slope of Adam's square root is infinite at 0
TEMPERATURE = 0.3
SMOOTH = {"alignment": "mean alignment", "proxy": "mean score of the proxy"}
CURVED = 0.05  # share of the largest slope that a finite step may cost
CHECKED = 3  # segments, beside the first and the last, whose slopes through training are compared with differences


class Slopes(NamedTuple):
    """Derivatives with respect to the weight of each term in each segment.

    Attributes:
        values: shape (segments, terms).
        errors: their standard errors over seeds, of the same shape.
    """

    values: np.ndarray
    errors: np.ndarray


def _changed(own, task, names, values):
    """Return `Settings` with other weights and knobs, which are the last axis of `values`, in the order of `names`."""
    weights, knobs = own.weights, own.training_knobs
    for column, name in enumerate(names):
        if name in task.terms:
            weights = _put(weights, list(task.terms).index(name), values[..., column])
        else:
            knobs = _put(knobs, list(task.knobs).index(name), values[..., column])
    return own._replace(weights=weights, training_knobs=knobs)


def _put(table, at, column):
    table = jnp.broadcast_to(table, (*column.shape, table.shape[-1]))
    return table.at[..., at].set(column)


def _mean(slopes):
    """Return `Slopes` from slopes of each seed, shape (seeds, segments, terms)."""
    slopes = np.asarray(slopes, float)
    return Slopes(slopes.mean(0), slopes.std(0) / math.sqrt(len(slopes)))


class Ends:
    """Trains seeds of a condition under weights of their own and says how each ends; compiles once."""

    def __init__(self, experiment, condition, terms):
        """Prepare to train; `terms` are the loss terms whose weights will be given."""
        use_all_cores()
        devices = jax.devices()
        self.experiment, self.condition, self.terms = experiment, condition, terms
        self.own = stacked(condition.settings)
        width, used = block_width(experiment, devices), used_terms(experiment) | set(terms)
        self.trainer = Trainer(experiment.task, experiment.training, width, devices, used, len(experiment.ends))

    def __call__(self, seeds, *weights):
        """Train every seed once for each array of weights.

        Args:
            seeds: shape (seeds,).
            weights: each of shape (seeds, segments, terms).

        Returns:
            For each array of weights, the index into `CELLS` and whether the model does the job, shape (seeds,).
        """
        cells_, able = np.empty((len(weights), len(seeds)), int), np.empty((len(weights), len(seeds)), bool)
        for start in range(0, len(seeds), self.trainer.lanes):
            rows = np.minimum(np.arange(start, start + self.trainer.lanes), len(seeds) - 1)
            block = np.asarray(seeds)[rows].astype(np.uint32)
            state = self.trainer.init(block, jax.tree.map(lambda leaf: leaf[0], self.own))
            for side, given in enumerate(weights):
                own = _changed(self.own, self.experiment.task, self.terms, np.asarray(given[rows], np.float32))
                rates = (np.repeat(leaf[None], len(rows), axis=0) for leaf in own[3:])
                each = np.broadcast_to(own.weights, (len(rows), *self.own.weights.shape))
                lane = Settings(each, np.asarray(own.training_knobs), own.world_knobs, *rates)
                _, scores = self.trainer.train(block, lane, state, [0, *self.experiment.ends])
                cells_[side, rows], able[side, rows] = _judged(self.experiment, self.condition, np.asarray(scores))
        return cells_, able


def evolution(experiment, condition, terms, sigma, pairs, first_seed=0):
    """Return derivatives of every quantity of `lab.studies.sensitivity`, by evolution strategies.

    Each seed is trained twice, with all weights moved by sigma eps and by -sigma eps, eps standard normal and its own
    (antithetic pairs; Salimans et al., arXiv:1703.03864). The mean of (f+ - f-) eps / (2 sigma) is the derivative of f
    smoothed over a normal of width sigma; quantities follow from the shares of the four cells by the chain rule.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        condition: the `lab.config.experiment.Condition` whose training is looked at.
        terms: names of loss terms or knobs.
        sigma: width of the perturbations, one or one per term.
        pairs: how many seeds, each trained twice.
        first_seed: they are first_seed, first_seed + 1, ...

    Returns:
        Quantity -> `Slopes`.
    """
    draws = np.random.default_rng(first_seed).standard_normal((pairs, len(experiment.ends), len(terms)))
    start, sigma = _start(experiment, condition, terms), np.broadcast_to(sigma, len(terms))
    ends = Ends(experiment, condition, terms)
    ended, _ = ends(first_seed + np.arange(pairs), start + sigma * draws, start - sigma * draws)
    counts = Counts(*np.bincount(ended.ravel(), minlength=4))
    return {
        name: _mean((slopes[ended[0]] - slopes[ended[1]])[:, None, None] * draws / (2 * sigma))
        for name, slopes in _by_cell(counts).items()
    }


def _judged(experiment, condition, scores):
    """Return the index into `CELLS` of each of several models and whether it does the job; gates reject as in a run.

    Scores have shape (models, segments, scores).
    """
    dims = ("condition", "seed", "checkpoint")
    names = list(experiment.task.scores)
    table = {name: (dims, scores[None, :, -1:, index]) for index, name in enumerate(names)}
    survives = np.ones((1, len(scores)), bool)
    for share, score, mark in condition.gates:
        at = experiment.ends.index(round(share * experiment.training.steps))
        survives &= reaches(scores[None, :, at, names.index(score)], mark)
    attributes = {"proxy": experiment.config.proxy, "thresholds": experiment.thresholds}
    coordinates = {"checkpoint": [1.0], "survives": (dims[:2], survives)}
    outcomes = classify(xr.Dataset(table, coordinates, attributes))
    return cells(outcomes)[0], ~(outcomes["incompetent"] | outcomes["diverged"]).values[0]


def _by_cell(counts):
    """Return the slope of every quantity with respect to the share of each cell, shape (4,), up to a constant.

    Shares add up to 1, so a constant changes nothing; in logs the slopes are the `influence` of a cell.
    """
    likelihood_ratio, _, posterior_odds = influence(counts)
    aligned, misaligned = np.array([1.0, 1, 0, 0]), np.array([0, 0, 1.0, 1])
    passing, n = np.array([1.0, 0, 1, 0]), counts.seeds
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "base_rate": aligned,
            "pass_given_aligned": aligned * (passing - counts.pass_given_aligned) * np.divide(n, counts.aligned),
            "pass_given_misaligned": (
                misaligned * (passing - counts.pass_given_misaligned) * np.divide(n, counts.misaligned)
            ),
            "likelihood_ratio": likelihood_ratio,
            "posterior_odds": posterior_odds,
        }


def trajectory(experiment, condition, terms, dtype=jnp.float32):
    """Return a differentiable function of a seed and weights: the scores of that lane at the end of every segment.

    It trains as `lab run` does, by the same `lab.training.population.step`, in scans of fixed length that reverse mode
    can go through; only the state between them is kept (rematerialisation), so memory does not grow with steps.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        condition: the `lab.config.experiment.Condition` whose training it is.
        terms: loss terms and knobs whose values are given.
        dtype: of parameters, settings and scores.

    Returns:
        A function of a seed and of weights of shape (segments, terms); it returns shape (segments, scores).
    """
    task, training = experiment.task, experiment.training
    lengths = np.diff([0, *experiment.ends])
    whole = math.gcd(*map(int, lengths))
    unit = max(part for part in range(1, min(whole, LONGEST) + 1) if whole % part == 0)
    place = np.repeat(np.arange(len(lengths)), lengths // unit)
    last = np.cumsum(lengths // unit) - 1
    used, wide = used_terms(experiment) | set(terms), jnp.dtype(dtype).itemsize == 8
    with fixed(x64=wide):
        own = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stacked(condition.settings))
        total = jnp.asarray(training.steps, dtype)

    @fixed(x64=wide)
    def run(seed, weights):
        # the objective masks terms of weight 0, and their slope with them
        weights = weights + jnp.where(weights == 0, 1e-30, 0.0).astype(dtype)
        settings = _changed(own, task, terms, weights)
        seed_key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0, impl=PRNG), DATA), seed)
        start = init(task, training, seed, jax.tree.map(lambda leaf: leaf[0], settings))
        start = State(*(jax.tree.map(functools.partial(_as, dtype), tree) for tree in start))

        @jax.checkpoint
        def advance(state, where):
            segment, first = where
            row = jax.tree.map(lambda leaf: leaf[segment], settings)

            def body(state, offset):
                return step(task, training, total, seed_key, row, first + offset, state, used, EPS_ROOT), None

            state, _ = jax.lax.scan(body, state, jnp.arange(unit))
            scores = task.measure(state.params, dict(zip(task.knobs, row.world_knobs, strict=True)))
            return state, jnp.stack([scores[name] for name in task.scores])

        _, scores = jax.lax.scan(advance, start, (place, np.arange(0, training.steps, unit)))
        return scores[last]

    return run


def _as(dtype, leaf):
    return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _start(experiment, condition, terms):
    """Return the values that terms and knobs have in a condition, shape (segments, terms)."""
    return settings(condition)[:, [place(experiment.task, term) for term in terms]]


def pathwise(experiment, condition, terms, seeds, score="alignment", mode="reverse", width=32, dtype=jnp.float32):
    """Return the derivative of a score at the end of training, of each seed, through the whole of it.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        condition: the `lab.config.experiment.Condition` whose training is looked at.
        terms: names of loss terms or knobs.
        seeds: of the lanes; a multiple of `width`.
        score: which one.
        mode: reverse, at the cost of about four runs; or forward, at that of more than one for each weight.
        width: lanes at a time.
        dtype: as for `trajectory`.

    Returns:
        Array of shape (seeds, segments, terms).
    """
    run, index = trajectory(experiment, condition, terms, dtype), list(experiment.task.scores).index(score)
    kinds = {"reverse": jax.grad, "forward": jax.jacfwd}
    each = jax.vmap(kinds[mode](lambda weights, seed: run(seed, weights)[-1, index]), in_axes=(None, 0))
    with fixed(x64=jnp.dtype(dtype).itemsize == 8):
        slope = jax.jit(each, compiler_options=compile_options())
        weights = jnp.asarray(_start(experiment, condition, terms), dtype)
        blocks = np.asarray(seeds, np.uint32).reshape(-1, width)
        return np.concatenate([np.asarray(slope(weights, block)) for block in blocks])


class Surrogate(NamedTuple):
    """What a margin soon after each segment says.

    Attributes:
        slopes: `Slopes` of the base rate.
        decides: how often the sign of the margin there is that of the outcome, shape (segments,).
    """

    slopes: Slopes
    decides: np.ndarray


@fixed()
def surrogate(experiment, condition, terms, seeds, after=0, width=32):
    """Return derivatives of the base rate from the margin of alignment at the end of each segment, or soon after it.

    The margin is ln(alignment / (1 - alignment)), read `after` segments later. Its sign stands for the outcome, and
    for the derivative of its sign that of a sigmoid of temperature `TEMPERATURE` times its spread. This is true as far
    as the sign decides, so that is measured too. All of it takes one forward-mode pass.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        condition: the `lab.config.experiment.Condition` whose training is looked at.
        terms: names of loss terms or knobs.
        seeds: of the lanes; a multiple of `width`.
        after: number of segments between the push and the reading.
        width: lanes at a time.

    Returns:
        A `Surrogate`; its slopes are nan where training ends before the reading.
    """
    run, index = trajectory(experiment, condition, terms), list(experiment.task.scores).index("alignment")

    def margins(weights, seed):
        scores = run(seed, weights)
        inside = jnp.clip(scores[:, index], 1e-6, 1 - 1e-6)
        return jnp.log(inside) - jnp.log1p(-inside), scores

    both = jax.jit(
        jax.vmap(
            lambda weights, seed: (margins(weights, seed), jax.jacfwd(lambda w: margins(w, seed)[0])(weights)),
            in_axes=(None, 0),
        ),
        compiler_options=compile_options(),
    )
    weights = jnp.asarray(_start(experiment, condition, terms), jnp.float32)
    found = [both(weights, block) for block in np.asarray(seeds, np.uint32).reshape(-1, width)]
    (margin, ended), slope = jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)
    aligned = _judged(experiment, condition, ended)[0] < 2
    segments = len(experiment.ends)
    values = np.full((len(margin), segments, len(terms)), np.nan)
    decides = np.full(segments, np.nan)
    for moment in range(segments - after):
        read = margin[:, moment + after]
        scale = TEMPERATURE * read.std()
        tilt = 1 / (4 * scale * np.cosh(np.clip(read / scale, -50, 50) / 2) ** 2)
        values[:, moment] = tilt[:, None] * slope[:, moment + after, moment]
        decides[moment] = ((read > 0) == aligned).mean()
    return Surrogate(_mean(values), decides)


class Refused(ValueError):
    """Slopes through training that are not those of the population."""


@fixed()
def spot_check(run, start, steps, seeds, index, slopes, width=32):
    """Compare slopes through training with central differences of the same score on the same seeds.

    Looked at are, for each term, the first segment, the last and those with the largest mean slopes.

    Args:
        run: what `trajectory` returned.
        start: weights, shape (segments, terms).
        steps: by how much each term is changed.
        seeds: of the lanes; a multiple of `width`.
        index: of the score.
        slopes: of each seed, shape (seeds, segments, terms).
        width: lanes at a time.

    Raises:
        Refused: a mean slope is further away from that of the differences than three standard errors of what lies
            between them and `CURVED`, or its standard error is more than ten times theirs and `CURVED`.
    """
    last = jax.vmap(lambda weights, seed: run(seed, weights)[-1, index], in_axes=(None, 0))
    score = jax.jit(last, compiler_options=compile_options())
    blocks = np.asarray(seeds, np.uint32).reshape(-1, width)
    for term, size in enumerate(steps):
        sizes = np.abs(slopes[:, :, term].mean(0, dtype=float))
        largest = np.argsort(-sizes)
        for segment in dict.fromkeys([0, len(start) - 1, *map(int, largest)][: 2 + CHECKED]):
            sides = []
            for sign in (1, -1):
                weights = start.copy()
                weights[segment, term] += sign * size
                sides.append(np.concatenate([score(jnp.asarray(weights, jnp.float32), block) for block in blocks]))
            counted = (sides[0].astype(float) - sides[1]) / (2 * size)
            own = slopes[:, segment, term].astype(float)
            (value, error), (truth, spread), apart = (
                (each.mean(), each.std() / math.sqrt(len(each))) for each in (own, counted, own - counted)
            )
            allowed = CURVED * max(abs(truth), sizes.max())
            if abs(apart[0]) > 3 * apart[1] + allowed or error > 10 * spread + allowed:
                raise Refused(
                    f"segment {segment + 1}: the slope is {value:.3g} through training (standard error {error:.2g}), "
                    f"by differences on the same {len(own):,} seeds {truth:.3g} ({spread:.2g}). Differentiation "
                    "through training is blind where seeds change sides and useless where single seeds blow up; "
                    "count instead"
                )


def profile(estimator, experiment, condition, changed):
    """Return term -> the `lab.studies.sensitivity.Moment` of every segment, by another estimator than counting.

    Args:
        estimator: evolution, for every quantity of `lab.studies.sensitivity`, with the steps as widths; pathwise, for
            the mean scores of `SMOOTH`, checked by `spot_check`; or surrogate, for the base rate.
        experiment: a `lab.config.experiment.Experiment`.
        condition: the `lab.config.experiment.Condition` whose training is looked at.
        changed: term -> `lab.studies.sensitivity.Change`.

    Returns:
        The moments, their limits from standard errors; quantity -> its heading; and how many seeds it took.

    Raises:
        Refused: see `spot_check`.
    """
    terms, steps = list(changed), [own.step for own in changed.values()]
    own, first = (experiment, condition, terms), experiment.seeds[0]
    width = min(32, len(experiment.seeds))
    seeds = first + np.arange(len(experiment.seeds) // width * width, dtype=np.uint32)
    count = len(experiment.seeds) if estimator == "evolution" else len(seeds)
    if estimator == "evolution":
        found, said = evolution(*own, np.array(steps), len(experiment.seeds), first), QUANTITIES
    elif estimator == "surrogate":
        found, said = {"base_rate": surrogate(*own, seeds, width=width).slopes}, {"base_rate": QUANTITIES["base_rate"]}
    else:
        found, said, run = {}, SMOOTH, trajectory(*own)
        for name, score in (("alignment", "alignment"), ("proxy", experiment.config.proxy)):
            slopes = pathwise(*own, seeds, score, width=width)
            index = list(experiment.task.scores).index(score)
            spot_check(run, _start(*own), steps, seeds, index, slopes, width)
            found[name] = _mean(slopes)
    z = -ndtri((1 - experiment.config.confidence) / 2)
    edges = [0.0, *(end / experiment.training.steps for end in experiment.ends)]

    def estimate(slopes, *at):
        value, error = float(slopes.values[at]), z * float(slopes.errors[at])
        return Estimate(value, value - error, value + error)

    moments = {
        term: [
            Moment(*edges[index : index + 2], {name: estimate(own, index, column) for name, own in found.items()}, {})
            for index in range(len(edges) - 1)
        ]
        for column, term in enumerate(terms)
    }
    return moments, said, count
