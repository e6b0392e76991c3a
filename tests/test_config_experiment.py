import copy
import json
import math
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.config import experiment as config
from lab.config.experiment import ConfigError, parse
from lab.config.schema import RESERVED
from lab.config.source import read_yaml
from lab.results import outcomes
from lab.tasks import TASKS
from lab.tasks.settings import stacked
from tests import hand_made

CONFIGS = Path(__file__).parent.parent / "configs"

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
    assert len(texts) > 50
    for seed in range(1000):
        rng = random.Random(seed)
        text = rng.choice(texts)
        text = with_odd_text(rng, text) if seed % 3 else with_odd_values(rng, read_yaml(text, "file").data)
        try:
            parse(text, "file.yaml")
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
    from lab.config.experiment import Stop
    from lab.statistics import QUANTITIES

    assert set(Stop.model_fields["of"].annotation.__args__) == {"net", *QUANTITIES}


# --- keys are text as written -----------------------------------------------------------------------------------------


def test_keys_are_what_is_written():
    words = ["61e9540", "12e4567", "01", "1", "010", "0x1F", "0o7", "1_0", "True", "true", "null", "no", "2026-01-01"]
    regimens = "".join(f"  {word}: [{{until: 1}}]\n" for word in words)
    text = GOOD.partition("regimens")[0] + "regimens:\n" + regimens
    assert [condition.name for condition in parse(text).conditions] == words
    for word in words:
        for written in (f"'{word}'", f'"{word}"', *([word] if word != "null" else [])):
            assert parse(text + f"baseline: {written}\n").baseline == word
    (line,) = problems(text + "baseline: null\n")
    assert line.endswith("baseline: null is nothing here: write 'null' for the regimen of that name")
    (line,) = problems(text + "baseline: 2\n")
    assert ": baseline: no regimen '2'; " in line


@pytest.mark.parametrize(
    ("written", "name"), [("2026", "2026"), ("010", "010"), ("0x1F", "0x1F"), ("true", "true"), ("1e3", "1e3")]
)
def test_a_name_is_what_is_written(written, name):
    experiment = parse(GOOD.replace("name: good", f"name: {written}\nquestion: {written}"))
    assert (experiment.name, experiment.config.question) == (name, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: good", "name:"), "name: must be a valid string, not None"),
        (("name: good", "name: 1.50"), "name: '1.50' is not a name: use letters, digits, '-' and '_' (at most 64)"),
        (("seeds: 8", "seeds: 8\nproxy: 1"), "proxy: scratchpad has no proxy '1'; known: "),
        (("seeds: 8", "seeds: 8\nproxy: {a: 1}"), "proxy: must be a valid string, not {'a': 1}"),
        (("scratchpad", "1"), "task: unknown task '1'; known: race, reasoner, scratchpad, shortcut"),
        (("scratchpad", "[race]"), "task: must be a name or a mapping with 'name' or 'file', not ['race']"),
        (("scratchpad", "{width: 8}"), "task: needs 'name' or 'file'"),
        (("scratchpad", "{name: scratchpad, width: [8]}"), "task.width: must be a number, a word, true or false"),
        (
            ("task: scratchpad", "knobs: {detection_difficulty: 2}\ntask: {name: scratchpad, context_bits: 9}"),
            "task: context_bits must lie in 1 to 3",
        ),
        (("seeds: 8", "seeds: {first: -1, count: 2}"), "seeds.first: must be greater than or equal to 0, not -1"),
        (("seeds: 8", "seeds: [8]"), "seeds: must be a whole number or a mapping with 'count', not [8]"),
        (
            ("seeds: 8", "seeds: 8\nsweep: {preference: [.nan]}"),
            "sweep.preference[0]: must be a finite number, not nan",
        ),
        (
            ("seeds: 8", "seeds: 8\nsweep: {preference: 1}"),
            "sweep.preference: must be a list of values or a mapping of",
        ),
        (("seeds: 8", "seeds: 8\nsweep: {x: {key: 1, values: [1]}}"), "sweep.x.key: '1' cannot be swept"),
        (("seeds: 8", "seeds: 8\nsweep: {x: {key: [1, 2]}}"), "sweep.x.values: is required"),
        (
            ("seeds: 8", "seeds: 8\ntraining: {segments: {}}"),
            "segments: must be a whole number or a list of ends, not {}",
        ),
        (("seeds: 8", "seeds: 8\ntraining: {segments: [2]}"), "training.segments[0]: must be less than or equal to 1"),
        (("seeds: 8", "seeds: 8\nknobs: {preference: .nan}"), "knobs.preference: must be a finite number, not nan"),
        (("seeds: 8", 'seeds: 8\n\nquestion: "\\ud800"'), "half of a pair of surrogates, which is no character"),
        (("seeds: 8", 'seeds: 8\n\nquestion: "\\UFFFFFFFF"'), "not YAML: an escape that is no character"),
        (("seeds: 8", "seeds: 8\nstop: {width: -_}"), "stop.width: '-_' is not a number"),
        (("until: 0.1,", "untill: 0.1,"), "regimens.early[0].untill: unknown key; did you mean 'until'?"),
        (("until: 0.1", "until: 0.9}, {until: 0.5"), "ends at 0.5, before the phase above it, which ends at 0.9"),
        (("early:", "int:"), None),
        (("early: [{until: 0.1", "int: [{until: 2"), "regimens.int[0].until: must be less than or equal to 1, not 2"),
        (
            ("early: [{until: 0.1", "Phase: [{until: 2"),
            "regimens.Phase[0].until: must be less than or equal to 1, not 2",
        ),
    ],
)
def test_one_mistake_is_one_line(change, message):
    assert change[0] in GOOD
    text = GOOD.replace(*change)
    if message is None:
        parse(text)
        return
    (line,) = problems(text)
    end = text.index(change[1]) + len(change[1])  # every mistake is on the last line of what was changed
    assert line.startswith(f"file.yaml:{1 + text[:end].count(chr(10))}: ")
    assert message in line


