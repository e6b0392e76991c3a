"""Something like the proxy inside the main objective makes a held-out proxy worse, though nobody trained on it.

Command:   lab experiment implicit_proxies
Expected:  supported
Cost:      three minutes on 2 cores, shared with other claims

Holding out, without and with a reading like that of the test in the main objective (from 40% of training on, or
throughout in `race`).

Rule, per task, with 95% intervals that hold together: supported if P(T|not A) is higher with it and the LR of the test
lower; contradicted if P(T|not A) is lower; else undecided.
"""

from lab import claims

CONFIGS = "regimens"


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return [stored.at("hold_out", implicit_proxy=value) for value in stored.values("implicit_proxy")]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    without, with_it = shown(stored)
    gaming = stored.change(with_it, without, "pass_given_misaligned", of=2)
    ratio = stored.impact(with_it, without, of=2).likelihood_ratio
    why = claims.phrases({"P(T|not A) changes by": gaming, "ln LR by": ratio})
    if gaming.high < 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    worse = gaming.low > 0 and ratio.high < 0
    return claims.Verdict(claims.SUPPORTED if worse else claims.UNDECIDED, why)
