"""A config means what is written, and what is wrong with it is said with line and key."""

import copy
import json
import math
import random
import re
from pathlib import Path

import pytest

from lab.config import experiment as config
from lab.config.experiment import ConfigError, load, parse
from lab.config.source import MAX_DEPTH, _Builder, read_yaml, tasks_in
from lab.tasks import TASKS
from tests.config_text import GOOD, RICH, problems

CONFIGS = Path(__file__).parent.parent / "configs"


def test_a_knob_that_came_later_is_part_of_a_hash_only_where_it_is_turned():
    text = "name: x\ntask: scratchpad\nseeds: 4\nregimens: {hold_out: [{until: 1}]}\n"
    plain, same, other = map(parse, (text, f"{text}knobs: {{capability: 4096}}\n", f"{text}knobs: {{capability: 8}}\n"))
    assert plain.hash == same.hash != other.hash
    assert "capability" not in plain.as_json()["knobs"]
    assert other.as_json()["knobs"]["capability"] == 8


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
        (("early:", "~:"), "regimens.~"),
        (("early:", "1.0:"), "regimens.1.0"),
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
def test_hostile_yaml_is_refused_before_more_of_it_is_read_than_may_be_nested(monkeypatch, text, word):
    """Of 100,000 brackets one more is read than the limit, behind the whole and its key."""
    read, counted = [], _Builder.counted
    monkeypatch.setattr(_Builder, "counted", lambda builder, event: read.append(event) or counted(builder, event))
    assert word in problems(text)[0]
    assert len(read) <= MAX_DEPTH + 3


def test_a_huge_sweep_is_refused_before_it_is_expanded():
    axes = "\n".join(
        f"  {knob}: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]" for knob in list(TASKS["race"].knobs)[2:]
    )
    text = GOOD.replace("scratchpad", "race") + "sweep:\n" + axes
    assert any("limit of 100,000 conditions" in line for line in problems(text))
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


ODD = [
    *(None, True, False, -1, 0, 2, 0.5, -0.0, 1e308, 1e-320, 10**400, 2**64, math.nan, math.inf),
    *(
        "",
        "test",
        "x.y",
        "../..",
        "early",
        "a\nb",
        "\x1b[31m",
        "\ud83d",
        "😀",
        "1" * 5000,
        "(one)",
        "(mapping)",
        "[key]",
    ),
    *([], [[]], ["a", 1], [math.nan], {}, {"a": {}}, {"first": -1, "count": 2}, {"until": 1}, [{"until": 1}]),
    {"key": "knobs.preference", "values": [1]},
]
TOKENS = [
    *(
        "~",
        "null",
        "true",
        "no",
        "1:30",
        "010",
        "0x1F",
        "1_000",
        "-_",
        "0x_",
        ".nan",
        "-.inf",
        "1e999",
        "1.0",
        "2026-01-01",
    ),
    *"!|>-?:#'\"[]{},=@`%\\é😀\t\r\x00\x07\x85\u2028\ufeff",
    *("&a", "*a", "!!str", "%YAML", "---", "...", "<<", '"\\ud800"', '"\\UFFFFFFFF"', '"\\x00"', "%YAML 1.1\n---\n"),
    *("until", "lasts", "weights", "early", "regimens", "sweep", "seeds", "[.nan]", "{first: -1, count: 2}"),
    *("1" * 5000, "0x" + "f" * 20_000),
]


