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

import numpy as np

from lab import claims, figures
from lab.statistics import draw_shares, family_wise, from_draws
from lab.words import estimate_json, with_interval

CONFIGS = "ideas"
LEAST = 0.02


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    ends = (stored.values("preference")[0], stored.values("preference")[-1])
    return [name for name in stored.names if stored.coordinates(name)["preference"] in ends]


def second_run(passing):
    """Return I(idea; second run | first run) in bits for P(T) of ideas that are as likely, shape (..., ideas)."""
    rates = np.stack([passing, 1 - passing], -1)
    single = _entropy(rates.mean(-2)) - _entropy(rates).mean(-1)
    both = (rates[..., :, None] * rates[..., None, :]).reshape(*rates.shape[:-1], 4)
    return _entropy(both.mean(-2)) - _entropy(both).mean(-1) - single


def learnt(stored, names, of=1):
    """Return the `Estimate` of `second_run` for conditions; `of` such intervals hold together."""

    def bits(*ideas):
        return second_run(np.stack([(cells[0] + cells[2]) / cells.sum(0) for cells in ideas], axis=-1))

    return from_draws(bits, draw_shares(*(stored.counts(name).cells for name in names)), family_wise(0.95, of))


def _entropy(p):
    return -np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1)), 0), -1)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    ends, states, why = (stored.values("preference")[0], stored.values("preference")[-1]), [], []
    gaming = []
    for implicit in stored.values("implicit_proxy"):
        names = [stored.at("hold_out", preference=end, implicit_proxy=implicit) for end in ends]
        bases = [stored.rate(name, "base_rate") for name in names]
        taught = learnt(stored, names, 3)
        pushed = [
            stored.change(stored.at("early", preference=end, implicit_proxy=implicit), name, "base_rate", 3)
            for end, name in zip(ends, names, strict=True)
        ]
        gaming.append(stored.rate(names[0], "pass_given_misaligned").low > 0)
        mixed = any(own.low < 1 - LEAST and own.high > LEAST for own in bases)
        small = taught.high < LEAST and all(own.low > -LEAST and own.high < LEAST for own in pushed)
        large = taught.low > LEAST or any(own.low > LEAST or own.high < -LEAST for own in pushed)
        states.append(None if mixed else True if small else False if large else None)
        why.append(
            f"implicit proxy {implicit:g}: {claims.phrase('P(A)', bases[0])} and {with_interval(bases[1])}, second "
            f"run teaches {with_interval(taught)} bits, a push changes P(A) by "
            f"{with_interval(pushed[0])} and {with_interval(pushed[1])}"
        )
    verdict = claims.UNDECIDED
    if None not in states and any(gaming):
        verdict = claims.DEPENDS if len(set(states)) > 1 else claims.SUPPORTED if states[0] else claims.CONTRADICTED
    return claims.Verdict(verdict, "; ".join(why))


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what a second run teaches about all-or-nothing ideas and about all ideas, as plain JSON values."""
    values, rows = stored.values("preference"), []
    for implicit, test in zip(stored.values("implicit_proxy"), ("no implicit proxy", "implicit proxy"), strict=True):
        for words, chosen in (("all or nothing", (values[0], values[-1])), ("all ideas", values)):
            names = [stored.at("hold_out", preference=value, implicit_proxy=implicit) for value in chosen]
            rows.append({"name": f"{words}, {test}", **estimate_json(learnt(stored, names))})
    return rows


def draw(data: Json) -> Figure:
    """What a second run teaches, a panel per task."""
    return figures.estimates_figure(data, "bits that a second run teaches about which idea it is", (LEAST,))


CAPTION = claims.Caption(marks="dotted: .02 bits")
