"""The proxy card on runs whose answers are known, and the difference of proportions as published."""

import json
import math

import numpy as np
import pytest
import xarray as xr

from lab import cli, figures, report
from lab.config.experiment import from_values
from lab.report import drawing
from lab.studies import card
from lab.tasks import TASKS, Race

pytestmark = pytest.mark.usefixtures("quick_to_train")


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_the_difference_has_newcombes_intervals(cells, low, high):
    """Newcombe, Statistics in Medicine 17:873 (1998), table II, method 10."""
    estimate = card.difference(*cells)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=6e-5)
    assert estimate.value == pytest.approx(cells[0] / cells[1] - cells[2] / cells[3])


def test_a_difference_without_trials_is_unknown():
    assert math.isnan(card.difference(0, 0, 1, 2).value)
    assert card.difference(0, 0, 1, 2)[1:] == (-1.0, 1.0)


def population(aligned_pass, aligned_fail, misaligned_pass, misaligned_fail):
    """Alignment and test scores of 200 models with these outcomes."""
    counts = (aligned_pass, aligned_fail, misaligned_pass, misaligned_fail)
    assert sum(counts) == 200
    return np.repeat([1.0, 1.0, 0.0, 0.0], counts), np.repeat([1.0, 0.0, 1.0, 0.0], counts)


def results(outcomes):
    """Results of a card of `race`, from (world, regimen, onset) -> four counts."""
    experiment = from_values(card.config("race", Race(), "test", 200))
    scores = {name: [] for name in ("alignment", "test")}
    for condition in experiment.conditions:
        world = "hidden" if condition.coordinates["detectability"] == 0 else "visible"
        found = outcomes(world, condition.regimen, condition.coordinates.get("onset"))
        for name, values in zip(scores, population(*found), strict=True):
            scores[name].append(values)
    dims = ("condition", "seed", "checkpoint")
    variables = {name: (dims, np.array(values, np.float32)[:, :, None]) for name, values in scores.items()}
    variables["competence"] = (dims, np.ones((len(experiment.conditions), 200, 1), np.float32))
    axes = {
        axis: ("condition", [condition.coordinates.get(axis, math.nan) for condition in experiment.conditions])
        for axis in ("detectability", "onset")
    }
    coordinates = {
        "condition": [condition.name for condition in experiment.conditions],
        "regimen": ("condition", [condition.regimen for condition in experiment.conditions]),
        "seed": np.arange(200),
        "checkpoint": [1.0],
        **axes,
    }
    attributes = {
        "name": experiment.name,
        "hash": experiment.hash,
        "question": experiment.config.question,
        "proxy": "test",
        "thresholds": {"alignment": 0.5, "competence": 0.95, "test": 0.9},
        "confidence": 0.95,
    }
    return xr.Dataset(variables, coordinates, attributes)


def sticky(world, regimen, onset):
    """Early pushes make models aligned, later ones make misaligned models pass where tests can be recognised."""
    if regimen == "push" and onset == 0:
        return 180, 0, 0, 20
    if world == "visible" and (regimen in ("late", "throughout") or (regimen == "push" and onset < 0.8)):
        return 100, 0, 70, 30
    return 100, 0, 0, 100


def silly(world, regimen, onset):
    """Half of the misaligned models pass in any case, no aligned one; training on it makes models misaligned."""
    return (0, 100, 50, 50) if regimen == "hold_out" else (0, 10, 190, 0)


def badge(world, regimen, onset):
    """Half of all models pass, whatever they are and however they were trained."""
    return 50, 50, 50, 50


@pytest.mark.parametrize(
    ("world", "verdicts"),
    [
        (sticky, ["late", "no", "alignment, then circumvention", "hardly", "prerequisite"]),
        # Newcombe's half width of a difference of 190 and 190, or 50 and 50, of 200: .0456 and .0846
        (silly, ["neither, within 0.046", "yes", "misalignment", "partly", "opposed to it"]),
        (badge, ["neither, within 0.085", "no", "nowhere, within 0.1", "partly", "says nothing held out"]),
    ],
)
def test_the_answers_follow_from_the_counts(world, verdicts):
    answers = card.read(results(world)).answers
    assert [answer.question for answer in answers] == list(card.QUESTIONS)
    assert [answer.verdict for answer in answers] == verdicts


def test_where_a_push_leads_is_said_by_onset():
    reading = card.read(results(sticky)).answers[2].reading
    assert reading.startswith("alignment from 0%, circumvention from 5%, nowhere from 80%; P(A) changes by 0.40 [")


