"""Who uses which seeds: the one table, so that no verdict rests on seeds that somebody has looked at.

A seed decides everything random about a model. Whoever chooses a setting, a rule or a schedule has seen how models on
some seeds end, so what decides a verdict is trained on others. Fresh seeds ask a decided verdict again.
"""

from dataclasses import dataclass
from typing import Literal

Role = Literal["shows", "chooses", "decides", "repeats"]


@dataclass(frozen=True)
class Use:
    """Seeds that are kept for one use.

    Attributes:
        who: uses them.
        first: of them.
        count: how many are kept.
        what: they are for.
        role: they choose something, decide verdicts, repeat decided ones, or only show. No two uses share seeds,
            but where one of them shows: there nothing is chosen or decided.
    """

    who: str
    first: int
    count: int
    what: str
    role: Role

    @property
    def seeds(self) -> range:
        """All of them."""
        return range(self.first, self.first + self.count)


_MILLION = 1_000_000

EXAMPLES = Use("`configs/`, benchmarks, and commands unless told", 0, _MILLION, "examples and times", "shows")
SEVERAL_TOKENS = Use("`several_tokens.py`", 0, 1_000, "its settings", "chooses")
STORIES = Use("`configs/`, four files", 3 * _MILLION, 512, "examples whose settings were chosen on others", "shows")
LOOKS = Use("claims, studies", 4 * _MILLION, _MILLION, "looks before a rule was committed: settings", "chooses")
STUDIES = Use("`tasks.py`, `take_off.py`", 5 * _MILLION, _MILLION, "verdicts on the tasks", "decides")
DERIVATIVES = Use("`derivatives.py`", 6 * _MILLION, _MILLION, "verdicts on estimators", "decides")
CLAIMS = Use("claims, `several_tokens.py`", 7 * _MILLION, 200_000, "verdicts, but those of `best_schedule`", "decides")
LATER_CLAIMS = Use("claims", 7_200_000, 300_000, "verdicts by rules that were committed later", "decides")
REFINED = Use("`when_to_train.py`", 7_500_000, 500_000, "cells that refine the maps of three claims", "decides")
BEST_SCHEDULE = Use("`best_schedule`", 8 * _MILLION, _MILLION, "verdicts; its first run was a look", "decides")
REPLICATION = Use("`robustness.py fresh`", 9 * _MILLION, 2 * _MILLION, "every claim again", "repeats")
ROBUSTNESS = Use("`robustness.py varied`", 11 * _MILLION, _MILLION, "some again, with one thing changed", "repeats")
LOOKED_WORLDS = Use("`worlds.py look`", 12 * _MILLION, _MILLION, "worlds in which a rule is looked for", "chooses")
JUDGED_WORLDS = Use("`worlds.py judge`", 13 * _MILLION, _MILLION, "worlds that judge the rule", "decides")
RESPONSE = Use("`response.py`", 14 * _MILLION, _MILLION, "what schedules that no model was fitted to do", "decides")
CLAIMED_WORLDS = Use("`claims_over_worlds.py`", 15 * _MILLION, _MILLION, "worlds that judge claims", "decides")
ADVICE = Use("`lab advise`", 1_900_000_000, 100 * _MILLION, "cards that an advice rests on", "chooses")
PILOTS = Use("`lab seeds`", 2**31, 2**30, "pilots, from which the number of seeds is foreseen", "chooses")
SEARCHES = Use("`lab optimise`, `lab mix`", 3 * 2**30, 2**30, "searches for schedules and mixed worlds", "chooses")
USES = (
    EXAMPLES,
    SEVERAL_TOKENS,
    Use("`staged_protocol`, `restart_or_continue`", 100_000, 100_000, "settings of these configs", "chooses"),
    Use("tasks", 200_000, 100_000, "weights of their probes", "chooses"),
    Use("tasks", 300_000, 100_000, "settings", "chooses"),
    STORIES,
    Use("`derivatives.py`", 3 * _MILLION, 500_000, "its settings", "chooses"),
    *(LOOKS, STUDIES, DERIVATIVES, CLAIMS, LATER_CLAIMS, REFINED, BEST_SCHEDULE, REPLICATION, ROBUSTNESS),
    *(LOOKED_WORLDS, JUDGED_WORLDS, RESPONSE, CLAIMED_WORLDS, ADVICE, PILOTS, SEARCHES),
)
