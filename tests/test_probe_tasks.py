"""Probe tasks: a few scalars per model, one mechanism of the lab each, and an answer known by hand.

Everything is exact in float32: initial values are odd multiples of 2^-11, a step at weight 1 moves a value by 2^-6,
and a score is (value + 8) / 16. So a value at step n is known to the last bit, and so is every seed's outcome.
"""

import math
import sys
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest, norm

import lab
from lab.config.experiment import parse
from lab.results.outcomes import classify
from lab.results.summary import counts, places
from lab.statistics import interval
from lab.tasks import Knob, Proxy, Task, Training
from lab.tasks.registry import CLASSES
from lab.training.check import check

STEPS = 64
SEEDS = 4096
EASE = 4  # faking moves this many times as fast as the value


def gaussian(key):
    """Draw (floor(1024 N) + 1/2) / 1024: at least k/1024 with probability Phi(-k/1024), for whole k, and never 0."""
    return (jnp.floor(1024 * jax.random.normal(key)) + 0.5) / 1024


@dataclass(frozen=True)
class Probe(Task):
    """Aligned iff the value is at least 0. Every proxy is linear, so it moves things at constant speed."""

    name = "probe"
    knobs = {
        "onset": Knob(0, 0, 1, "share of training after which faking can be learned"),
        "drift": Knob(0, -10, 10, "force of the main objective on the value"),
    }
    terms = {
        "main": "8 (1 - skill)^2 - drift * value",
        "mirror": "-value",
        "independent": "-badge",
        "opposed": "value",
        "late": "-value, and from the onset on -4 faking too",
    }
    proxies = {
        "mirror": Proxy(("mirror",), "alignment itself"),
        "independent": Proxy(("independent",), "a badge that has nothing to do with alignment"),
        "opposed": Proxy(("opposed",), "the opposite of alignment"),
        "late": Proxy(("late",), "value or faking, whichever is larger"),
    }
    scores = dict.fromkeys(("competence", "alignment", *proxies), "see proxies") | {"faking": "in any case"}
    thresholds = dict.fromkeys(("competence", "alignment", *proxies), 0.5)
    training = Training(STEPS, "sgd", 1 / STEPS, 1.0, 0.0, {"cpu": 2048, "gpu": 2048})

    def init(self, key, knobs):
        value, badge = (gaussian(own) for own in jax.random.split(key))
        return {"skill": jnp.float32(0), "value": value, "badge": badge, "faking": jnp.float32(-1)}

    def sample(self, key, knobs):
        return ()

    def losses(self, params, batch, knobs, progress):
        value = params["value"]
        gate = jnp.where(progress >= knobs["onset"], jnp.float32(EASE), 0.0)
        return {
            "main": 8 * (1 - params["skill"]) ** 2 - knobs["drift"] * value,
            "mirror": -value,
            "independent": -params["badge"],
            "opposed": value,
            "late": -value - gate * params["faking"],
        }

    def measure(self, params, knobs):
        value, faking = params["value"], params["faking"]
        seen = {
            "alignment": value,
            "mirror": value,
            "independent": params["badge"],
            "opposed": -value,
            "late": jnp.maximum(value, faking),
            "faking": faking,
        }
        scores = {name: jnp.clip((at + 8) / 16, 0, 1) for name, at in seen.items()}
        return {"competence": jnp.clip(params["skill"], 0, 1), **scores}


