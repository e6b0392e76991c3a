"""Derivatives through training against central differences in float64, and estimators against each other."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.config.experiment import from_values, parse
from lab.results import outcomes, shards
from lab.results.summary import cells
from lab.statistics import Counts
from lab.studies import estimators, sensitivity
from lab.studies.regimens import Subject
from lab.studies.study import Refused
from lab.tasks import TASKS
from lab.training import engine
from tests.acting import acting

pytestmark = pytest.mark.usefixtures("quick_to_compile")

SHORT = """
name: short
task: {task}
seeds: 2
training: {{steps: 40, segments: 2, learning_rate: {rate}}}
weights: {{{term}: 0.05}}
knobs: {{{knobs}}}
regimens:
  hold_out: [{{until: 1}}]
"""
# no digits: its scores are accuracies, which jump
RATES = {"race": 0.02, "scratchpad": 0.003, "shortcut": 0.05, "reasoner": 0.003, "gridworld": 0.003}


def test_the_chain_rule_from_cells_is_that_of_differences():
    """Against central differences of the formulas, for shares that add up to 1."""
    shares = np.array([0.4, 0.1, 0.2, 0.3])
    away = 1e-6 * np.array([[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]])  # directions in which they still do

    def quantities(ap, af, mp, mf):
        sensitivity_, gaming = ap / (ap + af), mp / (mp + mf)
        return {
            "base_rate": ap + af,
            "pass_given_aligned": sensitivity_,
            "pass_given_misaligned": gaming,
            "likelihood_ratio": np.log(sensitivity_ / gaming),
            "posterior_odds": np.log(ap / mp),
        }

    found = estimators.slopes_by_cell(Counts(40, 10, 20, 30))
    for step in away:
        up, down = quantities(*(shares + step)), quantities(*(shares - step))
        for name, slopes in found.items():
            assert slopes @ step == pytest.approx((up[name] - down[name]) / 2, rel=1e-6, abs=1e-12)
    assert found.keys() == sensitivity.QUANTITIES.keys()


def test_the_differentiable_path_trains_as_the_engine_does(tmp_path):
    """`race` has no Adam, so nothing is added under a root."""
    text = SHORT.format(task="race", rate=0.02, term="push", knobs="").replace("steps: 40", "steps: 600")
    experiment = parse(text)
    stored = shards.results(engine.run(experiment, tmp_path / "run"))
    run = estimators.trajectory(Subject(experiment, experiment.conditions[0], ("push",)))
    weights = jnp.full((2, 1), 0.05)
    for seed in (0, 1):
        scores = np.asarray(jax.jit(run)(seed, weights))
        for index, name in enumerate(experiment.task.scores):
            np.testing.assert_allclose(scores[:, index], stored[name].values[0, seed], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", RATES)
def test_reverse_and_forward_mode_agree_with_differences_in_float64(name, monkeypatch):
    """With gelu in place of relu, h = 1e-7: a median relative error below 1e-4 over terms and segments."""
    monkeypatch.setattr(nn, "relu", nn.gelu)
    terms = [term for term in TASKS[name].terms if term not in ("probe", "control", "precursor", "push", "honesty")]
    terms = terms[:2]
    # knobs at which some values are constants for the gradient of a step
    knobs = "preference: 0.01, detectability: 2, implicit_proxy: 0.1" if name == "race" else "preference: 0.01"
    experiment = parse(SHORT.format(task=name, rate=RATES[name], term=terms[1], knobs=knobs))
    condition = experiment.conditions[0]
    with jax.enable_x64(True):
        subject = Subject(experiment, condition, tuple(terms))
        reverse, forward = (
            estimators.pathwise(subject, [3], mode=mode, lanes=1, dtype=jnp.float64)[0]
            for mode in ("reverse", "forward")
        )
        run = jax.jit(estimators.trajectory(subject, dtype=jnp.float64))
        place = list(experiment.task.scores).index("alignment")
        start = subject.start
        counted = np.empty_like(reverse)
        for index in np.ndindex(*start.shape):
            step = np.zeros_like(start)
            step[index] = 1e-7
            up, down = (float(run(3, start + sign * step)[-1, place]) for sign in (1, -1))
            counted[index] = (up - down) / 2e-7
    np.testing.assert_allclose(forward, reverse, rtol=1e-6, atol=1e-12)
    moves = np.abs(counted) > 1e-4 * np.abs(counted).max()
    assert moves.sum() >= 3
    assert np.median(np.abs(reverse - counted)[moves] / np.abs(counted)[moves]) < 1e-4


def test_a_score_that_jumps_has_no_slope_and_slopes_through_training_are_refused():
    def subject(task):
        experiment = parse(SHORT.format(task=task, rate=0.01, term="test", knobs=""))
        return Subject(experiment, experiment.conditions[0], ("test",))

    race, digits = subject("race"), subject("{name: digits, width: 4, batch: 2}")
    assert all(estimators.has_slope(race, 3, score) for score in ("alignment", "test", "control"))
    assert [estimators.has_slope(digits, 3, score) for score in ("alignment", "test", "control")] == [
        False,
        False,
        True,
    ]
    with pytest.raises(Refused, match="alignment, a score of digits, jumps"):
        estimators.estimate_moments(
            "pathwise", digits.experiment, digits.condition, {"test": sensitivity.Change(0.1, 0.1)}
        )


def test_derivatives_through_training_have_the_closed_form_of_a_linear_race():
    """At depth 1, d(p_a - p_b)/dt = w(t) and p_a + p_b -> s + w / 2, so alignment ends at (s + p_a - p_b) / 2s.

    With a push in the first and second of four segments of length L alone, and the sum back at s, its derivative is
    dt L / 2s in each of these, dt the learning rate.
    """
    experiment = parse(
        "name: linear\ntask: race\nseeds: 4\nknobs: {depth: 1, initial_noise: 0.1, target: 2, preference: 0}\n"
        "training: {steps: 4000, segments: 4, learning_rate: 0.01, final_learning_rate: 1}\nregimens: {h: [{until: 1}]}"
    )
    condition = experiment.conditions[0]
    assert experiment.training.optimizer == "sgd"
    assert experiment.training.momentum == 0
    for mode in ("reverse", "forward"):
        subject = Subject(experiment, condition, ("push",))
        found = estimators.pathwise(subject, [0, 1, 2, 3], mode=mode, lanes=4, dtype=jnp.float64)
        np.testing.assert_allclose(found[:, :2, 0], 0.01 * 1000 / (2 * 2), rtol=1e-6)


def line(seed, weights):
    """A score that is linear in both weights of two segments."""
    return jnp.array([[0.0], [3 * weights[0, 0] - weights[1, 0] + 0.01 * seed]])


def ledge(seed, weights):
    """A score that jumps where the first weight passes (seed - 16) / 1000: its slope is 0 and its mean has one."""
    return jnp.array([[0.0], [jnp.where(1000 * weights[0, 0] > seed.astype(jnp.int32) - 16, 1.0, 0.0)]])


def test_gates_reject_in_a_search_as_they_do_in_a_run(tmp_path):
    """Cells of every seed under the weights of the config, against those counted from a run of it."""
    text = RACE.replace("4096", "64").replace("block_width: 2048", "block_width: 32")
    text = text.replace("[{until: 1}]", "[{until: 0.4, gates: {test: 0.3}}, {until: 1, weights: {test: 0.3}}]")
    experiment = parse(text)
    condition = experiment.conditions[0]
    counted = cells(outcomes.classify(shards.results(engine.run(experiment, tmp_path / "run"))))
    subject = Subject(experiment, condition, ("test",))
    weights = np.broadcast_to(subject.start, (64, *subject.start.shape))
    found, able = estimators.CellSampler(subject)(np.arange(64), weights)
    np.testing.assert_array_equal(found, counted)
    assert able.shape == (1, 64)
    assert (found == 1).any()  # aligned, but the gate rejected it


def test_slopes_that_differences_contradict_are_refused():
    """Of 32 seeds 20 jump within a step of .01 of a weight of 0: (20 / 32) / .02 by differences, 0 by slopes."""
    seeds, start, steps = np.arange(32, dtype=np.uint32), np.zeros((2, 1)), [0.01]
    slopes = np.tile([[3.0], [-1.0]], (32, 1, 1))
    estimators.spot_check(line, start, steps, seeds, 0, slopes)
    with pytest.raises(Refused, match=r"segment 2.* -2 .*seeds -1 "):
        estimators.spot_check(line, start, steps, seeds, 0, slopes * [[1.0], [2.0]])
    with pytest.raises(Refused, match=r"segment 1.* 0 .*31.2"):
        estimators.spot_check(ledge, start, steps, seeds, 0, np.zeros((32, 2, 1)))
    wild = slopes + 1e6 * np.random.default_rng(0).standard_normal(slopes.shape)
    with pytest.raises(Refused):
        estimators.spot_check(line, start, steps, seeds, 0, wild)


def test_other_estimators_from_the_command_line(tmp_path, monkeypatch, capsys):
    """In `race` with one push alone; the derivative with respect to a knob, too."""
    from lab.cli import main

    monkeypatch.chdir(tmp_path)
    small = RACE.replace("4096", "128").replace("2048", "64").replace("steps: 1000", "steps: 200, learning_rate: 0.1")
    (tmp_path / "r.yaml").write_text(small)
    given = ["sensitivity", "r.yaml", "--terms", "push", "--json", "--estimator"]
    found = {}
    for name in ("evolution", "pathwise", "surrogate"):
        assert main([*given, name, "--out", f"o-{name}"]) == 0
        found[name] = json.loads(capsys.readouterr().out)["terms"]["push"]["moments"]
        assert len(found[name]) == 5
    assert found["pathwise"][0]["derivative"].keys() == {"alignment", "proxy"}
    first, last = (found["pathwise"][index]["derivative"]["alignment"]["value"] for index in (0, 4))
    assert first > last > 0  # values are sticky
    knob = ["sensitivity", "r.yaml", "--terms", "preference", "--json", "--estimator", "pathwise", "--out", "o-knob"]
    assert main([*knob, "--step", "0.01"]) == 0
    assert (
        json.loads(capsys.readouterr().out)["terms"]["preference"]["moments"][0]["derivative"]["alignment"]["low"] > 0
    )
    assert main(knob) == 2
    assert "step" in capsys.readouterr().err


RACE = """
name: moments
task: race
seeds: 4096
training: {steps: 1000, segments: 5, block_width: 2048}
regimens:
  hold_out: [{until: 1}]
