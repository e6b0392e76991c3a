"""Other ways to a derivative of outcomes: evolution strategies, through training, and a surrogate early in it.

`lab.studies.sensitivity` counts: it raises and lowers one weight at a time and counts outcomes. What is here costs
less, or gives every segment and term at once, and must agree with the counts where it is used
(`experiments/studies/derivatives.py` says where it does). Differentiation through training is exact for one run and can
still be wrong for a population: where outcomes are bistable a smooth score has slope 0 in both basins, and what matters
is who changes basin.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int, Num, UInt
from scipy.special import ndtri

from lab.config.experiment import Condition, Experiment
from lab.machine.fixed import compile_options, fixed
from lab.results.outcomes import AXES, classify, survivors
from lab.results.summary import cells
from lab.statistics import CELLS, Counts, Estimate, influence
from lab.studies.regimens import Subject
from lab.studies.sensitivity import QUANTITIES, Change, Moment
from lab.studies.study import Refused
from lab.tasks import Task
from lab.tasks.base import measured
from lab.tasks.settings import Settings, stacked
from lab.training.engine import block_width, use_all_cores
from lab.training.population import DATA, MEASURING, State, Trainer, init, key_of, step
from lab.training.tree import used_terms

LONGEST = 50  # steps between two states that reverse mode keeps
EPS_ROOT = 1e-16  # the slope of Adam's square root is infinite at 0
NOT_ZERO = 1e-30  # in the place of a weight of 0, which the objective would mask, and its slope with it
TEMPERATURE = 0.3  # of the sigmoid in the place of a sign, as a share of the spread of margins
INSIDE = 1e-6  # how near to 0 and 1 an alignment counts in a margin
STEEPEST = 50  # the cosh of more overflows in float32
LANES = 32  # at a time, unless there are fewer seeds
SMOOTH = {"alignment": "mean alignment", "proxy": "mean score of the proxy"}
CURVED = 0.05  # share of the largest slope that a finite step may cost
CHECKED = 3  # segments, beside the first and the last, whose slopes through training are compared with differences
MOST_APART = 3  # standard errors between a slope and a difference
MOST_NOISE = 10  # times the standard error of differences

AnyArray = Array | np.ndarray  # of JAX or of numpy
# the scores of a seed at the end of every segment, of the weights there
Trajectory = Callable[[UInt[Array, ""], Float[Array, "segments terms"]], Float[Array, "segments scores"]]


class Slopes(NamedTuple):
    """Derivatives with respect to the weight of each term in each segment.

    Attributes:
        values: of the derivatives.
        errors: their standard errors over seeds.
    """

    values: Float[np.ndarray, "segments terms"]
    errors: Float[np.ndarray, "segments terms"]


def mean_slopes(slopes: Num[np.ndarray, "seeds segments terms"]) -> Slopes:
    """Return the `Slopes` of a population from those of each seed."""
    slopes = np.asarray(slopes, float)
    return Slopes(slopes.mean(0), slopes.std(0) / math.sqrt(len(slopes)))


def _with_values(settings: Settings, task: Task, names: Sequence[str], values: Float[AnyArray, "..."]) -> Settings:
    """Return `Settings` with other weights and knobs, which are the last axis of `values`, in the order of `names`."""
    weights, knobs = settings.weights, settings.training_knobs
    for index, name in enumerate(names):
        if name in task.terms:
            weights = _with_column(weights, list(task.terms).index(name), values[..., index])
        else:
            knobs = _with_column(knobs, list(task.knobs).index(name), values[..., index])
    return settings._replace(weights=weights, training_knobs=knobs)


def _with_column(table: Float[AnyArray, "..."], index: int, values: Float[AnyArray, "..."]) -> Float[Array, "..."]:
    table = jnp.broadcast_to(table, (*values.shape, table.shape[-1]))
    return table.at[..., index].set(values)


# --- counting how seeds end ---------------------------------------------------------------------------------------


class CellSampler:
    """Trains seeds of a condition under weights of their own and says in which cell each ends; compiles once."""

    def __init__(self, subject: Subject):
        """Prepare to train."""
        use_all_cores()
        devices, experiment = jax.devices(), subject.experiment
        self.subject = subject
        self.settings = stacked(subject.condition.settings)
        width, used = block_width(experiment, devices), used_terms(experiment) | set(subject.terms)
        self.trainer = Trainer(experiment.task, experiment.training, width, devices, used, len(experiment.ends))

    def __call__(
        self, seeds: Int[np.ndarray, " seeds"], *weights: Float[np.ndarray, "seeds segments terms"]
    ) -> tuple[Int[np.ndarray, "sides seeds"], Bool[np.ndarray, "sides seeds"]]:
        """Train every seed once for each array of weights.

        Args:
            seeds: to train.
            weights: several arrays, each with those of every seed.

        Returns:
            For each array of weights, the index into `CELLS` and whether the model does the job.
        """
        shape, lanes = (len(weights), len(seeds)), self.trainer.lanes
        cell, able = np.empty(shape, int), np.empty(shape, bool)
        for start in range(0, len(seeds), lanes):
            rows = np.minimum(np.arange(start, start + lanes), len(seeds) - 1)
            block = np.asarray(seeds)[rows].astype(np.uint32)
            state = self.trainer.init(block, jax.tree.map(lambda leaf: leaf[0], self.settings))
            for side, table in enumerate(weights):
                settings = self._of_lanes(np.asarray(table[rows], np.float32))
                _, scores = self.trainer.train(block, settings, state, [0, *self.subject.experiment.ends])
                cell[side, rows], able[side, rows] = _cells_at_the_end(self.subject, np.asarray(scores))
        return cell, able

    def _of_lanes(self, weights: Float[np.ndarray, "lanes segments terms"]) -> Settings:
        """Return the `Settings` of a block, a row for each lane but of the knobs that all share."""
        lanes = len(weights)
        changed = _with_values(self.settings, self.subject.experiment.task, self.subject.terms, weights)
        return Settings(
            np.broadcast_to(changed.weights, (lanes, *self.settings.weights.shape)),
            np.asarray(changed.training_knobs),
            changed.world_knobs,
            *(np.repeat(np.asarray(leaf)[None], lanes, axis=0) for leaf in changed[3:]),
        )


def _cells_at_the_end(
    subject: Subject, scores: Float[np.ndarray, "models segments scores"]
) -> tuple[Int[np.ndarray, " models"], Bool[np.ndarray, " models"]]:
    """Return the index into `CELLS` of each model and whether it does the job; gates reject as in a run."""
    experiment = subject.experiment
    names = list(experiment.task.scores)
    table = {name: (AXES, scores[None, :, -1:, index]) for index, name in enumerate(names)}
    gates = [
        (experiment.ends.index(round(share * experiment.training.steps)), score, mark)
        for share, score, mark in subject.condition.gates
    ]
    survives = survivors({name: scores[:, :, index] for index, name in enumerate(names)}, gates)[None]
    attributes = {"proxy": experiment.config.proxy, "thresholds": experiment.thresholds}
    coordinates = {"checkpoint": [1.0], "survives": (AXES[:2], survives)}
    ended = classify(xr.Dataset(table, coordinates, attributes))
    return cells(ended)[0], ~(ended["incompetent"] | ended["diverged"]).values[0]


def evolution(
    subject: Subject, sigma: float | Float[np.ndarray, " terms"], pairs: int, first_seed: int = 0
) -> dict[str, Slopes]:
    """Return derivatives of every quantity of `lab.studies.sensitivity`, by evolution strategies.

    Each seed is trained twice, with all weights moved by sigma eps and by -sigma eps, eps standard normal and its own
    (antithetic pairs; Salimans et al., arXiv:1703.03864). The mean of (f+ - f-) eps / (2 sigma) is the derivative of f
    smoothed over a normal of standard deviation sigma; quantities follow from the shares of the four cells by the chain
    rule.

    Args:
        subject: what is differentiated.
        sigma: size of the perturbations, one or one per term.
        pairs: how many seeds, each trained twice.
        first_seed: they are first_seed, first_seed + 1, ...

    Returns:
        Quantity -> `Slopes`.
    """
    start, sigma = subject.start, np.broadcast_to(sigma, len(subject.terms))
    draws = np.random.default_rng(first_seed).standard_normal((pairs, *start.shape))
    sample = CellSampler(subject)
    (up, down), _ = sample(first_seed + np.arange(pairs), start + sigma * draws, start - sigma * draws)
    counts = Counts(*np.bincount(np.concatenate([up, down]), minlength=len(CELLS)))
    return {
        name: mean_slopes((slopes[up] - slopes[down])[:, None, None] * draws / (2 * sigma))
        for name, slopes in slopes_by_cell(counts).items()
    }


def slopes_by_cell(counts: Counts) -> dict[str, Float[np.ndarray, " cells"]]:
    """Return the slope of every quantity with respect to the share of each cell, up to a constant.

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


