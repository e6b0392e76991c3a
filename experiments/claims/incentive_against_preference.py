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

NOTHING = 0.05  # changes of P(T|not A) that do not count; of the rule


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    (knob,) = stored.coordinates(stored.names[0])
    at_indifference, at_ten_times = (
        {name: stored.at(name, **{knob: value}) for name in ("hold_out", "incentive", "incentive_linear")}
        for value in stored.values(knob)
    )
    free, dear = (
        stored.change(names["incentive"], names["hold_out"], "pass_given_misaligned", of=2)
        for names in (at_indifference, at_ten_times)
    )
    linear = stored.change(at_indifference["incentive_linear"], at_indifference["hold_out"], "pass_given_misaligned")
    why = (
        f"P(T|not A) changes by {with_interval(free)} at indifference, {with_interval(dear)} against ten times as "
        f"much; the linear proxy by {with_interval(linear)} at indifference"
    )
    if free.high < NOTHING or dear.low > NOTHING:
        return claims.Verdict(claims.CONTRADICTED, why)
    holds = free.low > 0 and claims.within(dear, NOTHING)
    return claims.Verdict(claims.SUPPORTED if holds else claims.UNDECIDED, why)
