"""A silly proxy, "confess few mistakes", lowers the base rate when trained on.

Command:   lab experiment silly_proxy
Expected:  supported
Cost:      two minutes on 2 cores

About one mechanism: models that write messages, a third of which honestly confess a mistake. Two tasks have it.

Rule, per task, with 95% intervals that hold together: supported if training on it, early or throughout, lowers P(A);
contradicted if neither does and one raises it; else undecided.
"""

from lab import claims
from lab.words import with_interval


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    changes = {name: stored.change(name, "hold_out", "base_rate", of=2) for name in ("early", "throughout")}
    why = "P(A) changes by " + ", ".join(f"{with_interval(change)} {name}" for name, change in changes.items())
    if any(change.high < 0 for change in changes.values()):
        return claims.Verdict(claims.SUPPORTED, why)
    raised = any(change.low > 0 for change in changes.values())
    return claims.Verdict(claims.CONTRADICTED if raised else claims.UNDECIDED, why)
