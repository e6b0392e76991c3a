"""Every task keeps the contract, and each way to break it is named."""

import os
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import cli
from lab.config.experiment import ConfigError, load
from lab.results.store import StoreError
from lab.tasks import TASKS, Knob, Proxy, Task, Training, outside
from lab.tasks.outside import TaskFileError, task_class
from lab.training import engine
from lab.training.check import check
from tests.acting import Acting

pytestmark = pytest.mark.usefixtures("quick_to_compile")

OUTSIDE = Path(__file__).parent.parent / "experiments" / "outside"
CALLS = count()


@dataclass(frozen=True)
class Coin(Task):
    """A double well with minima at +1, aligned, and -1."""

    name = "coin"
    knobs = {"preference": Knob(0, -1, 1, "pull of the objective towards +1")}
    terms = {"main": "(w^2 - 1)^2", "test": "-w"}
    proxies = {"test": Proxy(("test",), "the sign of w")}
    scores = {"competence": "1 - |w^2 - 1|", "alignment": "w > 0", "test": "w > -0.5"}
    thresholds = {"competence": 0.9, "alignment": 0.5, "test": 0.5}
    training = Training(20, "sgd", 0.05, 1.0, 0.0, {"cpu": 64, "gpu": 64})

    def init(self, key, knobs):
        return {"w": 0.1 * jax.random.normal(key)}

    def sample(self, key, knobs):
        return ()

    def losses(self, params, batch, knobs, progress):
        w = params["w"]
        return {"main": (w**2 - 1) ** 2 - knobs["preference"] * w, "test": -w}

    def measure(self, params, knobs):
        w = params["w"]
        finite = jnp.where(jnp.isfinite(w), 0.0, jnp.nan)
        return {
            "competence": jnp.clip(1 - jnp.abs(w**2 - 1), 0, 1),
            "alignment": (w > 0) + finite,
            "test": (w > -0.5) + finite,
        }


def broken(**members):
    """A coin with something else in place of some members."""
    return dataclass(frozen=True)(type("Broken", (Coin,), members))()


def losses(change):
    return lambda self, params, batch, knobs, progress: change(Coin.losses(self, params, batch, knobs, progress), knobs)


def measure(change):
    return lambda self, params, knobs: change(Coin.measure(self, params, knobs), params)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_keeps_the_contract(name):
    assert check(TASKS[name]()) == []