def test_repeated_keys_are_compared_as_text():
    text = GOOD.partition("regimens")[0] + "regimens:\n  01: [{until: 1}]\n  1: [{until: 1}]\n  '1': [{lasts: 7}]\n"
    assert problems(text) == ["file.yaml:7: regimens.1: given twice, the second time on line 8"]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("%YAML 1.1\n---\n", "file.yaml:1: YAML 1.1 is not supported, only 1.2: take that line away"),
        ("# why\n%YAML 1.3 # new\n---\n", "file.yaml:2: YAML 1.3 is not supported, only 1.2: take that line away"),
        ("%YAML 2.0\n---\n", "file.yaml:1: YAML 2.0 is not supported, only 1.2: take that line away"),
        ("%TAG ! x\n---\n", "file.yaml:1: directives (%TAG) are not supported: a config is plain data"),
    ],
)
def test_another_version_of_yaml_is_refused_by_name(head, message):
    assert problems(head + GOOD) == [message]
    assert parse("%YAML 1.2\n---\n" + GOOD).hash == parse(GOOD).hash


def test_json_of_any_character_is_read_as_it_was():
    """JSON writes what is beyond 16 bits as two escapes, which YAML would take for two characters."""
    assert parse(json.dumps({**RICH, "question": "😀 é \x85"})).config.question == "😀 é \x85"


# --- one name, one condition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, -0.0], "holds the same value twice"),
        ([0.3, 0.1 + 0.2], "0.3 and 0.30000000000000004 are the same number in float32, in which models are trained"),
        ([0, 1e-50], "0.0 and 1e-50 are the same number in float32, in which models are trained"),
        # around the middle between 1 and the next float32, which is 1 + 2^-23: rounded down and up
        ([1 + 2**-24, math.nextafter(1 + 2**-24, 2)], "would have the same name, which has 12 digits"),
    ],
)
def test_values_that_cannot_be_told_apart_are_refused(values, message):
    (line,) = problems(GOOD + f"sweep: {{w: {{key: weights.audit, values: {json.dumps(values)}}}}}\n")
    assert line.startswith("file.yaml:8: sweep.w: ")
    assert line.endswith(message)


