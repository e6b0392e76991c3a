"""A proxy that is not trained on costs more runs to discard before one passes, unless it was already hackable.

Command:   lab experiment runs_to_discard
Expected:  supported
Cost:      a quarter of an hour on 2 cores, shared with other claims

1 / P(T) - 1 is the mean number of failures before the first pass. Four ways to train on the test stand beside holding
it out, in two worlds: one in which nothing like the test hides in the main objective, and one in which so much of it
does that misaligned models pass a test which nobody trained on.

In `scratchpad` 1,024 seeds from 7,200,000 were undecided, and it was asked again of 2,048 others. There a sixth of the
misaligned models do not learn to pass (an eighth if three times as much hides). So holding out costs .12 discarded runs
more than the strong early push, just above the limit, where it costs 2.6 in the first world.

Rule, per task, with 95% intervals that hold together over both worlds: supported if in the first world holding out
costs over .1 discarded runs more than each of the four regimens, and in the second one less than .1 more than each;
contradicted if one of these is the other way for sure; else undecided, also where in the second world P(T|not A) held
out is not above .8 for sure.
"""

import numpy as np
from jaxtyping import Float

from experiments.claims.four_regimens import TRAINED
from lab import claims, figures
from lab.statistics import Estimate
from lab.words import Json, estimate_json

CONFIGS = "worth_of_a_test"
FEW = 0.1  # discarded runs that do not count; of the rule
HACKABLE = 0.8  # P(T|not A) above which a test that is held out is hackable already; of the rule
WORLDS = {"safe": 0, "hackable": -1}  # index of the value of `implicit_proxy`


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return [name for world in WORLDS for name in conditions(stored, world)]


def conditions(stored: claims.Stored, world: str) -> list[str]:
    """Return holding out and the four ways to train on the test in one of the worlds."""
    implicit = stored.values("implicit_proxy")[WORLDS[world]]
    return [stored.at(name, implicit_proxy=implicit) for name in ("hold_out", *TRAINED)]


def discarded(shares: claims.Shares) -> Float[np.ndarray, " *draws"]:
    """Return 1 / P(T) - 1, the mean number of runs that fail before one passes."""
    return 1 / claims.passing_share(shares) - 1


def rises(stored: claims.Stored, world: str) -> dict[str, Estimate]:
    """Return how many more runs holding out discards than each way to train on the test."""
    held_out, *trained = conditions(stored, world)
    together = len(WORLDS) * len(TRAINED)
    return {
        regimen: stored.difference(held_out, discarded, name, discarded, together)
        for regimen, name in zip(TRAINED, trained, strict=True)
    }


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    safe, hackable = (rises(stored, world) for world in WORLDS)
    hacked = stored.rate(conditions(stored, "hackable")[0], "pass_given_misaligned")
    why = (
        f"discarded by holding out more than by training on the test {claims.phrases(safe)}; where it is hackable "
        f"({claims.phrase('P(T|not A)', hacked)}) {claims.phrases(hackable)}"
    )
    if hacked.low <= HACKABLE:
        return claims.Verdict(claims.UNDECIDED, why)
    if any(rise.high < FEW for rise in safe.values()) or any(rise.low > FEW for rise in hackable.values()):
        return claims.Verdict(claims.CONTRADICTED, why)
    holds = all(rise.low > FEW for rise in safe.values()) and all(rise.high < FEW for rise in hackable.values())
    return claims.Verdict(claims.SUPPORTED if holds else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return how many runs each regimen discards in both worlds, and who passes in the second, as plain JSON values."""
    rows = []
    for safe, hackable in zip(*(conditions(stored, world) for world in WORLDS), strict=True):
        runs = {"safe": stored.of_shares(safe, discarded), "hackable": stored.of_shares(hackable, discarded)}
        estimates = runs | {"gaming": stored.rate(hackable, "pass_given_misaligned")}
        row = stored.row(safe) | {"unable": max(stored.unable(safe), stored.unable(hackable))}
        row |= {"none": {"gaming": "none misaligned"}}
        rows.append(row | {key: estimate_json(estimate) for key, estimate in estimates.items()})
    return rows


def draw(data: Json) -> figures.Figure:
    """How many runs each regimen discards before one passes, in both worlds."""
    gaming = figures.COLUMNS["pass_given_misaligned"]
    columns = [
        figures.Column("safe", "runs discarded", "where nothing like the test hides in the main objective", 0),
        figures.Column("hackable", "runs discarded", "where something like the test hides there", 0),
        gaming._replace(key="gaming", words=f"{gaming.words}, where something like it hides"),
    ]
    return figures.estimates_figure(data, columns)


CAPTION = claims.Caption(
    question="How many runs fail before one passes, if the test is held out (first row) or trained on?"
)