def test_a_task_of_thirty_lines_keeps_it():
    assert check(Coin()) == []


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"terms": {"test": "-w"}}, "terms must hold 'main'"),
        ({"scores": {"competence": "", "test": ""}}, "scores must hold 'alignment'"),
        ({"proxies": {}}, "proxies must hold at least one"),
        ({"proxies": {"tst": Proxy(("test",), "")}}, "proxies['tst'] has no score of its name"),
        ({"proxies": {"test": Proxy(("tst",), "")}}, "proxies['test']: no loss term 'tst'"),
        ({"thresholds": {"competence": 0.9, "alignment": 2, "test": 0.5}}, "thresholds['alignment'] must be a number"),
        ({"knobs": {"preference": Knob(2, -1, 1, "")}}, "the default 2 is outside -1 to 1"),
        ({"knobs": {"preference": 0.5}}, "knobs['preference'] must be a Knob"),
        (
            {"scores": {**Coin.scores, "unjudged": ""}},
            "scores: 'unjudged' is the name of something else in the results",
        ),
        ({"scores": {**Coin.scores, "keys": ""}}, "scores: 'keys' is the name of something else in the results"),
        ({"terms": {**Coin.terms, "pré": ""}}, "terms: 'pré' is not a name"),
        ({"training": None}, "training must be a Training"),
        ({"init": lambda self, key, knobs: {"w": jnp.int32(1)}}, "must be a float32 array, not int32"),
        ({"init": lambda self, key, knobs: {"w": jnp.float32(0.1)}}, "same parameters for different keys"),
        ({"init": lambda self, key, knobs: {"w": jnp.float32(next(CALLS))}}, "other parameters for the same key"),
        ({"losses": losses(lambda own, knobs: {"main": own["main"]})}, "losses lacks ['test']"),
        ({"losses": losses(lambda own, knobs: {**own, "test": own["test"][None]})}, "shape (1,)"),
        (
            {"losses": losses(lambda own, knobs: {**own, "main": own["main"] + jnp.log(1 - knobs["preference"])})},
            "losses: main is not finite at preference = 1, progress 0",
        ),
        ({"losses": losses(lambda own, knobs: {**own, "main": 0 * own["main"]})}, "gradient of main is zero"),
        ({"measure": measure(lambda own, params: {**own, "test": own["test"] + 2})}, "outside [0, 1]"),
        (
            {"measure": measure(lambda own, params: {**own, "alignment": jnp.float32(1)})},
            "measure: alignment is 1 where every parameter is nan",
        ),
        (
            {"measure": measure(lambda own, params: {**own, "test": own["test"] * 0 + 1 / (2 + next(CALLS))})},
            "measure: test changes between two calls",
        ),
        (
            {"losses": losses(lambda own, knobs: {**own, "main": own["main"] * float(knobs["preference"])})},
            "losses: ConcretizationTypeError",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_break_is_named(members, expected):
    assert any(expected in problem for problem in check(broken(**members))), check(broken(**members))


def test_a_task_that_asks_for_all_that_it_may_keeps_it():
    assert check(Acting()) == []


def pair(change):
    """Losses of the acting task with another term in the place of its pair."""

    def losses(self, params, batch, knobs, progress):
        own = Acting.losses(self, params, batch, knobs, progress)
        return {**own, "test": change(*own["test"], params, knobs)}

    return losses


def new_state(change):
    def sample(self, key, knobs, params, state):
        batch, new = Acting.sample(self, key, knobs, params, state)
        return batch, change(new)

    return sample


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (
            {"losses": lambda self, *args: (Acting.losses(self, *args), {})},
            "losses returns a pair, not a dict of loss terms; a single term may be a pair (value, side)",
        ),
        (
            {"losses": pair(lambda value, side, params, knobs: (value, side, side))},
            "losses: test must be a scalar or a pair (value, side) of two scalars",
        ),
        (
            {"losses": pair(lambda value, side, params, knobs: (value, side[None]))},
            "losses: test must be a scalar or a pair (value, side) of two scalars",
        ),
        (
            {"losses": pair(lambda value, side, params, knobs: (value, {"critic": side}))},
            "losses: test must be a scalar or a pair (value, side) of two scalars",
        ),
        (
            {"losses": pair(lambda value, side, params, knobs: (value, jnp.int32(1)))},
            "losses: the side of test must be a float32 scalar, not int32 of shape ()",
        ),
        (
            {"losses": pair(lambda value, side, params, knobs: (value, side + jnp.log(2 - knobs["target"])))},
            "losses: the side of test is not finite at target = 2, progress 0",
        ),
        (
            {"losses": pair(lambda value, side, params, knobs: (value, side + jnp.sqrt(params["critic"])))},
            "losses: the gradient of the side of test is not finite at the start",
        ),
        ({"state": Task.state}, "sample takes `state`, and the task has no method state(key, knobs)"),
        (
            {"sample": lambda self, key, knobs, state: ()},
            "sample takes `state`, so it must return a pair (data, new state), not a tuple",
        ),
        (
            {"sample": new_state(lambda state: {"steps": state["steps"] / 2})},
            "the new state['steps'] that sample returns must be int32 of shape () as before, not float32 of shape ()",
        ),
        (
            {"sample": new_state(lambda state: {"steps": state["steps"][None]})},
            "the new state['steps'] that sample returns must be int32 of shape () as before, not int32 of shape (1,)",
        ),
        (
            {"sample": new_state(lambda state: {"count": state["steps"]})},
            "the new state that sample returns has other parts than the old one",
        ),
        (
            {"sample": lambda self, key, knobs: (jnp.float32(1), jnp.float32(1))},
            "state: sample has no parameter `state`, so nothing would use it",
        ),
        (
            {"state": lambda self, key, knobs: {"steps": jnp.int32(next(CALLS))}},
            "state gives other values for the same key: draw from the key alone",
        ),
        (
            {"state": lambda self, key, knobs: {"steps": jnp.int32(0), "key": key}},
            "state: ['key'] is a PRNG key: keep jax.random.key_data of it",
        ),
        (
            {"sample": lambda self, key, knobs, policy: ()},
            "sample takes (key, knobs, policy): behind its first two parameters there may only be params and state",
        ),
        (
            {"sample": lambda self, params, key, knobs: ()},
            "sample takes (params, key, knobs): behind its first two parameters there may only be params and state",
        ),
        (
            {"measure": lambda self, params, knobs, seed: {}},
            "measure takes (params, knobs, seed): behind its first two parameters there may only be key",
        ),
        ({"measure": lambda self, params, knobs: ({}, {})}, "measure returns a pair, not a dict of scores"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_wrong_part_of_a_task_that_acts_is_named(members, expected):
    """In a whole sentence: nothing else is said of it, but where a state is not what it seems."""
    problems = check(dataclass(frozen=True)(type("Broken", (Acting,), members))())
    assert any(problem == expected or problem.startswith(f"{expected}: ") for problem in problems), problems
    assert not any("Error" in problem for problem in problems)


def test_a_method_of_a_tasks_own_may_be_called_state():
    assert check(broken(state=lambda self, params: params["w"])) == []


@pytest.mark.parametrize(("name", "lines"), [("two_slabs", 60), ("core_spurious", 60), ("walker", 110)])
def test_outside_tasks_keep_the_contract_and_are_short(name, lines):
    path = OUTSIDE / f"{name}.py"
    assert len(path.read_text().splitlines()) < lines
    assert check(task_class(path)()) == []
    experiment = load(path.with_suffix(".yaml"), trust_code=True)
    assert experiment.name == experiment.task.name == name


def test_a_walker_that_tosses_coins_reaches_each_end_with_probability_three_eighths():
    # two moves end at +2 with 1/4 and at 0 with 1/2, from where two more end at +2 with 1/4 again: 1/4 + 1/8
    task = task_class(OUTSIDE / "walker.py")()
    knobs = {name: jnp.float32(knob.default) for name, knob in task.knobs.items()}
    params = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0), knobs))
    assert {name: float(score) for name, score in task.measure(params, knobs).items()} == {
        "competence": 0.375,
        "alignment": 0.375,
        "test": 0.375,
    }


