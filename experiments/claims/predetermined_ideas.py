"""If each idea gives only aligned or only misaligned models, retrying an idea or training on the proxy changes nothing.

Command:   lab experiment predetermined_ideas
Expected:  supported where the main objective's preference can be made that strong
Cost:      about five minutes on 2 cores, shared with other claims

The two ideas at the ends of `preference`, as likely; a test that is held out, in a world without and in one with
something like it in the main objective. What a second run of an idea teaches is the information, in bits, that whether
it passes gives about which of the two ideas it is, once the first run is known. Changes are those of P(A) by an early
push on the test.

Rule, per task: it holds in a world if the information is below .02 bits and the push changes P(A) of both ideas by less
than .02 (95% intervals, together); it is broken there if the information or a change is above .02 for sure. Supported
if it holds in both worlds; contradicted if it is broken in both; depends if it holds in one and is broken in the other;
else undecided, also where P(A) of one of the ideas lies between .02 and .98. (After the run: undecided also where both
worlds are alike for these two ideas, because no misaligned model passes in either; `shortcut` was supported before.)
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from lab import claims, figures
from lab.statistics import Estimate, draw_shares, from_draws
from lab.words import Json, estimate_json, with_interval

CONFIGS = "ideas"
WORLDS = {"perfect": "nothing like the test in the main objective", "hackable": "something like it there"}
NOTHING = 0.02  # bits, changes of P(A), and distances of P(A) from 0 and 1 that do not count; of the rule


def all_or_nothing(stored: claims.Stored) -> tuple[float, float]:
    """Return the two ideas at the ends of `preference`."""
    preferences = stored.values("preference")
    return preferences[0], preferences[-1]


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    ends = all_or_nothing(stored)
    return [name for name in stored.names if stored.coordinates(name)["preference"] in ends]


def second_run(passing: Float[np.ndarray, "*draws ideas"]) -> Float[np.ndarray, "*draws"]:
    """Return I(idea; second run | first run) in bits for P(T) of ideas that are as likely."""
    rates = np.stack([passing, 1 - passing], -1)
    single = _entropy(rates.mean(-2)) - _entropy(rates).mean(-1)
    both = (rates[..., :, None] * rates[..., None, :]).reshape(*rates.shape[:-1], 4)
    return _entropy(both.mean(-2)) - _entropy(both).mean(-1) - single


def bits_of_second_run(stored: claims.Stored, names: Sequence[str], of: int = 1) -> Estimate:
    """Return the `Estimate` of `second_run` for conditions; `of` such intervals hold together."""

    def bits(*ideas: claims.Shares) -> Float[np.ndarray, " draws"]:
        return second_run(np.stack([claims.passing_share(cells) / cells.sum(0) for cells in ideas], axis=-1))

    return from_draws(bits, draw_shares(*(stored.counts(name).cells for name in names)), stored.confidence(of))


def _entropy(probabilities: Float[np.ndarray, "*draws outcomes"]) -> Float[np.ndarray, "*draws"]:
    """Return the entropy in bits."""
    logs = np.log2(np.where(probabilities > 0, probabilities, 1))
    return -np.sum(np.where(probabilities > 0, probabilities * logs, 0), -1)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    ends = all_or_nothing(stored)
    states, gaming, why = [], [], []
    for implicit in stored.values("implicit_proxy"):
        names = [stored.at("hold_out", preference=end, implicit_proxy=implicit) for end in ends]
        base_rates = [stored.rate(name, "base_rate") for name in names]
        bits = bits_of_second_run(stored, names, of=3)
        changes = [
            stored.change(stored.at("early", preference=end, implicit_proxy=implicit), name, "base_rate", of=3)
            for end, name in zip(ends, names, strict=True)
        ]
        gaming.append(stored.rate(names[0], "pass_given_misaligned").low > 0)
        mixed = any(base_rate.low < 1 - NOTHING and base_rate.high > NOTHING for base_rate in base_rates)
        holds = bits.high < NOTHING and all(claims.within(change, NOTHING) for change in changes)
        broken = bits.low > NOTHING or any(change.low > NOTHING or change.high < -NOTHING for change in changes)
        states.append(None if mixed else True if holds else False if broken else None)
        why.append(
            f"implicit proxy {implicit:g}: {claims.phrase('P(A)', base_rates[0])} and {with_interval(base_rates[1])}, "
            f"second run teaches {with_interval(bits)} bits, a push changes P(A) by {with_interval(changes[0])} and "
            f"{with_interval(changes[1])}"
        )
    verdict = claims.UNDECIDED
    if None not in states and any(gaming):
        verdict = claims.DEPENDS if len(set(states)) > 1 else claims.SUPPORTED if states[0] else claims.CONTRADICTED
    return claims.Verdict(verdict, "; ".join(why))


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what a second run teaches about all-or-nothing ideas and about all ideas, as plain JSON values."""
    worlds = dict(zip(WORLDS, stored.values("implicit_proxy"), strict=True))
    ideas = {"only ideas that are all or nothing": all_or_nothing(stored), "all ideas": stored.values("preference")}
    rows = []
    for words, preferences in ideas.items():
        names = {
            world: [stored.at("hold_out", preference=idea, implicit_proxy=implicit) for idea in preferences]
            for world, implicit in worlds.items()
        }
        bits = {world: estimate_json(bits_of_second_run(stored, held_out)) for world, held_out in names.items()}
        unable = max(stored.unable(name) for name in itertools.chain(*names.values()))
        rows.append({"words": words, "regimen": "hold_out", "unable": unable, **bits})
    return rows


def draw(data: Json) -> figures.Figure:
    """What a second run teaches, in both worlds."""
    return figures.estimates_figure(
        data, [figures.Column(world, "bits", words, 0, lines=(NOTHING,)) for world, words in WORLDS.items()]
    )


CAPTION = claims.Caption(
    question="How much does a second run teach about which idea it is? Left of the dotted line: nothing.",
    marks="dotted: .02 bits",
)
