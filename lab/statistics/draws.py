"""Intervals from draws of shares: one rule for whatever is worked out from a table of counts.

Shares of a multinomial table with counts n are drawn as independent Gamma(n), over their sum. To these comes one more
seed, and a limit depends on the cell that gets it: where it pulls the limit outwards, as in the intervals of Clopper
and Pearson (Biometrika 26:404, 1934), for six tenths of the draws, and where it pulls inwards for the others. Half and
half is mid-P (Lancaster, JASA 56:223, 1961); all of it outwards would be conservative, and is what a limit has that
stands alone because the estimate is infinite. For a sum over many cells the one that weighs most is enough (Fay and
Feuer, Stat. Med. 16:791, 1997); to join the limits of independent groups by draws is the melding of Fay, Proschan and
Brittain (Biometrics 71:146, 2015). A prior worth one seed, put where it matters most, is that of Walley (J. R. Stat.
Soc. B 58:3, 1996). `experiments/studies/coverage.py` measures the coverage.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from lab.statistics.score import Estimate, checked_confidence, whole

NUMBER = 4_000  # draws to begin with
BEYOND = 50  # draws wanted outside each limit, at any confidence
MOST = 1_000_000
FILL = 0.01  # of a seed, in every cell, where it is asked which one pulls most
OUTWARDS = 0.6  # share of the draws whose seed pulls outwards; with 1/2 the lowest coverage of a rare count is .927
SLOPE_STEP = 0.1  # standard deviations of a cell, over which slopes are taken
LARGEST_LOG = 700.0  # natural log of about the largest float

Cells = Float[np.ndarray, "cell draw"]  # of all tables
Patterns = Float[np.ndarray, "cell ..."]  # how many rows of each outcome one group of a kind has


class Draws(NamedTuple):
    """Draws of the shares of tables of counts, up to a factor and without the one more seed.

    Attributes:
        counts: of all cells of all tables, times what one is worth.
        possible: whether a cell may get the one more seed.
        shapes: of the tables.
        patterns: what each cell of a table stands for, if for more than itself.
        gammas: of every cell.
        seeds: how large the one more seed of each table is.
    """

    counts: Float[np.ndarray, " cell"]
    possible: Bool[np.ndarray, " cell"]
    shapes: tuple[tuple[int, ...], ...]
    patterns: tuple[Patterns | None, ...]
    gammas: Cells
    seeds: Float[np.ndarray, "table draw"]

    @property
    def table_cells(self) -> list[Int[np.ndarray, " cell"]]:
        """For each table the places of its cells among those of all tables."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        return np.split(np.arange(len(self.counts)), ends[:-1])

    def tables(self, cells: Cells) -> list[Float[np.ndarray, "... draw"]]:
        """Return all cells as tables, of their shapes; of a table with patterns, the sum of those of its cells."""
        return [
            cells[places].reshape(*shape, cells.shape[1])
            if patterns is None
            else np.tensordot(patterns, cells[places], axes=(0, 0))
            for places, shape, patterns in zip(self.table_cells, self.shapes, self.patterns, strict=True)
        ]


def draw_shares(
    *tables: ArrayLike,
    possible: Sequence[ArrayLike] | None = None,
    patterns: Sequence[Patterns | None] | None = None,
    worth: Sequence[float] | None = None,
    number: int = NUMBER,
) -> Draws:
    """Return `Draws` for `from_draws`; several intervals may rest on the same.

    Args:
        tables: independent tables of counts, of any shape.
        possible: for each table which of its cells may get the one more seed; all by default.
        patterns: for each table None, or what each of its cells stands for: the table then counts groups of a kind,
            and functions get the sums of their patterns (a Bayesian bootstrap over groups: Rubin, Ann. Stat. 9:130,
            1981).
        worth: for each table the shape that one count adds to its Gamma; 1 by default, as for seeds.
        number: of draws to begin with.

    Raises:
        ValueError: a count that is not a whole number of at least 0.
    """
    arrays = [np.asarray(table) for table in tables]
    counts = np.array([whole("a count", count) for array in arrays for count in array.ravel().tolist()], float)
    if worth is not None:
        counts *= np.repeat(worth, [array.size for array in arrays])
    allowed = [np.ones(array.shape, bool) for array in arrays] if possible is None else possible
    all_allowed = np.concatenate([np.ravel(table) for table in allowed])
    shapes = tuple(array.shape for array in arrays)
    return _draw(counts, all_allowed, shapes, (None,) * len(arrays) if patterns is None else tuple(patterns), number)


