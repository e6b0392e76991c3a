"""With even odds of a demon or an angel, training on the test is not always worse than rejecting on it.

Command:   lab experiment summoning_scroll
Expected:  supported, but in race
Cost:      about five minutes on 2 cores

The main objective indifferent, so that about half of the models are aligned with the test held out; a world where that
test is perfect, and one where something like it in the main objective lets some demons pass that were not trained to
(how many is printed). Budget allowing: what counts is the odds of one that passes. `closeness` measures how near demons
that pass are to demons that fail.

Rule, per task, with 95% intervals that hold together over the four regimens, where demons can pass: supported if the
net log impact of some regimen that trains on the test is above 0; contradicted if all are below 0; else undecided, also
where P(A) held out is not within .1 of .5.

In `reasoner` the rule could not decide before, however many seeds there were: something like the test with a weight
of .01 in the main objective let none of 103 misaligned models pass, and a perfect test has no LR. Its weight is .03
now, at which four in five pass, and the odds are even. The world of the perfect test is left out there. All this was
committed before the run that decides.
"""

from experiments.claims.four_regimens import TRAINED, shown
from lab import claims

CAPTION = claims.Caption(question="Is there a way to train on the test with a net above 0 (right of the dotted line)?")
EVEN, NEARLY = 0.5, 0.1  # P(A) held out, and how far from it the odds still count as even; of the rule


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    held_out, *trained = shown(stored)
    base_rate, gaming = stored.rate(held_out, "base_rate"), stored.rate(held_out, "pass_given_misaligned")
    nets = {
        regimen: stored.impact(name, held_out, len(TRAINED)).net for regimen, name in zip(TRAINED, trained, strict=True)
    }
    why = f"held out {claims.phrases({'P(A)': base_rate, 'P(T|not A)': gaming})}; net {claims.phrases(nets)}"
    verdict = claims.UNDECIDED
    if abs(base_rate.value - EVEN) <= NEARLY:
        if any(net.low > 0 for net in nets.values()):
            verdict = claims.SUPPORTED
        elif all(net.high < 0 for net in nets.values()):
            verdict = claims.CONTRADICTED
    return claims.Verdict(verdict, why)
