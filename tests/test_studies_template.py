"""A config to start from: it loads, and what it says of a task is what the task says."""

import re
from pathlib import Path

import pytest

import lab
from lab.cli import main
from lab.config.experiment import load
from lab.config.source import read_yaml
from lab.studies import template
from lab.studies.study import StudyError
from lab.tasks import TASKS

ROOT = Path(lab.__file__).parents[1]
WORLDS = read_yaml((ROOT / "configs/worlds/worlds.yaml").read_text(), "worlds").data["tasks"]
# a task of one's own that is quick to check: two numbers that are to reach a target
MY_RACE = """
from dataclasses import dataclass
import jax, jax.numpy as jnp
from lab.tasks.base import Knob, Proxy, Task, Training

@dataclass(frozen=True)
class MyRace(Task):
    name = "my_race"
    knobs = {"depth": Knob(3, 1, 10, "how\\nstrongly"), "target": Knob(1, 0, 2, "strength")}
    terms = {"main": "the job", "half": "half of it"}
    proxies = {"half": Proxy(("half",), "half of the job", 0.7)}
    scores = {"competence": "does it", "alignment": "does it well", "half": "does half of it"}
    thresholds = {"competence": 0.95, "alignment": 0.5, "half": 0.75}
    training = Training(100, "sgd", 0.1, 1.0, 0.0, {"cpu": 8, "gpu": 8})

    def init(self, key, knobs):
        return {"p": jax.random.uniform(key, (2,))}

    def sample(self, key, knobs):
        return ()

    def losses(self, params, batch, knobs, progress):
        first, second = params["p"]
        main, half = first + second - knobs["target"], first - knobs["target"] / knobs["depth"]
        return {"main": main**2, "half": half**2}

    def measure(self, params, knobs):
        first, second = jnp.clip(params["p"], 0.0, 1.0)
        return {"competence": first, "alignment": second, "half": first}
"""


def phases(experiment):
    """Regimen -> its phases, each as its end and its weights."""
    regimens = experiment.config.regimens.items()
    return {name: [(phase.until, phase.weights) for phase in regimen] for name, regimen in regimens}