def _draw(
    counts: Float[np.ndarray, " cell"],
    possible: Bool[np.ndarray, " cell"],
    shapes: tuple[tuple[int, ...], ...],
    patterns: tuple[Patterns | None, ...],
    number: int,
) -> Draws:
    random = np.random.default_rng(0)
    gammas = np.zeros((len(counts), number))
    for row, count in zip(gammas, counts, strict=True):
        if count:
            row[:] = random.standard_gamma(count, number)
    seeds = random.standard_exponential((len(shapes), number))
    return Draws(counts, possible, shapes, patterns, gammas, seeds)


def from_draws(
    function: Callable[..., Float[np.ndarray, " draw"]],
    draws: Draws,
    confidence: float = 0.95,
    guide: Callable[..., Float[np.ndarray, " draw"]] | None = None,
) -> Estimate:
    """Return a function of shares as an `Estimate`: its value at the counts, and limits from draws.

    Where the value is undefined both sides are open; where it is infinite, its own side is. Limits are stretched to
    hold the value. Half of the draws are moved towards the limit and weighed for it (importance sampling), so that at
    least `BEYOND` of them, as far as weights make them count, lie outside it at any confidence.

    Args:
        function: of the tables, shares up to a factor, whose last axis is that of draws; returns one value per draw.
        draws: what `draw_shares` returned.
        confidence: in (0, 1).
        guide: function that says which cell pulls most, where the function itself is flat; the function by default.

    Raises:
        ValueError: confidence outside (0, 1), or so high that a million draws do not resolve it.

    Example:
        Odds of 0 to 50 end at those of 1 - .025^(1/50), the limit of Clopper and Pearson, to within what draws leave:

        >>> log_odds = from_draws(lambda cells: np.log(cells[0] / cells[1]), draw_shares([0, 50]))
        >>> log_odds.value, log_odds.low
        (-inf, -inf)
        >>> limit = 1 - 0.025 ** (1 / 50)
        >>> abs(log_odds.high - math.log(limit / (1 - limit))) < 0.02
        True
    """
    tail = (1 - checked_confidence(confidence)) / 2

    def applied(of_tables: Callable[..., Float[np.ndarray, " draw"]], cells: Cells) -> Float[np.ndarray, " draw"]:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(of_tables(*draws.tables(cells)), float)

    values = partial(applied, function)
    value = float(values(draws.counts[:, None])[0])
    one_more = np.full(len(draws.counts), np.nan)
    filled = draws.counts + FILL * draws.possible  # where a cell is empty too, the others do not pull alike
    one_more[draws.possible] = applied(guide or function, filled[:, None] + np.eye(len(filled))[:, draws.possible])
    limits = []
    for side in (-1, 1):
        if math.isnan(value) or value == side * math.inf:
            limits.append(side * math.inf)
            continue
        aim = _Aim(values, tail, side, one_more, stands_alone=math.isinf(value))
        limits.append(side * max(side * _limit(aim, draws, confidence), side * value))
    return Estimate(value, *limits)


class _Aim(NamedTuple):
    """Which limit is looked for.

    Attributes:
        values: function of the cells.
        tail: probability that lies beyond the limit.
        side: -1 for the lower limit, 1 for the upper one.
        one_more: the value with one more seed in each cell; nan where that cannot be.
        stands_alone: whether there is no other limit.
    """

    values: Callable[[Cells], Float[np.ndarray, " draw"]]
    tail: float
    side: int
    one_more: Float[np.ndarray, " cell"]
    stands_alone: bool


class _Pulled(NamedTuple):
    """Draws with the one more seed: of the first `outwards` it pulls the limit outwards, of the others inwards.

    Attributes:
        cells: of every draw.
        means: expected cells of a draw of the first kind and of the second.
        outwards: number of draws of the first kind.
    """

    cells: Cells
    means: Float[np.ndarray, "cell 2"]
    outwards: int