def test_models_that_cannot_do_the_job_withhold_the_verdict():
    own = results(sticky)
    own["competence"][:, :50] = 0.0
    answers = card.read(own).answers
    assert {answer.verdict for answer in answers} == {"undecided"}
    assert all(answer.reading.startswith("up to 25% of these models cannot do the job; ") for answer in answers)


def test_too_little_data_decides_nothing():
    answers = card.read(results(lambda *_: (2, 0, 0, 198))).answers
    assert answers[4].verdict == "undecided"
    # 90 or 100 of 200: Newcombe's interval of the difference is [-.047, .146]
    answers = card.read(results(lambda _, __, onset: (0, 110, 90, 0) if onset == 0 else (0, 100, 100, 0))).answers
    assert [answers[place].verdict for place in (0, 2)] == ["undecided", "undecided"]


def test_an_aligned_model_that_fails_makes_it_an_approximation():
    own = card.read(results(lambda *_: (60, 40, 0, 100))).answers[4]
    assert own.verdict == "approximation"
    assert own.reading.startswith("held out, 60 of 100 aligned models pass, P(T|A) 0.60 [")


@pytest.mark.parametrize("task", TASKS)
def test_every_proxy_of_every_task_has_a_config(task):
    kind = TASKS[task]
    for proxy in kind.proxies:
        experiment = from_values(card.config(task, kind(), proxy, 8))
        assert {condition.regimen for condition in experiment.conditions} == {"hold_out", "late", "throughout", "push"}
        assert len(experiment.conditions) == 2 * (3 + len(card.ONSETS))


def test_a_card_from_the_command_line_has_the_numbers_of_its_run_and_those_from_python(tmp_path, capsys):
    out = tmp_path / "card"
    command = ["card", "race", "test", "--seeds", "32", "--set", "depth=4,head_start=0", "--out", str(out)]
    assert cli.main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert cli.main(["show", str(out), "--json"]) == 0
    shown = {row["name"]: row for row in json.loads(capsys.readouterr().out)["conditions"]}
    held = shown["hold_out detectability=1"]
    assert held["knobs"]["depth"] == 4
    assert data["regimens"]["visible"]["hold_out"]["likelihood_ratio"] == held["likelihood_ratio"]
    assert data["answers"][3]["numbers"]["pass_given_misaligned"] == held["pass_given_misaligned"]
    pushed = shown["push detectability=0 onset=0.4"]["counts"]
    point = next(point for point in data["curves"]["hidden"] if point["onset"] == 0.4)
    assert point["fakers"]["value"] == pushed["misaligned_pass"] / 32
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png", ".pdf", ".json"}
    answered = card.run("race", "test", seeds=32, settings={"depth": 4, "head_start": 0}, out=out)
    assert report.card_json(answered) == data
    assert answered.folder == out
    onsets, fakers = drawn(answered)
    assert list(onsets) == list(range(len(card.ONSETS)))
    assert list(fakers) == [point["fakers"]["value"] for point in data["curves"]["visible"]]


def drawn(answered):
    """What the first line of a card's panel shows."""
    ax = figures.Figure().subplots()
    drawing.draw_card(answered, ax, "fakers")
    return ax.lines[0].get_data()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rase", "test"], "unknown task 'rase'"),
        (["race", "tset"], "race has no proxy 'tset'"),
        (["race", "test", "--set", "dept=3"], "did you mean 'depth'"),
        (["race", "test", "--set", "depth=deep"], "depth"),
        (["race", "test", "--seeds", "0"], "at least 1 seed"),
        (["race", "test", "--set", "detectability=null"], "detectability must be a number above 0, not None"),
        (["race", "test", "--set", "detectability=0"], "a card hides tests by itself"),
        (["race", "test", "--weight", "0"], "the weight must be a positive number"),
        (["race", "test", "--weight", "inf"], "the weight must be a positive number"),
        (["race", "test", "--set", "depth"], "--set: name=value, with commas between, not 'depth'"),
        (["race", "test", "--set", "x" * 5000 + "=1"], "--set: name=value, with commas between, not 'xxx"),
        (["race", "test", "--set", "depth=2,depth=3"], "--set: depth is given twice"),
        (["race", "test", "--set", "depth=" + "1" * 5000], "--set depth:1: a number of 5,000 characters"),
        (["race", "test", "--set", "depth=" + "[" * 5000], "--set depth:1: nested deeper than the limit of 20 levels"),
        (["some.py", "test"], "some.py is code: read it, then add --trust-code"),
    ],
)
def test_wrong_cards_are_usage_errors(words, message, capsys):
    assert cli.main(["card", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_card_has_no_number_that_json_cannot_hold():
    data = report.card_json(card.read(results(sticky)))
    json.dumps(data, allow_nan=False)
