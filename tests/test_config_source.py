"""Files that hold the configs of several tasks, and what is said where such a file cannot be used."""

import json
import re
from pathlib import Path

import pytest

from lab.config.experiment import ConfigError, load, parse
from lab.config.source import read_yaml, select, tasks_in

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
    for path in sorted((ROOT / "figures/claims").glob("*.json")):
        for task, counted in json.loads(path.read_text())["tasks"].items():
            digests.setdefault((counted["config"], task), set()).add(counted["hash"])
    assert len(digests) == 86
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
