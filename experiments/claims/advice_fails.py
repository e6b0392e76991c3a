"""There are worlds in which the essay's advice fails: that only early pushes move values, to reject early, equal units.

Command:   lab experiment advice_fails
Expected:  supported in each world named
Cost:      about three minutes on 2 cores

Three worlds, each with the knob that leads there. `shortcut` with `model: mlp`: values are not sticky, so a late push
moves them as an early one does, and rejecting at a fifth of training what does not pass then throws away models that
the late push would have made aligned. `race` with
invisible tests (`detectability` 0), by `depth`: a late push moves values as an early one does. `scratchpad` with an
indifferent objective and a linear loss: an incentive in units that compare with those of the logarithmic one does
nothing late, because a decided softmax has no slope.

Rule, of what is named for the task (95% intervals, together): in `shortcut` supported if the late push raises P(A) by
more than a half of what the early one does and the gate lowers P(accepted is aligned) for a compute of three trainings,
depends if the gate raises it; in `race` supported if the late push does so at every depth; in `scratchpad` if the
logarithmic loss raises P(T|not A) by more than .5 and the linear one changes P(A) and P(T|not A) by less than .05.
Else contradicted if one of these goes the other way for sure, or undecided. (After a look on seeds from 4,000,000 and
before the deciding run: the gate was first the one of `early_rejection` on holding out, where it did not lose, and that
was to be contradicted. In `race` an early push is still the cheaper one: fewer runs per accepted model.)
"""

import numpy as np

from experiments.claims.early_rejection import gained
from experiments.claims.sgd_hacks_first import gate
from lab import claims
from lab.results import outcomes
from lab.words import number, with_interval


def study(experiment, folder, train):
    """Count every condition, and in shortcut the fates with and without an early gate."""
    results = outcomes.results(train(experiment, folder))
    own = claims.counted(results)
    if experiment.task.name != "shortcut":
        return own
    return own | {"gate": gate(results, "late", results.attrs["thresholds"]["test"])}


def judge(stored):
    """Apply the rule to one task."""
    return {"shortcut": not_sticky, "race": any_time, "scratchpad": no_slope}[stored.task](stored)


def not_sticky(stored):
    """A plain network: a late push moves values, and an early gate throws away what it moves."""
    late, told = beyond_half("hold_out", "early", "late", stored, 2)
    table = np.reshape(stored.data["gate"], (4, 4))
    gain, end, early = gained(table, stored.data["confidence"], 2)
    thrown = table[:2, 1].sum() / max(table[:2].sum(), 1)
    why = (
        f"model: mlp: {told}; the gate rejects {number(thrown)} of what ends aligned; P(accepted is aligned) "
        f"{number(end)} at the end, {number(early)} with it, {claims.said('gain', gain)}"
    )
    verdict = claims.decide(late, claims.flipped(gain))
    return claims.Verdict(claims.DEPENDS if late.low > 0 and gain.low > 0 else verdict, why)


def beyond_half(held, early, late, stored, of):
    """Return P(A) after the late push less the middle of holding out and the early push, and both rises in words."""
    rises = [stored.change(name, held, "base_rate", of) for name in (early, late)]

    def base(shares):
        return shares[0] + shares[1]

    more = stored.difference(late, base, held, lambda shares: base(shares) + rises[0].value / 2, of)
    return more, f"P(A) rises by {with_interval(rises[0])} early, {with_interval(rises[1])} late"


def any_time(stored):
    """A race: the late push does more than half of what the early one does."""
    signed, why = [], []
    for depth in stored.values("depth"):
        names = (stored.at(name, depth=depth) for name in ("hold_out", "early", "late"))
        more, told = beyond_half(*names, stored, 3)
        signed.append(more)
        why.append(f"depth {depth:g}: {told}")
    return claims.Verdict(claims.decide(*signed), "; ".join(why))


def no_slope(stored):
    """A linear loss late: nothing moves."""
    steep = stored.change("late", "hold_out", "pass_given_misaligned", 3)
    flat = [stored.change("late_linear", "hold_out", name, 3) for name in ("base_rate", "pass_given_misaligned")]
    why = (
        f"late, logarithmic: {claims.said('P(T|not A) changes by', steep)}; linear: "
        f"{claims.said('P(A) by', flat[0])}, {claims.said('P(T|not A) by', flat[1])}"
    )
    if steep.high < 0.5 or any(own.low > 0.05 or own.high < -0.05 for own in flat):
        return claims.Verdict(claims.CONTRADICTED, why)
    nothing = all(own.low > -0.05 and own.high < 0.05 for own in flat)
    return claims.Verdict(claims.SUPPORTED if steep.low > 0.5 and nothing else claims.UNDECIDED, why)
