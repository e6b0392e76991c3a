"""The probe of hidden layers: the fit against its own equations, and what it finds in populations made for it."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.optimize import brentq

from lab import cli
from lab.cli import decide
from lab.studies import probe
from lab.studies.probe import PENALTY, logistic, refit
from lab.tasks.base import explained
from tests.hand_made import made

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def test_two_points_have_the_weight_of_their_equation():
    """x = -1, +1 with labels no, yes: w solves 1 / (1 + e^w) = penalty w, the bias is 0."""
    bias, weight = logistic(np.array([[-1.0], [1.0]]), np.array([False, True]))
    assert weight == pytest.approx(brentq(lambda w: 1 / (1 + math.exp(w)) - PENALTY * w, 0, 50), rel=1e-3)
    assert bias == pytest.approx(0, abs=1e-4)


def test_a_feature_that_never_varies_has_no_weight():
    features = np.column_stack([np.full(8, 3.0), np.arange(8.0)])
    assert logistic(features, np.arange(8) > 3)[1] == 0


def test_explained_shares_of_a_known_layer():
    """h = (2 a, 1 c, 0.5 a c) over all signs a, c: shares 4, 1, 1/4 of 5.25, whatever rotation hides them."""
    a, c = (signs.ravel() for signs in np.meshgrid([-1.0, 1.0], [-1.0, 1.0]))
    functions = np.stack([a, c, a * c], axis=1).astype(np.float32)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    hidden = (np.stack([2 * a, c, 0.5 * a * c], axis=1) @ rotation + 7).astype(np.float32)
    shares = np.asarray(explained(jnp.asarray(hidden), functions))
    assert shares == pytest.approx([4 / 5.25, 1 / 5.25, 0.25 / 5.25], rel=1e-4)


def population(encodes, aligned):
    """Results of one condition whose models have one recorded share; the run's own probe says nothing."""
    scores = {"competence": np.ones(len(aligned)), "alignment": aligned, "probe": np.full(len(aligned), 0.5)}
    scores["encodes_bit"] = encodes
    dims = ("condition", "seed", "checkpoint")
    return xr.Dataset(
        {name: (dims, np.asarray(own, np.float32)[None, :, None]) for name, own in scores.items()},
        {
            "condition": ["hold_out"],
            "regimen": ("condition", ["hold_out"]),
            "seed": np.arange(len(aligned)),
            "checkpoint": [1.0],
        },
        {"proxy": "probe", "thresholds": {"competence": 0.5, "alignment": 0.5, "probe": 0.5}, "confidence": 0.999999},
    )


def test_a_probe_finds_what_is_there_and_nothing_else():
    random = np.random.default_rng(1)
    aligned = random.random(2000) < 0.4
    found = refit(population(np.where(aligned, 0.6, 0.2) + 0.1 * random.random(2000), aligned), "hold_out")
    assert (found.area.value, found.own_area.value, found.gap) == (1.0, 0.5, 0.5)
    assert -found.knobs["probe_bias"] / found.knobs["probe_bit"] == pytest.approx(0.45, abs=0.05)
    nothing = refit(population(random.random(2000), aligned), "hold_out")
    assert nothing.area.low < 0.5 < nothing.area.high < 0.65
    alone = refit(population(random.random(20), np.zeros(20)), "hold_out")
    assert alone.knobs is None


def test_tasks_without_hidden_layers_are_named(tmp_path, capsys):
    (tmp_path / "r.yaml").write_text(
        "name: r\ntask: race\nseeds: 4\ntraining: {steps: 20}\nregimens:\n  a: [{until: 1}]\n"
    )
    assert cli.main(["run", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "run")]) == 0
    assert cli.main(["probe", str(tmp_path / "run")]) == 2
    assert "encodes_" in capsys.readouterr().err


def test_the_command_says_what_the_study_finds(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(2)
    aligned = random.random(200) < 0.4
    models = population(np.where(aligned, 0.6, 0.2) + 0.5 * random.random(200), aligned)
    monkeypatch.setattr(decide, "read", lambda *_: models)
    made(tmp_path)
    assert cli.main(["probe", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    (fitted,) = probe.run(models)
    assert found["knobs"] == fitted.knobs
    assert found["area"]["value"] == fitted.area.value
    assert cli.main(["probe", str(tmp_path), "--regimen", "never"]) == 2
    assert capsys.readouterr().err == "no regimen 'never'; known: hold_out\n"