def test_the_loss_of_a_walker_has_the_slope_of_its_chance_to_reach_the_food_on_average():
    """Of the policy and, of the side, of the critic.

    p = sigmoid(b): P(+2) = p^2 + 2 p q p^2 = p^2 + 2 p^3 - 2 p^4; its slope at b = 0 is 3/2 by p, times p q = 1/4.
    A critic that says c has the loss (1 - c)^2 at each move of a walk that reaches the food, and c^2 at any other: two
    moves with probability 1/4, four with 1/8. Its slope at c = 0 is -2 (2/4 + 4/8) = -2.
    """
    task = task_class(OUTSIDE / "walker.py")(episodes=4096)
    knobs = {name: jnp.float32(knob.default) for name, knob in task.knobs.items()} | {"elsewhere": jnp.float32(0)}
    params = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0), knobs))

    def slope(key):
        batch = task.sample(key, knobs, params)

        def bias(part, network):
            grads = jax.grad(lambda at: task.losses(at, batch, knobs, jnp.float32(0))["main"][part])(params)
            return grads[network]["params"]["Dense_1"]["bias"][0]

        return bias(0, "policy"), bias(1, "critic"), bias(0, "critic"), bias(1, "policy")

    slopes = np.asarray(jax.jit(jax.vmap(slope))(jax.random.split(jax.random.key(1), 64)))
    for row, expected in zip(slopes, (-3 / 8, -2), strict=False):
        error = row.std() / 8
        assert abs(row.mean() - expected) < 5 * error < 0.05
    assert not slopes[2:].any()  # neither learns by the loss of the other


def test_code_is_only_run_when_asked_for(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("raise RuntimeError('it ran')\n")
    config = tmp_path / "mine.yaml"
    config.write_text("name: mine\ntask: {file: mine.py}\nseeds: 4\nregimens:\n  hold_out: [{until: 1}]\n")
    with pytest.raises(ConfigError) as caught:
        load(config)
    assert "is code that this config runs: read it, then add --trust-code" in caught.value.problems[0]
    assert cli.main(["run", str(config)]) == 2
    assert "--trust-code" in capsys.readouterr().err
    with pytest.raises(ConfigError) as caught:
        load(config, trust_code=True)
    (problem,) = caught.value.problems
    assert "mine.yaml:2: task.file:" in problem
    assert "mine.py:1: RuntimeError: it ran" in problem


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = (", "SyntaxError"),
        ("x = 1", "defines no task"),
        ("import sys\nsys.exit(0)\n", "odd.py:2: SystemExit: 0"),
        ("from lab.tasks import Task\nclass Half(Task):\n    pass\n", "Half lacks init, losses, measure, sample"),
        (
            "import tests.test_training_check as it\nclass A(it.Coin): pass\nclass B(it.Coin): pass\n",
            "several tasks: A, B",
        ),
    ],
)
def test_a_file_without_a_task_is_explained(tmp_path, source, expected, capsys):
    (tmp_path / "odd.py").write_text(source)
    with pytest.raises(TaskFileError, match=expected):
        task_class(tmp_path / "odd.py")
    assert cli.main(["check-task", str(tmp_path / "odd.py")]) == 2
    assert expected in capsys.readouterr().err
    assert cli.main(["check-task", str(tmp_path / "none.py")]) == 2
    assert "cannot be read" in capsys.readouterr().err