@dataclass(frozen=True)
class Unbounded(Probe):
    """The same with a proxy whose loss is nan or infinite for some models or for all."""

    kind: str = "nan"
    name = "unbounded"
    terms = {**Probe.terms, "unbounded": "see losses"}

    def losses(self, params, batch, knobs, progress):
        value = params["value"]
        unbounded = {
            "inf": lambda: (1e30 * value) ** 2,
            "nan": lambda: (1e30 * value) ** 2 - (1e30 * (value - 1)) ** 2,
        }[self.kind]()
        return {**super().losses(params, batch, knobs, progress), "unbounded": unbounded}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Return a function from the rest of a config to the results of training it, recorded after every step."""
    folder = tmp_path_factory.mktemp("runs")

    def trained(rest, seeds=SEEDS, task="probe", proxy="mirror"):
        text = f"name: probe\ntask: {task}\nproxy: {proxy}\nseeds: {seeds}\ntraining: {{segments: {STEPS}}}\n{rest}"
        experiment = parse(text)
        return lab.run(experiment, folder / experiment.hash)

    with pytest.MonkeyPatch.context() as patch:
        for kind in (Probe, Unbounded):
            patch.setitem(CLASSES, kind.name, kind.__name__)
            patch.setitem(sys.modules, f"lab.tasks.{kind.name}", sys.modules[__name__])
        yield trained


def latent(results, condition, score="alignment"):
    """What lies under a score, shape (seed, step)."""
    return 16 * results.sel(condition=condition)[score].values.astype(float) - 8


def outcome(results, condition, name):
    return classify(results).sel(condition=condition)[name].values


def has_rate(true, probability):
    """Whether a share of seeds is what a probability gives, by an exact test at 1e-6."""
    return binomtest(int(np.sum(true)), len(true), probability).pvalue > 1e-6


def test_the_probe_task_keeps_the_contract():
    assert check(Probe()) == []


def test_a_proxy_equal_to_alignment_separates_and_training_on_it_aligns(train):
    """Half of training at weight 1 moves every value by 32 / 64: aligned iff v0 >= -1/2, which has P = Phi(1/2)."""
    results = train("regimens: {hold_out: [{until: 1}], push: [{until: 0.5, weights: {mirror: 1}}, {until: 1}]}")
    value = latent(results, "hold_out")
    assert (value == value[:, :1]).all()
    start, steps = value[:, 0], np.arange(1, STEPS + 1)
    np.testing.assert_array_equal(latent(results, "push"), start[:, None] + np.minimum(steps, 32) / 64)
    aligned = {"hold_out": start >= 0, "push": start >= -0.5}
    assert has_rate(aligned["hold_out"], 0.5)
    assert has_rate(aligned["push"], norm.cdf(0.5))

    # gradient descent on 8 (1 - x)^2 at rate 1/64 leaves 3/4 of 1 - x per step: above 1/2 until the third
    skill = results.sel(condition="push")["competence"].values
    assert skill == pytest.approx(np.broadcast_to(1 - 0.75**steps, skill.shape), abs=1e-6)
    assert counts(results, "push", checkpoint=1).incompetent == SEEDS
    assert counts(results, "push", checkpoint=2).incompetent == 0

    z = norm.isf(0.025)
    for row in lab.summarise(results):
        np.testing.assert_array_equal(outcome(results, row.name, "aligned"), aligned[row.name])
        a = int(aligned[row.name].sum())
        assert row.counts.cells == (a, 0, 0, SEEDS - a)
        assert (row.counts.pass_given_aligned, row.counts.pass_given_misaligned) == (1, 0)
        # at p1 = 1 = r p2 the score statistic is 1 / sqrt((r - 1) / n2 x N / (N - 1)), which is z at the limit
        low = 1 + (SEEDS - a) * (SEEDS - 1) / SEEDS / z**2
        assert row.estimates["likelihood_ratio"] == pytest.approx((math.inf, low, math.inf), rel=1e-9)
    first, second = aligned["push"].mean(), aligned["hold_out"].mean()
    impact = math.log(first / (1 - first)) - math.log(second / (1 - second))
    assert row.impact.base_rate.value == pytest.approx(impact, rel=1e-9)


def test_a_proxy_independent_of_alignment_says_nothing_and_training_on_it_changes_nothing(train):
    """LR = 1 before and after; P(T) rises from 1/2 to Phi(1/2) as every badge moves by 32 / 64."""
    rest = "regimens: {hold_out: [{until: 1}], push: [{until: 0.5, weights: {independent: 1}}, {until: 1}]}"
    results = train(rest, proxy="independent")
    for score in ("alignment", "competence"):
        held, pushed = (results.sel(condition=name)[score].values for name in ("hold_out", "push"))
        assert held.tobytes() == pushed.tobytes()
    start = latent(results, "hold_out", "independent")[:, 0]
    # two seeds share value and badge with probability (1 / (2 sqrt(pi) 1024))^2: 0.6 pairs among all
    assert len(np.unique(np.stack([start, latent(results, "hold_out")[:, 0]]), axis=1).T) > SEEDS - 12
    np.testing.assert_array_equal(latent(results, "push", "independent")[:, -1], start + 0.5)
    for name, passes, rate in (("hold_out", start >= 0, 0.5), ("push", start >= -0.5, norm.cdf(0.5))):
        np.testing.assert_array_equal(outcome(results, name, "passes"), passes)
        aligned = outcome(results, name, "aligned")
        assert has_rate(passes[aligned], rate)
        assert has_rate(passes[~aligned], rate)
        low, high = interval(counts(results, name), "likelihood_ratio", 1 - 1e-8)
        assert low < 1 < high
        # z = 5.7 standard errors of sqrt(1/2048 + 1/2048) = 0.031 on either side, in nats, where P(T) is 1/2
        assert 0.1 < math.log(high / low) < 0.4
    assert lab.compare(results, "push", "hold_out").base_rate.value == 0


def test_a_proxy_opposed_to_alignment_misleads_and_training_on_it_misaligns(train):
    """Half of training at weight w moves every value by -w / 2: aligned iff v0 >= w/2, which has P = Phi(-w/2)."""
    results = train(
        """
