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

# of the rule: shares of what the early push does to P(A)
MOVES = 1 / 2  # a late push that does more for sure moves values too
NOTHING = 1 / 4  # one that does less for sure does not


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    hidden, visible = (
        {name: stored.at(name, detectability=value) for name in ("hold_out", "push_early", "push_late")}
        for value in stored.values("detectability")
    )
    early = stored.change(visible["push_early"], visible["hold_out"], "base_rate", of=5)
    late = stored.change(visible["push_late"], visible["hold_out"], "base_rate", of=5)
    earlier = stored.change(visible["push_early"], visible["push_late"], "base_rate", of=5)
    gaming = stored.change(visible["push_late"], visible["hold_out"], "pass_given_misaligned", of=5)
    late_hidden = stored.change(hidden["push_late"], hidden["hold_out"], "base_rate", of=5)
    why = (
        f"P(A) changes by {with_interval(early)} early and {with_interval(late)} late, late P(T|not A) by "
        f"{with_interval(gaming)}; with the invisible test late P(A) by {with_interval(late_hidden)}"
    )
    if early.value > 0 and late.low > MOVES * early.value:
        return claims.Verdict(claims.CONTRADICTED, why)
    nothing = NOTHING * early.value
    if not (earlier.low > 0 and gaming.low > 0 and claims.within(late, nothing)):
        return claims.Verdict(claims.UNDECIDED, why)
    if claims.within(late_hidden, nothing):
        return claims.Verdict(claims.SUPPORTED, why)
    return claims.Verdict(claims.DEPENDS if late_hidden.low > nothing else claims.UNDECIDED, why)
