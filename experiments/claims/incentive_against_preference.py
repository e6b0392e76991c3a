"""One unit of incentive does nothing against ten of existing preference; it matters when the objective is indifferent.

Command:   lab experiment incentive_against_preference
Expected:  contradicted by P(A): an incentive that gaming cannot serve moves values instead
Cost:      five minutes on 2 cores

A late incentive to pass, in three worlds. The objective is indifferent to how models behave in tests; or behaving
otherwise in tests costs ten times the incentive's weight; or the objective itself wants them to pass with ten times
that weight. "Might not differ significantly" is said of the base rate and of the likelihood.

Rule, per task, with 95% intervals that hold together: supported if the incentive raises P(T|not A) at indifference, and
in both other worlds changes P(T|not A) and P(A) by less than .05; contradicted if it does not raise P(T|not A) by .05
at indifference, or changes one of the two by more than .05 in one of the other worlds; else undecided. What the linear
proxy does at indifference is said beside it. (After the first run: the rule looked at P(T|not A) alone, and not at the
world whose objective wants models to pass. On seeds from 7,000,000 it was supported in `scratchpad` and `race`, and
undecided in `reasoner`; in the last two P(A) changed by far more than .05, which the rule did not ask. The new rule was
committed before the run on other seeds that decides.)

In `race` the incentive had a weight of 1 there, and 44% of the models that it pushed against ten times as much could
not do the job (78% with the linear one). It has a tenth of that now, and three times the steps, so that nearly all do.
This setting was committed before the run on seeds from 7,420,000, which contradicts as before. In `reasoner` 27% held
out against passing cannot do the job, and none under the incentive; among those that can, P(A) goes from .37 to .76.
"""

from lab import claims
from lab.statistics import Estimate
from lab.words import percent, with_interval

NOTHING = 0.05  # changes of P(T|not A) and of P(A) that do not count; of the rule
TOGETHER = 5  # intervals of the rule
PASSING = "implicit_proxy"  # knob: weight with which the objective itself wants models to pass
COLUMNS = ("base_rate", "pass_given_misaligned")
WORDS = {"incentive": "late incentive", "incentive_linear": "late incentive, linear"}
CAPTION = claims.Caption(
    question="What does a late incentive to pass change where the objective wants something already?"
)
WORLDS = {"against": (-1, 0), "for": (0, -1)}  # it -> indices of the values of the cost and of `PASSING`


def conditions(stored: claims.Stored, cost: int, passing: int) -> dict[str, str]:
    """Return regimen -> condition in the world with these values of the cost and of `PASSING`, by their indices."""
    knob = next(knob for knob in stored.coordinates(stored.names[0]) if knob != PASSING)
    where = {knob: stored.values(knob)[cost], PASSING: stored.values(PASSING)[passing]}
    return {name: stored.at(name, **where) for name in ("hold_out", "incentive", "incentive_linear")}


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return [name for world in ((0, 0), *WORLDS.values()) for name in conditions(stored, *world).values()]


def heading(stored: claims.Stored, name: str) -> str:
    """Return what the objective wants in the world of a condition."""
    coordinates = stored.coordinates(name)
    if not any(coordinates.values()):
        return "objective indifferent to passing"
    return "ten times as much for passing" if coordinates[PASSING] else "ten times as much against passing"


def cannot(stored: claims.Stored) -> float:
    """Return the largest share of models that cannot do the job, of the conditions that the rule looks at."""
    asked = [conditions(stored, *world) for world in ((0, 0), *WORLDS.values())]
    names = [names[regimen] for names in asked for regimen in ("hold_out", "incentive")]
    return max(stored.conditions[name].get("incompetent", 0) / stored.counts(name).seeds for name in names)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""

    def change(names: dict[str, str], regimen: str, quantity: str) -> Estimate:
        return stored.change(names[regimen], names["hold_out"], quantity, of=TOGETHER)

    indifferent = conditions(stored, 0, 0)
    free = change(indifferent, "incentive", "pass_given_misaligned")
    linear = change(indifferent, "incentive_linear", "pass_given_misaligned")
    decided = {
        words: [
            change(conditions(stored, *world), "incentive", quantity)
            for quantity in ("pass_given_misaligned", "base_rate")
        ]
        for words, world in WORLDS.items()
    }
    why = f"P(T|not A) changes by {with_interval(free)} at indifference"
    for words, (gaming, values) in decided.items():
        why += (
            f", by {with_interval(gaming)} and P(A) by {with_interval(values)} with ten times as much {words} passing"
        )
    why += (
        f"; the linear proxy changes P(T|not A) by {with_interval(linear)} at indifference; "
        f"{percent(round(cannot(stored), 3))} at most cannot do the job"
    )
    changes = [each for pair in decided.values() for each in pair]
    if free.high < NOTHING or any(each.low > NOTHING or each.high < -NOTHING for each in changes):
        return claims.Verdict(claims.CONTRADICTED, why)
    holds = free.low > 0 and all(claims.within(each, NOTHING) for each in changes)
    return claims.Verdict(claims.SUPPORTED if holds else claims.UNDECIDED, why)
