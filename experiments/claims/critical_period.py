"""Values are sticky: the same push moves them early, and only the test late.

Command:   lab experiment critical_period
Expected:  supported in scratchpad; in shortcut it depends on whether complying in tests alone is possible; in race a
           large push moves values at any time
Cost:      three minutes on 2 cores

The same push on the test in the first tenth of training and in a tenth from the middle on, with a test that a model can
tell from deployment and with one that it cannot (detectability 0), so that complying in tests alone is impossible.

Rule, per task, with 95% intervals that hold together; shares of the early effect are shares of its estimate. With the
visible test, values are sticky if P(A) is higher after the early push than after the late one, and the late one moves
P(A) by less than a quarter of what the early one does and raises P(T|not A). Contradicted if there the late push raises
P(A) by more than half of what the early one does; supported if values are sticky and the late push moves P(A) by less
than that quarter with the invisible test too; depends (on whether complying in tests alone is possible) if values are
sticky and there the late push raises P(A) by more than that quarter; else undecided.
"""

from lab import claims
from lab.words import with_interval


def judge(stored):
    """Apply the rule to one task."""
    hidden, seen = (
        {name: stored.at(name, detectability=value) for name in ("hold_out", "push_early", "push_late")}
        for value in stored.values("detectability")
    )
    early, late = (stored.change(seen[f"push_{when}"], seen["hold_out"], "base_rate", 5) for when in ("early", "late"))
    earlier = stored.change(seen["push_early"], seen["push_late"], "base_rate", 5)
    gaming = stored.change(seen["push_late"], seen["hold_out"], "pass_given_misaligned", 5)
    unseen = stored.change(hidden["push_late"], hidden["hold_out"], "base_rate", 5)
    why = (
        f"P(A) changes by {with_interval(early)} early and {with_interval(late)} late, late P(T|not A) by "
        f"{with_interval(gaming)}; with the invisible test late P(A) by {with_interval(unseen)}"
    )
    if early.value > 0 and late.low > early.value / 2:
        return claims.Verdict(claims.CONTRADICTED, why)
    quarter = early.value / 4
    if not (earlier.low > 0 and gaming.low > 0 and -quarter < late.low <= late.high < quarter):
        return claims.Verdict(claims.UNDECIDED, why)
    if -quarter < unseen.low <= unseen.high < quarter:
        return claims.Verdict(claims.SUPPORTED, why)
    return claims.Verdict(claims.DEPENDS if unseen.low > quarter else claims.UNDECIDED, why)
