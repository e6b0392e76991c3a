"""The law: what any push on a proxy will do, from three populations: held out, pushed early, pushed late.

A population is three numbers: ln o(A), and the logits of P(T|A) and of P(T|not A). Two short pilots at one weight say
by how much a push at the start and one at 40% of training moves each of them. Any other push moves them by

    sqrt(dose) * ((1 - lateness) * early + lateness * late)

where the dose is weight times length, in those of a pilot, and the lateness of a push is its mean over training of a
ramp from 0 at 10% to 1 at 40%. Training against the proxy is never foreseen to help: it undoes a part of what a push
would add to P(A) and P(T|A), and leaves P(T|not A). What follows for a budget of runs is the algebra of
`lab.decision.finite_budget`.

Nothing here is fitted to a task. The exponent, the ramp and the rule for negative weights were chosen on worlds of
`python -m experiments.studies.worlds look`; `python -m experiments.studies.law` says how well they do.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lab.decision import accepted_aligned

Cells = Float[np.ndarray, "*populations 4"]  # counts or shares of `lab.statistics.Counts.cells`
LogOdds = Float[np.ndarray, "*populations 3"]  # ln o(A), logit P(T|A), logit P(T|not A)

EXPONENT = 0.5  # with which an effect grows with the dose
PILOT = 0.1  # length of a pilot's push, as a share of training
EARLY, LATE = 0.0, 0.4  # where the pushes of the two pilots begin
AGAINST = 0.3  # of what a push would add to P(A) and P(T|A), in nats, training against the proxy takes away
HALF = 0.5  # of a model is added to every cell, so that no logit is infinite (Jeffreys' prior for shares)


class Pilots(NamedTuple):
    """What a card counts: the cells of three populations of a world, or of many draws or worlds at once."""

    hold_out: Cells
    early: Cells
    late: Cells


class Push(NamedTuple):
    """Training on the proxy for a while.

    Attributes:
        start, end: shares of training.
        weight: as a multiple of that of the pilots; below 0 it is training against the proxy.
    """

    start: float
    end: float
    weight: float = 1.0


USES = {  # ways to train on a proxy, at the weight of the pilots
    "early": Push(0, PILOT),
    "late": Push(LATE, 1),
    "throughout": Push(0, 1),
}


def log_odds(cells: Cells, added: float = HALF) -> LogOdds:
    """Return the three numbers of a population.

    Args:
        cells: counts, or shares with nothing to add.
        added: to every cell.

    Example:
        Of 9 aligned models 3 pass, of 9 misaligned ones 6:

        >>> np.exp(log_odds(np.array([3.0, 6.0, 6.0, 3.0]), 0)).round(9).tolist()
        [1.0, 0.5, 2.0]
    """
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = np.moveaxis(np.asarray(cells, float) + added, -1, 0)
    with np.errstate(divide="ignore"):
        logs = (
            np.log(aligned_pass + aligned_fail) - np.log(misaligned_pass + misaligned_fail),
            np.log(aligned_pass) - np.log(aligned_fail),
            np.log(misaligned_pass) - np.log(misaligned_fail),
        )
    return np.stack(logs, -1)


def shares(odds: LogOdds) -> Cells:
    """Return the shares of the four cells of a population by its three numbers.

    Example:
        >>> shares(np.log([1.0, 0.5, 2.0])).round(9).tolist()
        [0.166666667, 0.333333333, 0.333333333, 0.166666667]
    """
    aligned, passing, fooled = np.moveaxis(1 / (1 + np.exp(-np.asarray(odds, float))), -1, 0)
    return np.stack(
        [aligned * passing, aligned * (1 - passing), (1 - aligned) * fooled, (1 - aligned) * (1 - fooled)], -1
    )


def lateness(push: Push) -> float:
    """Return the mean over a push of a ramp that is 0 up to the end of the early pilot and 1 from the late one on.

    Example:
        >>> lateness(Push(0, 0.1)), round(lateness(Push(0.4, 0.5)), 9), round(lateness(Push(0, 1)), 9)
        (0.0, 1.0, 0.75)
    """

    def area(share: float) -> float:
        """Return the area under the ramp up to a share of training."""
        inside = min(max(share - PILOT, 0.0), LATE - PILOT)
        return inside**2 / (2 * (LATE - PILOT)) + max(share - LATE, 0.0)

    return (area(push.end) - area(push.start)) / (push.end - push.start)


def after(pilots: Pilots, push: Push, added: float = HALF) -> Cells:
    """Return the shares of the four cells that the law foresees after a push.

    Args:
        pilots: what the card counted.
        push: to foresee.
        added: to every cell of the pilots; 0 if they are shares.

    Example:
        The pilots' own pushes are foreseen as they were:

        >>> hold_out, early, late = np.array([[1.0, 2, 1, 4], [4, 2, 1, 1], [1, 2, 4, 1]])
        >>> (8 * after(Pilots(hold_out, early, late), USES["early"], 0)).round(9).tolist()
        [4.0, 2.0, 1.0, 1.0]
    """
    before = log_odds(pilots.hold_out, added)
    early, late = (log_odds(pilot, added) - before for pilot in (pilots.early, pilots.late))
    lag = lateness(push)
    dose = abs(push.weight) * (push.end - push.start) / PILOT
    effect = dose**EXPONENT * ((1 - lag) * early + lag * late)
    if push.weight < 0:
        effect = -AGAINST * np.maximum(effect, 0.0) * np.array([1.0, 1.0, 0.0])
    return shares(before + effect)


def held_out(pilots: Pilots, added: float = HALF) -> Cells:
    """Return the shares of the four cells where the proxy is held out."""
    return shares(log_odds(pilots.hold_out, added))


def gain(pilots: Pilots, push: Push, runs: int, added: float = HALF) -> Float[np.ndarray, "*populations"]:
    """Return by how much a push is foreseen to change P(accepted is aligned), with at most so many runs.

    Args:
        pilots: what the card counted.
        push: to foresee.
        runs: most runs allowed, at least 1.
        added: as for `after`.
    """
    trained, before = after(pilots, push, added), held_out(pilots, added)
    return accepted_aligned(np.moveaxis(trained, -1, 0), runs) - accepted_aligned(np.moveaxis(before, -1, 0), runs)


def parts(pilots: Pilots, push: Push, added: float = HALF) -> tuple[np.ndarray, np.ndarray]:
    """Return what a push adds to ln o(A) and to ln LR, which is what counts where runs are unlimited.

    Returns:
        The two changes, in nats.
    """
    trained, before = (log_odds(cells, 0) for cells in (after(pilots, push, added), held_out(pilots, added)))
    return trained[..., 0] - before[..., 0], _log_ratio(trained) - _log_ratio(before)


def _log_ratio(odds: LogOdds) -> np.ndarray:
    """Return ln LR from the logits of P(T|A) and P(T|not A)."""
    return _log_probability(odds[..., 1]) - _log_probability(odds[..., 2])


def _log_probability(logit: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -logit)