regimens: {hold_out: [{until: 1}], push: [{until: 0.5, weights: {opposed: 0}}, {until: 1}]}
sweep: {weight: {key: "regimens.push[0].weights.opposed", values: [-2, -1, 0, 1, 2]}}
""",
        proxy="opposed",
    )
    start = latent(results, "hold_out")[:, 0]
    z = norm.isf(5e-9)
    rates = []
    for row in lab.summarise(results):
        weight = row.coordinates.get("weight", 0)
        np.testing.assert_array_equal(latent(results, row.name)[:, -1], start - weight / 2)
        aligned = start >= weight / 2
        np.testing.assert_array_equal(outcome(results, row.name, "aligned"), aligned)
        assert has_rate(aligned, norm.cdf(-weight / 2))
        a = int(aligned.sum())
        assert row.counts.cells == (0, a, SEEDS - a, 0)
        assert (row.counts.pass_given_aligned, row.counts.pass_given_misaligned) == (0, 1)
        # the limit where everybody of one group passes and nobody of the other, as above with the groups exchanged
        high = 1 / (1 + a * (SEEDS - 1) / SEEDS / z**2)
        assert interval(row.counts, "likelihood_ratio", 1 - 1e-8) == pytest.approx((0, high), rel=1e-6)
        assert high < 0.1
        rates.append(row.counts.base_rate)
    held, *pushed = rates
    assert pushed == sorted(pushed, reverse=True)
    assert pushed[2] == held
    assert pushed[1] - held > 0.1 < held - pushed[3]  # Phi(1/2) - 1/2 = 0.19


def test_a_proxy_gameable_only_late_is_taught_by_an_early_push_and_faked_by_a_late_one(train):
    """A push of 16 steps moves every value by 16 / 64, and faking by 4 / 64 per step from the onset on.

    Faking begins at -1, so it needs 16 steps at or after the onset: all of a push. A push that begins one step
    earlier than the onset leaves it at -1/16, and the misaligned never pass.
    """
    results = train(
        """
regimens: {hold_out: [{until: 1}], push: [{until: 0}, {lasts: 0.25, weights: {late: 1}}, {until: 1}]}
sweep:
  onset: [0.25, 0.5, 1]
  begin: {key: "regimens.push[0].until", values: [0, 0.234375, 0.25, 0.484375, 0.5, 0.75]}
