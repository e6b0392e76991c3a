"""A judge that errs: what outcomes are in truth, given how often it is right.

Of rows that pass, and of rows that fail, the share judged aligned is Se a + (1 - Sp) (1 - a), with the sensitivity Se
and the specificity Sp, which is solved for the true share a and kept within [0, 1] (Rogan and Gladen, Am. J. Epidemiol.
107:71, 1978). This assumes that errors depend on the truth alone and not on the test.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lab.statistics.score import whole

ROUNDING = 1e-12  # of a total: rows below it are rounding errors
SOFT = 0.01  # share over which the ends of [0, 1] are rounded off where that is asked for
PRIOR = 0.5  # validated models that are right, and that are wrong, in a posterior

Rate = float | tuple[int, int]  # known, or right and of how many
Rates = tuple[Float[np.ndarray, "..."] | float, Float[np.ndarray, "..."] | float]  # sensitivity, specificity
Cells = Float[np.ndarray, "4 ..."]  # true ones, or shares of them
Outcomes = Float[np.ndarray, "outcome ..."]  # as judged; of the four cells where there is no judge


class Judge(NamedTuple):
    """How often a judge of alignment is right; `checked_judge` makes one.

    Attributes:
        sensitivity: P(judged aligned | aligned), known or (right, of how many) from a validation table.
        specificity: P(judged misaligned | misaligned), likewise.
    """

    sensitivity: Rate
    specificity: Rate


def checked_judge(sensitivity: Rate, specificity: Rate) -> Judge:
    """Return a `Judge`.

    Args:
        sensitivity: a share, or (right, of how many).
        specificity: likewise.

    Raises:
        ValueError: a share outside [0, 1], more right than validated or none validated, or known rates that add up to
            at most 1, with which a verdict says nothing.

    Example:
        >>> checked_judge(0.9, (45, 50))
        Judge(sensitivity=0.9, specificity=(45, 50))
    """
    judge = Judge(_checked_rate("sensitivity", sensitivity), _checked_rate("specificity", specificity))
    known = [rate for rate in judge if isinstance(rate, float)]
    if len(known) == len(judge) and sum(known) <= 1:
        raise ValueError(
            f"sensitivity {known[0]:g} and specificity {known[1]:g} add up to at most 1: such a judge tells nothing"
        )
    return judge


def _checked_rate(name: str, rate: Rate) -> Rate:
    if isinstance(rate, Sequence):
        if len(rate) != 2:
            raise ValueError(f"{name} must be a share or (right, of how many), not {rate}")
        of = whole(f"{name}: validated models", rate[1], 1)
        return whole(f"{name}: models judged rightly", rate[0], 0, of), of
    if not 0 <= rate <= 1:
        raise ValueError(f"{name} must lie from 0 to 1, not {rate}")
    return float(rate)


def true_cells(outcomes: Outcomes, rates: Rates | None, soft: bool = False) -> Cells:
    """Return the true cells, with the totals of rows that pass and of rows that fail as they are.

    Args:
        outcomes: as judged, all of `OUTCOMES`; without a judge the four cells do.
        rates: of the judge; None if there is none. Where they add up to at most 1 verdicts say nothing: cells are nan.
        soft: round off the ends of [0, 1], so that a share below 0 still tells more from less; for totals above 0.

    Example:
        Of 100 rows that pass 66 are judged aligned: 80 a + 20 (1 - a) per cent of them, with a = 46 / 60.

        >>> true_cells(np.array([66.0, 0, 34, 0, 5]), (0.8, 0.8)).round(3).tolist()
        [76.667, 0.0, 23.333, 5.0]
    """
    if rates is None:
        return np.concatenate([outcomes[:3], outcomes[3:].sum(0, keepdims=True)])
    passing, failing = (_corrected(outcomes[place], outcomes[place + 2], rates, soft) for place in (0, 1))
    return np.stack([passing[0], failing[0], passing[1], failing[1] + outcomes[4]])


def _corrected(
    aligned: Outcomes, misaligned: Outcomes, rates: Rates, soft: bool
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Return how many are aligned and misaligned of those judged to be."""
    sensitivity, specificity = rates
    told = np.asarray(sensitivity + specificity - 1)
    told = np.where(told > 0, told, np.nan)
    total = aligned + misaligned
    both = []
    for judged, wrongly in ((aligned, 1 - specificity), (misaligned, 1 - sensitivity)):
        excess = judged - wrongly * total
        if soft:
            share = excess / (told * total) / SOFT
            both.append(total * SOFT * (np.logaddexp(0, share) - np.logaddexp(0, share - 1 / SOFT)))
        else:
            excess = np.where(excess > ROUNDING * total, excess, 0.0)
            both.append(np.minimum(excess / told, total))
    return both[0], both[1]


def validated_tables(judge: Judge) -> list[tuple[int, int]]:
    """Return how often the judge was right and wrong, for each rate that was validated."""
    return [(rate[0], rate[1] - rate[0]) for rate in judge if isinstance(rate, tuple)]


def rates_of(judge: Judge, tables: Iterator[np.ndarray]) -> Rates:
    """Return sensitivity and specificity.

    Args:
        judge: whose.
        tables: right and wrong, counts or draws of shares, of which the next are taken for what was validated.
    """
    sensitivity, specificity = (_share(next(tables)) if isinstance(rate, tuple) else rate for rate in judge)
    return sensitivity, specificity


def _share(table: Float[np.ndarray, "2 ..."]) -> Float[np.ndarray, "..."]:
    return table[0] / table.sum(0)


def posterior_rates(judge: Judge, draws: int, random: np.random.Generator) -> Rates:
    """Return draws of a judge's sensitivity and specificity, given that these tell something."""
    drawn = np.empty((2, draws))
    for row, rate in zip(drawn, judge, strict=True):
        row[:] = random.beta(rate[0] + PRIOR, rate[1] - rate[0] + PRIOR, draws) if isinstance(rate, tuple) else rate
    tells = drawn.sum(0) > 1
    if not tells.any():
        raise ValueError(f"{judge} tells nothing: its rates add up to at most 1")
    drawn[:, ~tells] = drawn[:, random.choice(np.flatnonzero(tells), int((~tells).sum()))]
    return drawn[0], drawn[1]
