import copy
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import config
from lab.config import ConfigError, parse
from lab.tasks import TASKS

GOOD = """
name: good
task: scratchpad
seeds: 8
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.1, weights: {test: 0.01}}, {until: 1}]
"""


def problems(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, "file.yaml")
    return caught.value.problems


def test_five_mistakes_are_listed_at_once_with_line_key_and_suggestion():
    text = """name: bad
task: scratchpad
seedz: 8
seeds: many
knobs: {preference: 0}
knobs: {detectability: 1}
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.1, weights: {tset: 1}}, {until: 0.9}]
"""
    found = "\n".join(problems(text))
    assert "file.yaml:3: seedz: unknown key; did you mean 'seeds'?" in found
    assert "file.yaml:4: seeds: must be a valid integer" in found
    assert "file.yaml:5: knobs: given twice, the second time on line 6" in found
    assert "regimens.early[0].weights.tset: scratchpad has no loss term 'tset'; did you mean 'test'?" in found
    assert "regimens.early[1]: the last phase must end at 1, not 0.9" in found


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("seeds: 8", "seeds: 0"), "seeds"),
        (("seeds: 8", "seeds: 1.5"), "seeds"),
        (("seeds: 8", "seeds: {first: -1, count: 8}"), "seeds.first"),
        (("seeds: 8", "seeds: 8\nthresholds: {test: 1.5}"), "thresholds.test"),
        (("seeds: 8", "seeds: 8\nthresholds: {tests: 0.5}"), "thresholds.tests"),
        (("seeds: 8", "seeds: 8\nproxy: exam"), "proxy"),
        (("seeds: 8", "seeds: 8\nbaseline: none"), "baseline"),
        (("seeds: 8", "seeds: 8\nknobs: {preference: .nan}"), "knobs.preference"),
        (("seeds: 8", "seeds: 8\nknobs: {preference: .inf}"), "knobs.preference"),
        (("seeds: 8", "seeds: 8\nknobs: {preference: 99}"), "knobs.preference"),
        (("seeds: 8", "seeds: 8\nknobs: {detection_difficulty: 2}"), "knobs.detection_difficulty"),
        (("seeds: 8", "seeds: 8\ntraining: {segments: 7}"), "training.segments"),
        (("seeds: 8", "seeds: 8\ntraining: {segments: [0.5, 0.25, 1]}"), "training.segments"),
        (("seeds: 8", "seeds: 8\ntraining: {optimizer: lion}"), "training.optimizer"),
        (("seeds: 8", "seeds: 8\nsweep: {preference: []}"), "sweep.preference"),
        (("seeds: 8", "seeds: 8\nsweep: {preference: [0, 0]}"), "sweep.preference"),
        (("seeds: 8", "seeds: 8\nsweep: {preferense: [0]}"), "sweep.preferense"),
        (("seeds: 8", "seeds: 8\nsweep: {x: {key: 'regimens.late[0].until', values: [0]}}"), "sweep.x.key"),
        (("seeds: 8", "seeds: 8\nsweep: {x: {key: 'training.steps', values: [1]}}"), "sweep.x.key"),
        (("seeds: 8", "seeds: 8\nsweep: {test: {key: knobs.cue_cost, values: [0]}}"), "sweep.test"),
        (("seeds: 8", "seeds: 8\nsweep: {x: {key: [], values: [0]}}"), "sweep.x.key"),
        (("seeds: 8", "seeds: 8\nsweep: {cue_cost: [0], x: {key: knobs.cue_cost, values: [0]}}"), "sweep.x.key"),
        (("seeds: 8", "seeds: 8\nproxy: 2026-01-01"), "proxy"),
        (("seeds: 8", "seeds: 8\nconfidence: 1e-300"), "confidence"),
        (("name: good", "name: ../up"), "name"),
        (("name: good", "name: /etc"), "name"),
        (("name: good", 'name: "a\\nb"'), "name"),
        (("name: good", "name: $(rm)"), "name"),
        (("task: scratchpad", "task: skratchpad"), "task"),
        (("task: scratchpad", "task: {name: scratchpad, widht: 3}"), "task.widht"),
        (("task: scratchpad", "task: {name: scratchpad, symbols: 9}"), "task"),
        (("early:", "ear ly:"), "regimens.ear ly"),
        (("until: 0.1", "until: 0.12"), "regimens.early"),
        (("until: 0.1", "until: 0.1, lasts: 0.1"), "regimens.early[0]"),
        (("{until: 0.1, ", "{until: 1}, {until: 0.5, "), "regimens.early[1]"),
    ],
)
def test_every_mistake_names_its_key(change, key):
    assert change[0] in GOOD
    found = problems(GOOD.replace(*change))
    assert any(line.split(": ")[1] == key for line in found), found
    assert all(line.startswith("file.yaml:") for line in found)


