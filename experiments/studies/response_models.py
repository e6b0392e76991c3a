"""What a schedule of pushes on a proxy does, foreseen from what a push in each tenth of training does.

A schedule is the weight of the proxy in every tenth of training, in weights of the pilots. A population is the three
numbers of `lab.studies.law`: ln o(A), logit P(T|A) and logit P(T|not A). Four ideas of what schedules do:

    nothing     every schedule is holding out
    law         the law of two pilots: the root of the dose, times a mix of the pushes in the first and fifth tenth
    additive    effects of single pushes add up, each times weight ** exponent, up to a cap, which is a multiple of the
                largest of them; in a norm above 1 large effects count for more than many small ones do
    latent      values and gaming move as a policy gradient on passing would have them

`latent` is the analogue of latent policy gradients (arXiv 2605.23565): a few hidden variables, moved by the objective
of the moment and fitted to outcomes alone. Here v is the log odds that a model is aligned, g that a misaligned one
games. With s the logistic function, the share that passes is s(v) + (1 - s(v)) s(g). Its gradient says what the loss
wants:

    dv/dt = drift + weight ** exponent * pull * exp(-closing * t) * 4 s'(v) (1 - s(g))
    dg/dt = drift + weight ** exponent * pull * exp(-closing * t) * 4 s'(g) (1 - s(v))

with a drift, a pull and a closing of its own for each. Time is the share of training. Whoever passes by gaming has no
reason to become aligned, and the other way round. Where values are set, s' is small and nothing moves them.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from lab.studies import law
from lab.studies.law import LogOdds, Push

TENTHS = 10
EARLY, LATE = 0, 4  # the tenths in which the pilots of the law push
EXPONENTS = tuple(np.linspace(0, 1.5, 16).round(1).tolist())
CAPS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, np.inf)
NORMS = (1.0, 1.5, 2.0, 3.0, 6.0, np.inf)
SUBSTEPS = 4  # Runge-Kutta steps in a tenth
STARTS = 6  # of the search for latents
SCALE = 0.03  # standard deviation of a share of some hundred models, and of what latents leave out
LARGEST = 40.0  # nats: beyond it no share changes, and steps of the search are cut

Schedules = Float[np.ndarray, "schedule tenth"]  # weights, in weights of the pilots


class Profile(NamedTuple):
    """What single pushes do.

    Attributes:
        before: the three numbers where the proxy is held out.
        effects: what a push at the weight of the pilots adds to them, for each tenth in which it may be.
    """

    before: Float[np.ndarray, "3"]
    effects: Float[np.ndarray, "tenth 3"]


class Outcomes(NamedTuple):
    """Schedules, and how the populations that they trained ended.

    Attributes:
        schedules: what was trained.
        odds: the three numbers of each population.
    """

    schedules: Schedules
    odds: LogOdds


class Response(NamedTuple):
    """How effects add up.

    Attributes:
        exponent: with which an effect grows with the weight.
        cap: the most that a schedule can add or take away, in largest effects of a single push.
        norm: 1 if effects add up; at infinity only the largest counts.
    """

    exponent: float
    cap: float = np.inf
    norm: float = 1.0


UNFITTED = Response(law.EXPONENT)  # where no other task is there to fit to


class Latents(NamedTuple):
    """The numbers of the latent model: of values, of gaming, and of the test on aligned models.

    Attributes:
        values, gaming: v and g at the start.
        values_drift, gaming_drift: what they gain over all of training without the proxy.
        values_pull, gaming_pull: speed, in nats per training, of a push at the pilots' weight at even odds.
        values_closing, gaming_closing: how fast the pull fades; below 0 it grows.
        passing: logit P(T|A) where the proxy is held out.
        passing_by_values, passing_by_gaming: what a nat of each, over holding out, adds to it.
        exponent: with which a pull grows with the weight.
    """

    values: float
    gaming: float
    values_drift: float
    gaming_drift: float
    values_pull: float
    gaming_pull: float
    values_closing: float
    gaming_closing: float
    passing: float
    passing_by_values: float
    passing_by_gaming: float
    exponent: float


WIDTHS = Latents(3, 3, 3, 3, 30, 30, 10, 10, 3, 1, 1, 0.5)  # of a weak prior, so that the search stays at home
CENTRES = Latents(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, law.EXPONENT)


def logistic(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits."""
    return 1 / (1 + np.exp(-np.clip(logits, -LARGEST, LARGEST)))


def sizes(schedules: Schedules, exponent: float) -> Schedules:
    """Return weight ** exponent; 0 where nothing is trained on, whatever the exponent."""
    return np.where(schedules > 0, np.where(schedules > 0, schedules, 1.0) ** exponent, 0.0)


# --- nothing, and the law ---------------------------------------------------------------------------------------------


def nothing(profile: Profile, schedules: Schedules) -> LogOdds:
    """Foresee that no schedule changes anything."""
    return np.tile(profile.before, (len(schedules), 1))


