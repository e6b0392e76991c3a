"""Being free to stop after some failures and to deploy nothing can turn the choice from training on the proxy to not.

Command:   lab experiment walking_away
Expected:  depends on whether training on the test leaves misaligned models behind
Cost:      a quarter of an hour on 2 cores, shared with other claims

An organisation has three runs and accepts the first that passes. Either it must accept the last one in any case, or it
walks away after three failures and has nothing. An aligned model is then worth 1, a misaligned one 0, and nothing .5 (a
misaligned model is as bad as an aligned one is good) or .9 (nine times as bad). Nothing can be had without a run, too.
The worlds are one in which nothing like the test hides in the main objective, and one in which something like it does.

Two tasks are undecided with 512 seeds. In `gridworld` three runs give the same held out and trained on throughout, .945
aligned, if the last must be accepted: no number of seeds decides a tie. In `digits` 1,024 would, if shares stay: there
nothing is best for whoever counts it as .9.

Rule, per task, with 95% intervals that hold together: in each world and for each of the three kinds of organisation the
choice is to train if one of four ways to train on the test is better than holding out; to hold out if all four are
worse; and nothing if nothing is better than all five. An organisation that may walk away trains or holds out only if
this is better than nothing. All of it for sure, else the choice is open. Supported if in some world the organisation
that must accept its last run trains and one that may walk away holds out. Depends if none does, but one chooses nothing
in a world where the other choice is not open. Contradicted if all choices are the same within each world, and none is
open; else undecided.
"""

import numpy as np
from jaxtyping import Float

from experiments.claims.four_regimens import TRAINED
from lab import claims, figures
from lab.statistics import Estimate
from lab.words import Json, estimate_json, setting

CONFIGS = "worth_of_a_test"
RUNS = 3  # of the rule
UTILITIES = (0.5, 0.9)  # of nothing; of the rule
MUST = "must accept"
KINDS = {MUST: None, **{f"nothing is worth {setting(nothing)}": nothing for nothing in UTILITIES}}
WORLDS = 2  # the first values of `implicit_proxy`
TRAIN, HOLD_OUT, NOTHING, OPEN = "train", "hold out", "nothing", "open"
# gains over holding out for three kinds of organisation, and five regimens against nothing for two of them
TOGETHER = WORLDS * (len(TRAINED) * (1 + len(UTILITIES)) + (1 + len(TRAINED)) * len(UTILITIES))


def conditions(stored: claims.Stored, world: int) -> list[str]:
    """Return holding out and the four ways to train on the test in one of the worlds."""
    implicit = stored.values("implicit_proxy")[world]
    return [stored.at(name, implicit_proxy=implicit) for name in ("hold_out", *TRAINED)]


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the rule looks at."""
    return [name for world in range(WORLDS) for name in conditions(stored, world)]


def gains(stored: claims.Stored, world: int, nothing: float | None) -> dict[str, Estimate]:
    """Return what each way to train on the test gains over holding out.

    Args:
        stored: counts of the task.
        world: index of the value of `implicit_proxy`.
        nothing: utility of walking away; None if the last run must be accepted.
    """
    held_out, *trained = conditions(stored, world)
    worth = claims.aligned_share_of_accepted(RUNS) if nothing is None else claims.worth_of_accepted(RUNS, nothing)
    return {
        regimen: stored.difference(name, worth, held_out, worth, TOGETHER)
        for regimen, name in zip(TRAINED, trained, strict=True)
    }


def over_nothing(stored: claims.Stored, world: int, nothing: float) -> list[Estimate]:
    """Return by how much holding out and each way to train are better than nothing."""
    worth = claims.worth_of_accepted(RUNS, nothing)

    def gain(shares: claims.Shares) -> Float[np.ndarray, " *draws"]:
        return worth(shares) - nothing

    return [stored.of_shares(name, gain, TOGETHER) for name in conditions(stored, world)]


def choice(stored: claims.Stored, world: int, nothing: float | None) -> str:
    """Return what an organisation chooses in a world, by the rule; arguments are those of `gains`."""
    trained = list(gains(stored, world, nothing).values())
    held_out_is_worth_it, are_worth_it = True, [True] * len(trained)
    if nothing is not None:
        alone = over_nothing(stored, world, nothing)
        if all(gain.high < 0 for gain in alone):
            return NOTHING
        held_out_is_worth_it, *are_worth_it = (gain.low > 0 for gain in alone)
    if any(gain.low > 0 and worth_it for gain, worth_it in zip(trained, are_worth_it, strict=True)):
        return TRAIN
    return HOLD_OUT if held_out_is_worth_it and all(gain.high < 0 for gain in trained) else OPEN


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    verdicts, words = set(), []
    for world, implicit in zip(range(WORLDS), stored.values("implicit_proxy"), strict=False):
        forced = choice(stored, world, None)
        free = {nothing: choice(stored, world, nothing) for nothing in UTILITIES}
        verdicts.add(_in_one_world(forced, list(free.values())))
        of_free = ", ".join(f"{chosen} if nothing is worth {setting(nothing)}" for nothing, chosen in free.items())
        words.append(f"implicit_proxy = {setting(implicit)}: {forced} if the last run must be accepted, {of_free}")
    order = (claims.SUPPORTED, claims.DEPENDS, claims.UNDECIDED, claims.CONTRADICTED)
    return claims.Verdict(next(verdict for verdict in order if verdict in verdicts), "; ".join(words))


def _in_one_world(forced: str, free: list[str]) -> str:
    """Return the verdict of the rule on one world, from what each kind of organisation chooses."""
    if forced == TRAIN and HOLD_OUT in free:
        return claims.SUPPORTED
    if forced != OPEN and NOTHING in free:
        return claims.DEPENDS
    return claims.CONTRADICTED if {forced} == set(free) != {OPEN} else claims.UNDECIDED


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what each way to train gains over holding out in the first world, as plain JSON values."""
    by_kind = {words: gains(stored, 0, nothing) for words, nothing in KINDS.items()}
    return [
        stored.row(name) | {words: estimate_json(by_kind[words][regimen]) for words in KINDS}
        for regimen, name in zip(TRAINED, conditions(stored, 0)[1:], strict=True)
    ]


def draw(data: Json) -> figures.Figure:
    """What each way to train on the test gains over holding out, by what nothing is worth."""
    columns = [figures.Column(MUST, MUST, "one of three runs", null=0.0)]
    columns += [figures.Column(words, "may walk away", words, null=0.0) for words in KINDS if words != MUST]
    return figures.estimates_figure(data, columns)


CAPTION = claims.Caption(
    question="Gain in utility over holding out: right of the line one trains on the test, left of it one does not."
)