def test_the_message_says_which_phase_ends_fit():
    (line,) = problems(GOOD.replace("until: 0.1", "until: 0.12"))
    assert "the nearest are 0.1 and 0.15" in line


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: &x 1\nb: *x\n", "aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", "tags"),
        ("a: " + "[" * 100_000, "nested"),
        ("a: b: c\n", "not YAML"),
        ("", "mapping"),
        ("- 1\n", "mapping"),
        ("\x00", "not YAML"),
        ("? [a, b]\n: 1\n", "plain name"),
    ],
)
def test_hostile_yaml_is_refused_quickly(text, word):
    started = time.monotonic()
    assert word in problems(text)[0]
    assert time.monotonic() - started < 20


def test_a_huge_sweep_is_refused_before_it_is_expanded():
    axes = "\n".join(
        f"  {knob}: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]" for knob in list(TASKS["race"].knobs)[2:]
    )
    text = GOOD.replace("scratchpad", "race") + "sweep:\n" + axes
    assert any("limit of 10,000 conditions" in line for line in problems(text))
    assert any("limit of 100,000,000 runs" in line for line in problems(GOOD.replace("seeds: 8", "seeds: 99999999")))


def test_a_huge_file_is_refused(tmp_path):
    path = tmp_path / "huge.yaml"
    path.write_text("#" * 2_000_000)
    with pytest.raises(ConfigError, match="larger than the limit"):
        config.load(path)


def test_numbers_read_as_yaml_1_2():
    text = GOOD.replace("seeds: 8", "seeds: 8\nknobs: {preference: 1e-3}").replace("test: 0.01", "test: 1e-2")
    experiment = parse(text)
    assert experiment.conditions[0].knobs["preference"] == 0.001
    assert experiment.conditions[1].settings[0].weights[list(TASKS["scratchpad"].terms).index("test")] == 0.01


def test_a_sweep_applies_where_its_key_points():
    text = (
        GOOD
        + """sweep:
  preference: [-0.1, 0.1]
  weight: {key: "regimens.early[0].weights.test", values: [0, 0.5]}
"""
    )
    names = [condition.name for condition in parse(text).conditions]
    assert names == [
        "hold_out preference=-0.1",
        "early preference=-0.1 weight=0",
        "early preference=-0.1 weight=0.5",
        "hold_out preference=0.1",
        "early preference=0.1 weight=0",
        "early preference=0.1 weight=0.5",
    ]


def test_phases_fill_the_segments_they_cover():
    text = GOOD.replace(
        "{until: 1}]\n  early",
        "{until: 1}]\n  push: [{until: 0.05}, {lasts: 0.1, weights: {test: 2}}, {until: 1}]\n  early",
    )
    push = next(condition for condition in parse(text).conditions if condition.regimen == "push")
    test = list(TASKS["scratchpad"].terms).index("test")
    assert [settings.weights[test] for settings in push.settings] == [0, 2, 2] + [0] * 17
    assert all(settings.weights[0] == 1 for settings in push.settings)


def test_the_hash_sees_content_and_not_layout():
    plain = parse(GOOD)
    assert parse("# a comment\n" + GOOD.replace("{until: 1}]", "{ until: 1.0 }]")).hash == plain.hash
    assert parse(GOOD.replace("test: 0.01", "test: 0.02")).hash != plain.hash
    assert parse(GOOD.replace("seeds: 8", "seeds: 8\nthresholds: {test: 0.5}")).hash != plain.hash
    assert plain.with_seeds(8).hash == plain.hash != plain.with_seeds(9).hash


