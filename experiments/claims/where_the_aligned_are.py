"""Where the loss is indifferent, it matters whether the proxy prefers nearby aligned models or nearby passing ones.

Command:   lab experiment where_the_aligned_are
Expected:  supported
Cost:      about two minutes on 2 cores

The main objective indifferent; a push on the test in the second half of training. Where tests cannot be told from
deployment, the nearest models that pass are aligned; where they can, misaligned ones that pass are nearer.

Rule, per task: supported if the push raises P(A) more where tests are invisible, and P(T|not A) more where they are
visible, each with 95% intervals (together) that do not overlap; contradicted if one of these is the other way round;
else undecided. Distances in weight space are not measured here: what is near is what the push reaches.
"""

from lab import claims


def judge(stored):
    """Apply the rule to one task."""
    changes = {
        visible: [
            stored.change(*(stored.at(name, detectability=visible) for name in ("late", "hold_out")), quantity, 4)
            for quantity in ("base_rate", "pass_given_misaligned")
        ]
        for visible in stored.values("detectability")
    }
    hidden, seen = changes.values()
    why = "; ".join(
        f"{what}: {claims.said('P(A) changes by', own[0])}, {claims.said('P(T|not A) by', own[1])}"
        for what, own in zip(("invisible tests", "visible ones"), changes.values(), strict=True)
    )
    values, gaming = _apart(hidden[0], seen[0]), _apart(seen[1], hidden[1])
    if values and gaming:
        return claims.Verdict(claims.SUPPORTED, why)
    reverse = _apart(seen[0], hidden[0]) or _apart(hidden[1], seen[1])
    return claims.Verdict(claims.CONTRADICTED if reverse else claims.UNDECIDED, why)


def _apart(larger, smaller):
    """Whether the intervals do not overlap, in this order."""
    return larger.low > smaller.high
