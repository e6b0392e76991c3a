"""Ideas of measured kinds, each with test rates of its own: what rejection sampling and what learning reaches.

The rest of `lab.ideas` gives all ideas one P(T|A) and one P(T|not A). Where ideas differ in more than how many of their
models are aligned, a high share of passes may mean that an idea is good, or that its models game the test. Here an idea
is one of finitely many kinds, each as likely, and a kind is the shares of its models in the cells (aligned pass,
aligned fail, misaligned pass, misaligned fail). Ideas of a campaign are drawn independently.

All values are exact. Every function takes kinds with any axes in front, so that slopes along many shares cost one call.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lab.statistics.score import whole

Kinds = Float[np.ndarray, "*draws kind 4"]
Values = Float[np.ndarray, "*draws"]
Tally = tuple[int, int]  # passes and failures of an idea
State = tuple[Tally, ...]  # of every idea, sorted: ideas of which nothing but runs is known are alike


class Rates(NamedTuple):
    """What follows from the kinds of a field.

    Attributes:
        passing: P(T) of each kind.
        aligned_pass: P(A, T) of each kind.
        aligned_fail: P(A, not T) of each kind.
    """

    passing: Float[np.ndarray, "*draws kind"]
    aligned_pass: Float[np.ndarray, "*draws kind"]
    aligned_fail: Float[np.ndarray, "*draws kind"]

    @classmethod
    def of(cls, kinds: Kinds) -> "Rates":
        """Return the `Rates` of kinds."""
        return cls(kinds[..., 0] + kinds[..., 2], kinds[..., 0], kinds[..., 1])

    def moment(self, passes: int, failures: int, of: Float[np.ndarray, "*draws kind"] | float = 1.0) -> Values:
        """Return E[of x P(T)^passes x P(not T)^failures] over kinds."""
        return np.mean(of * self.passing**passes * (1 - self.passing) ** failures, axis=-1)


# --- rejection sampling -------------------------------------------------------------------------------------------


def rejection_on_one(kinds: Kinds, runs: int) -> Values:
    """Return P(accepted is aligned) where all runs are on one idea; the first pass is accepted, or the last run.

    Args:
        kinds: shares of the four cells of each kind.
        runs: most runs.
    """
    return _rejection(Rates.of(kinds), [(used,) for used in range(whole("runs", runs, 1))])


def rejection_in_turn(kinds: Kinds, ideas: int, runs: int) -> Values:
    """Return P(accepted is aligned) where ideas take turns; the first pass is accepted, or the last run.

    Args:
        kinds: shares of the four cells of each kind.
        ideas: number of fresh ideas.
        runs: most runs.
    """
    ideas, runs = whole("ideas", ideas, 1), whole("runs", runs, 1)
    return _rejection(Rates.of(kinds), [_shared(used, ideas)[::-1] for used in range(runs)])


def _shared(runs: int, ideas: int) -> list[int]:
    """Return how many of some runs each idea has that takes its turn; the last one's turn is next."""
    return [runs // ideas + (place < runs % ideas) for place in range(ideas)]


def _rejection(rates: Rates, failures: Sequence[Sequence[int]]) -> Values:
    """Return the value of rejection on the first idea of each step, after so many failures of every idea.

    Args:
        rates: of the kinds.
        failures: of every idea before each run; the run is on the idea that comes first.
    """
    value = np.zeros(rates.passing.shape[:-1])
    for step, (own, *others) in enumerate(failures):
        before = math.prod(rates.moment(0, count) for count in others)
        value = value + before * rates.moment(0, own, rates.aligned_pass)
        if step == len(failures) - 1:
            value = value + before * rates.moment(0, own, rates.aligned_fail)
    return value


# --- learning -----------------------------------------------------------------------------------------------------


def worth_of_tally(rates: Rates, passes: int, failures: int) -> Values:
    """Return the largest probability that a run of an idea with these results is aligned.

    Args:
        rates: of the kinds.
        passes: runs of the idea that passed.
        failures: runs of the idea that failed.
    """
    seen = rates.moment(passes, failures)
    aligned = np.zeros(rates.passing.shape[:-1])
    if passes:
        aligned = np.maximum(aligned, rates.moment(passes - 1, failures, rates.aligned_pass))
    if failures:
        aligned = np.maximum(aligned, rates.moment(passes, failures - 1, rates.aligned_fail))
    return _divided(aligned, seen)


def learning_in_turn(kinds: Kinds, ideas: int, runs: int) -> Values:
    """Return P(accepted is aligned) where ideas take turns and the run most likely aligned of all is accepted.

    Args:
        kinds: shares of the four cells of each kind.
        ideas: number of fresh ideas.
        runs: all of which are trained.
    """
    rates = Rates.of(kinds)
    worths, chances = [], []
    for own in _shared(whole("runs", runs, 1), whole("ideas", ideas, 1)):
        tallies = [(passes, own - passes) for passes in range(own + 1)]
        worths.append(np.stack([worth_of_tally(rates, *tally) for tally in tallies], -1))
        chances.append(
            np.stack([math.comb(own, passes) * rates.moment(passes, own - passes) for passes, _ in tallies], -1)
        )
    grid = np.sort(np.concatenate(worths, -1), -1)
    below = np.ones_like(grid)  # P(no idea is worth more than a value of the grid)
    for worth, chance in zip(worths, chances, strict=True):
        below = below * np.sum((worth[..., None, :] <= grid[..., :, None]) * chance[..., None, :], -1)
    steps = np.diff(below, prepend=0.0, axis=-1)
    return np.sum(grid * steps, -1)


def best_learning(kinds: Kinds, ideas: int, runs: int) -> Values:
    """Return P(accepted is aligned) under the best policy: any idea for each run, and any of all runs at the end.

    It lists all that can happen (Bellman), so that time grows fast with runs: ten of six ideas take a second.

    Args:
        kinds: shares of the four cells of each kind.
        ideas: number of fresh ideas.
        runs: all of which are trained.
    """
    rates = Rates.of(kinds)
    evidence = functools.cache(rates.moment)
    worth = functools.cache(functools.partial(worth_of_tally, rates))
    levels: list[set[State]] = [{((0, 0),) * whole("ideas", ideas, 1)}]
    for _ in range(whole("runs", runs, 1)):
        levels.append({after for state in levels[-1] for pair in _after(state).values() for after in pair})
    values = {state: functools.reduce(np.maximum, [worth(*tally) for tally in set(state)]) for state in levels.pop()}
    for level in reversed(levels):
        values = {
            state: functools.reduce(
                np.maximum,
                [
                    # both are weighed by evidence that is not divided yet, so that what cannot happen is worth nothing
                    _divided(
                        evidence(passes + 1, failures) * values[passed]
                        + evidence(passes, failures + 1) * values[failed],
                        evidence(passes, failures),
                    )
                    for (passes, failures), (passed, failed) in _after(state).items()
                ],
            )
            for state in level
        }
    (value,) = values.values()
    return value


def _after(state: State) -> dict[Tally, tuple[State, State]]:
    """Return for each tally that an idea may have the states after one more run of it, which passes or fails."""
    after = {}
    for tally in set(state):
        place = state.index(tally)
        others = (*state[:place], *state[place + 1 :])
        passes, failures = tally
        moved = ((passes + 1, failures), (passes, failures + 1))
        after[tally] = tuple(tuple(sorted((*others, new))) for new in moved)
    return after


def _divided(joint: Values, evidence: Values) -> Values:
    return np.divide(joint, evidence, out=np.zeros_like(joint), where=evidence > 0)


def best_if_known(kinds: Kinds, ideas: int) -> Values:
    """Return what no policy can exceed: P(accepted is aligned) if the kind of every idea were known and runs free.

    Args:
        kinds: shares of the four cells of each kind.
        ideas: number of fresh ideas.
    """
    rates = Rates.of(kinds)
    failing = 1 - rates.passing
    worth = np.maximum(_divided(rates.aligned_pass, rates.passing), _divided(rates.aligned_fail, failing))
    ordered = np.sort(worth, -1)
    share = np.arange(kinds.shape[-2] + 1) / kinds.shape[-2]
    return ordered @ np.diff(share ** whole("ideas", ideas, 1))