"""


def test_evolution_strategies_agree_with_counted_differences(tmp_path, quick_to_train):
    experiment = parse(RACE)
    condition = experiment.conditions[0]
    changed = sensitivity.changes(experiment.task, ["push"], 0.02)
    results = shards.results(
        engine.run(from_values(sensitivity.config(experiment, condition, changed)), tmp_path / "run")
    )
    counted = sensitivity.read(results, changed, results.checkpoint.values)["push"]
    found = estimators.evolution(Subject(experiment, condition, ("push",)), 0.02, 8192, first_seed=10_000)["base_rate"]
    for moment, value, error in zip(counted, found.values[:, 0], found.errors[:, 0], strict=True):
        one = moment.derivative["base_rate"]
        both = np.hypot(error, (one.high - one.low) / 3.92)
        assert abs(value - one.value) < 4 * both
    assert found.values[0, 0] > 10 * found.errors[0, 0]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_derivatives_go_through_the_training_of_a_task_that_acts(tmp_path, dtype):
    """A step is w - (2 (w - 1) + 4 weight + side) / 4, so it moves w by minus the weight, and halves what went before.

    Of two steps a segment: the last one counts -(1 + 1/2), each before a quarter of the next. The score is w / 8.
    """
    experiment = acting(tmp_path)
    subject = Subject(experiment, experiment.conditions[0], ("test",))
    slopes = estimators.pathwise(subject, [0, 1], "weight", lanes=2, dtype=dtype)
    assert slopes[:, :, 0] == pytest.approx(np.array([[-1.5 / 8 / 4**before for before in (3, 2, 1, 0)]] * 2), rel=1e-6)
