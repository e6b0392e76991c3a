"""What to do with a finite budget of training runs."""

import math
from typing import NamedTuple


class BudgetOutcome(NamedTuple):
    """What a budget of runs leads to.

    Attributes:
        accepted_aligned: probability that the accepted model is aligned.
        forced_fail: probability that no run passes, so that the last one is accepted all the same.
        expected_runs: mean number of runs, the accepted one included.
    """

    accepted_aligned: float
    forced_fail: float
    expected_runs: float


def finite_budget(base_rate, pass_given_aligned, pass_given_misaligned, runs):
    """Return the `BudgetOutcome` of rejection sampling with at most `runs` independent runs.

    The first run that passes is accepted, and the last one in any case. With p = P(T) and n runs,
    P(no pass) = (1 - p)^n and E[runs] = (1 - (1 - p)^n) / p, the sum of P(run t takes place). Each run that takes
    place is accepted as an aligned pass with probability P(A, T); the n-th is accepted as an aligned failure if
    nothing passed before it.

    Args:
        base_rate: P(A), in [0, 1].
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
        runs: most runs allowed, at least 1.

    Raises:
        ValueError: a probability outside [0, 1], or `runs` not a whole number of at least 1.
    """
    rates = {
        "base_rate": base_rate,
        "pass_given_aligned": pass_given_aligned,
        "pass_given_misaligned": pass_given_misaligned,
    }
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise ValueError(f"{name} must lie in [0, 1], not {rate}")
    if not (1 <= runs < math.inf and runs == int(runs)):
        raise ValueError(f"runs must be a whole number of at least 1, not {runs}")
    aligned_pass = pass_given_aligned * base_rate
    pass_rate = aligned_pass + pass_given_misaligned * (1 - base_rate)
    log_fail = math.log1p(-pass_rate) if pass_rate < 1 else -math.inf
    expected = -math.expm1(runs * log_fail) / pass_rate if pass_rate else float(runs)
    before_last = math.exp((runs - 1) * log_fail) if runs > 1 else 1.0
    return BudgetOutcome(
        accepted_aligned=aligned_pass * expected + (base_rate - aligned_pass) * before_last,
        forced_fail=before_last * (1 - pass_rate),
        expected_runs=expected,
    )