BARE = "from lab.tasks import Task\nclass Bare(Task):\n" + "".join(
    f"    def {method}(self): pass\n" for method in ("init", "sample", "losses", "measure")
)
COIN = "from tests.test_training_check import Coin\nclass Mine(Coin):\n"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (BARE, "task.file: Bare lacks name, knobs, terms, proxies, scores, thresholds, training; lab check-task says"),
        (
            BARE + "    name, knobs, terms, proxies, scores, thresholds, training = 7 * [{}]\n",
            "Bare is no dataclass; lab",
        ),
        (COIN + "    scores = {**Coin.scores, 'seed': ''}\n", "task: its score 'seed' has the name of something else"),
        (COIN + "    def __post_init__(self): raise OSError('none\\nhere')\n", "task: OSError: none here"),
    ],
)
def test_a_config_of_a_task_that_cannot_be_used_says_why(tmp_path, source, problem):
    (tmp_path / "mine.py").write_text(source)
    config = tmp_path / "mine.yaml"
    config.write_text("name: mine\ntask: {file: mine.py}\nseeds: 4\nregimens:\n  hold_out: [{until: 1}]\n")
    with pytest.raises(ConfigError) as caught:
        load(config, trust_code=True)
    (line,) = caught.value.problems
    assert line.startswith(f"{config}:2: task")
    assert problem in line


def test_an_outside_task_runs_and_its_code_is_part_of_the_run(tmp_path):
    source = (OUTSIDE / "two_slabs.py").read_text()
    (tmp_path / "mine.py").write_text(source)
    text = (
        "name: mine\ntask: {file: mine.py, width: 8, points: 8}\nseeds: 4\n"
        "training: {steps: 10, segments: 2, block_width: 4}\nregimens:\n  hold_out: [{until: 1}]\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    experiment = load(tmp_path / "mine.yaml", trust_code=True)
    assert experiment.as_json()["task"] == {"name": "two_slabs", "file": "mine.py", "width": 8, "points": 8}
    engine.run(experiment, tmp_path / "run")
    (tmp_path / "mine.py").write_text(source + "\n# changed\n")
    with pytest.raises(StoreError, match="training_code"):
        engine.run(load(tmp_path / "mine.yaml", trust_code=True), tmp_path / "run")


def counting(number, before=""):
    """A task file in which a class attribute is a number of one digit."""
    return f"{before}from tests.test_training_check import Coin\nclass Mine(Coin):\n    number = {number}\n"


def test_an_edit_within_a_second_that_keeps_the_size_is_seen(tmp_path, monkeypatch):
    """Python itself would run what it has kept of the first version (python/cpython#75953)."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file, seen = tmp_path / "mine.py", []
    for number in (1, 2):
        file.write_text(counting(number))
        os.utime(file, (1_700_000_000, 1_700_000_000))
        seen.append(task_class(file).number)
    assert seen == [1, 2]
    assert list(tmp_path.iterdir()) == [file]  # nothing is kept beside it


def test_equal_files_in_two_folders_read_what_lies_beside_them(tmp_path):
    beside = "from pathlib import Path\nown = int(Path(__file__).with_name('number').read_text())\n"
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "number").write_text(str(number))
        (tmp_path / str(number) / "mine.py").write_text(counting("own", beside))
    assert [task_class(tmp_path / str(number) / "mine.py").number for number in (1, 2, 1)] == [1, 2, 1]


WAYS = {"the module": "import mine_part", "a name": "from mine_part import NUMBER"}
WAYS["later"] = "def late():\n    import mine_part"


@pytest.mark.parametrize("way", WAYS)
def test_modules_that_a_task_imports_are_part_of_its_code(tmp_path, monkeypatch, way):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def training_code(**sources):
        """What a process that begins now takes for the code of the task."""
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.setattr(outside, "_loaded", {})
        for name in [name for name in sys.modules if name.startswith(("mine_", "lab_task_mine_"))]:
            del sys.modules[name]
        return engine.identity(task_class(tmp_path / "mine.py")(), jax.devices())["training_code"]

    part = "from mine_rest import *\nNUMBER = "
    first = training_code(mine=counting(1, WAYS[way] + "\n"), mine_part=part + "1\n", mine_rest="")
    assert training_code(mine_other="nobody = 'imports it'\n") == first
    others = training_code(mine_part=part + "2\n"), training_code(mine_rest="NUMBER = 3\n")
    assert len({first, *others}) == 3


def test_code_that_changed_since_it_was_loaded_is_refused(tmp_path, monkeypatch):
    """What would be trained is the old code, and the run would say that it was the new."""
    monkeypatch.syspath_prepend(tmp_path)
    for changed in ("mine.py", "mine_helper.py"):
        (tmp_path / "mine_helper.py").write_text("NUMBER = 1\n")
        (tmp_path / "mine.py").write_text(counting("NUMBER", "from mine_helper import NUMBER\n"))
        task = task_class(tmp_path / "mine.py")()
        before = engine.identity(task, jax.devices())
        source = (tmp_path / changed).read_text()
        (tmp_path / changed).write_text(source + "\n")
        with pytest.raises(StoreError, match=rf"{changed} has changed since this process loaded it: start again"):
            engine.identity(task, jax.devices())
        (tmp_path / changed).write_text(source)
        assert engine.identity(task, jax.devices()) == before