def places(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def with_odd_values(rng, data):
    """A config's data with one to three things in the place of others, as JSON."""
    data = copy.deepcopy(data)
    for _ in range(rng.randint(1, 3)):
        *above, last = rng.choice([path for path in places(data) if path])
        holder = data
        for key in above:
            holder = holder[key]
        odd = copy.deepcopy(rng.choice(ODD))
        if rng.random() < 0.8:
            holder[last] = odd
        elif isinstance(holder, dict):
            holder[str(odd)] = holder.pop(last)
        else:
            holder.append(odd)
    return json.dumps(data, indent=rng.choice((None, 1)), ensure_ascii=rng.random() < 0.5)


def with_odd_text(rng, text):
    """A config's text with one to four characters, lines, tokens or pieces changed."""
    for _ in range(rng.randint(1, 4)):
        at, lines, token = rng.randrange(len(text) + 1), text.split("\n"), rng.choice(TOKENS)
        line = rng.randrange(len(lines))
        words = list(re.finditer(r"[\w.+-]+|[^\s\w]", text)) or list(re.finditer("", text))
        word, other = rng.choice(words), rng.choice(words)
        text = rng.choice(
            [
                text[:at] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) + text[at + 1 :],
                text[:at] + text[at + rng.choice((1, 2, 50)) :],
                text[:at] + token + text[at:],
                text[: word.start()] + token + text[word.end() :],
                text[: word.start()] + other[0] + text[word.end() :],
                "\n".join([*lines[:line], *lines[line + 1 :]]),
                "\n".join([*lines[:line], lines[line], *lines[line:]]),
                "\n".join([*lines[:line], "  " + lines[line], *lines[line + 1 :]]),
                "\n".join([*lines[:line], lines[line][1:], *lines[line + 1 :]]),
            ]
        )
    return text


def test_whatever_is_wrong_is_said_with_a_line_that_exists_and_never_a_traceback():
    texts = [path.read_text() for path in sorted(CONFIGS.rglob("*.yaml")) if path.stat().st_size < 4000]
    texts.append(json.dumps(RICH, indent=1))
    assert len(texts) > 40
    for seed in range(1000):
        rng = random.Random(seed)
        text = rng.choice(texts)
        text = with_odd_text(rng, text) if seed % 3 else with_odd_values(rng, read_yaml(text, "file").data)
        try:
            parse(text, "file.yaml", task=rng.choice([None, "race", "scratchpad"]) if "tasks" in text else None)
        except ConfigError as error:
            last = len(re.split("\r\n|\r|\n", text))
            assert 0 < len(error.problems) <= config.MAX_LISTED + 1, seed
            for line in error.problems:
                assert line.isprintable() and len(line) < 3000, seed
                match = re.match(r"file\.yaml:([0-9]+): ", line)
                assert 1 <= int(match[1]) <= last if match else re.fullmatch(r"file\.yaml: and [0-9,]+ more", line), (
                    seed
                )


def test_the_config_of_that_fuzzing_is_a_good_one():
    assert len(parse(json.dumps(RICH)).conditions) == 2 * (1 + 2)


def test_the_schema_is_json():
    schema = config.Config.model_json_schema()
    assert json.loads(json.dumps(schema))["required"] == ["name", "task", "seeds", "regimens"]


def test_every_config_of_the_project_loads():
    paths = sorted(CONFIGS.rglob("*.yaml"))
    assert len(paths) >= 4
    for path in paths:
        text = path.read_text()
        tasks = tasks_in(read_yaml(text, str(path)))
        names = [config.load(path, task=task).name for task in tasks] if tasks else [config.load(path).name]
        assert names == ([f"{path.stem}_{task}" for task in tasks] or [path.stem])
        for word in ("# Claim:", "# Command:", "# Expected:", "# Cost:"):
            assert any(line.startswith(word) for line in text.splitlines()), (path, word)


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
    from lab.config.experiment import Stop
    from lab.statistics import QUANTITIES

    assert set(Stop.model_fields["of"].annotation.__args__) == {"net", *QUANTITIES}


@pytest.mark.parametrize("name", ["quickstart", "./quickstart", Path("quickstart")])
def test_a_built_in_config_is_meant_by_its_name_and_a_file_by_its_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text(GOOD)
    assert load(name).name == ("quickstart" if name == "quickstart" else "good")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("quickstrat", "did you mean 'quickstart'?"),
        ("configs/quickstart.yaml", "did you mean 'quickstart'?"),
        ("mine", "known: quickstart"),
    ],
)
def test_a_config_that_is_not_there_gets_the_nearest_built_in_one(name, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(name)
    assert caught.value.problems == [f"{name}: no such file, and no such built-in config; {meant}"]
