"""A run of many worlds by regimen: spreads and counts by hand."""

import io
import json
import math

import jax
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from lab import cli
from lab.config.experiment import parse
from lab.decision import Choice, Plan
from lab.figures.worlds import worlds_at, worlds_figure
from lab.report import as_json
from lab.report.worlds import Planned, Spread, many_worlds, over_plans, over_worlds, worlds_plan_table
from lab.results import shards
from lab.results.store import Run
from lab.results.summary import Summary, summarise
from lab.statistics import Counts, Estimate, compare
from lab.training.engine import describe


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
    numbered = xr.Dataset(coords={"world": ("condition", [row.coordinates["world"] for row in rows])})
    assert many_worlds(numbered)
    assert not many_worlds(numbered.isel(condition=slice(14)))
    assert not many_worlds(numbered.drop_vars("world"))
    able, unable = (over_worlds(rows)[kind] for kind in (True, False))
    assert [(line.name, line.worlds) for line in able] == [("hold_out", 9), ("early", 9)]
    assert able[0].rates["base_rate"] == Spread(0.3, 0.5, 0.7)  # quartiles of .1, .2, ..., .9
    assert able[1].rates["base_rate"] == Spread(0.9, 0.9, 0.9)
    net = able[1].changes["net"]
    assert net.above + net.below + net.undecided == 9
    assert net.above >= 5
    assert net.below == 0
    assert not able[0].changes  # the baseline
    assert [(line.name, line.worlds) for line in unable] == [("hold_out", 1), ("early", 1)]
    assert unable[1].changes["net"][:3] == (0, 0, 1)


# --- plans, by enumeration --------------------------------------------------------------------------------------------


def choice(name, accepted, best):
    return Choice(name, Estimate(accepted, 0, 1), Estimate(accepted / 2, 0, 1), Estimate(1 + accepted, 1, 2), best, 7)


def plans():
    """Of four worlds early is surely best in two, and hold_out in one; in the last nobody knows."""
    accepted = [(0.9, 0.1, 1.0), (0.8, 0.2, 0.99), (0.2, 0.8, 0.0), (0.5, 0.5, 0.5)]
    for world, (early, held_out, best) in enumerate(accepted):
        names = [f"early size=2 world={world}", f"hold_out size=2 world={world}"]
        choices = [choice(names[0], early, best), choice(names[1], held_out, 1 - best)]
        yield Plan((("size", 2.0), ("world", world), ("weight", 0.1 * world)), {7: choices}, [], 0.975)


def test_plans_of_worlds_are_means_and_numbers_of_worlds():
    early, held_out = over_plans(list(plans()))[7]
    assert early == Planned("early size=2", *map(pytest.approx, (0.6, 0.3, 1.6)), early.spread, 0.6225, 2)
    assert held_out == Planned("hold_out size=2", *map(pytest.approx, (0.4, 0.2, 1.4)), held_out.spread, 0.3775, 1)
    assert early.spread == pytest.approx((0.425, 0.65, 0.825))  # quartiles of .2, .5, .8, .9


def test_worlds_where_nobody_does_the_job_are_planned_apart():
    able = {name: "world=3" not in name for plan in plans() for name in (row.name for row in plan.choices[7])}
    console = Console(width=200, file=io.StringIO())
    console.print(worlds_plan_table(list(plans()), able, "hold_out"))
    text = console.file.getvalue()
    assert "at least 95% do the job held out, size = 2, 3 worlds" in text
    assert "fewer than 95% do the job held out, size = 2, 1 world" in text


# --- a stored run of eight worlds whose outcomes are known ------------------------------------------------------------

SEEDS = 20
CONFIG = {
    "name": "eight",
    "task": "race",
    "seeds": SEEDS,
    "training": {"steps": 20, "segments": 2, "block_width": SEEDS},
    "regimens": {"hold_out": [{"until": 1}], "early": [{"until": 0.5}, {"until": 1}]},
    "worlds": {
        "count": 8,
        "knobs": {"preference": [-0.5, 0.5], "depth": {"choose": [2, 3]}},
        "keys": {"push": {"key": "regimens.early[0].weights.test", "log": [0.1, 1]}},
    },
}


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """Held out, world w has 2 w aligned models, which pass, and one that games; early 18 are aligned and one games."""
    folder = tmp_path_factory.mktemp("eight") / "run"
    (folder / "shards").mkdir(parents=True)
    experiment = parse(json.dumps(CONFIG))
    run = Run.create(folder, describe(experiment, jax.devices()))
    names = run.manifest["scores"]
    for condition, stored in zip(experiment.conditions, run.manifest["conditions"], strict=True):
        aligned = 18 if condition.regimen == "early" else 2 * int(condition.coordinates["world"])
        scores = np.zeros((SEEDS, 2, len(names)), np.float32)
        scores[:, :, names.index("competence")] = 1
        scores[:aligned, :, names.index("alignment")] = 1
        scores[: aligned + 1, :, names.index("test")] = 1
        shards.write_shard(run, stored["leaf"], 0, shards.shard(scores, names, range(SEEDS), [0.5, 1.0]))
    return folder