NEAR = st.builds(lambda at, ulps: at + ulps * math.ulp(at), st.sampled_from([0.1, 0.3, 1 + 2**-24]), st.integers(-2, 2))
VALUES = st.lists(NEAR | st.sampled_from([0.0, -1.0, 1e-7, 0.1234567, 0.12345678]), min_size=1, max_size=3)
KEYS = ["weights.audit", "training.learning_rate", "regimens.a[0].weights.test", "regimens.b-a[0].weights.control"]
KEYS += ["regimens.a[0].rates.all", "knobs.preference"]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["a", "x", "x-1", "x_1", "b"]), st.sampled_from(KEYS), VALUES), max_size=3))
def test_names_tell_all_conditions_apart_and_so_does_training(axes):
    sweep = {label: {"key": key, "values": values} for label, key, values in axes}
    regimens = {name: [{"until": 1}] for name in ("a", "b-a", "b")}
    regimens["b"][0]["weights"] = {"push": 0.5}
    regimens["b-a"][0]["weights"] = {"push": 0.25}
    try:
        experiment = parse(json.dumps({"name": "n", "task": "race", "seeds": 1, "regimens": regimens, "sweep": sweep}))
    except ConfigError:
        return
    conditions = experiment.conditions
    assert len({condition.name for condition in conditions}) == len(conditions)
    trained = {tuple(leaf.tobytes() for leaf in stacked(condition.settings)) for condition in conditions}
    assert len(trained) == len(conditions)
    for condition in conditions:
        regimen, *places = condition.name.split(" ")
        assert regimen == condition.regimen
        assert places == [f"{label}={value:.12g}" for label, value in condition.coordinates.items()]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("{cue_cost: {key: knobs.preference, values: [0]}}", "is the name of a knob that it does not sweep"),
        ("{x: {key: 'regimens.early[00].until', values: [0]}}", "'regimens.early[00].until' cannot be swept"),
        ("{x: {key: 'regimens.early[\u0660].until', values: [0]}}", "cannot be swept"),
        ('{x: {key: "knobs.preference\\n", values: [0]}}', "cannot be swept"),
    ],
)
def test_two_things_have_two_names_and_one_thing_has_one(sweep, message):
    (line,) = problems(GOOD + f"sweep: {sweep}\n")
    assert message in line


def test_an_axis_may_have_the_name_of_the_knob_that_it_sweeps_in_a_phase():
    text = GOOD + "sweep: {cue_cost: {key: 'regimens.early[0].knobs.cue_cost', values: [0, 1]}}\n"
    assert [condition.name for condition in parse(text).conditions] == [
        "hold_out",
        "early cue_cost=0",
        "early cue_cost=1",
    ]


def test_names_that_results_need_are_reserved(tmp_path):
    """Whatever a run's results hold beside scores and axes: a new coordinate or flag must be reserved too."""
    run = hand_made.made(tmp_path / "run", [(0.5, "test", 0.2)], stop_rejected=True, without={(1, 6)})
    results = outcomes.results(run, partial=True)
    axes = run.manifest["config"]["sweep"].keys()
    held = {str(name) for name in (*results.coords, *results.dims, *outcomes.classify(results).variables)} - axes
    assert {"condition", "seed", "trained", "stopped", "spent", "passes", "unjudged"} < held <= set(RESERVED)
    for name in RESERVED:
        (line,) = problems(GOOD + f"sweep: {{{name}: {{key: knobs.cue_cost, values: [0, 1]}}}}\n")
        assert line.endswith(f"sweep.{name}: is the name of something else in the results; choose another")
    for task in TASKS.values():
        assert not set(RESERVED) & set(task.scores)


# --- what is huge -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "1" * 5000, "0x" + "f" * 20_000, "0." + "1" * 5000])
@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("seeds: 8", "seeds: NUMBER"), "seeds"),
        (("seeds: 8", "seeds: {first: NUMBER, count: 1}"), "seeds.first"),
        (("seeds: 8", "seeds: 8\nknobs: {preference: NUMBER}"), "knobs.preference"),
        (("seeds: 8", "seeds: 8\nthresholds: {test: NUMBER}"), "thresholds.test"),
        (("seeds: 8", "seeds: 8\nsweep: {preference: [0, NUMBER]}"), "sweep.preference[1]"),
        (("seeds: 8", "seeds: 8\nnobody: {knows: NUMBER}"), "nobody.knows"),
        (("until: 0.1", "until: NUMBER"), "regimens.early[0].until"),
    ],
)
def test_a_number_of_thousands_of_digits_is_refused_with_its_line(number, change, key):
    text = GOOD.replace(change[0], change[1].replace("NUMBER", number))
    line = 1 + next(at for at, line in enumerate(text.splitlines()) if number in line)
    assert problems(text) == [f"file.yaml:{line}: {key}: a number of {len(number):,} characters; the limit is 1,000"]