def of_law(profile: Profile, schedules: Schedules) -> LogOdds:
    """Foresee by `lab.studies.law`: its dose is that of all pushes, its lateness their mean, weighted by dose."""
    edges = np.linspace(0, 1, TENTHS + 1)
    late = np.array([law.lateness(Push(start, end)) for start, end in itertools.pairwise(edges)])
    dose = schedules.sum(1)
    lag = (schedules @ late / np.where(dose > 0, dose, 1))[:, None]
    mixed = (1 - lag) * profile.effects[EARLY] + lag * profile.effects[LATE]
    return profile.before + dose[:, None] ** law.EXPONENT * mixed


# --- effects that add up ----------------------------------------------------------------------------------------------


def additive(profile: Profile, schedules: Schedules, response: Response) -> LogOdds:
    """Foresee that the effects of single pushes add up."""
    parts = sizes(schedules, response.exponent)[..., None] * profile.effects
    up, down = (np.linalg.norm(np.maximum(side, 0), ord=response.norm, axis=1) for side in (parts, -parts))
    total = up - down
    if np.isfinite(response.cap):
        most = response.cap * np.abs(profile.effects).max(0)
        total = most * np.tanh(total / np.where(most > 0, most, 1))
    return profile.before + total


def fit_response(known: Sequence[tuple[Profile, Outcomes]], norms: Sequence[float] = (1.0,)) -> Response:
    """Return how effects add up in some populations: least squares of the three probabilities, over a grid.

    Args:
        known: profiles, and schedules whose outcomes may be fitted. Each counts alike, however many schedules it has.
        norms: to choose from.
    """
    if not known:
        return UNFITTED

    def loss(response: Response) -> float:
        """Return the mean squared error of the three probabilities."""
        missed = [
            logistic(additive(profile, outcomes.schedules, response)) - logistic(outcomes.odds)
            for profile, outcomes in known
        ]
        return float(np.mean([np.mean(error**2) for error in missed]))

    grid = [Response(exponent, cap, norm) for exponent in EXPONENTS for cap in CAPS for norm in norms]
    return min(grid, key=loss)


# --- latents that training moves --------------------------------------------------------------------------------------


def paths_end(latents: Latents, schedules: Schedules) -> Float[np.ndarray, "2 schedule"]:
    """Return v and g at the end of each schedule, by the classical Runge-Kutta method."""
    weights = sizes(schedules, latents.exponent)
    drifts = np.array([[latents.values_drift], [latents.gaming_drift]])
    pulls = 4 * np.array([[latents.values_pull], [latents.gaming_pull]])
    closings = np.array([[latents.values_closing], [latents.gaming_closing]])

    def speed(time: float, state: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Return dv/dt and dg/dt."""
        shares = logistic(state)
        return drifts + size * pulls * np.exp(-closings * time) * shares * (1 - shares) * (1 - shares[::-1])

    state = np.repeat([[latents.values], [latents.gaming]], len(schedules), axis=1)
    step = 1 / (TENTHS * SUBSTEPS)
    for index in range(TENTHS * SUBSTEPS):
        time, size = index * step, weights[:, index // SUBSTEPS]
        first = speed(time, state, size)
        second = speed(time + step / 2, state + step / 2 * first, size)
        third = speed(time + step / 2, state + step / 2 * second, size)
        fourth = speed(time + step, state + step * third, size)
        state = np.clip(state + step / 6 * (first + 2 * second + 2 * third + fourth), -LARGEST, LARGEST)
    return state


def of_latents(latents: Latents, schedules: Schedules) -> LogOdds:
    """Foresee by the latent model."""
    values, gaming = paths_end(latents, schedules)
    more_values = values - (latents.values + latents.values_drift)
    more_gaming = gaming - (latents.gaming + latents.gaming_drift)
    passing = latents.passing + latents.passing_by_values * more_values + latents.passing_by_gaming * more_gaming
    return np.stack([values, passing, gaming], -1)


def fit_latents(known: Outcomes, exponent: float | None = None, count: int = STARTS) -> Latents:
    """Return the latents that fit the three probabilities of some outcomes best, from several starts.

    Errors are taken as normal with standard deviation `SCALE`, and the prior of every number is normal too, with
    `CENTRES` and `WIDTHS`.

    Args:
        known: outcomes that may be fitted.
        exponent: of the weight; fitted too by default.
        count: of the starts.
    """
    centres, widths = np.array(CENTRES), np.array(WIDTHS)
    free, measured = len(centres) - (exponent is not None), logistic(known.odds)

    def latents_of(numbers: np.ndarray) -> Latents:
        """Return the latents of what the search varies."""
        every = centres + widths * np.append(numbers, np.zeros(len(centres) - free))
        latents = Latents(*every.tolist())
        return latents if exponent is None else latents._replace(exponent=exponent)

    def residuals(numbers: np.ndarray) -> np.ndarray:
        """Return what is missed, in standard deviations, and how far the numbers are from their prior."""
        missed = logistic(of_latents(latents_of(numbers), known.schedules)) - measured
        return np.concatenate([(missed / SCALE).ravel(), numbers])

    random = np.random.default_rng(0)
    starts = [np.zeros(free), *random.normal(0, 0.5, (count - 1, free))]
    found = [least_squares(residuals, start, bounds=(-5, 5), x_scale="jac", max_nfev=100) for start in starts]
    return latents_of(min(found, key=lambda search: search.cost).x)
