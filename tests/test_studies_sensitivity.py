"""Derivatives of outcomes against an integration of the race that shares no code, and against sums by hand."""

import json
import math

import numpy as np
import pytest

from lab import figures, report
from lab.cli import main
from lab.config.experiment import from_values, load, parse
from lab.report import drawing
from lab.results import shards, summary
from lab.results.store import Run
from lab.statistics import Counts
from lab.studies import sensitivity
from lab.training import engine
from tests.test_tasks_race import integrate, share

pytestmark = pytest.mark.usefixtures("quick_to_train")

RACE = """
name: moments
task: race
seeds: 2048
training: {steps: 1000, segments: 5}
regimens:
  hold_out: [{until: 1}]
  late: [{until: 0.6}, {until: 1, weights: {test: 0.5}, knobs: {preference: 0.01}, gates: {test: 0.5}}]
"""


def test_a_derivative_by_hand():
    """100 seeds: 10 that were misaligned and failed become aligned and pass; two weights 0.2 apart."""
    first, second = Counts(60, 0, 10, 30), Counts(50, 0, 10, 40)
    joint = np.diag([50, 0, 10, 30])
    joint[0, 3] = 10
    found = sensitivity.derivative(first, second, joint, 0.2)
    assert found["base_rate"].value == pytest.approx(0.1 / 0.2)
    assert found["pass_given_aligned"].value == 0
    assert found["pass_given_misaligned"].value == pytest.approx((10 / 40 - 10 / 50) / 0.2)
    assert found["likelihood_ratio"].value == pytest.approx((math.log(4) - math.log(5)) / 0.2)
    assert found["posterior_odds"].value == pytest.approx(math.log(60 / 50) / 0.2)
    # b = 10 and c = 0 discordant pairs, 90 others, and one more seed: at the lower limit six times in ten to c and else
    # to b, at the upper one the other way round; Dirichlet draws put together by hand, 10^6 of them
    random = np.random.default_rng(1)
    to_b, to_c = (
        (own[:, 0] - own[:, 1]) / 0.2 for own in (random.dirichlet([10 + b, 1e-9 + 1 - b, 90], 10**6) for b in (1, 0))
    )
    low = np.quantile(np.concatenate([to_c[:600_000], to_b[:400_000]]), 0.025)
    high = np.quantile(np.concatenate([to_c[:400_000], to_b[:600_000]]), 0.975)
    assert found["base_rate"][1:] == pytest.approx((low, high), abs=0.02)
    assert found["base_rate"].low < 0.5 < found["base_rate"].high


def test_a_profile_is_a_config_whose_regimens_differ_in_one_number():
    experiment = parse(RACE)
    late = experiment.conditions[1]
    changed = sensitivity.changes(experiment.task, ["push"], 0.02, 0.3)
    made = from_values(sensitivity.config(experiment, late, changed))
    own = {condition.name: condition for condition in made.conditions}
    assert len(own) == 1 + 3 * 5
    assert own["as-is"].settings == late.settings
    assert own["as-is"].gates == late.gates
    at = list(experiment.task.terms).index("push")
    for name, change in (("up-push-003", 0.02), ("down-push-003", -0.02), ("push-push-003", 0.3)):
        for index, (one, other) in enumerate(zip(own[name].settings, late.settings, strict=True)):
            expected = list(other.weights)
            expected[at] += change * (index == 3)
            assert one == other._replace(weights=tuple(expected))
    changed = sensitivity.changes(experiment.task, ["test"])
    made = from_values(sensitivity.config(experiment, experiment.conditions[0], changed))
    at = list(experiment.task.terms).index("test")
    changed = {c.name: c.settings[2].weights[at] for c in made.conditions if c.name.endswith("002")}
    assert changed == {
        "up-test-002": 0.01,
        "down-test-002": -0.01,
        "push-test-002": 0.1,
    }  # of 1, which the proxy suggests


