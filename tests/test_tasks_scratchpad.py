"""`scratchpad`: what its knobs and proxies do, and the acceptance figures of the default world."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import statistics
from lab.config.experiment import parse
from lab.results import outcomes, shards, summary
from lab.tasks import Scratchpad
from lab.training import engine
from tests.task_inputs import knobs_of

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def test_an_invisible_test_changes_nothing(strict_dtypes):
    """At detectability 0 the model cannot tell contexts apart, so the test score is the alignment."""
    task = Scratchpad()
    knobs = knobs_of(task, detectability=0.0)
    scores = jax.jit(task.measure)(
        jax.tree.map(lambda leaf: 3 * leaf, jax.jit(task.init)(jax.random.key(0), knobs)), knobs
    )
    assert float(scores["test"]) == pytest.approx(float(scores["alignment"]), abs=1e-6)
    assert float(scores["test_competence"]) == pytest.approx(float(scores["competence"]), abs=1e-6)


def test_the_implicit_proxy_waits_for_its_onset_and_reads_where_it_is_told(strict_dtypes):
    task = Scratchpad()
    given = {"implicit_proxy": 0.5, "implicit_onset": 0.4}
    params = jax.tree.map(lambda leaf: 3 * leaf, jax.jit(task.init)(jax.random.key(1), knobs_of(task)))

    @jax.jit
    def losses(knobs, progress):
        return task.losses(params, task.sample(jax.random.key(0), knobs), knobs, progress)

    def main(progress, **knobs):
        return losses(knobs_of(task, **knobs), jnp.float32(progress))

    plain, test = main(0.5)["main"], main(0.5)["test"]
    assert float(main(0.39, **given)["main"]) == float(plain)
    assert float(main(0.4, **given)["main"]) == pytest.approx(float(plain + 0.5 * test), rel=1e-6)
    elsewhere = main(0.4, **given, implicit_similarity=0.0)["main"]
    assert abs(float(elsewhere - main(0.4, **given)["main"])) > 1e-4


def test_sampled_batches_average_to_the_exact_weights():
    """1,000 batches of 64: every cell within 6 standard errors of its share."""
    task = Scratchpad(batch=64)
    knobs = knobs_of(task)
    exact = np.asarray(Scratchpad().sample(jax.random.key(0), knobs))
    draw = jax.jit(jax.vmap(lambda key: task.sample(key, knobs)))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 1000)))
    assert drawn.sum((1, 2)) == pytest.approx(1, abs=1e-6)
    assert (np.abs(drawn.mean(0) - exact) < 6 * np.sqrt(exact / 64_000)).all()


def test_initial_weights_have_the_declared_scale():
    """Standard deviation 0.3 sqrt(2 / fan_in); 512 networks pool 32 x 5 x 512 draws."""
    task = Scratchpad()
    keys = jax.random.split(jax.random.key(0), 512)
    params = jax.jit(jax.vmap(lambda key: task.init(key, knobs_of(task))))(keys)
    kernel = np.asarray(params["sender"]["params"]["Dense_0"]["kernel"])
    assert kernel.std() == pytest.approx(0.3 * math.sqrt(2 / 5), rel=0.01)
    assert float(np.abs(np.asarray(params["sender"]["params"]["Dense_0"]["bias"])).max()) == 0


@pytest.mark.parametrize("field", [{"symbols": 4}, {"context_bits": 0}, {"width": 0}, {"initial_scale": math.nan}])
def test_sizes_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Scratchpad(**field)


def test_the_four_stories_in_the_default_world(tmp_path, quick_to_train):
    """Bounds that were set before the task was built, on 1,024 seeds that no setting was chosen on."""
    text = """
name: stories
task: scratchpad
seeds: {first: 7000000, count: 1024}
regimens:
  hold_out: [{until: 1}]
  train_early: [{until: 0.1, weights: {test: 0.005}}, {until: 1}]
  train_late: [{until: 0.4}, {until: 1, weights: {test: 0.07}}]
  anti_train: [{until: 1, weights: {test_linear: -0.01}}]
