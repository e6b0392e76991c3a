"""Worlds drawn at random: where the points lie, what they set, and that they are trained like any other condition."""

import json
import math

import numpy as np
import pytest

from lab import cli
from lab.config.experiment import from_values, parse
from lab.config.worlds import Draw, drawn_values
from lab.results import shards, summary
from lab.results.store import Run, lock
from lab.training import distributed, engine
from tests.config_text import problems

WORLDS = {
    "count": 8,
    "seed": 5,
    "knobs": {
        "preference": [-0.08, 0.08],
        "depth": {"choose": [4, 2, 3, 5]},
        "faking_start": {"log": [0.01, 2.56]},
    },
    "keys": {
        "push": {"key": ["regimens.early[0].weights.test", "regimens.late[1].weights.test"], "log": [0.1, 1]},
        "against": {"key": "regimens.anti[0].weights.test_linear", "log": [-1, -0.1]},
        "end": {"key": "regimens.early[0].until", "choose": [0.25, 0.5]},
    },
}
CONFIG = {
    "name": "drawn",
    "task": "race",
    "seeds": {"first": 3, "count": 12},
    "training": {"steps": 40, "segments": 4, "block_width": 4},
    "baseline": "hold_out",
    "regimens": {
        "hold_out": [{"until": 1}],
        "early": [{"until": 0.5}, {"until": 1}],
        "late": [{"until": 0.5}, {"until": 1}],
        "anti": [{"until": 1}],
    },
    "worlds": WORLDS,
}


def of(config=CONFIG, **changes):
    return parse(json.dumps({**config, **changes}))


def drawn(draw, count, seed=0):
    return drawn_values({"x": draw, "y": Draw((), [], "between", [0.0, 1.0])}, count, seed)["x"]


# --- where the points lie ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_each_of_as_many_equal_parts_of_a_range_holds_one_point(seed):
    """Points of a Sobol sequence, scrambled or not, are a (0, m, 1)-net in each dimension (Sobol 1967; Owen 1995)."""
    values = np.array(drawn(Draw((), [], "between", [-4.0, 4.0]), 16, seed))
    assert sorted(np.floor(2 * values)) == list(range(-8, 8))
    octaves = np.log2(drawn(Draw((), [], "log", [1.0, 256.0]), 8, seed))
    assert sorted(np.floor(octaves)) == list(range(8))
    mirrored = np.log2(-np.array(drawn(Draw((), [], "log", [-256.0, -1.0]), 8, seed)))
    assert sorted(np.floor(mirrored)) == list(range(8))


@pytest.mark.parametrize("seed", range(4))
def test_every_choice_is_made_equally_often(seed):
    values = drawn(Draw((), [], "choose", [3.0, -1.0, 7.0, 0.0]), 16, seed)
    assert {value: values.count(value) for value in values} == {3: 4, -1: 4, 7: 4, 0: 4}


def test_two_dimensions_are_filled_together():
    """The first two dimensions are a (0, m, 2)-net: of 16 points one lies in each cell of a grid of 4 by 4."""
    square = {name: Draw((), [], "between", [0.0, 4.0]) for name in "xy"}
    values = drawn_values(square, 16, 1)
    cells = {(math.floor(x), math.floor(y)) for x, y in zip(values["x"], values["y"], strict=True)}
    assert len(cells) == 16


def test_more_worlds_keep_the_first_ones_and_another_seed_draws_others():
    draw = Draw((), [], "between", [0.0, 1.0])
    assert drawn(draw, 100)[:7] == drawn(draw, 7)
    assert not set(drawn(draw, 8, seed=1)) & set(drawn(draw, 8, seed=2))


# --- what they set ----------------------------------------------------------------------------------------------------


def test_a_world_has_the_same_knobs_in_every_regimen_and_keys_go_where_they_point():
    conditions = of().conditions
    assert [condition.name for condition in conditions[:5]] == [
        *(f"{regimen} world=0" for regimen in CONFIG["regimens"]),
        "hold_out world=1",
    ]
    assert len(conditions) == 8 * 4
    terms = list(of().task.terms)
    for world in range(8):
        hold_out, early, late, anti = conditions[4 * world : 4 * world + 4]
        assert hold_out.knobs == early.knobs == late.knobs == anti.knobs
        assert hold_out.coordinates == {"world": world}
        weight = early.coordinates["push"]
        assert late.coordinates == {"world": world, "push": weight}
        assert -0.08 <= hold_out.knobs["preference"] <= 0.08
        assert 0.1 <= weight <= 1
        until = {0.25: 1, 0.5: 2}[early.coordinates["end"]]
        pushed = [segment.weights[terms.index("test")] for segment in early.settings]
        assert pushed == [weight] * until + [0] * (4 - until)
        assert [segment.weights[terms.index("test")] for segment in late.settings] == [0, 0, weight, weight]
        assert anti.settings[0].weights[terms.index("test_linear")] == anti.coordinates["against"] < 0
    assert len({condition.knobs["preference"] for condition in conditions}) == 8