# --- through training ---------------------------------------------------------------------------------------------


def trajectory(subject: Subject, dtype: Any = jnp.float32) -> Trajectory:
    """Return a differentiable function of a seed and weights: the scores of that lane at the end of every segment.

    It trains as `lab run` does, by the same `lab.training.population.step`, in scans of fixed length that reverse mode
    can go through; only the state between them is kept (rematerialisation), so memory does not grow with steps. A
    weight of 0 is taken for a very small one, so a term that is a pair (value, side) has its side there as well.

    Args:
        subject: whose training it is, and what is given.
        dtype: of parameters, settings and scores.
    """
    experiment, terms = subject.experiment, subject.terms
    task, training = experiment.task, experiment.training
    lengths = np.diff([0, *experiment.ends])
    whole = math.gcd(*map(int, lengths))
    unit = max(part for part in range(1, min(whole, LONGEST) + 1) if whole % part == 0)
    segment_of_unit = np.repeat(np.arange(len(lengths)), lengths // unit)
    last = np.cumsum(lengths // unit) - 1
    used, wide = used_terms(experiment) | set(terms), jnp.dtype(dtype).itemsize == 8
    with fixed(x64=wide):
        unchanged = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stacked(subject.condition.settings))
        total = jnp.asarray(training.steps, dtype)

    @fixed(x64=wide)
    def train_lane(seed: UInt[Array, ""], weights: Float[Array, "segments terms"]) -> Float[Array, "segments scores"]:
        weights = weights + jnp.where(weights == 0, NOT_ZERO, 0.0).astype(dtype)
        settings = _with_values(unchanged, task, terms, weights)
        seed_key, measure_key = key_of(DATA, seed), functools.partial(key_of, MEASURING, seed)
        start = init(task, training, seed, jax.tree.map(lambda leaf: leaf[0], settings))
        start = State(*(jax.tree.map(functools.partial(_cast, dtype), tree) for tree in start))

        @jax.checkpoint
        def advance(
            state: State, unit_at: tuple[Int[Array, ""], Int[Array, ""]]
        ) -> tuple[State, Float[Array, " scores"]]:
            segment, first = unit_at
            row = jax.tree.map(lambda leaf: leaf[segment], settings)

            def body(state: State, offset: Int[Array, ""]) -> tuple[State, None]:
                return step(task, training, total, seed_key, row, first + offset, state, used, EPS_ROOT), None

            state, _ = jax.lax.scan(body, state, jnp.arange(unit))
            scores = measured(task, state.params, dict(zip(task.knobs, row.world_knobs, strict=True)), measure_key)
            return state, jnp.stack([scores[name] for name in task.scores])

        _, scores = jax.lax.scan(advance, start, (segment_of_unit, np.arange(0, training.steps, unit)))
        return scores[last]

    return train_lane


def _cast(dtype: Any, leaf: Num[Array, "..."]) -> Num[Array, "..."]:
    """Return an array with that type if it holds floating-point numbers."""
    return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def pathwise(
    subject: Subject,
    seeds: Sequence[int] | UInt[np.ndarray, " seeds"],
    score: str = "alignment",
    mode: Literal["reverse", "forward"] = "reverse",
    lanes: int = LANES,
    dtype: Any = jnp.float32,
) -> Float[np.ndarray, "seeds segments terms"]:
    """Return the derivative of a score at the end of training, of each seed, through the whole of it.

    Args:
        subject: what is differentiated.
        seeds: of the lanes; a multiple of `lanes`.
        score: which one.
        mode: reverse, at the cost of about four runs; or forward, at that of more than one for each weight.
        lanes: at a time.
        dtype: as for `trajectory`.
    """
    train_lane, index = trajectory(subject, dtype), list(subject.experiment.task.scores).index(score)
    slope_of = {"reverse": jax.grad, "forward": jax.jacfwd}[mode](
        lambda weights, seed: train_lane(seed, weights)[-1, index]
    )
    with fixed(x64=jnp.dtype(dtype).itemsize == 8):
        slope = jax.jit(jax.vmap(slope_of, in_axes=(None, 0)), compiler_options=compile_options())
        weights = jnp.asarray(subject.start, dtype)
        blocks = np.asarray(seeds, np.uint32).reshape(-1, lanes)
        return np.concatenate([np.asarray(slope(weights, block)) for block in blocks])


class Surrogate(NamedTuple):
    """What a margin soon after each segment says.

    Attributes:
        slopes: `Slopes` of the base rate.
        decides: how often the sign of the margin there is that of the outcome.
    """

    slopes: Slopes
    decides: Float[np.ndarray, " segments"]


@fixed()
def surrogate(
    subject: Subject, seeds: Sequence[int] | UInt[np.ndarray, " seeds"], after: int = 0, lanes: int = LANES
) -> Surrogate:
    """Return derivatives of the base rate from the margin of alignment at the end of each segment, or soon after it.

    The margin is ln(alignment / (1 - alignment)), read `after` segments later. Its sign stands for the outcome, and
    for the derivative of its sign that of a sigmoid of temperature `TEMPERATURE` times its spread. This is true as far
    as the sign decides, so that is measured too. All of it takes one forward-mode pass.

    Args:
        subject: what is differentiated.
        seeds: of the lanes; a multiple of `lanes`.
        after: number of segments between the push and the reading.
        lanes: at a time.

    Returns:
        A `Surrogate`; its slopes are nan where training ends before the reading.
    """
    margins, scores, slope = _margins(subject, np.asarray(seeds, np.uint32).reshape(-1, lanes))
    aligned = _cells_at_the_end(subject, scores)[0] < 2
    segments = len(subject.experiment.ends)
    values = np.full((len(margins), segments, len(subject.terms)), np.nan)
    decides = np.full(segments, np.nan)
    for segment in range(segments - after):
        margin = margins[:, segment + after]
        scale = TEMPERATURE * margin.std()
        tilt = 1 / (4 * scale * np.cosh(np.clip(margin / scale, -STEEPEST, STEEPEST) / 2) ** 2)
        values[:, segment] = tilt[:, None] * slope[:, segment + after, segment]
        decides[segment] = ((margin > 0) == aligned).mean()
    return Surrogate(mean_slopes(values), decides)


def _margins(
    subject: Subject, blocks: UInt[np.ndarray, "blocks lanes"]
) -> tuple[
    Float[np.ndarray, "seeds segments"],
    Float[np.ndarray, "seeds segments scores"],
    Float[np.ndarray, "seeds segments segments terms"],
]:
    """Return margins of alignment and scores at the end of every segment, and slopes of the margins by segment."""
    train_lane, index = trajectory(subject), list(subject.experiment.task.scores).index("alignment")

    def margins(
        weights: Float[Array, "segments terms"], seed: UInt[Array, ""]
    ) -> tuple[Float[Array, " segments"], Float[Array, "segments scores"]]:
        scores = train_lane(seed, weights)
        inside = jnp.clip(scores[:, index], INSIDE, 1 - INSIDE)
        return jnp.log(inside) - jnp.log1p(-inside), scores

    def with_slopes(weights: Float[Array, "segments terms"], seed: UInt[Array, ""]) -> Any:
        slopes = jax.jacfwd(lambda changed: margins(changed, seed)[0])(weights)
        return *margins(weights, seed), slopes

    program = jax.jit(jax.vmap(with_slopes, in_axes=(None, 0)), compiler_options=compile_options())
    weights = jnp.asarray(subject.start, jnp.float32)
    parts = zip(*(program(weights, block) for block in blocks), strict=True)
    margin, scores, slopes = (np.concatenate(part) for part in parts)
    return margin, scores, slopes


# --- slopes that may be believed ----------------------------------------------------------------------------------


class Mean(NamedTuple):
    """A mean over seeds, with its standard error."""

    value: float
    error: float


def _mean(values: Float[np.ndarray, " seeds"]) -> Mean:
    return Mean(values.mean(), values.std() / math.sqrt(len(values)))


@fixed()
def spot_check(
    train_lane: Trajectory,
    start: Float[np.ndarray, "segments terms"],
    steps: Sequence[float],
    seeds: UInt[np.ndarray, " seeds"],
    index: int,
    slopes: Float[np.ndarray, "seeds segments terms"],
    lanes: int = LANES,
) -> None:
    """Compare slopes through training with central differences of the same score on the same seeds.

    Looked at are, for each term, the first segment, the last and those with the largest mean slopes.

    Args:
        train_lane: what `trajectory` returned.
        start: weights around which slopes were taken.
        steps: by how much each term is changed.
        seeds: of the lanes; a multiple of `lanes`.
        index: of the score.
        slopes: of each seed.
        lanes: at a time.

    Raises:
        Refused: a mean slope is further away from that of the differences than three standard errors of what lies
            between them and `CURVED`, or its standard error is more than ten times theirs and `CURVED`.
    """
    last = jax.vmap(lambda weights, seed: train_lane(seed, weights)[-1, index], in_axes=(None, 0))
    score = jax.jit(last, compiler_options=compile_options())
    blocks = np.asarray(seeds, np.uint32).reshape(-1, lanes)

    def scores_at(segment: int, term: int, change: float) -> Float[np.ndarray, " seeds"]:
        weights = start.copy()
        weights[segment, term] += change
        return np.concatenate([score(jnp.asarray(weights, jnp.float32), block) for block in blocks])

    for term, size in enumerate(steps):
        sizes = np.abs(slopes[:, :, term].mean(0, dtype=float))
        largest = map(int, np.argsort(-sizes))
        for segment in dict.fromkeys([0, len(start) - 1, *largest][: 2 + CHECKED]):
            up, down = scores_at(segment, term, size), scores_at(segment, term, -size)
            counted = (up.astype(float) - down) / (2 * size)
            _check_slope(segment, slopes[:, segment, term].astype(float), counted, sizes.max())


def _check_slope(
    segment: int, slope: Float[np.ndarray, " seeds"], counted: Float[np.ndarray, " seeds"], largest: float
) -> None:
    """Raise `Refused` if the slopes of seeds in a segment are not those of differences; `largest` is of all means."""
    through, truth, apart = _mean(slope), _mean(counted), _mean(slope - counted)
    allowed = CURVED * max(abs(truth.value), largest)
    if abs(apart.value) > MOST_APART * apart.error + allowed or through.error > MOST_NOISE * truth.error + allowed:
        raise Refused(
            f"segment {segment + 1}: the slope is {through.value:.3g} through training (standard error "
            f"{through.error:.2g}), by differences on the same {len(slope):,} seeds {truth.value:.3g} "
            f"({truth.error:.2g}). Differentiation through training is blind where seeds change sides and useless "
            "where single seeds blow up; count instead"
        )


# --- moments as those that are counted ----------------------------------------------------------------------------


class Estimated(NamedTuple):
    """What an estimator gives.

    Attributes:
        moments: term -> the `Moment` of every segment, limits from standard errors.
        quantities: quantity -> its heading.
        seeds: how many it took.
    """

    moments: dict[str, list[Moment]]
    quantities: dict[str, str]
    seeds: int


def estimate_moments(
    estimator: Literal["evolution", "pathwise", "surrogate"],
    experiment: Experiment,
    condition: Condition,
    changed: dict[str, Change],
) -> Estimated:
    """Return the `Moment` of every segment for each term, by another estimator than counting.

    Args:
        estimator: evolution, for every quantity of `lab.studies.sensitivity`, with the steps as sizes; pathwise, for
            the mean scores of `SMOOTH`, checked by `spot_check`; or surrogate, for the base rate.
        experiment: whose segments are the moments.
        condition: of the experiment, whose training is looked at.
        changed: term -> `lab.studies.sensitivity.Change`.

    Raises:
        Refused: a score has no slope anywhere, as an accuracy; or see `spot_check`.
    """
    subject, first = Subject(experiment, condition, tuple(changed)), experiment.seeds[0]
    steps = [change.step for change in changed.values()]
    lanes = min(LANES, len(experiment.seeds))
    seeds = first + np.arange(len(experiment.seeds) // lanes * lanes, dtype=np.uint32)
    quantities, count = QUANTITIES, len(seeds)
    if estimator == "evolution":
        count = len(experiment.seeds)
        slopes = evolution(subject, np.array(steps), count, first)
    elif estimator == "surrogate":
        quantities = {"base_rate": QUANTITIES["base_rate"]}
        slopes = {"base_rate": surrogate(subject, seeds, lanes=lanes).slopes}
    else:
        quantities, slopes = SMOOTH, _checked_slopes(subject, seeds, steps, lanes)
    z = -float(ndtri((1 - experiment.config.confidence) / 2))
    edges = [0.0, *(end / experiment.training.steps for end in experiment.ends)]

    def estimates(segment: int, index: int) -> dict[str, Estimate]:
        """Return the estimate of every quantity in a segment, for the term at an index."""
        estimate_of = {}
        for name, (values, errors) in slopes.items():
            value, error = float(values[segment, index]), z * float(errors[segment, index])
            estimate_of[name] = Estimate(value, value - error, value + error)
        return estimate_of

    moments = {
        term: [
            Moment(edges[segment], edges[segment + 1], estimates(segment, index), {})
            for segment in range(len(experiment.ends))
        ]
        for index, term in enumerate(subject.terms)
    }
    return Estimated(moments, quantities, count)


def has_slope(subject: Subject, seed: int, score: str) -> bool:
    """Return whether a score has a slope by the initial parameters of a seed; an accuracy, which jumps, has none."""
    experiment, settings = subject.experiment, subject.condition.settings[0]
    task = experiment.task
    arrays = Settings(*(np.asarray(leaf, np.float32) for leaf in settings))
    knobs = dict(zip(task.knobs, arrays.world_knobs, strict=True))
    params = init(task, experiment.training, seed, arrays).params
    key = functools.partial(key_of, MEASURING, seed)
    slopes = jax.jit(jax.grad(lambda at: measured(task, at, knobs, key)[score]))(params)
    return any(np.any(leaf) for leaf in jax.tree.leaves(slopes))


def _checked_slopes(
    subject: Subject, seeds: UInt[np.ndarray, " seeds"], steps: Sequence[float], lanes: int
) -> dict[str, Slopes]:
    """Return slopes of the mean scores of `SMOOTH` through training. Raises `Refused`."""
    experiment, train_lane, slopes = subject.experiment, trajectory(subject), {}
    for name, score in (("alignment", "alignment"), ("proxy", experiment.config.proxy)):
        if not has_slope(subject, int(seeds[0]), score):
            raise Refused(
                f"{score}, a score of {experiment.task.name}, jumps and has no slope, so slopes through training say "
                "nothing of it; count instead"
            )
        of_seeds = pathwise(subject, seeds, score, lanes=lanes)
        index = list(experiment.task.scores).index(score)
        spot_check(train_lane, subject.start, steps, seeds, index, of_seeds, lanes)
        slopes[name] = mean_slopes(of_seeds)
    return slopes