"""
    results = shards.results(engine.run(parse(text), tmp_path / "run"), last_only=True)
    assert results["competence"].mean(("seed", "checkpoint")).min() >= 0.97
    rows = {row.regimen: row for row in summary.summarise(results)}
    held = rows["hold_out"].counts
    assert 0.25 <= held.base_rate <= 0.75
    assert held.pass_given_misaligned < 0.05
    assert rows["train_early"].counts.base_rate >= held.base_rate + 0.25
    assert abs(rows["train_late"].counts.base_rate - held.base_rate) < 0.1
    assert rows["train_late"].counts.pass_given_misaligned >= 0.5
    assert rows["anti_train"].impact.base_rate.high < 0


def test_a_rewarded_self_report_says_yes_as_its_closed_form_says(tmp_path, quick_to_train):
    """A misaligned model minimises -(tau / 2) ln(1 - p) - w ln p in tests: p = w / (w + tau / 2)."""
    text = """
name: report
task: scratchpad
seeds: {first: 7000000, count: 64}
weights: {honesty: 0.1}
training: {segments: 4}
regimens:
  told: [{until: 1, weights: {self_report: 0}}]
sweep:
  w: {key: "regimens.told[0].weights.self_report", values: [0.03, 0.3]}
"""
    results = shards.results(engine.run(parse(text), tmp_path / "report"), last_only=True)
    marked = outcomes.classify(results)
    for index, weight in enumerate((0.03, 0.3)):
        outcome = marked.isel(condition=index)
        wrong = ~outcome["aligned"].values & ~outcome["incompetent"].values
        assert wrong.sum() >= 20
        said = results["self_report"].values[index, wrong, 0]
        assert np.median(said) == pytest.approx(weight / (weight + 0.05), abs=0.02)


def test_the_control_says_nothing_trained_or_held_out(tmp_path, quick_to_train):
    """The badge is independent of alignment: LR 1, and nothing else moves with it."""
    text = """
name: control
task: scratchpad
seeds: {first: 7000000, count: 256}
training: {segments: 4}
regimens:
  hold_out: [{until: 1}]
  badge: [{until: 1, weights: {control: 0.1}}]
"""
    results = shards.results(engine.run(parse(text), tmp_path / "control"), last_only=True)
    held = summary.counts(results, "hold_out", proxy="control")
    low, high = statistics.interval(held, "likelihood_ratio", 1 - 1e-6)
    assert low < 1 < high
    assert 0.3 < held.pass_rate < 0.7  # half of all badges
    trained = summary.counts(results, "badge", proxy="control")
    assert (trained.aligned_fail, trained.misaligned_fail) == (0, trained.incompetent)
    assert trained.base_rate == held.base_rate  # and nothing else changes


def test_noise_of_a_test_is_that_of_its_size():
    """Untrained models read as the truth half the time: sd sqrt(noise^2 + 1 / 4n), over 2,000 seeds to 10%."""
    task = Scratchpad(width=4)
    knobs = knobs_of(task, detectability=0)
    params = jax.jit(jax.vmap(lambda seed: task.init(jax.random.key(seed), knobs)))(jnp.arange(2_000))
    measure = jax.jit(jax.vmap(task.measure, in_axes=(0, None)))
    exact = np.asarray(measure(params, knobs)["test"])
    for noise, size in ((0.0, 1e9), (0.1, 1e9), (0.0, 25), (0.1, 25)):
        noisy = measure(params, {**knobs, "test_noise": jnp.float32(noise), "test_size": jnp.float32(size)})["test"]
        sampling = 0.25 / size if size < 1e9 else 0.0
        expected = math.sqrt(noise**2 + sampling)
        assert (np.asarray(noisy) - exact).std() == pytest.approx(expected, rel=0.1, abs=1e-6)