def test_a_swept_phase_of_thousands_of_digits_is_not_there():
    (line,) = problems(GOOD + f"sweep: {{x: {{key: 'regimens.early[{'1' * 5000}].until', values: [0]}}}}\n")
    assert line.startswith("file.yaml:8: sweep.x.key: 'regimens.early[111")
    assert "cannot be swept: there is no phase regimens.early[111" in line
    assert len(line) < 300


HUGE = "name: huge\ntask: race\nseeds: 8\nregimens:\n  hold_out: [{until: 1}]\n"


def test_many_problems_are_counted_and_fifty_are_listed():
    found = problems(HUGE + "knobs:\n" + "".join(f"  k{index}: 1\n" for index in range(16_000)))
    assert len(found) == 51
    for index, line in enumerate(found[:-1]):
        assert line.startswith(f"file.yaml:{7 + index}: knobs.k{index}: race has no knob 'k{index}'; known: ")
    assert found[-1] == "file.yaml: and 15,950 more"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            HUGE + "sweep:\n  depth: [" + "1," * 490_000 + "]\n",
            "7: holds more than the limit of 50,000 keys and values",
        ),
        # before these 14 keys and values; a key and a value each; so line 6 + 24,994 begins with number 50,001
        (
            HUGE + "knobs:\n" + "".join(f" k{index}: 1\n" for index in range(70_000)),
            "24999: holds more than the limit of 50,000 keys and values",
        ),
        # before these 7; 5 each, of which the 9,999th ends with number 50,002
        (
            HUGE.partition("  hold")[0] + "".join(f" r{index}: [{{until: 1}}]\n" for index in range(40_000)),
            "10003: holds more than the limit of 50,000 keys and values",
        ),
        (
            HUGE + "sweep: {depth: [" + "1, " * 10_001 + "1]}",
            "6: sweep: stands for more than the limit of 10,000 conditions",
        ),
        (HUGE + "# " + "x" * 1_000_000, " larger than the limit of 1,000,000 bytes"),
        (HUGE + "'" + "x" * 500_000 + "': 1\n", "6: not YAML: could not find expected ':'"),
        (HUGE + "question: !" + "x" * 900_000, "6: tags (!" + "x" * 59 + ") are not supported: a config is plain data"),
        (HUGE + "- " * 400_000, "6: not YAML: "),
        (HUGE + "question: " + "[" * 400_000, "6: nested deeper than the limit of 20 levels"),
    ],
    ids=["numbers", "knobs", "regimens", "values", "bytes", "key", "tag", "dashes", "depth"],
)
def test_what_is_huge_is_refused_with_its_line(text, problem):
    assert any(line.startswith(f"file.yaml:{problem}") for line in problems(text))


def test_a_sweep_of_too_many_phases_is_refused_before_it_is_expanded():
    phases = [{"until": (index + 1) / 20} for index in range(20)]
    many = {**RICH, "regimens": {"a": phases, "b": phases}, "training": {"steps": 100}}
    many["sweep"] = {"cue_cost": [index / 5000 for index in range(5_000)]}
    assert problems(json.dumps(many)) == [
        "file.yaml:1: sweep: stands for more than the limit of 100,000 phases in all conditions"
    ]
    many["regimens"] = {"a": [{"until": 1}] * 1001, "b": [{"until": 1}]}
    assert problems(json.dumps(many)) == ["file.yaml:1: regimens.a: must hold at most 1,000 entries"]


def test_axes_of_different_regimens_do_not_multiply():
    regimens = {f"r{index}": [{"until": 0.5}, {"until": 1}] for index in range(5)}
    key = "regimens.{}[0].weights.test"
    sweep = {f"w{name}": {"key": key.format(name), "values": list(range(20))} for name in regimens}
    assert len(parse(json.dumps({**RICH, "baseline": "r0", "regimens": regimens, "sweep": sweep})).conditions) == 5 * 20


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("name: a\nquestion: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: not UTF-8 at byte 18"):
        config.load(tmp_path / "latin.yaml")
    for path in (tmp_path, tmp_path / "none.yaml", "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            config.load(path)
