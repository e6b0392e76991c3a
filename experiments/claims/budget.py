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

from lab import claims

CONFIGS = "regimens"
TRAINED = ("early", "early_strong", "late", "throughout")


def shown(stored):
    """Return the conditions that the figure shows."""
    world = {"implicit_proxy": stored.values("implicit_proxy")[0]}
    return [stored.at(name, **world) for name in ("hold_out", *TRAINED)]


def judge(stored):
    """Apply the rule to one task."""
    world = {"implicit_proxy": stored.values("implicit_proxy")[0]}
    held = stored.at("hold_out", **world)

    def gain(name, runs):
        value = claims.accepted(runs)
        return stored.difference(stored.at(name, **world), value, held, value, 2 * len(TRAINED))

    few, many = ({name: gain(name, runs) for name in TRAINED} for runs in (1, 1000))
    best = max(TRAINED, key=lambda name: few[name].value)
    why = f"{best}: {claims.said('gain with 1 run', few[best])}, {claims.said('with 1,000 runs', many[best])}"
    free = any(few[name].low > 0 and many[name].low > -0.02 for name in TRAINED)
    if all(own.high < 0 for own in few.values()) or free:
        return claims.Verdict(claims.CONTRADICTED, why)
    crosses = any(few[name].low > 0 and many[name].high < 0 for name in TRAINED)
    return claims.Verdict(claims.SUPPORTED if crosses else claims.UNDECIDED, why)
