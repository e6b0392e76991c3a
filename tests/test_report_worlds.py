"""A run of many worlds by regimen: spreads and counts by hand."""

from lab.report.worlds import Spread, many_worlds, over_worlds
from lab.results.summary import Summary
from lab.statistics import Counts, compare


def row(regimen, world, counts, baseline=None):
    other = None if baseline is None else compare(counts, baseline)
    return Summary(
        f"{regimen} world={world}", regimen, {"world": float(world)}, {}, counts,
        None if baseline is None else f"hold_out world={world}", other, None, 0.95, 0.95,
    )  # fmt: skip


def test_regimens_spread_over_worlds_and_worlds_that_cannot_do_the_job_stand_apart():
    """P(A) of 9 worlds is .1 to .9 held out; a push makes it .9 everywhere; the tenth world is broken."""
    rows = []
    for world in range(9):
        aligned = 10 * (world + 1)
        held_out = Counts(
            aligned // 2, aligned - aligned // 2, (100 - aligned) // 2, 100 - aligned - (100 - aligned) // 2
        )
        pushed = Counts(45, 45, 5, 5)
        rows += [row("hold_out", world, held_out), row("early", world, pushed, held_out)]
    broken = Counts(40, 0, 0, 60, incompetent=6)
    rows += [row("hold_out", 9, broken), row("early", 9, broken, broken)]
    assert many_worlds(rows)
    assert not many_worlds(rows[:14])
    able, unable = (over_worlds(rows)[kind] for kind in (True, False))
    assert [(line.name, line.worlds) for line in able] == [("hold_out", 9), ("early", 9)]
    assert able[0].rates["base_rate"] == Spread(0.3, 0.5, 0.7)  # quartiles of .1, .2, ..., .9
    assert able[1].rates["base_rate"] == Spread(0.9, 0.9, 0.9)
    assert able[1].better + able[1].worse + able[1].undecided == 9
    assert able[1].better >= 5
    assert able[1].worse == 0
    assert able[0].better + able[0].worse + able[0].undecided == 0  # the baseline
    assert [(line.name, line.worlds, line.undecided) for line in unable] == [("hold_out", 1, 0), ("early", 1, 1)]