def test_a_sweep_and_worlds_cross():
    """Two values of a knob and three of a regimen's own axis, in two worlds."""
    config = {**CONFIG, "worlds": {**WORLDS, "count": 2}}
    sweep = {"target": [1, 2], "dose": {"key": "regimens.anti[0].weights.test", "values": [0, 1, 2]}}
    conditions = of(config, sweep=sweep).conditions
    assert len(conditions) == 2 * 2 * (3 + 3)
    assert conditions[3].name == "anti target=1 world=0 dose=0"
    assert conditions[3].coordinates["against"] == conditions[-1 - 6].coordinates["against"]


def test_neither_order_nor_a_round_trip_draws_other_worlds():
    turned = {
        **WORLDS,
        "knobs": dict(reversed(WORLDS["knobs"].items())),
        "keys": dict(reversed(WORLDS["keys"].items())),
    }
    experiment = of()
    assert of(worlds=turned).trains == experiment.trains
    assert from_values(experiment.as_json()).conditions == experiment.conditions
    assert of(worlds={**WORLDS, "seed": 6}).trains != experiment.trains
    assert "worlds" not in of({key: value for key, value in CONFIG.items() if key != "worlds"}).as_json()


@pytest.mark.parametrize(
    ("worlds", "problem"),
    [
        ({"count": 0}, "worlds.count: must be greater than or equal to 1, not 0"),
        ({"count": 2, "sed": 1}, "worlds.sed: unknown key; did you mean 'seed'?"),
        ({"knobs": {}}, "worlds.count: is required"),
        ({"count": 2, "knobs": {"depht": [2, 3]}}, "race has no knob 'depht'; did you mean 'depth'?"),
        ({"count": 2, "knobs": {"depth": [2, 30]}}, "worlds.knobs.depth: knobs.depth must lie in 1 to 10, not 30"),
        ({"count": 2, "knobs": {"depth": [3, 2]}}, "a range must rise, and 3 to 2 does not"),
        ({"count": 2, "knobs": {"preference": {"log": [-1, 1]}}}, "must lie above 0 or below, and -1 to 1 does not"),
        ({"count": 2, "knobs": {"depth": {"choose": [2, 2]}}}, "holds the same choice twice"),
        ({"count": 2, "knobs": {"depth": {}}}, "needs one of 'between', 'log', 'choose'"),
        (
            {"count": 2, "knobs": {"depth": 3}},
            "must be a range [low, high] or a mapping of 'between', 'log' or 'choose'",
        ),
        ({"count": 2, "knobs": {"depth": {"chose": [2]}}}, "depth.chose: unknown key; did you mean 'choose'?"),
        ({"count": 2, "keys": {"w": {"log": [1, 2]}}}, "worlds.keys.w.key: is required"),
        (
            {"count": 2, "keys": {"w": {"key": "weights.tset", "log": [1, 2]}}},
            "'weights.tset' cannot be drawn: race has no loss term 'tset'; did you mean 'test'?",
        ),
        (
            {"count": 2, "keys": {"w": {"key": "regimens.early[0].until", "between": [0, 1]}}},
            "an end of a phase is drawn by 'choose', from ends of segments",
        ),
        (
            {"count": 2, "keys": {"w": {"key": "regimens.early[0].until", "choose": [0.3]}}},
            "a phase ends at 0.3, where no segment ends; the nearest are 0.25 and 0.5",
        ),
        ({"count": 2, "keys": {"aligned": {"key": "weights.test", "log": [1, 2]}}}, "the name of something else"),
        (
            {
                "count": 2,
                "knobs": {"preference": [0, 0.1]},
                "keys": {"preference": {"key": "weights.test", "log": [1, 2]}},
            },
            "worlds.keys.preference: is the name of a knob; choose another",
        ),
        ({"count": 50_000}, "worlds: stands for more than the limit of 100,000 conditions"),
    ],
)
def test_worlds_that_cannot_be_drawn_are_refused_in_words(worlds, problem):
    said = problems(json.dumps({**CONFIG, "worlds": worlds}))
    assert any(problem in line for line in said), said


def test_what_is_wrong_in_many_worlds_for_one_reason_is_one_line_with_key_line_and_value():
    """Of 64 worlds 16 take each of four ends; 0.3 and 0.6 are none of segments, which end at every quarter."""
    text = """name: drawn
task: race
seeds: 12
training: {steps: 40, segments: 4}
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.5}, {until: 1}]
worlds:
  count: 64
  knobs:
    depth: [2, 30]
    detectability: {choose: [0, -1]}
  keys:
    end:
      key: regimens.early[0].until
      choose: [0.25, 0.3, 0.5, 0.6]
"""
    depth = "file.yaml:11: worlds.knobs.depth: knobs.depth must lie in 1 to 10, not 30"
    visible = "file.yaml:12: worlds.knobs.detectability: knobs.detectability must lie in 0 to 10, not -1"
    assert problems(text) == [depth, visible]
    inside = text.replace("[2, 30]", "[2, 3]").replace("-1", "1")
    where = "file.yaml:16: worlds.keys.end.choose: early with end ="
    assert sorted(problems(inside)) == [
        f"{where} 0.3: a phase ends at 0.3, where no segment ends; the nearest are 0.25 and 0.5",
        f"{where} 0.6: a phase ends at 0.6, where no segment ends; the nearest are 0.5 and 0.75",
    ]


