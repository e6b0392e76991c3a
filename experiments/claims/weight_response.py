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
"""

import math

from lab import claims


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    weights = stored.values("weight")
    top, bottom = (stored.at("throughout", weight=weights[index]) for index in (-1, 0))
    changes = {
        (end, quantity): stored.change(name, "hold_out", quantity, 4)
        for end, name in (("top", top), ("bottom", bottom))
        for quantity in ("base_rate", "pass_given_misaligned")
    }
    values, gaming = changes["top", "base_rate"], changes["top", "pass_given_misaligned"]
    fewer, against = changes["bottom", "pass_given_misaligned"], changes["bottom", "base_rate"]
    why = (
        f"at {weights[-1]:g} {claims.phrase('P(A) changes by', values)}, {claims.phrase('P(T|not A) by', gaming)}; at "
        f"{weights[0]:g} {claims.phrase('P(A) by', against)}, {claims.phrase('P(T|not A) by', fewer)}"
    )
    none_left = math.isnan(gaming.value)
    if values.high < 0 or gaming.high < 0 or fewer.low > 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    worse = (gaming.low > 0 or none_left) and fewer.high < 0
    return claims.Verdict(claims.SUPPORTED if values.low > 0 and worse and against.low <= 0 else claims.UNDECIDED, why)
