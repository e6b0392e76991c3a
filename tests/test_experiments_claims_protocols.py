"""The rules of anti-training and of the staged protocol, on populations whose truth is known by construction."""

import numpy as np
import pytest

from lab import claims
from tests.hand_made_claims import BETTER, HELD, WORSE, population


def against(held, **changed):
    """Return `Stored` counts of holding out and of the ways to train against a test, as held out unless given."""
    return population(hold_out=held, **{name: changed.get(name, held) for name in claims.module("anti_training").WAYS})


RARE, EASY = [200, 0, 0, 800], [600, 0, 200, 200]  # 4 failures before a pass and .25; held out .538 and an LR of 2
REVERSED = [0, 300, 350, 350]  # P(T|A) - P(T|not A) falls from .5 to -.5


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (against(HELD, anti_late=RARE, anti_precursor=REVERSED), claims.SUPPORTED),
        (against(HELD, anti_late=RARE), claims.DEPENDS),  # nothing weakens the test
        # an LR of 20 instead of 2, but .61 failures instead of .25: not one more
        (against(EASY, anti_late=[600, 0, 20, 380], anti_early=[0, 600, 200, 200]), claims.DEPENDS),
        (against(HELD), claims.CONTRADICTED),
        (against(HELD, anti_late=REVERSED), claims.CONTRADICTED),
        # P(T|A) - P(T|not A) falls by .067, which may be less than .05
        (against(HELD, anti_late=RARE, anti_early=[280, 20, 350, 350]), claims.UNDECIDED),
    ],
)  # fmt: skip
def test_the_rule_of_anti_training_asks_for_cost_strength_and_weakness(stored, expected):
    assert claims.module("anti_training").judge(stored).verdict == expected


def staged(surviving=1000, **cells):
    """Return `Stored` counts of holding out, and of a protocol and its stages at two ages, each BETTER unless given."""
    stages = claims.module("staged_protocol").STAGES
    about, rows = {"hold_out": {"regimen": "hold_out", "coordinates": {}}}, [HELD]
    for name in ("protocol", *(f"no_{stage}" for stage in stages), *stages):
        for age in (0.01, 0.1):
            about[f"{name} weak={age}"] = {"regimen": name, "coordinates": {"weak": age}}
            rows.append(cells.get(name, BETTER))
    data = claims.tabulate([np.repeat(np.arange(4), row) for row in rows], about, 0.95)
    return claims.Stored("made", data | {"surviving": dict.fromkeys(about, surviving)})


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (staged(), claims.SUPPORTED),
        (staged(no_gate=HELD), claims.DEPENDS),
        (staged(protocol=WORSE), claims.CONTRADICTED),
        (staged(protocol=[350, 0, 350, 300]), claims.UNDECIDED),  # .487 instead of .442: about .05
    ],
)  # fmt: skip
def test_the_rule_of_the_staged_protocol_asks_which_stage_carries_the_gain(stored, expected):
    assert claims.module("staged_protocol").judge(stored).verdict == expected


def test_a_gate_pays_for_more_runs():
    """A quarter survives a gate at a tenth: .25 + .75 / 10 trainings a run, so three trainings pay for 9 runs."""
    module, stored = claims.module("staged_protocol"), staged(surviving=250, protocol=[250, 0, 0, 750])
    assert module.mean_cost(stored, "protocol weak=0.1") == pytest.approx(0.325)
    held_out = 0.3 * (1 - 0.35**3) / 0.65
    assert module.compare(stored, "protocol", 0.1).gain.value == pytest.approx(1 - 0.75**9 - held_out)
