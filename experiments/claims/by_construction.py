"""Ensuring a property by construction beats rejecting on it, though it makes the proxy worthless as a test.

Command:   lab experiment by_construction
Expected:  supported
Cost:      two minutes on 2 cores

The intended solution built in, beside holding the test out and rejecting on it with as many runs as it takes, in a
world where a held-out test is imperfect.

Rule, per task: supported if P(A) built in is above P(A|T) held out; contradicted if below; else undecided.
"""

from lab import claims


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    without, with_it = (stored.at("hold_out", built_in=value) for value in stored.values("built_in"))
    gain = stored.difference(with_it, claims.aligned_share, without, claims.aligned_share_of_passing)
    built_in, held_out = stored.rate(with_it, "base_rate"), stored.rate(without, "aligned_given_pass")
    ratio = stored.rate(with_it, "likelihood_ratio")
    why = (
        f"{claims.phrase('P(A) built in', built_in)}, {claims.phrase('P(A|T) held out', held_out)}, "
        f"{claims.phrase('difference', gain)}; {claims.phrase('LR built in', ratio)}"
    )
    return claims.Verdict(claims.decide(gain), why)
