"""Training on precursors of test-gaming degrades the test: more misaligned models pass, and the LR falls.

Command:   lab experiment precursors
Expected:  supported, but in reasoner, where the precursor delays gaming
Cost:      four minutes on 2 cores

A test that is hard to recognise (the parity of two or three hidden bits), trained on from 30% to 40% of training,
without and with an auxiliary objective that teaches to tell tests from deployment.

In `reasoner` nothing is decided, because the push leaves little to degrade: 1 of 107 misaligned models passes without
the precursor. With 1,152 seeds a change of .009 would count as contradicted. In a look at pushes ten times as strong,
with one hidden bit fewer, at most 1 of 18 passed. A push until 70% lets .67 of 21 pass without the precursor, and .55
or .68 of 22 with it: there the precursor does not teach to game. It teaches aligned models to write otherwise in
tests, so that up to a fifth of them fail.

Rule, per task, with 95% intervals that hold together: supported if P(T|not A) is higher with the precursor and the LR
lower; contradicted if P(T|not A) is lower; else undecided.
"""

from lab import claims

COLUMNS = ("base_rate", "pass_given_misaligned", "likelihood_ratio")
WORDS = {"plain": "the test alone", "precursor": "test and precursor", "precursor_alone": "the precursor alone"}
CAPTION = claims.Caption(
    question="Do more misaligned models pass, and does the LR fall, when a precursor is trained on too?"
)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    gaming = stored.change("precursor", "plain", "pass_given_misaligned", of=2)
    ratio = stored.impact("precursor", "plain", of=2).likelihood_ratio
    alone = stored.rate("precursor_alone", "pass_given_misaligned")
    why = (
        f"{claims.phrase('P(T|not A) changes by', gaming)}, {claims.phrase('ln LR by', ratio)}; the precursor alone: "
        f"{claims.phrase('P(T|not A)', alone)}"
    )
    if gaming.high < 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    return claims.Verdict(claims.SUPPORTED if gaming.low > 0 and ratio.high < 0 else claims.UNDECIDED, why)