@pytest.mark.parametrize("name", TASKS)
def test_a_new_config_of_every_task_has_the_four_regimens_of_the_essay(name, tmp_path, capsys):
    """The push is that of the pilots in configs/worlds/worlds.yaml; a push is a tenth long, and late is from 40% on."""
    file = tmp_path / f"mine-{name}.yaml"
    assert main(["new", str(file), "--task", name]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next:    lab run {file}"
    experiment = load(file)
    push = WORLDS[name]["regimens"]["pilot_early"][0]["weights"]
    assert phases(experiment) == {
        "hold_out": [(1, {})],
        "train_early": [(0.1, push), (1, {})],
        "train_late": [(0.4, {}), (1, push)],
        "train_throughout": [(1, push)],
    }
    assert (experiment.name, experiment.baseline, len(experiment.seeds)) == (f"mine-{name}", "hold_out", 64)
    assert experiment.thresholds == TASKS[name]().thresholds
    assert experiment.conditions[0].knobs == {key: knob.default for key, knob in TASKS[name]().knobs.items()}


@pytest.mark.parametrize("name", TASKS)
def test_what_a_new_config_says_of_knobs_is_what_the_task_says(name):
    said = re.findall(r"(?m)^  # (\S+) to (\S+): (.*)\n  (\w+): (.*)$", template.text(Path("mine.yaml"), TASKS[name]()))
    assert [knob for *_, knob, _ in said] == ["preference", "detectability"]
    for low, high, about, key, default in said:
        knob = TASKS[name]().knobs[key]
        assert (float(low), float(high), about, float(default)) == (knob.low, knob.high, knob.about, knob.default)


@pytest.mark.parametrize("name", TASKS)
def test_the_sweep_that_is_commented_out_is_one(name, tmp_path):
    """Two worlds, in each three regimens and a fourth at three weights."""
    head, sweep = template.text(tmp_path / "mine.yaml", TASKS[name]()).split("# sweep:\n")
    file = tmp_path / "mine.yaml"
    file.write_text(f"{head}sweep:\n" + re.sub("(?m)^# ", "", sweep))
    experiment = load(file)
    assert len(experiment.conditions) == 2 * (3 + 3)
    assert {condition.coordinates["detectability"] for condition in experiment.conditions} == {
        0,
        TASKS[name]().knobs["detectability"].default,
    }


def test_the_default_task_is_that_of_the_quickstart(tmp_path):
    assert main(["new", str(tmp_path / "mine.yaml")]) == 0
    assert load(tmp_path / "mine.yaml").task == load("quickstart").task


def test_a_new_config_of_a_task_in_a_file_finds_it_from_its_own_folder(tmp_path, monkeypatch, capsys, quick_to_compile):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "tasks/my_race.py").write_text(MY_RACE)
    monkeypatch.chdir(tmp_path)
    words = ["new", "configs/mine.yaml", "--task", "tasks/my_race.py"]
    assert main(words) == 2
    assert capsys.readouterr().err == "tasks/my_race.py is code: read it, then add --trust-code\n"
    assert main([*words, "--trust-code"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "next:    lab run configs/mine.yaml --trust-code"
    experiment = load("configs/mine.yaml", trust_code=True)
    assert experiment.config.task == {"file": "../tasks/my_race.py"}
    assert phases(experiment)["train_throughout"] == [(1, {"half": 0.7})]  # what its only proxy suggests
    assert experiment.thresholds == {"competence": 0.95, "alignment": 0.5, "half": 0.75}
    assert experiment.conditions[0].knobs == {"depth": 3, "target": 1}


def test_a_task_that_cannot_be_trained_is_refused_and_nothing_is_written(tmp_path, capsys):
    (tmp_path / "half.py").write_text(MY_RACE.replace('"competence": 0.95, ', ""))
    file = tmp_path / "mine.yaml"
    assert main(["new", str(file), "--task", str(tmp_path / "half.py"), "--trust-code"]) == 2
    assert "half.py: thresholds['competence'] must be a number in [0, 1], not None" in capsys.readouterr().err
    assert not file.exists()


def test_no_file_is_overwritten(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    assert main(["new", str(file)]) == 2
    assert capsys.readouterr().err == f"{file}: is there already, and no file is overwritten: choose another name\n"
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("mine", "mine: a config's file ends in .yaml, such as mine.yaml"),
        ("mine.json", "mine.json: a config's file ends in .yaml, such as mine.yaml"),
        ("my config.yaml", "my config.yaml: 'my config' is not a name: use letters"),
        ("-mine.yaml", "-mine.yaml: '-mine' is not a name: use letters"),
        ("m" * 65 + ".yaml", "is not a name: use letters, digits, '-' and '_' (at most 64)"),
    ],
)
def test_the_name_of_the_file_has_to_be_one_of_a_config(file, words):
    with pytest.raises(StudyError, match=re.escape(words)):
        template.make(Path(file), "race")


@pytest.mark.parametrize("name", ["null", "true", "on", "01", "1e5", "0x1"])
def test_a_name_that_yaml_reads_as_something_else_stays_what_it_is(name):
    assert template.make(Path(f"{name}.yaml"), "race").name == name


def test_an_unknown_task_gets_the_nearest_and_all_of_them():
    known = "known: scratchpad, race, shortcut, reasoner, digits, gridworld"
    with pytest.raises(StudyError, match=f"unknown task 'scrathpad'; did you mean 'scratchpad'\\? {known}$"):
        template.make(Path("mine.yaml"), "scrathpad")
    with pytest.raises(StudyError, match=f"unknown task 'chess'; {known}$"):
        template.make(Path("mine.yaml"), "chess")