def told(capsys, *words):
    assert cli.main([str(word) for word in words]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def row_of(lines, *words):
    return next(line[len(words) :] for line in lines if line[: len(words)] == list(words))


def test_every_command_goes_by_regimen_and_shows_one_world_if_asked(eight, capsys):
    shown = told(capsys, "show", eight)
    assert row_of(shown, "early", "8")[0] == "0.90"  # the median of 18/20
    median, low, high = (float(word.strip("[],")) for word in row_of(shown, "hold", "out", "8")[:3])
    assert (median, low, high) == pytest.approx((0.35, 0.175, 0.525), abs=0.0051)  # of 0, .1, ..., .7, to two digits
    assert row_of(shown, "preference") == ["uniform", "-0.5", "to", "0.5", "knobs.preference"]
    assert row_of(shown, "depth") == ["one", "of", "2,", "3", "knobs.depth"]
    pushed = ["uniform", "in", "its", "logarithm", "0.1", "to", "1", "regimens.early[0].weights.test"]
    assert row_of(shown, "push") == pushed
    # from 2 w to 18 of 20: ln(9 (10 - w) / w), whose median over w = 0 to 7 is that between w = 3 and 4
    middle = (math.log(9 * 7 / 3) + math.log(9 * 6 / 4)) / 2
    assert float(row_of(told(capsys, "compare", eight), "early", "base", "rate")[-1]) == pytest.approx(middle, rel=0.01)
    planned = told(capsys, "plan", eight, "--budget", "1")
    assert row_of(planned, "early")[0] == "0.90"
    assert row_of(planned, "hold", "out")[0] == "0.35"
    watched = told(capsys, "watch", eight, "--once")
    assert row_of(watched, "hold", "out", "160", "of", "160")[0] == "0.35"
    assert cli.main(["ideas", str(eight)]) == 2
    assert "give --regimen or --world" in capsys.readouterr().err
    counted = row_of(told(capsys, "ideas", eight, "--regimen", "hold_out"), "as", "counted")
    assert counted == ["0", "0.175", "0.350", "0.525", "0.700"]


def test_one_world_alone(eight, capsys):
    names = [condition.name for condition in parse(json.dumps(CONFIG)).conditions[10:12]]
    assert names == ["hold_out world=5", "early world=5"]
    asked = (eight, "--world", "5")
    shown = told(capsys, "show", *asked)
    assert row_of(shown, "hold", "out")[1] == "0.50"
    early = parse(json.dumps(CONFIG)).conditions[11]
    assert f"{early.coordinates['push']:g}" in row_of(shown, "push")
    assert f"{early.knobs['preference']:g}" in row_of(shown, "preference")
    cli.main(["show", *map(str, asked), "--json"])
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["conditions"]] == names
    for command in (("compare",), ("plan", "--budget", "1"), ("watch", "--once"), ("ideas",)):
        text = " ".join(word for line in told(capsys, command[0], *asked, *command[1:]) for word in line)
        assert "world" in text
        assert "world=4" not in text
        assert cli.main([*command, str(eight), "--world", "8"]) == 2
        assert "no world 8; known: 0 to 7" in capsys.readouterr().err


def test_worlds_at_one_place_share_a_dot(eight):
    """Held out P(A|T) is 2w / (2w + 1), early 18/19 = .947, which lies at .94 on a grid of .02."""
    results = shards.results(Run(eight))
    data = as_json(results, summarise(results))
    held_out, early = data["conditions"][::2], data["conditions"][1::2]
    places = worlds_at(early, held_out)
    assert sum(places.values()) == 8
    # w = 0 to 7: 0, .667, .8, .857, .889, .909, .923, .933
    columns = [0, 0.66, 0.8, 0.86, 0.88, 0.9, 0.92, 0.94]
    assert sorted(place.x for place in places) == pytest.approx(columns)
    assert {round(place.y, 2) for place in places} == {0.94}
    twice = worlds_at(early + early, held_out + held_out)
    assert twice == {place: 2 for place in places}
    absent = {**early[0], "aligned_given_pass": {"value": None, "low": 0, "high": 1}}
    assert worlds_at([absent], held_out[:1]) == {}
    (panel,) = worlds_figure(data).axes
    assert panel.get_title(loc="left").startswith("early\n")


def test_each_value_of_a_sweep_has_its_panel(eight):
    results = shards.results(Run(eight))
    data = as_json(results, summarise(results))
    twice = []
    for size in (1, 2):
        for row in data["conditions"]:
            name = row["name"].replace(" ", f" target={size} ")
            impact = row["log_impact"]
            if impact:
                impact = {**impact, "baseline": impact["baseline"].replace(" ", f" target={size} ")}
            twice.append({**row, "name": name, "log_impact": impact})
    titles = [ax.get_title(loc="left").splitlines()[0] for ax in worlds_figure({**data, "conditions": twice}).axes]
    assert titles == ["early, target = 1", "early, target = 2"]