def test_what_is_wrong_in_every_world_is_said_of_its_regimen_or_its_sweep():
    """Nothing that is drawn is at fault."""
    worlds = {"count": 8, "knobs": {"preference": [-0.08, 0.08]}}
    fixed = {**CONFIG["regimens"], "late": [{"until": 0.3}, {"until": 1}]}
    (line,) = problems(json.dumps({**CONFIG, "worlds": worlds, "regimens": fixed}))
    assert "regimens.late: a phase ends at 0.3, where no segment ends" in line
    sweep = {"onset": {"key": "regimens.late[0].until", "values": [0.25, 0.3]}}
    (line,) = problems(json.dumps({**CONFIG, "worlds": worlds, "sweep": sweep}))
    assert "sweep.onset: late with onset = 0.3: a phase ends at 0.3, where no segment ends" in line


def test_worlds_times_seeds_have_a_limit():
    lines = problems(json.dumps({**CONFIG, "worlds": {**WORLDS, "count": 20_000}, "seeds": 10_000}))
    assert any("80000 conditions x 10,000 seeds exceed the limit of 100,000,000 runs" in line for line in lines)


def test_what_is_swept_is_not_drawn_as_well():
    lines = problems(json.dumps({**CONFIG, "sweep": {"depth": [2, 3]}}))
    assert any("worlds.knobs.depth: 'knobs.depth' is swept already" in line for line in lines)
    lines = problems(json.dumps({**CONFIG, "sweep": {"world": {"key": "knobs.target", "values": [1, 2]}}}))
    assert any("results call worlds 'world'" in line for line in lines)


# --- trained like any other condition ---------------------------------------------------------------------------------


def scores(results):
    """Name of a condition -> all its scores."""
    return {
        str(name): [results[score].values[index].tolist() for score in results]
        for index, name in enumerate(results.condition.values)
    }


def test_a_world_is_what_its_values_written_by_hand_are(tmp_path):
    results = shards.results(engine.run(of(), tmp_path / "worlds"))
    _, early, _, anti = of().conditions[20:24]
    by_hand = {key: value for key, value in CONFIG.items() if key != "worlds"} | {"knobs": early.knobs}
    until, weight = early.coordinates["end"], early.coordinates["push"]
    by_hand["regimens"] = {
        "hold_out": [{"until": 1}],
        "early": [{"until": until, "weights": {"test": weight}}, {"until": 1}],
        "late": [{"until": 0.5}, {"until": 1, "weights": {"test": weight}}],
        "anti": [{"until": 1, "weights": {"test_linear": anti.coordinates["against"]}}],
    }
    one = scores(shards.results(engine.run(of(by_hand), tmp_path / "one")))
    worlds = scores(results)
    assert one == {regimen: worlds[f"{regimen} world=5"] for regimen in one}
    assert results["push"].values[21] == weight
    assert summary.places(results)[21] == ("early", {"world": 5, "push": weight, "end": until})


def test_workers_a_resumed_run_and_one_run_give_the_same_models(tmp_path):
    plain = scores(shards.results(engine.run(of(), tmp_path / "plain")))
    folder = tmp_path / "workers"
    with lock(folder):
        engine.prepare(of(), folder)
    for rank in (1, 0):
        distributed.work(folder, rank, 2)
    assert scores(shards.results(Run(folder))) == plain
    engine.run(of().with_seeds(5), tmp_path / "resumed")
    assert scores(shards.results(engine.run(of(), tmp_path / "resumed"))) == plain


def test_a_stopping_rule_an_export_and_a_table_know_worlds(tmp_path, capsys):
    config = {**CONFIG, "worlds": {**WORLDS, "count": 3}, "stop": {"of": "base_rate", "width": 1, "looks": 3}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert cli.main(["run", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["seeds"]["count"] == 4
    capsys.readouterr()
    assert cli.main(["show", str(tmp_path / "run"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["conditions"]
    assert [row["coordinates"]["world"] for row in shown] == [0] * 4 + [1] * 4 + [2] * 4
    assert all(
        row["log_impact"]["baseline"] == f"hold_out world={row['name'][-1]}" for row in shown if row["log_impact"]
    )
    parquet = pytest.importorskip("pyarrow.parquet")
    assert cli.main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "tables")]) == 0
    rows = parquet.read_table(tmp_path / "tables" / "conditions.parquet").to_pylist()
    by_name = {condition.name: condition for condition in of(config).conditions}
    for row in rows:
        condition = by_name[row["condition"]]
        assert row["knob_depth"] == condition.knobs["depth"]
        assert row["axis_push"] == condition.coordinates.get("push")
        assert row["axis_world"] == condition.coordinates["world"]
    models = parquet.read_table(tmp_path / "tables" / "models.parquet").to_pylist()
    assert [row["condition"] for row in models] == [row["condition"] for row in rows for _ in range(4)]
