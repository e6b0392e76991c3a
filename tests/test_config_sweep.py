"""One name, one condition: a sweep tells all of its conditions apart, or is refused."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.config.experiment import ConfigError, load, parse
from lab.config.schema import RESERVED
from lab.results import outcomes, shards
from lab.tasks import TASKS
from lab.tasks.settings import stacked
from tests import hand_made
from tests.config_text import GOOD, problems

CONFIGS = Path(__file__).parent.parent / "configs"


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
    results = shards.results(run, partial=True)
    axes = run.manifest["config"]["sweep"].keys()
    held = {str(name) for name in (*results.coords, *results.dims, *outcomes.classify(results).variables)} - axes
    assert {"condition", "seed", "trained", "stopped", "spent", "passes", "unjudged"} < held <= set(RESERVED)
    for name in RESERVED:
        (line,) = problems(GOOD + f"sweep: {{{name}: {{key: knobs.cue_cost, values: [0, 1]}}}}\n")
        assert line.endswith(f"sweep.{name}: is the name of something else in the results; choose another")
    for task in TASKS.values():
        assert not set(RESERVED) & set(task.scores)


def test_the_schedule_of_a_condition_is_its_weights_through_training():
    experiment = load(CONFIGS / "quickstart.yaml")
    ends = [end / experiment.training.steps for end in experiment.ends]
    schedules = {
        condition.name: condition.schedule(ends, list(experiment.task.terms)) for condition in experiment.conditions
    }
    assert schedules == {  # as the file says it
        "hold_out": {},
        "train_early": {"test": [(0.1, 0.005), (1.0, 0.0)]},
        "train_late": {"test": [(0.4, 0.0), (1.0, 0.07)]},
        "train_throughout": {"test": [(1.0, 0.005)]},
        "anti_train": {"test_linear": [(1.0, -0.01)]},
    }
