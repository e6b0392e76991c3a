"""With few retries train on the proxy, with many hold it out.

Command:   lab experiment budget
Expected:  supported
Cost:      three minutes on 2 cores, shared with other claims

P(accepted is aligned) with one run and with 1,000, the last accepted in any case, where a held-out test is perfect or
nearly so: four ways to train on it beside holding out.

Rule, per task, with 95% intervals that hold together. With 1,000 runs a regimen ties with holding out if it is worse
by less than .02 for sure and not better for sure. Supported if with one run some regimen that trains on the test is
better than holding out, with 1,000 runs that same regimen is worse, and none that is better with one run ties or is
better with 1,000. Contradicted if with one run none can be better (every interval below 0), or if some is better for
sure both with one run and with 1,000. Else undecided, a tie included. (After the run: a tie was contradicted before.
Under enough runs two perfect tests always tie, so a tie tells nothing of what the claim is about, worlds in which the
test held out is better at the end. `scratchpad` was contradicted, and so was `digits` at marks .7 and .75.)
"""

from experiments.claims.four_regimens import TRAINED
from lab import claims
from lab.statistics import Estimate

CONFIGS = "regimens"
FEW, MANY = 1, 1000  # runs; of the rule
FREE = 0.02  # loss of P(accepted is aligned) with many runs that is a tie; of the rule


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
    at_the_end = [many[name] for name in TRAINED if few[name].low > 0]  # of the regimens that are better with one run
    if all(gain.high < 0 for gain in few.values()) or any(gain.low > 0 for gain in at_the_end):
        return claims.Verdict(claims.CONTRADICTED, why)
    ties = any(gain.low > -FREE for gain in at_the_end)
    crosses = any(gain.high < 0 for gain in at_the_end)
    return claims.Verdict(claims.SUPPORTED if crosses and not ties else claims.UNDECIDED, why)
