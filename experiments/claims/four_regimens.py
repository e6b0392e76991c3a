"""The rules "never train on the proxy" and "always train on it" are both false.

Command:   lab experiment four_regimens
Expected:  supported
Cost:      three minutes on 2 cores, shared with other claims

Four ways to train on a test (early, more strongly early, late, throughout) beside holding it out, in a world where a
held-out test is itself imperfect, because something like it hides in the main objective.

Rule, per task, with 95% intervals that hold together over the four regimens: supported if the net log impact of one of
them over holding out is above 0 and that of another below; contradicted if all four are above 0, or all below; else
undecided.
"""

from lab import claims

CONFIGS = "regimens"
TRAINED = ("early", "early_strong", "late", "throughout")


def shown(stored):
    """Return the conditions that the figure shows."""
    return [stored.at(name, **stored.largest("implicit_proxy")) for name in ("hold_out", *TRAINED)]


def judge(stored):
    """Apply the rule to one task."""
    world = stored.largest("implicit_proxy")
    held = stored.at("hold_out", **world)
    nets = {name: stored.impact(stored.at(name, **world), held, len(TRAINED)).net for name in TRAINED}
    why = "net " + ", ".join(claims.said(name, net) for name, net in nets.items())
    above, below = (sum(net.low > 0 for net in nets.values()), sum(net.high < 0 for net in nets.values()))
    if above and below:
        return claims.Verdict(claims.SUPPORTED, why)
    one_side = len(TRAINED) in (above, below)
    return claims.Verdict(claims.CONTRADICTED if one_side else claims.UNDECIDED, why)
