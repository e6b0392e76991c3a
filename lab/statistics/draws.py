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
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from lab.statistics.score import Estimate, checked_confidence, whole

NUMBER = 4_000  # draws to begin with
BEYOND = 50  # draws wanted outside each limit, at any confidence
MOST = 1_000_000
FILL = 0.01  # of a seed, in every cell, where it is asked which one pulls most
OUTWARDS = 0.6  # share of the draws whose seed pulls outwards; with 1/2 the lowest coverage of a rare count is .927


class Draws(NamedTuple):
    """Draws of the shares of tables of counts, up to a factor and without the one more seed.

    Attributes:
        counts: of all cells of all tables, shape (cells,).
        possible: whether a cell may get the one more seed, shape (cells,).
        shapes: of the tables.
        gammas: shape (cells, draws).
        seeds: how large the one more seed of each table is, shape (tables, draws).
    """

    counts: np.ndarray
    possible: np.ndarray
    shapes: tuple
    gammas: np.ndarray
    seeds: np.ndarray

    def tables(self, cells: np.ndarray) -> list[np.ndarray]:
        """Return an array with all cells on its first axis as tables, whose last axis is the array's second."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        parts = zip(np.split(cells, ends), self.shapes, strict=True)
        return [part.reshape(*shape, cells.shape[1]) for part, shape in parts]


def draw_shares(*tables, possible=None, number: int = NUMBER) -> Draws:
    """Return `Draws` for `from_draws`; several intervals may rest on the same.

    Args:
        tables: independent tables of counts, arrays of any shape.
        possible: for each table which cells can occur at all, of its shape; all by default.
        number: of draws to begin with.

    Raises:
        ValueError: a count that is not a whole number of at least 0.
    """
    tables = [np.asarray(table) for table in tables]
    counts = np.array([whole("a count", count) for table in tables for count in table.ravel().tolist()], float)
    allowed = [np.ones(table.shape, bool) for table in tables] if possible is None else possible
    allowed = np.concatenate([np.ravel(part) for part in allowed])
    return _drawn(counts, allowed, tuple(table.shape for table in tables), number)


def _drawn(counts, possible, shapes, number):
    random = np.random.default_rng(0)
    gammas = np.zeros((len(counts), number))
    for row, count in zip(gammas, counts, strict=True):
        if count:
            row[:] = random.standard_gamma(count, number)
    return Draws(counts, possible, shapes, gammas, random.standard_exponential((len(shapes), number)))


def from_draws(function: Callable, draws: Draws, confidence: float = 0.95) -> Estimate:
    """Return a function of shares as an `Estimate`: its value at the counts, and limits from draws.

    Where the value is undefined both sides are open; where it is infinite, its own side is. Limits are stretched to
    hold the value. Half of the draws are moved towards the limit and weighed for it (importance sampling), so that at
    least `BEYOND` of them, as far as weights make them count, lie outside it at any confidence.

    Args:
        function: of the tables, shares up to a factor, whose last axis is that of draws; returns one value per draw.
        draws: what `draw_shares` returned.
        confidence: in (0, 1).

    Raises:
        ValueError: confidence outside (0, 1), or so high that a million draws do not resolve it.
    """
    tail = (1 - checked_confidence(confidence)) / 2

    def values(cells):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(function(*draws.tables(cells)), float)

    value, limits = float(values(draws.counts[:, None])[0]), []
    one_more = np.full(len(draws.counts), np.nan)
    filled = draws.counts + FILL * draws.possible  # where a cell is empty too, the others do not pull alike
    one_more[draws.possible] = values(filled[:, None] + np.eye(len(filled))[:, draws.possible])
    for side in (-1, 1):
        if math.isnan(value) or value == side * math.inf:
            limits.append(side * math.inf)
            continue
        limit, scale = _limit(values, draws, tail, side, one_more, math.isinf(value))
        number = draws.gammas.shape[1]
        while scale is not None:  # too few draws beyond the limit
            if number >= MOST:
                raise ValueError(f"confidence {confidence} is beyond what {MOST:,} draws resolve")
            number = min(MOST, 2 * number)
            more = _drawn(*draws[:3], number)
            limit, scale = _limit(values, more, tail, side, one_more, math.isinf(value), scale)
        limits.append(side * max(side * limit, side * value))
    return Estimate(value, *limits)


def _limit(values, draws, tail, side, one_more, alone, scale=None):
    """Return the lower (side -1) or upper (1) limit, and how to scale draws better if too few of them lie beyond it.

    Args:
        values: function of cells, shape (cells, draws).
        draws: `Draws`.
        tail: probability that lies beyond the limit.
        side: which limit.
        one_more: the value with one more seed in each cell; nan where that cannot be.
        alone: whether there is no other limit.
        scale: factor of each cell in the half of the draws that is moved; by its slope if None.
    """
    number = draws.gammas.shape[1]
    outwards = number if alone else round(OUTWARDS * number)
    cells, means = draws.gammas.copy(), np.repeat(draws.counts[:, None], 2, axis=1)
    places = np.split(np.arange(len(means)), np.cumsum([math.prod(shape) for shape in draws.shapes])[:-1])
    for seed, place in zip(draws.seeds, places, strict=True):
        if np.isnan(pull := side * one_more[place]).all():
            continue
        out, back = place[np.nanargmax(pull)], place[np.nanargmin(pull)]
        cells[out, :outwards] += seed[:outwards]
        cells[back, outwards:] += seed[outwards:]
        means[out, 0] += 1
        means[back, 1] += 1
    mean = means[:, 0]
    scale = _scale(values, mean, -side * float(ndtri(tail))) if scale is None else scale
    both = np.concatenate([cells, cells * scale[:, None]], axis=1)
    # log density of the scaled draws over that of the plain ones
    constant = np.repeat((np.log(scale)[:, None] * means).sum(0), [outwards, number - outwards])
    ratio = ((1 - 1 / scale)[:, None] * both).sum(0) - np.tile(constant, 2)
    weights = 2 / (1 + np.exp(np.minimum(ratio, 700.0)))
    drawn = side * values(both)
    drawn[np.isnan(drawn)] = math.inf
    order = np.argsort(-drawn)
    passed = np.cumsum(weights[order]) / (2 * number)
    limit = drawn[order[min(int(np.searchsorted(passed, tail)), 2 * number - 1)]]
    beyond = np.where(drawn >= limit, weights, 0.0)
    if beyond.sum() ** 2 >= BEYOND * (beyond**2).sum():
        return side * float(limit), None
    # to where the draws beyond the limit lie: the cross-entropy method (Rubinstein, Eur. J. Oper. Res. 99:89, 1997)
    centre = (both * beyond).sum(1) / beyond.sum()
    return side * float(limit), np.divide(centre, mean, out=np.ones_like(mean), where=mean > 0)


def _scale(values, mean, z):
    """Return by what to multiply each cell so that a linear function would move from its mean to a normal limit."""
    steps = np.diag(0.1 * np.sqrt(mean))
    up, down = np.split(values(mean[:, None] + np.concatenate([steps, -steps], axis=1)), 2)
    slopes = np.full(len(mean), np.nan)
    np.divide(up - down, 0.2 * np.sqrt(mean), out=slopes, where=mean > 0)
    slopes = np.nan_to_num(slopes, nan=0, posinf=0, neginf=0)
    spread = math.sqrt((mean * slopes**2).sum())
    shift = z * slopes / spread if spread > 0 else np.zeros_like(slopes)
    return np.where(shift > 0, 1 + shift, 1 / (1 - shift))