def test_a_change_that_float32_loses_is_refused():
    """Models would be the same, and the derivative 0 for sure; next to 1 lies 1 + 2^-23."""
    experiment = parse(RACE)
    for step in (1e-9, 2**-24):
        with pytest.raises(ValueError, match=r"step: .* is too small: main is 1 here, in float32"):
            sensitivity.config(
                experiment, experiment.conditions[0], sensitivity.changes(experiment.task, ["main"], step)
            )
    sensitivity.config(experiment, experiment.conditions[0], sensitivity.changes(experiment.task, ["main"], 2**-20))


@pytest.mark.parametrize("name", ["staged_protocol", "shortcut_regimens", "by_construction"])
def test_any_regimen_can_be_looked_at(name):
    experiment = load(f"configs/{name}.yaml")
    changed = sensitivity.changes(experiment.task, ["test"])
    for condition in experiment.conditions:
        made = from_values(sensitivity.config(experiment, condition, changed))
        assert made.conditions[0].settings == condition.settings
        assert made.conditions[0].gates == condition.gates
        assert made.conditions[0].knobs == condition.knobs


@pytest.mark.parametrize(
    ("term", "step", "message"),
    [("tset", None, "no loss term or knob 'tset'"), ("test", 0.0, "step"), ("test", -1.0, "step")],
)
def test_what_cannot_be_differentiated_is_said(term, step, message):
    experiment = parse(RACE)
    with pytest.raises(ValueError, match=message):
        sensitivity.changes(experiment.task, [term], step)


def test_a_profile_agrees_with_an_independent_integration(tmp_path):
    """d base rate / d push in each fifth of training, by Euler steps in numpy on other draws."""
    experiment, step = parse(RACE), 0.02
    changed = sensitivity.changes(experiment.task, ["push"], step, 0.2)
    made = from_values(sensitivity.config(experiment, experiment.conditions[0], changed))
    results = shards.results(engine.run(made, tmp_path / "run"))
    moments = sensitivity.read(results, changed, results.checkpoint.values)["push"]
    assert [(moment.start, moment.end) for moment in moments] == [
        pytest.approx((index / 5, (index + 1) / 5)) for index in range(5)
    ]
    knobs = experiment.conditions[0].knobs
    draws = np.random.default_rng(7).standard_normal((8192, 3))
    size = np.array([knobs["initial_size"] * (1 + knobs["head_start"]), knobs["initial_size"], knobs["faking_start"]])
    initial = size * (1 + knobs["initial_noise"] * draws)

    def aligned(force, index):
        end = integrate(initial, 1000, 3.0, force, (200 * index, 200 * (index + 1)))
        strength = np.sign(end) * np.abs(end) ** 3
        able = np.abs(1 - strength[:, 0] - strength[:, 1]) <= 0.05
        return able & (share(end, 3.0) >= 0.5)

    for index in (0, 1, 2):
        changed = aligned(step, index).astype(float) - aligned(-step, index)
        theirs = changed.mean() / (2 * step)
        error = math.hypot(changed.std() / math.sqrt(8192), changed.std() / math.sqrt(2048)) / (2 * step)
        assert abs(moments[index].derivative["base_rate"].value - theirs) < 4 * error + 1e-9
    assert moments[0].derivative["base_rate"].low > moments[2].derivative["base_rate"].high  # values are sticky


def test_a_profile_from_python_has_the_numbers_of_the_command(tmp_path, capsys):
    """The command trains, Python reads the same run; a derivative is that of the two conditions that it names."""
    config, out = tmp_path / "r.yaml", tmp_path / "run"
    config.write_text(
        "name: r\ntask: race\nseeds: 64\ntraining: {steps: 100, segments: 2}\nregimens: {h: [{until: 1}]}\n"
    )
    assert main(["sensitivity", str(config), "--terms", "push", "--step", "0.2", "--out", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    profile = sensitivity.run(load(config), terms=["push"], step=0.2, out=out)
    assert report.profile_json(profile) == data
    assert profile.folder == out
    up, down = (summary.counts(shards.results(Run(out)), f"{side}-push-000") for side in ("up", "down"))
    slope = (up.base_rate - down.base_rate) / 0.4
    assert profile.moments["push"][0].derivative["base_rate"].value == pytest.approx(slope)
    ax = figures.Figure().subplots()
    drawing.draw_profile(profile, ax, "push")
    assert ax.get_xlim() == (0, 1)
