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
CAPTION = claims.Caption(question="Which ways to train on the test beat holding it out (net right of the dotted line)?")


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return [stored.at(name, **stored.largest("implicit_proxy")) for name in ("hold_out", *TRAINED)]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    held_out, *trained = shown(stored)
    nets = {
        regimen: stored.impact(name, held_out, len(TRAINED)).net for regimen, name in zip(TRAINED, trained, strict=True)
    }
    why = "net " + claims.phrases(nets)
    above, below = (sum(net.low > 0 for net in nets.values()), sum(net.high < 0 for net in nets.values()))
    if above and below:
        return claims.Verdict(claims.SUPPORTED, why)
    one_side = len(TRAINED) in (above, below)
    return claims.Verdict(claims.CONTRADICTED if one_side else claims.UNDECIDED, why)