RICH = {
    "name": "rich",
    "question": "why",
    "task": {"name": "scratchpad", "width": 8},
    "knobs": {"preference": 0.1},
    "weights": {"precursor": 0.1},
    "training": {"steps": 100, "optimizer": "sgd", "learning_rate": 0.1, "segments": [0.1, 0.5, 1]},
    "seeds": {"first": 3, "count": 4},
    "proxy": "test",
    "thresholds": {"test": 0.5},
    "confidence": 0.9,
    "baseline": "a",
    "regimens": {
        "a": [{"until": 1}],
        "b": [{"lasts": 0.1, "weights": {"test": 1}, "knobs": {"cue_cost": 1}}, {"until": 1}],
    },
    "sweep": {"cue_cost": [0, 1], "w": {"key": "regimens.b[0].weights.test", "values": [0, 1]}},
}
ODD = [
    None,
    True,
    -1,
    0,
    2,
    0.5,
    1e308,
    10**400,
    float("nan"),
    "",
    "test",
    "x.y",
    "../..",
    [],
    [[]],
    {},
    {"a": {}},
    ["a", 1],
]


def places(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(list(places(RICH))), st.sampled_from(ODD)), min_size=1, max_size=3))
def test_whatever_is_wrong_is_said_and_never_a_traceback(changes):
    config = copy.deepcopy(RICH)
    for path, odd in changes:
        if not path:
            config = copy.deepcopy(odd)
            continue
        try:
            target = config
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = copy.deepcopy(odd)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    try:
        parse(json.dumps(config))
    except ConfigError as error:
        assert error.problems
        assert all(line.startswith("config:") for line in error.problems)


def test_the_config_of_that_fuzzing_is_a_good_one():
    assert len(parse(json.dumps(RICH)).conditions) == 2 * (1 + 2)


def test_the_schema_is_json():
    schema = config.Config.model_json_schema()
    assert json.loads(json.dumps(schema))["required"] == ["name", "task", "seeds", "regimens"]


def test_every_config_of_the_project_loads(pytestconfig):
    paths = sorted((pytestconfig.rootpath / "configs").rglob("*.yaml"))
    assert len(paths) >= 4
    for path in paths:
        assert config.load(path).name == path.stem
        head = path.read_text().splitlines()
        for word in ("# Claim:", "# Command:", "# Expected:", "# Cost:"):
            assert any(line.startswith(word) for line in head), (path, word)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{}", "stop: needs either 'width' or 'decided'"),
        ("{width: 0.1, decided: planned_looks}", "stop: needs either 'width' or 'decided'"),
        ("{width: 0}", "stop.width: must be greater than 0, not 0"),
        ("{width: 0.1, of: base_rat}", "stop.of: must be"),
        ("{decided: planned_looks, of: base_rate}", "net or likelihood_ratio can be decided, not base_rate"),
        ("{width: 0.1, look: 3}", "did you mean 'looks'?"),
        ("{decided: soon}", "stop.decided: must be"),
    ],
)
def test_a_rule_for_stopping_that_makes_no_sense_is_named(rule, expected):
    (line,) = problems(GOOD + f"stop: {rule}\n")
    assert expected in line


def test_net_needs_something_to_compare_with():
    text = "name: a\ntask: race\nseeds: 8\nstop: {width: 0.1}\nregimens:\n  hold_out: [{until: 1}]\n"
    assert problems(text) == ["file.yaml:4: stop.of: net compares regimens, and there is only one"]


def test_looks_are_whole_blocks_and_end_at_the_last_seed():
    experiment = parse(GOOD.replace("seeds: 8", "seeds: 1000") + "stop: {decided: planned_looks}\n")
    assert experiment.looks(64) == [256, 448, 640, 832, 1000]  # 200, 400, ... in blocks of 64
    assert experiment.looks(1024) == [1000]
    assert parse(GOOD).looks(64) == [8]


def test_a_rule_for_stopping_makes_another_run_and_none_leaves_the_hash():
    plain = parse(GOOD)
    assert plain.with_stop(width=0.5).hash != plain.hash
    assert plain.with_stop(width=0.5).with_stop().hash == plain.hash


def test_every_quantity_with_an_interval_can_stop_a_run():
    from lab.config import Stop
    from lab.statistics import QUANTITIES

    assert set(Stop.model_fields["of"].annotation.__args__) == {"net", *QUANTITIES}
