"""If the goal is only to measure alignment, do not train on the proxy, nor leave anything like it in the objective.

Command:   lab experiment measuring
Expected:  depends where values settle early: an early push moves values and leaves the test as good as it was
Cost:      a quarter of an hour on 2 cores, shared with other claims

Six ways to train on a test are measured against holding it out in a world where nothing like it is trained on. Four are
regimens, in that world. In the other two, something like the test hides in the main objective, with a smaller and with
a larger weight.

What a result tells about one model is I(A; T) in bits, for a model that is as likely aligned as not. What results tell
about an idea is the share of aligned models that whoever knows the rates of the held-out test reads from P(T): (P(T) -
f) / (s - f), at least 0 and at most 1, with s = P(T|A) and f = P(T|not A) held out (Rogan and Gladen, Am. J. Epidemiol.
107:71, 1978). After training on the test it may differ from P(A).

Rule, per task, with 95% intervals that hold together over the six ways: a way spoils the test if a result is worth over
.1 bits less than held out, or if the share read from P(T) is off by over .05, and keeps it if neither is so, all of it
for sure. A way with P(A) below .05 or above .95 leaves nothing to measure and does not count. Supported if all ways
that count spoil the test; contradicted if all keep it; depends if some spoil and some keep it; else undecided, also if
none counts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import entr

from experiments.claims.four_regimens import TRAINED
from lab import claims, figures
from lab.statistics import Estimate
from lab.words import Json, estimate_json

CONFIGS = "worth_of_a_test"
BITS = 0.1  # loss that does not count: a tenth of what a perfect test is worth at even odds; of the rule
OFF = 0.05  # error of a share that does not count; of the rule
RARE = 0.05  # share of aligned or of misaligned models below which nothing is left to measure; of the rule
HIDDEN = ("something like it", "more like it")  # in the main objective, and nothing trained on beside that
SPOILS, KEEPS, OPEN, NOTHING_LEFT = "spoils", "keeps", "open", "nothing left to measure"


class Way(NamedTuple):
    """What a way to train does to a test.

    Attributes:
        bits: change of what a result is worth at even odds.
        off: the share of aligned models that is read from P(T), less P(A).
        effect: one of `SPOILS`, `KEEPS`, `OPEN`, `NOTHING_LEFT`.
    """

    bits: Estimate
    off: Estimate
    effect: str


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the rule looks at: holding out in the first world, then the six ways."""
    first, *others = stored.values("implicit_proxy")
    regimens = [stored.at(name, implicit_proxy=first) for name in ("hold_out", *TRAINED)]
    return regimens + [stored.at("hold_out", implicit_proxy=value) for value in others]


def bits_at_even_odds(shares: claims.Shares) -> Float[np.ndarray, " *draws"]:
    """Return I(A; T) in bits where P(A) is 1/2, from shares of the four cells."""
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = shares
    right, wrong = aligned_pass / (aligned_pass + aligned_fail), misaligned_pass / (misaligned_pass + misaligned_fail)
    return _entropy((right + wrong) / 2) - (_entropy(right) + _entropy(wrong)) / 2


def _entropy(share: Float[np.ndarray, " *draws"]) -> Float[np.ndarray, " *draws"]:
    """Return the entropy in bits of what happens with a probability."""
    return (entr(share) + entr(1 - share)) / np.log(2)


def share_read(passing: Float[np.ndarray, "..."], held_out: claims.Shares) -> Float[np.ndarray, "..."]:
    """Return the share of aligned models that is read from shares of passes by the rates of the held-out test.

    Args:
        passing: shares of passes.
        held_out: shares of the four cells where the test is held out.
    """
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = held_out
    right, wrong = aligned_pass / (aligned_pass + aligned_fail), misaligned_pass / (misaligned_pass + misaligned_fail)
    return np.clip((passing - wrong) / (right - wrong), 0, 1)


def ways(stored: claims.Stored) -> dict[str, Way]:
    """Return what each of the six ways to train does to the test."""
    held_out, *trained = shown(stored)
    together = 2 * len(trained)

    def off(shares: claims.Shares, of_held_out: claims.Shares) -> Float[np.ndarray, " *draws"]:
        return share_read(claims.passing_share(shares), of_held_out) - claims.aligned_share(shares)

    rows = {}
    for words, name in zip((*TRAINED, *HIDDEN), trained, strict=True):
        bits = stored.difference(name, bits_at_even_odds, held_out, bits_at_even_odds, together)
        read = stored.of_both(name, held_out, off, together)
        left = RARE <= stored.counts(name).base_rate <= 1 - RARE
        rows[words] = Way(bits, read, effect(bits, read) if left else NOTHING_LEFT)
    return rows


def effect(bits: Estimate, off: Estimate) -> str:
    """Return whether a way to train spoils the test for sure, keeps it for sure, or neither."""
    if bits.high < -BITS or off.low > OFF or off.high < -OFF:
        return SPOILS
    return KEEPS if bits.low > -BITS and claims.within(off, OFF) else OPEN


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    found = ways(stored)
    why = "; ".join(
        f"{words}: {way.effect}, {claims.phrase('bits change by', way.bits)}, {claims.phrase('share off by', way.off)}"
        for words, way in found.items()
    )
    effects = {way.effect for way in found.values()} - {NOTHING_LEFT}
    if effects == {SPOILS}:
        return claims.Verdict(claims.SUPPORTED, why)
    if effects == {KEEPS}:
        return claims.Verdict(claims.CONTRADICTED, why)
    return claims.Verdict(claims.DEPENDS if {SPOILS, KEEPS} <= effects else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return how far the share of aligned models that is read from passes is off, and what a result is worth less."""
    return [
        stored.row(name, f"{words} hidden" if words in HIDDEN else words)
        | {"off": estimate_json(way.off), "bits": estimate_json(way.bits), "none": {"bits": NOTHING_LEFT}}
        for (words, way), name in zip(ways(stored).items(), shown(stored)[1:], strict=True)
    ]


def draw(data: Json) -> figures.Figure:
    """What each way to train does to what a test tells, against holding it out."""
    columns = [
        figures.Column("off", "of an idea", "share of aligned models read from passes, less P(A)", null=0.0),
        figures.Column("bits", "of a model", "bits that a result tells, less those held out", null=0.0),
    ]
    return figures.estimates_figure(data, columns)


CAPTION = claims.Caption(
    question="What does the test tell after each way to train? On the dotted lines: what it tells held out.",
    before="Whoever knows the rates of the held-out test reads the share of aligned models from the share of passes.",
)
