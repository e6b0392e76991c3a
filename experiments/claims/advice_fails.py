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

from pathlib import Path

import numpy as np

from experiments.claims.early_rejection import gain_of_gate
from experiments.claims.sgd_hacks_first import count_gate
from lab import claims
from lab.claims.rules import JOINT
from lab.config.experiment import Experiment
from lab.results import shards
from lab.statistics import Estimate
from lab.words import Json, number, with_interval

# of the rule: changes of P(A) and P(T|not A)
MOVES = 0.5  # the logarithmic loss for sure, if by more
NOTHING = 0.05  # the linear loss for sure, if by less
COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass")
WORDS = {"late_linear": "late, linear loss"}
CAPTION = claims.Caption(
    question="Where does P(A) rise as much by a late push as by an early one, and where does a linear loss do nothing?"
)


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count every condition, and in shortcut the fates with and without an early gate."""
    results = shards.results(train(experiment, folder))
    counts = claims.count_conditions(results)
    if experiment.task.name != "shortcut":
        return counts
    return counts | {"gate": count_gate(results, "late", results.attrs["thresholds"]["test"])}


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return {"shortcut": not_sticky, "race": any_time, "scratchpad": no_slope}[stored.task](stored)


def not_sticky(stored: claims.Stored) -> claims.Verdict:
    """A plain network: a late push moves values, and an early gate throws away what it moves."""
    late, rises = beyond_half(stored, ("hold_out", "early", "late"), of=2)
    table = np.reshape(stored.data["gate"], JOINT)
    gain, end, early = gain_of_gate(table, stored.data["confidence"], of=2)
    thrown = table[:2, 1].sum() / max(table[:2].sum(), 1)
    why = (
        f"model: mlp: {rises}; the gate rejects {number(thrown)} of what ends aligned; P(accepted is aligned) "
        f"{number(end)} at the end, {number(early)} with it, {claims.phrase('gain', gain)}"
    )
    verdict = claims.decide(late, claims.negative(gain))
    return claims.Verdict(claims.DEPENDS if late.low > 0 and gain.low > 0 else verdict, why)


def beyond_half(stored: claims.Stored, names: tuple[str, str, str], of: int) -> tuple[Estimate, str]:
    """Return P(A) after the late push less the middle of holding out and the early push, and both rises in words.

    Args:
        stored: counts of the task.
        names: of the conditions that hold the test out, push early and push late.
        of: how many intervals hold together.
    """
    held_out, early, late = names
    by_early, by_late = (stored.change(name, held_out, "base_rate", of) for name in (early, late))

    def middle(shares: claims.Shares) -> claims.Shares:
        return claims.aligned_share(shares) + by_early.value / 2

    more = stored.difference(late, claims.aligned_share, held_out, middle, of)
    return more, f"P(A) rises by {with_interval(by_early)} early, {with_interval(by_late)} late"


def any_time(stored: claims.Stored) -> claims.Verdict:
    """A race: the late push does more than half of what the early one does."""
    signed, why = [], []
    for depth in stored.values("depth"):
        held_out, early, late = (stored.at(name, depth=depth) for name in ("hold_out", "early", "late"))
        more, rises = beyond_half(stored, (held_out, early, late), of=3)
        signed.append(more)
        why.append(f"depth {depth:g}: {rises}")
    return claims.Verdict(claims.decide(*signed), "; ".join(why))


def no_slope(stored: claims.Stored) -> claims.Verdict:
    """A linear loss late: nothing moves."""
    steep = stored.change("late", "hold_out", "pass_given_misaligned", of=3)
    flat = [stored.change("late_linear", "hold_out", name, of=3) for name in ("base_rate", "pass_given_misaligned")]
    why = (
        f"late, logarithmic: {claims.phrase('P(T|not A) changes by', steep)}; linear: "
        f"{claims.phrase('P(A) by', flat[0])}, {claims.phrase('P(T|not A) by', flat[1])}"
    )
    if steep.high < MOVES or any(change.low > NOTHING or change.high < -NOTHING for change in flat):
        return claims.Verdict(claims.CONTRADICTED, why)
    nothing = all(claims.within(change, NOTHING) for change in flat)
    return claims.Verdict(claims.SUPPORTED if steep.low > MOVES and nothing else claims.UNDECIDED, why)
