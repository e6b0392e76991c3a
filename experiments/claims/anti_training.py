"""Training against a proxy costs many more failures before a pass, and done right it strengthens the test.

Command:   lab experiment anti_training
Expected:  supported where gaming is learned late
Cost:      three minutes on 2 cores, shared with other claims

Training against the (linear) test from 40% of training on, and in the first tenth of it, in the world of
`four_regimens` where a held-out test is imperfect.

Rule, per task, with 95% intervals that hold together: supported if training against it late lowers P(T), which costs
runs, and raises the LR of the test; contradicted if it raises P(T) or lowers the LR; else undecided. Done poorly: what
the early one does to P(A) is said beside it.
"""

from lab import claims

CONFIGS = "regimens"


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return [stored.at(name, **stored.largest("implicit_proxy")) for name in ("hold_out", "anti_early", "anti_late")]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    held_out, early, late = shown(stored)
    costs = stored.difference(late, claims.passing_share, held_out, claims.passing_share, of=2)
    ratio = stored.impact(late, held_out, of=2).likelihood_ratio
    values = stored.change(early, held_out, "base_rate")
    why = (
        f"late: {claims.phrase('P(T) changes by', costs)}, {claims.phrase('ln LR by', ratio)}; early: "
        f"{claims.phrase('P(A) by', values)}"
    )
    return claims.Verdict(claims.decide(claims.negative(costs), ratio), why)
