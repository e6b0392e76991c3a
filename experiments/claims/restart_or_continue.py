"""Adding the proxy as a last phase and restarting with it from scratch are different regimens.

Command:   lab experiment restart_or_continue
Expected:  supported where values settle early
Cost:      two minutes on 2 cores

A finished training continued with the test, and the training done again with the test from the start, at a constant
learning rate.

Rule, per task, with 95% intervals that hold together: supported if P(A) after restarting is above P(A) after continuing
and the continued one raises P(T|not A); contradicted if the two values of P(A) differ by less than .03 for sure; else
undecided.
"""

from lab import claims

ALIKE = 0.03  # difference of P(A) below which the two regimens are alike; of the rule


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    values = stored.change("restarted", "continued", "base_rate", of=2)
    gaming = stored.change("continued", "finished", "pass_given_misaligned", of=2)
    why = (
        f"{claims.phrase('P(A) restarted less continued', values)}; "
        f"{claims.phrase('continuing changes P(T|not A) by', gaming)}"
    )
    if claims.within(values, ALIKE):
        return claims.Verdict(claims.CONTRADICTED, why)
    return claims.Verdict(claims.SUPPORTED if values.low > 0 and gaming.low > 0 else claims.UNDECIDED, why)
