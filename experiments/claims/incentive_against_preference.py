"""One unit of incentive does nothing against ten of existing preference; it matters when the objective is indifferent.

Command:   lab experiment incentive_against_preference
Expected:  supported for the logarithmic proxy; the linear one of equal units does nothing even at indifference
Cost:      two minutes on 2 cores

A late incentive to pass, against a cost of behaving otherwise in tests that is 0, or ten times the incentive's weight.

Rule, per task, with 95% intervals that hold together: supported if the incentive raises P(T|not A) at cost 0, and at
ten times the interval of its change lies within .05 of 0; contradicted if it does not raise it by .05 at cost 0, or
raises it by more than .05 at ten times; else undecided. What the linear proxy does at cost 0 is said beside it.
"""

from lab import claims
from lab.words import with_interval


def judge(stored):
    """Apply the rule to one task."""
    (knob,) = next(iter(stored.data["conditions"].values()))["coordinates"]
    free, dear = (
        {name: stored.at(name, **{knob: value}) for name in ("hold_out", "incentive", "incentive_linear")}
        for value in stored.values(knob)
    )
    at_0, at_10 = (stored.change(own["incentive"], own["hold_out"], "pass_given_misaligned", 2) for own in (free, dear))
    linear = stored.change(free["incentive_linear"], free["hold_out"], "pass_given_misaligned")
    why = (
        f"P(T|not A) changes by {with_interval(at_0)} at indifference, {with_interval(at_10)} against ten times as "
        f"much; the linear proxy by {with_interval(linear)} at indifference"
    )
    if at_0.high < 0.05 or at_10.low > 0.05:
        return claims.Verdict(claims.CONTRADICTED, why)
    held = at_0.low > 0 and -0.05 < at_10.low <= at_10.high < 0.05
    return claims.Verdict(claims.SUPPORTED if held else claims.UNDECIDED, why)