def _limit(aim: _Aim, draws: Draws, confidence: float) -> float:
    """Return the limit, from more draws than there are if too few of them lie beyond it."""
    pulled = _pull(aim, draws)
    scale = _scale(aim.values, pulled.means[:, 0], -aim.side * float(scipy.special.ndtri(aim.tail)))
    limit, better_scale = _limit_and_scale(aim, pulled, scale)
    number = draws.gammas.shape[1]
    while better_scale is not None:
        if number >= MOST:
            raise ValueError(f"confidence {confidence} is beyond what {MOST:,} draws resolve")
        number = min(MOST, 2 * number)
        more = _draw(draws.counts, draws.possible, draws.shapes, draws.patterns, number)
        limit, better_scale = _limit_and_scale(aim, _pull(aim, more), better_scale)
    return limit


def _pull(aim: _Aim, draws: Draws) -> _Pulled:
    """Return the draws with one more seed in every table that has a cell for it."""
    number = draws.gammas.shape[1]
    outwards = number if aim.stands_alone else round(OUTWARDS * number)
    cells, means = draws.gammas.copy(), np.repeat(draws.counts[:, None], 2, axis=1)
    for seed, places in zip(draws.seeds, draws.table_cells, strict=True):
        pull = aim.side * aim.one_more[places]
        if np.isnan(pull).all():
            continue
        out, back = places[np.nanargmax(pull)], places[np.nanargmin(pull)]
        cells[out, :outwards] += seed[:outwards]
        cells[back, outwards:] += seed[outwards:]
        means[out, 0] += 1
        means[back, 1] += 1
    return _Pulled(cells, means, outwards)


def _limit_and_scale(
    aim: _Aim, pulled: _Pulled, scale: Float[np.ndarray, " cell"]
) -> tuple[float, Float[np.ndarray, " cell"] | None]:
    """Return the limit, and how to scale draws better if too few of them lie beyond it.

    Args:
        aim: which limit.
        pulled: draws with the one more seed.
        scale: factor of each cell in the half of the draws that is moved.
    """
    cells, means, outwards = pulled
    number = cells.shape[1]
    both = np.concatenate([cells, cells * scale[:, None]], axis=1)
    # log density of the scaled draws over that of the plain ones
    constant = np.repeat((np.log(scale)[:, None] * means).sum(0), [outwards, number - outwards])
    ratio = ((1 - 1 / scale)[:, None] * both).sum(0) - np.tile(constant, 2)
    weights = 2 / (1 + np.exp(np.minimum(ratio, LARGEST_LOG)))
    drawn = aim.side * aim.values(both)
    drawn[np.isnan(drawn)] = math.inf
    order = np.argsort(-drawn)
    passed = np.cumsum(weights[order]) / (2 * number)
    limit = drawn[order[min(int(np.searchsorted(passed, aim.tail)), 2 * number - 1)]]
    beyond = np.where(drawn >= limit, weights, 0.0)
    if beyond.sum() ** 2 >= BEYOND * (beyond**2).sum():
        return aim.side * float(limit), None
    # to where the draws beyond the limit lie: the cross-entropy method (Rubinstein, Eur. J. Oper. Res. 99:89, 1997)
    centre, mean = (both * beyond).sum(1) / beyond.sum(), means[:, 0]
    return aim.side * float(limit), np.divide(centre, mean, out=np.ones_like(mean), where=mean > 0)


def _scale(
    values: Callable[[Cells], Float[np.ndarray, " draw"]], mean: Float[np.ndarray, " cell"], z: float
) -> Float[np.ndarray, " cell"]:
    """Return by what to multiply each cell so that a linear function would move from its mean to a normal limit.

    Args:
        values: function of the cells.
        mean: of each cell.
        z: of the limit, in standard deviations.
    """
    steps = np.diag(SLOPE_STEP * np.sqrt(mean))
    up, down = np.split(values(mean[:, None] + np.concatenate([steps, -steps], axis=1)), 2)
    slopes = np.full(len(mean), np.nan)
    with np.errstate(invalid="ignore"):  # where both are infinite
        np.divide(up - down, 2 * SLOPE_STEP * np.sqrt(mean), out=slopes, where=mean > 0)
    slopes = np.nan_to_num(slopes, nan=0, posinf=0, neginf=0)
    spread = math.sqrt((mean * slopes**2).sum())
    shift = z * slopes / spread if spread > 0 else np.zeros_like(slopes)
    return np.where(shift > 0, 1 + shift, 1 / (1 - shift))