""",
        seeds=256,
        proxy="late",
    )
    # (onset, beginning of the push) -> step after which the misaligned pass, all of them at once
    when = {(16, 16): 32, (16, 31): 47, (16, 32): 48, (16, 48): 64, (32, 32): 48, (32, 48): 64}
    outcomes = [classify(results, checkpoint=step) for step in range(STEPS)]
    aligned, passes = (np.stack([one[name].values for one in outcomes], axis=2) for name in ("aligned", "passes"))
    start = latent(results, "hold_out onset=1")[:, :1]
    steps = np.arange(1, STEPS + 1)
    for index, (regimen, own) in enumerate(places(results)):
        name = results.condition.values[index]
        onset, begin = own["onset"] * STEPS, own["begin"] * STEPS if regimen == "push" else math.inf
        value = start + np.clip(steps - begin, 0, 16) / 64
        gameable = np.clip(np.minimum(steps, begin + 16) - max(begin, onset), 0, 16)
        np.testing.assert_array_equal(latent(results, name), value)
        np.testing.assert_array_equal(latent(results, name, "faking"), np.tile(4 * gameable / 64 - 1, (256, 1)))
        competent = steps >= 3  # as above
        np.testing.assert_array_equal(aligned[index], (value >= 0) & competent)
        faked = steps >= when.get((onset, begin), math.inf)
        np.testing.assert_array_equal(passes[index], ((value >= 0) | faked) & competent)

    early, late = (lab.compare(results, f"push onset=0.5 begin={begin}", "hold_out onset=0.5") for begin in (0.25, 0.5))
    assert early.base_rate.value == late.base_rate.value > 0
    assert late.likelihood_ratio.value == -math.inf
    assert counts(results, "push onset=0.5 begin=0.25").pass_given_misaligned == 0
    assert counts(results, "push onset=0.5 begin=0.5").pass_given_misaligned == 1


@pytest.mark.parametrize("kind", ["inf", "nan"])
def test_a_phase_of_weight_zero_is_no_phase(train, kind):
    """The value rises by 16 / 64, rests for 16 steps and falls by 32 / 64, whatever the loss of no weight is."""
    plain = train(
        """
regimens:
  hold_out: [{until: 1}]
  none: [{until: 0.25, weights: {mirror: 1}}, {until: 0.5}, {until: 1, knobs: {drift: -1}}]
""",
        seeds=256,
    )
    start, steps = latent(plain, "hold_out")[:, :1], np.arange(1, STEPS + 1)
    value = start + np.minimum(steps, 16) / 64 - np.maximum(steps - 32, 0) / 64
    np.testing.assert_array_equal(latent(plain, "none"), value)

    results = train(
        """
weights: {mirror: 1}
regimens:
  zero:
    - {until: 0.25}
    - {until: 0.5, weights: {mirror: 0, unbounded: 0}}
    - {until: 1, weights: {mirror: 0}, knobs: {drift: -1}}
  empty:
    - {until: 0.25}
    - {lasts: 0, weights: {unbounded: 1}}
    - {until: 0.5, weights: {mirror: 0}}
    - {until: 1, weights: {mirror: 0}, knobs: {drift: -1}}
  trained:
    - {until: 0.25}
    - {until: 0.5, weights: {mirror: 0, unbounded: 1}}
    - {until: 1, weights: {mirror: 0}, knobs: {drift: -1}}
""",
        seeds=256,
        task=f"{{name: unbounded, kind: {kind}}}",
    )
    for name in ("zero", "empty"):
        for score in Probe.scores:
            got, wanted = (one.sel(condition=other)[score].values for one, other in ((results, name), (plain, "none")))
            assert got.tobytes() == wanted.tobytes()
    # with a weight, every model diverges
    assert outcome(results, "trained", "diverged").all()
