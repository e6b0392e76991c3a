"""With the weight of the proxy the base rate rises and the test gets worse, negative weights included.

Command:   lab experiment weight_response
Expected:  supported
Cost:      three minutes on 2 cores

The (linear) test trained on, or against, throughout training, at several weights, in a world where a held-out test is
imperfect.

Rule, per task, with 95% intervals that hold together over four comparisons: supported if at the largest weight P(A) and
P(T|not A) are above those of holding out (or no misaligned model is left), and at the most negative weight P(T|not A)
is below and P(A) not above; contradicted if at the largest weight P(A) or P(T|not A) is below, or at the most negative
P(T|not A) is above; else undecided.

In `scratchpad` 1,024 seeds from 7,000,000 were undecided, because the largest weight left 32 misaligned models. It was
asked again of 6,144 others, and is undecided again. That weight leaves 197 misaligned models, of which 57 cannot do the
job, and these fail: P(T|not A) is .61 of all and .86 of those that can, against .59 held out. So more seeds do not
help; a rule that asks models that do the job would.

In `gridworld` P(A) rises from .75 to .94 at a weight of .03 and falls back to .77 at .3, the largest, where the rule
looks. 6,000 seeds would tell .77 from .75, but the answer there is that P(A) does not rise with the weight all the way.
"""

import math

from lab import claims


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    weights = stored.values("weight")
    largest, most_negative = (stored.at("throughout", weight=weights[index]) for index in (-1, 0))
    values, gaming = (stored.change(largest, "hold_out", name, of=4) for name in ("base_rate", "pass_given_misaligned"))
    values_against, gaming_against = (
        stored.change(most_negative, "hold_out", name, of=4) for name in ("base_rate", "pass_given_misaligned")
    )
    why = (
        f"at {weights[-1]:g} {claims.phrase('P(A) changes by', values)}, {claims.phrase('P(T|not A) by', gaming)}; at "
        f"{weights[0]:g} {claims.phrase('P(A) by', values_against)}, {claims.phrase('P(T|not A) by', gaming_against)}"
    )
    none_left = math.isnan(gaming.value)
    if values.high < 0 or gaming.high < 0 or gaming_against.low > 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    pushed = values.low > 0 and (gaming.low > 0 or none_left)
    against = gaming_against.high < 0 and values_against.low <= 0
    return claims.Verdict(claims.SUPPORTED if pushed and against else claims.UNDECIDED, why)
