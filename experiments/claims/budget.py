"""With few retries train on the proxy, with many hold it out.

Command:   lab experiment budget
Expected:  supported
Cost:      three minutes on 2 cores, shared with other claims

P(accepted is aligned) with one run and with 1,000, the last accepted in any case, where a held-out test is perfect or
nearly so: four ways to train on it beside holding out.

Rule, per task, with 95% intervals that hold together: supported if with one run some regimen that trains on the test is
better than holding out, and with 1,000 runs that same regimen is worse; contradicted if with one run none can be better
(every interval below 0), or if some is better with one run and with 1,000 worse by less than .02 for sure, whatever the
others do; else undecided.
"""

from experiments.claims.four_regimens import TRAINED
from lab import claims
from lab.statistics import Estimate

CONFIGS = "regimens"
FEW, MANY = 1, 1000  # runs; of the rule
FREE = 0.02  # loss of P(accepted is aligned) with many runs that does not count; of the rule


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    smallest = stored.values("implicit_proxy")[0]
    return [stored.at(name, implicit_proxy=smallest) for name in ("hold_out", *TRAINED)]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    held_out, *trained = shown(stored)

    def gains(runs: int) -> dict[str, Estimate]:
        value = claims.aligned_share_of_accepted(runs)
        return {
            regimen: stored.difference(name, value, held_out, value, 2 * len(TRAINED))
            for regimen, name in zip(TRAINED, trained, strict=True)
        }

    few, many = gains(FEW), gains(MANY)
    best = max(TRAINED, key=lambda name: few[name].value)
    why = f"{best}: {claims.phrase('gain with 1 run', few[best])}, {claims.phrase('with 1,000 runs', many[best])}"
    free = any(few[name].low > 0 and many[name].low > -FREE for name in TRAINED)
    if all(gain.high < 0 for gain in few.values()) or free:
        return claims.Verdict(claims.CONTRADICTED, why)
    crosses = any(few[name].low > 0 and many[name].high < 0 for name in TRAINED)
    return claims.Verdict(claims.SUPPORTED if crosses else claims.UNDECIDED, why)
