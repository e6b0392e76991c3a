"""What is best depends on the goal: to learn how aligned an idea's models are, or the best model of a budget.

Command:   lab experiment goals
Expected:  supported where training on the test moves values
Cost:      a quarter of an hour on 2 cores, shared with other claims

Both goals have five runs, in a world where nothing like the test hides in the main objective. For the best model, the
first pass is accepted, and the last run in any case. For what can be learnt, all five are tested and nothing else is
known of them: P(A) of the idea without the proxy is read from the share of passes, with the rates of the held-out test
(`experiments.claims.measuring`). Its error is the root of the mean square over what the five results may be.

In `gridworld` no number of seeds decides. Training on the test throughout is best of the four and worse than holding
out for both goals. But the early push, which gives fewer aligned models too, leaves the error as it was, -.004 [-.020,
.024]; the rule has no verdict for that.

Rule, per task, with 95% intervals that hold together: the way to train on the test with the largest P(accepted is
aligned) is compared with holding out. Supported if it gives more aligned models and a larger error, both for sure;
contradicted if each of the four ways gives fewer aligned models and a larger error, so that holding out is best for
both goals, or if the best way gives more of them and a smaller error, all for sure; else undecided.
"""

import math

import numpy as np
from jaxtyping import Float

from experiments.claims.four_regimens import TRAINED
from experiments.claims.measuring import share_read
from lab import claims, figures
from lab.statistics import Estimate
from lab.words import Json, estimate_json

CONFIGS = "worth_of_a_test"
RUNS = 5  # of the rule


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    first = stored.values("implicit_proxy")[0]
    return [stored.at(name, implicit_proxy=first) for name in ("hold_out", *TRAINED)]


def error_of_results(shares: claims.Shares, held_out: claims.Shares) -> Float[np.ndarray, " *draws"]:
    """Return the error with which P(A) held out is read from the results of some models.

    Args:
        shares: of the four cells of the models that are tested.
        held_out: the same where the test is held out.
    """
    passing, truth = claims.passing_share(shares), claims.aligned_share(held_out)
    mean_square = np.zeros_like(passing)
    for passes in range(RUNS + 1):
        chance = math.comb(RUNS, passes) * passing**passes * (1 - passing) ** (RUNS - passes)
        mean_square = mean_square + chance * (share_read(np.asarray(passes / RUNS), held_out) - truth) ** 2
    return np.sqrt(mean_square)


def gains_and_errors(stored: claims.Stored) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Return by how much each way to train on the test changes P(accepted is aligned), and the error."""
    held_out, *trained = shown(stored)
    accepted, together = claims.aligned_share_of_accepted(RUNS), 2 * len(TRAINED)

    def more(shares: claims.Shares, of_held_out: claims.Shares) -> Float[np.ndarray, " *draws"]:
        return error_of_results(shares, of_held_out) - error_of_results(of_held_out, of_held_out)

    names = dict(zip(TRAINED, trained, strict=True))
    gains = {
        regimen: stored.difference(name, accepted, held_out, accepted, together) for regimen, name in names.items()
    }
    return gains, {regimen: stored.of_both(name, held_out, more, together) for regimen, name in names.items()}


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    gains, errors = gains_and_errors(stored)
    best = max(TRAINED, key=lambda name: gains[name].value)
    gain, error = gains[best], errors[best]
    why = (
        f"with {RUNS} runs {best} changes {claims.phrase('P(accepted is aligned) by', gain)}, "
        f"{claims.phrase('the error of P(A) held out by', error)}"
    )
    best_held_out = all(other.high < 0 for other in gains.values()) and all(other.low > 0 for other in errors.values())
    if best_held_out or (gain.low > 0 and error.high < 0):
        return claims.Verdict(claims.CONTRADICTED, why)
    return claims.Verdict(claims.SUPPORTED if gain.low > 0 and error.low > 0 else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what each way to train changes for both goals, as plain JSON values."""
    gains, errors = gains_and_errors(stored)
    return [
        stored.row(name) | {"aligned": estimate_json(gains[regimen]), "error": estimate_json(errors[regimen])}
        for regimen, name in zip(TRAINED, shown(stored)[1:], strict=True)
    ]


def draw(data: Json) -> figures.Figure:
    """What each way to train on the test changes for both goals, against holding it out."""
    columns = [
        figures.Column(
            "aligned", "to get the best model", "change of P(accepted is aligned); right is better", null=0.0
        ),
        figures.Column("error", "to learn P(A)", "change of the error of P(A) held out; left is better", null=0.0),
    ]
    return figures.estimates_figure(data, columns)


CAPTION = claims.Caption(question="Five runs, changes against holding out: does what helps one goal hurt the other?")
