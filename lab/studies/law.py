"""The law: what any push on a proxy will do, from three populations: held out, pushed early, pushed late.

A population is three numbers: ln o(A), and the logits of P(T|A) and of P(T|not A). Two short pilots at one weight say
by how much a push at the start and one at 40% of training moves each of them. Any other push moves them by

    sqrt(dose) * ((1 - lateness) * early + lateness * late)

where the dose is weight times length, in those of a pilot, and the lateness of a push is its mean over training of a
ramp from 0 at 10% to 1 at 40%. That is the answer of `turned`: it counts how many models the pilots turned.

Where outcomes are graded, counts do not say how near the others came. So if the scores of the card's models are known,
`moved` moves the two logits of every held-out model, of its alignment and of its score on the test, by

    dose * ((1 - lateness) * early + lateness * late)

with what the pilots did to the model of the same seed, and counts again. `after` is a mean of the two
answers. The second has the weight `graded`, the share of the card's models whose alignment lies in between.

Training against the proxy is never foreseen to help: it undoes a part of what a push would add to P(A) and P(T|A), and
leaves P(T|not A). What follows for a budget of runs is the algebra of `lab.decision.finite_budget`.

Nothing here is fitted to a task. The exponents, the ramp and the rule for negative weights were chosen on worlds of
`python -m experiments.studies.worlds look`; `python -m experiments.studies.law` says how well they do.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int8
from numpy.typing import ArrayLike

from lab.decision import accepted_aligned

Cells = Float[np.ndarray, "*populations 4"]  # counts or shares of `lab.statistics.Counts.cells`
LogOdds = Float[np.ndarray, "*populations 3"]  # ln o(A), logit P(T|A), logit P(T|not A)
Heights = Float[np.ndarray, "*worlds model 2"]  # of alignment and of the test above their marks, in logits

EXPONENT = 0.5  # with which the share of models that a push turns, in log odds, grows with the dose
PILOT = 0.1  # length of a pilot's push, as a share of training
EARLY, LATE = 0.0, 0.4  # where the pushes of the two pilots begin
AGAINST = 0.3  # of what a push would add to P(A) and P(T|A), in nats, training against the proxy takes away
FINEST = 1 / 128  # scores are told apart no closer than this to 0 and to 1
BELOW = 1e-6  # nats by which a model is at least below a mark that it does not reach
HALF = 0.5  # of a model is added to every cell, so that no logit is infinite (Jeffreys' prior for shares)


class Pilots(NamedTuple):
    """What a card counts: the cells of three populations of a world, or of many draws or worlds at once."""

    hold_out: Cells
    early: Cells
    late: Cells


class Scores(NamedTuple):
    """How far above the marks every model of a card is; a model has the same place, and seed, in all three populations.

    Attributes:
        hold_out, early, late: of each population.
        graded: share of these models whose alignment is neither near 0 nor near 1 (`lab.results.outcomes`).
    """

    hold_out: Heights
    early: Heights
    late: Heights
    graded: Float[np.ndarray, "*worlds"]


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
    aligned, passing, fooled = np.moveaxis(probability(odds), -1, 0)
    return np.stack(
        [aligned * passing, aligned * (1 - passing), (1 - aligned) * fooled, (1 - aligned) * (1 - fooled)], -1
    )


def probability(logit: ArrayLike) -> np.ndarray:
    """Return the probability of a logit."""
    return 1 / (1 + np.exp(-np.asarray(logit, float)))


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


def heights(
    scores: Float[np.ndarray, "*models"], mark: float, reached: Bool[np.ndarray, "*models"]
) -> Float[np.ndarray, "*models"]:
    """Return how far scores are above a pass mark, in logits.

    Args:
        scores: from 0 to 1; one that is not finite is as low as can be.
        mark: of the score.
        reached: which models count as passing. It wins over a score that says otherwise: a model that cannot do the
            job passes nothing.

    Example:
        >>> heights(np.array([0.5, 0.9, 0.9]), 0.75, np.array([False, True, False])).round(6).tolist()
        [-1.098612, 1.098612, -1e-06]
    """
    known = np.clip(np.nan_to_num(np.asarray(scores, float)), FINEST, 1 - FINEST)
    above = _logit(known) - _logit(np.clip(mark, FINEST, 1 - FINEST))
    return np.where(reached, np.maximum(above, 0.0), np.minimum(above, -BELOW))


def moved(scores: Scores, push: Push) -> Heights:
    """Return where every held-out model would be if a push moved it as the pilots moved that of its seed.

    Args:
        scores: of the card's models.
        push: to foresee, with a weight above 0.

    Example:
        The late pilot lifts one model's alignment by 1 and does nothing to the other. A push twice as strong lifts it
        by 2, over the mark:

        >>> hold_out, late = np.array([[-1.5, 1.0], [-1.5, -1.0]]), np.array([[-0.5, 1.0], [-1.5, -1.0]])
        >>> after_push = moved(Scores(hold_out, hold_out, late, np.array(1.0)), Push(0.4, 0.5, 2))
        >>> after_push.round(9).tolist(), kinds(after_push).tolist(), counted(kinds(after_push)).tolist()
        ([[0.5, 1.0], [-1.5, -1.0]], [0, 3], [1.0, 0.0, 0.0, 1.0])
    """
    early, late = scores.early - scores.hold_out, scores.late - scores.hold_out
    lag = lateness(push)
    return scores.hold_out + _dose(push) * ((1 - lag) * early + lag * late)


def kinds(heights: Heights) -> Int8[np.ndarray, "*worlds model"]:
    """Return the cell of every model, as in `lab.statistics.Counts.cells`, by its heights."""
    below = np.asarray(heights) < 0
    return (2 * below[..., 0] + below[..., 1]).astype(np.int8)


def counted(kinds: Int8[np.ndarray, "*worlds model"]) -> Cells:
    """Return the counts of the four cells of models."""
    return np.stack([(kinds == cell).sum(-1) for cell in range(4)], -1).astype(float)


def turned(pilots: Pilots, push: Push, added: float = HALF) -> Cells:
    """Return the shares of the four cells after a push, from how many models the pilots turned.

    Args:
        pilots: what the card counted.
        push: to foresee.
        added: to every cell of the pilots; 0 if they are shares.

    Example:
        The pilots' own pushes are foreseen as they were:

        >>> hold_out, early, late = np.array([[1.0, 2, 1, 4], [4, 2, 1, 1], [1, 2, 4, 1]])
        >>> (8 * turned(Pilots(hold_out, early, late), USES["early"], 0)).round(9).tolist()
        [4.0, 2.0, 1.0, 1.0]
    """
    before = log_odds(pilots.hold_out, added)
    early, late = (log_odds(pilot, added) - before for pilot in (pilots.early, pilots.late))
    lag = lateness(push)
    effect = _dose(push) ** EXPONENT * ((1 - lag) * early + lag * late)
    if push.weight < 0:
        effect = -AGAINST * np.maximum(effect, 0.0) * np.array([1.0, 1.0, 0.0])
    return shares(before + effect)


def after(
    pilots: Pilots, push: Push, added: float = HALF, by_scores: Cells | None = None, graded: float = 1.0
) -> Cells:
    """Return the shares of the four cells that the law foresees after a push.

    Args:
        pilots: what the card counted.
        push: to foresee.
        added: to every cell of the pilots and of `by_scores`; 0 if they are shares.
        by_scores: the four cells of what `moved` foresees of this push; None if scores are not known. It does not
            count for training against the proxy.
        graded: weight of `by_scores`, as in `Scores`.
    """
    by_counts = turned(pilots, push, added)
    if by_scores is None or push.weight < 0:
        return by_counts
    cells = np.asarray(by_scores, float) + added
    return (1 - graded) * by_counts + graded * cells / cells.sum(-1, keepdims=True)


def held_out(pilots: Pilots, added: float = HALF) -> Cells:
    """Return the shares of the four cells where the proxy is held out."""
    return shares(log_odds(pilots.hold_out, added))


def gain(
    pilots: Pilots, push: Push, runs: int, added: float = HALF, by_scores: Cells | None = None, graded: float = 1.0
) -> Float[np.ndarray, "*populations"]:
    """Return by how much a push is foreseen to change P(accepted is aligned), with at most so many runs.

    Args:
        pilots: what the card counted.
        push: to foresee.
        runs: most runs allowed, at least 1.
        added: as for `after`.
        by_scores: as for `after`.
        graded: as for `after`.
    """
    trained, before = after(pilots, push, added, by_scores, graded), held_out(pilots, added)
    return accepted_aligned(np.moveaxis(trained, -1, 0), runs) - accepted_aligned(np.moveaxis(before, -1, 0), runs)


def parts(before: Cells, trained: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Return what training adds to ln o(A) and to ln LR, which is what counts where runs are unlimited.

    Args:
        before: shares of the four cells where the proxy is held out.
        trained: shares where it is trained on.

    Returns:
        The two changes, in nats.
    """
    after, held_out = log_odds(trained, 0), log_odds(before, 0)
    return after[..., 0] - held_out[..., 0], _log_ratio(after) - _log_ratio(held_out)


def _dose(push: Push) -> float:
    """Return weight times length of a push, in those of a pilot."""
    return abs(push.weight) * (push.end - push.start) / PILOT


def _logit(probability: ArrayLike) -> np.ndarray:
    return np.log(probability) - np.log1p(-np.asarray(probability))


def _log_ratio(odds: LogOdds) -> np.ndarray:
    """Return ln LR from the logits of P(T|A) and P(T|not A)."""
    return _log_probability(odds[..., 1]) - _log_probability(odds[..., 2])


def _log_probability(logit: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -logit)
