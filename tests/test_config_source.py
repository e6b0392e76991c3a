"""Keys are text as written; a file may hold the configs of several tasks, and what cannot be used is said."""

import json
import re
from pathlib import Path

import pytest

from lab.claims import names_with_counts
from lab.config.experiment import ConfigError, load, parse
from lab.config.source import read_yaml, select, tasks_in
from tests.config_text import GOOD, RICH, problems

ROOT = Path(__file__).parent.parent
SEVERAL = """\
name: both
seeds: {first: 10, count: 8}
knobs: {detectability: 2}
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.1, weights: {test: 1}}, {until: 1}]
tasks:
  race:
    knobs: {preference: 0.5}
    regimens:
      late: [{until: 0.5}, {until: 1, weights: {test: 1}}]
  shortcut:
    task: {model: mlp}
    seeds: {count: 4}
    regimens:
      early: [{until: 0.2, weights: {test: 1}}, {until: 1}]
  scratchpad: {}
"""


def test_the_config_of_a_task_is_what_is_common_with_what_the_task_changes_and_may_be_written_out():
    """Mappings are merged by key, what is common first; a list or a number takes the place of the common one."""
    written_out = {
        "race": """\
name: both_race
task: race
seeds: {first: 10, count: 8}
knobs: {detectability: 2, preference: 0.5}
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.1, weights: {test: 1}}, {until: 1}]
  late: [{until: 0.5}, {until: 1, weights: {test: 1}}]
""",
        "shortcut": """\
name: both_shortcut
task: {name: shortcut, model: mlp}
seeds: {first: 10, count: 4}
knobs: {detectability: 2}
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.2, weights: {test: 1}}, {until: 1}]
""",
    }
    for task, text in written_out.items():
        chosen, alone = parse(SEVERAL, task=task), parse(text)
        assert chosen.as_json() == alone.as_json()
        assert chosen.hash == alone.hash
        assert [condition.name for condition in chosen.conditions] == [condition.name for condition in alone.conditions]
    assert tasks_in(read_yaml(SEVERAL, "file")) == ["race", "shortcut", "scratchpad"]


@pytest.mark.parametrize(
    ("text", "task", "problem"),
    [
        (SEVERAL, None, "f:7: tasks: there is a config for each of race, shortcut, scratchpad: choose one with --task"),
        (SEVERAL, "rase", "f:7: tasks: no config for 'rase'; known: race, shortcut, scratchpad"),
        (SEVERAL.partition("tasks:")[0], "race", "f:1: has no 'tasks' to choose 'race' from: leave --task away"),
        (
            'name: x\ntasks:\n  "a\\e[31m": {}\n',
            None,
            "f:2: tasks: there is a config for each of a\\x1b[31m: choose one with --task",
        ),
        ("name: x\ntasks: [race]\n", "race", "f:2: tasks: must be a mapping from each task to what differs for it"),
        ("name: x\ntasks: {}\n", None, "f:2: tasks: must be a mapping from each task to what differs for it"),
        ("name: x\ntasks:\n  race: 3\n", "race", "f:3: tasks.race: must be a mapping of what differs for it"),
    ],
)
def test_a_file_from_which_no_config_can_be_taken_is_refused_in_one_sentence(text, task, problem):
    with pytest.raises(ConfigError) as refused:
        parse(text, "f", task=task)
    assert refused.value.problems == [problem]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        # in the part of the task: its line, and the key as it stands in the file
        (
            "preference: 0.5",
            "preferense: 0.5",
            "f:9: tasks.race.knobs.preferense: race has no knob",
        ),
        ("{until: 0.5}", "{until: 2}", "f:11: tasks.race.regimens.late[0].until: must be less"),
        # in what is common
        ("detectability: 2", "detectability: 11", "f:3: knobs.detectability: must lie in 0 to 10, not 11"),
        # twice, in the part of another task
        ("seeds: {count: 4}", "seeds: {count: 4, count: 5}", "f:14: tasks.shortcut.seeds.count: given twice"),
    ],
)
def test_what_is_wrong_in_such_a_file_is_said_with_its_line_and_the_key_as_it_stands_there(before, after, problem):
    assert SEVERAL.count(before) == 1
    with pytest.raises(ConfigError) as refused:
        parse(SEVERAL.replace(before, after), "f", task="race")
    (said,) = refused.value.problems
    assert said.startswith(problem)


def test_what_was_counted_is_of_the_configs_of_claims_as_they_are_now():
    """Each stored count names a file and the digest of what that said for its task, which is the digest today."""
    digests = {}
    for name in names_with_counts():
        stored = ROOT / f"figures/claims/{name}.json"
        for task, counted in json.loads(stored.read_text())["tasks"].items():
            digests.setdefault((counted["config"], task), set()).add(counted["hash"])
    assert len(digests) == 140  # (config, task) pairs with counts
    for (config, task), hashes in digests.items():
        assert hashes == {load(ROOT / config, task=task).hash}, (config, task)


def test_what_the_tasks_of_a_claim_share_is_written_once():
    for path in sorted((ROOT / "configs/claims").glob("*.yaml")):
        written = read_yaml(path.read_text(), str(path))
        parts = written.data["tasks"].values()
        for key in set.intersection(*(set(part) for part in parts)) - {"regimens", "sweep"}:
            values = [json.dumps(part[key]) for part in parts]
            assert len(set(values)) > 1, (path.name, key)
        for task in tasks_in(written):
            assert re.fullmatch(f"{path.stem}_{task}", select(written, task, "f").data["name"])


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
        (("scratchpad", "1"), "task: unknown task '1'; known: digits, gridworld, race, reasoner, scratchpad, shortcut"),
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
