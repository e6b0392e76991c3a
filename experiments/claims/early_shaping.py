"""A strong early push can raise the prior odds so much that the net is positive although the LR of the test falls to 1.

Command:   lab experiment early_shaping
Expected:  supported where values settle early
Cost:      three minutes on 2 cores, shared with other claims

In the world of `four_regimens` where a held-out test is imperfect.

In `race` the verdict hangs on how long training lasts. With a learning rate that is a quarter higher, on a quarter of
the seeds, P(T|not A) held out is .50 instead of .20, and the net of the early push .36 [.26, .45] instead of -.38:
supported. In `reasoner` more seeds would not decide: the 4 of 256 models that the push leaves misaligned are those that
cannot do the job. They keep P(A) at .984, and none of them passes, so that nothing is known of the LR.

Rule, per task: supported if the strong early push has a net log impact above 0 over holding out and the upper limit of
its LR is below 1.25 (or nobody is left misaligned to tell apart: P(A) above .99); contradicted if its net is below 0;
else undecided.
"""

from lab import claims

CONFIGS = "regimens"
USELESS = 1.25  # an LR that is lower for sure says nothing; of the rule
ALL_ALIGNED = 0.99  # P(A) above which nobody is left to tell apart; of the rule
COLUMNS = ("base_rate", "likelihood_ratio", "net")
CAPTION = claims.Caption(question="Does P(A) gain more than the LR of the test loses, so that the net is above 0?")


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return [stored.at(name, **stored.largest("implicit_proxy")) for name in ("hold_out", "early", "early_strong")]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    held_out, _, pushed = shown(stored)
    net, ratio = stored.impact(pushed, held_out).net, stored.rate(pushed, "likelihood_ratio")
    base_rate = stored.rate(pushed, "base_rate")
    why = claims.phrases({"net": net, "LR": ratio, "P(A)": base_rate})
    if net.high < 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    useless = ratio.high < USELESS or base_rate.low > ALL_ALIGNED
    return claims.Verdict(claims.SUPPORTED if net.low > 0 and useless else claims.UNDECIDED, why)
