"""The response of a world by hand: what is drawn, how effects add up, where latents end, and how models are judged."""

import itertools
import json
import math

import numpy as np
import pytest

from experiments.studies import response
from experiments.studies import response_models as models
from experiments.studies.response_models import Latents, Outcomes, Profile, Response
from experiments.studies.worlds import FOLDER, Worlds
from lab.config.seeds import RESPONSE
from lab.studies import law
from lab.studies.law import Pilots, Push

TWO = math.log(2)
EFFECTS = np.zeros((10, 3))
EFFECTS[0], EFFECTS[4], EFFECTS[9] = (TWO, 0, 0), (0, 0, TWO), (-TWO, 0, 0)
PROFILE = Profile(np.zeros(3), EFFECTS)  # a push doubles o(A) at the start and halves it at the end
STILL = Latents(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)


def schedule(**weights):
    """A schedule from weights by tenth, such as t1=4."""
    row = np.zeros((1, 10))
    for name, weight in weights.items():
        row[0, int(name[1:]) - 1] = weight
    return row


def odds(foreseen):
    """(o(A), odds of passing if aligned, if not) of one schedule."""
    return np.exp(foreseen[0]).round(9).tolist()


# --- effects that add up ----------------------------------------------------------------------------------------------


def test_log_odds_add_up_and_grow_with_the_power_of_the_weight():
    """A weight of 4 to the power 1/2 doubles an effect: o(A) times 2^2 at the start, P(T|not A) as in its profile."""
    foreseen = models.additive(PROFILE, schedule(t1=4, t5=1), Response(0.5))
    assert odds(foreseen) == [4, 1, 2]
    assert odds(models.additive(PROFILE, schedule(t1=9, t10=4), Response(0.5))) == [2, 1, 1]  # 2^3 / 2^2
    assert odds(models.additive(PROFILE, schedule(), Response(0.0))) == [1, 1, 1]


def test_a_cap_is_a_multiple_of_the_largest_single_effect():
    capped = models.additive(PROFILE, schedule(t1=1e9), Response(1.0, cap=3.0))
    assert odds(capped) == pytest.approx([8, 1, 1])  # three times ln 2
    half = models.additive(PROFILE, schedule(t1=1), Response(1.0, cap=1.0))
    assert half[0, 0] == pytest.approx(TWO * math.tanh(1))


def test_in_a_norm_large_effects_count_for_more():
    """Effects of 3 and 4 ln 2 come to 7, 5 or 4 of them, in the norms 1, 2 and infinity."""
    profile = Profile(np.zeros(3), np.tile([TWO, 0, 0], (10, 1)))
    for norm, times in ((1.0, 7), (2.0, 5), (np.inf, 4)):
        foreseen = models.additive(profile, schedule(t2=3, t7=4), Response(1.0, norm=norm))
        assert foreseen[0, 0] == pytest.approx(times * TWO)


def test_how_effects_add_up_is_found_in_outcomes_that_were_made_so():
    random = np.random.default_rng(0)
    profile = Profile(random.normal(0, 1, 3), random.normal(0, 1, (10, 3)))
    schedules = response.draw_schedules("race", 20)
    for made in (Response(0.5), Response(0.3, 2.0), Response(0.8, 1.5, 2.0)):
        outcomes = Outcomes(schedules, models.additive(profile, schedules, made))
        assert models.fit_response([(profile, outcomes)], models.NORMS) == made
    assert models.fit_response([]) == Response(law.EXPONENT)


# --- nothing, and the law ---------------------------------------------------------------------------------------------


def test_the_law_of_a_schedule_with_one_push_is_the_law_of_that_push():
    random = np.random.default_rng(1)
    cells = Pilots(*random.integers(1, 50, (3, 4)).astype(float))
    before, early, late = map(law.log_odds, cells)
    effects = np.zeros((10, 3))
    effects[0], effects[4] = early - before, late - before
    for first, last, weight in ((0, 1, 1.0), (4, 5, 1.0), (0, 10, 0.3), (2, 7, 4.0)):
        row = np.zeros((1, 10))
        row[0, first:last] = weight
        by_law = law.log_odds(law.after(cells, Push(first / 10, last / 10, weight)), 0)
        assert models.of_law(Profile(before, effects), row)[0] == pytest.approx(by_law)


def test_nothing_and_an_empty_schedule_leave_the_population_as_it_is():
    profile = Profile(np.array([1.0, 2, 3]), EFFECTS)
    assert models.nothing(profile, schedule(t1=5)).tolist() == [[1, 2, 3]]
    assert models.of_law(profile, schedule()).tolist() == [[1, 2, 3]]


# --- latents ----------------------------------------------------------------------------------------------------------


def test_without_a_push_latents_drift_in_a_line():
    latents = STILL._replace(values=0.5, gaming=-1, values_drift=2, gaming_drift=-0.5, values_pull=9, passing=3)
    assert models.of_latents(latents, schedule())[0] == pytest.approx([2.5, 3, -1.5])


@pytest.mark.parametrize("closing", [0.0, 2.0])
def test_a_constant_push_where_nobody_games_has_a_closed_form(closing):
    """dv/dt = 4 k w s'(v) exp(-ct), and 1 / s'(v) = 2 + 2 cosh v: so v + sinh v gains 2 k w (1 - exp(-c)) / c."""
    pull, weight = 3.0, 1.5
    latents = STILL._replace(values=-0.7, gaming=-40, values_pull=pull, values_closing=closing)
    values, _ = models.paths_end(latents, np.full((1, 10), weight))
    time = (1 - math.exp(-closing)) / closing if closing else 1
    gained = values[0] + math.sinh(values[0]) - (-0.7 + math.sinh(-0.7))
    assert gained == pytest.approx(2 * pull * weight * time, rel=1e-5)


def test_who_passes_already_is_not_moved():
    """Where all misaligned models game nothing is gained by values; where all are aligned nothing by gaming."""
    pushed = np.full((1, 10), 5.0)
    gamed = STILL._replace(gaming=40, values_pull=10)
    assert models.paths_end(gamed, pushed)[0] == pytest.approx([0])
    aligned = STILL._replace(values=40, gaming_pull=10)
    assert models.paths_end(aligned, pushed)[1] == pytest.approx([0])


def test_the_pull_on_values_and_gaming_is_the_gradient_of_passing():
    """In a short time: d/dv of s(v) + (1 - s(v)) s(g) is s'(v) (1 - s(g)), by differences."""

    def passing(values, gaming):
        aligned, games = 1 / (1 + math.exp(-values)), 1 / (1 + math.exp(-gaming))
        return aligned + (1 - aligned) * games

    step, values, gaming = 1e-5, 0.3, -0.8
    latents = STILL._replace(values=values, gaming=gaming, values_pull=1e-4, gaming_pull=1e-4)
    moved = models.paths_end(latents, np.ones((1, 10)))[:, 0] - (values, gaming)
    slopes = (
        (passing(values + step, gaming) - passing(values - step, gaming)) / (2 * step),
        (passing(values, gaming + step) - passing(values, gaming - step)) / (2 * step),
    )
    assert moved == pytest.approx(4e-4 * np.array(slopes), rel=1e-3)


def test_latents_that_made_outcomes_are_found_well_enough_for_other_schedules(monkeypatch):
    monkeypatch.setattr(models, "STARTS", 1)
    monkeypatch.setattr(models, "SUBSTEPS", 1)
    made = STILL._replace(values=-0.5, gaming=-1.5, values_pull=8, gaming_pull=5, values_closing=2, exponent=0.5)
    seen = np.concatenate([np.zeros((1, 10)), np.eye(10)])
    found = models.fit_latents(Outcomes(seen, models.of_latents(made, seen)), exponent=0.5)
    other = np.concatenate([schedule(t1=4, t2=4), schedule(t6=2, t7=2), schedule(t1=1, t9=3)])
    errors = models.logistic(models.of_latents(found, other)) - models.logistic(models.of_latents(made, other))
    assert np.abs(errors).max() < 0.05
    assert found.exponent == 0.5


# --- what is trained --------------------------------------------------------------------------------------------------


def test_schedules_have_pieces_and_weights_within_bounds():
    schedules = response.draw_schedules("race", 400)
    pieces = np.array([len(list(itertools.groupby(row))) for row in schedules.tolist()])
    assert set(pieces) <= {1, 2, 3, 4}  # one where two neighbours are alike, which takes two that do not push
    weights = schedules[schedules > 0]
    assert weights.min() >= 0.1
    assert weights.max() <= 10
    assert abs(np.log10(weights).mean()) < 0.15  # log-uniform about 1; the mean of 400 schedules is within 0.03
    assert (schedules > 0).any(1).all()
    assert schedules[:40].tolist() == response.draw_schedules("race", 40).tolist()
    assert schedules[:40].tolist() != response.draw_schedules("digits", 40).tolist()


def test_a_schedule_is_written_as_phases():
    phases = response.phases([0, 0, 2, 2, 2, 0.5, 0, 0, 0, 0], 0.03)
    assert phases == [
        {"until": 0.2, "weights": {}},
        {"until": 0.5, "weights": {"test": 0.06}},
        {"until": 0.6, "weights": {"test": 0.015}},
        {"until": 1.0, "weights": {}},
    ]


def test_the_world_is_the_most_mixed_one_whose_models_are_able_and_that_a_pilot_moves():
    """Of 20 models each: the second world is mixed but not moved, the third not able; the last one is mixed less."""
    mixed, moved = [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5, [0] * 9 + [1] * 9 + [2, 3]
    one_sided = [0] * 2 + [1] * 2 + [2] * 8 + [3] * 8
    regimens = {
        "hold_out": [mixed, mixed, mixed, one_sided],
        "pilot_early": [moved, mixed, moved, moved],
        "pilot_late": [mixed] * 4,
    }
    able = np.ones((4, 20), bool)
    able[2, :2] = False
    cells = {name: np.array(rows, np.int8) for name, rows in regimens.items()}
    worlds = Worlds("race", {}, cells, dict.fromkeys(regimens, able), {}, {}, {})
    assert response.choose_world(worlds) == 0
    without = Worlds("race", {}, {name: rows[1:3] for name, rows in cells.items()}, {}, {}, {}, {})
    with pytest.raises(ValueError, match="race: no world"):
        response.choose_world(without._replace(able=dict.fromkeys(regimens, able[1:3])))


def test_an_experiment_has_the_chosen_world_and_the_seeds_that_are_kept_for_it():
    experiment = response.experiment("race")
    assert experiment.seeds == range(RESPONSE.first, RESPONSE.first + 512)
    assert len(experiment.conditions) == 1 + 10 + 10 + 30 + 4
    stored, world = json.loads((FOLDER / "look-race.json").read_text()), response.world_of("race")
    for condition in experiment.conditions:
        assert condition.knobs["preference"] == stored["drawn"]["preference"][world["index"]]
        assert condition.knobs["target"] == stored["fixed"]["target"]
    (pair,) = (condition for condition in experiment.conditions if condition.regimen == "pair-1-10")
    column = [*experiment.task.terms].index("test")
    assert [segment.weights[column] for segment in pair.settings] == [0.3, *[0.0] * 8, 0.3]


# --- how models are judged --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("additive", "nothing", "schedules", "verdict"),
    [
        (0.05, 0.06, 30, "supported"),
        (0.04, 0.04, 30, "undecided"),
        (0.06, 0.2, 30, "undecided"),
        (0.04, 0.03, 30, "contradicted"),
        (0.16, 0.3, 30, "contradicted"),
        (0.15, 0.3, 20, "undecided"),
        (0.01, 0.3, 19, "undecided"),
    ],
)
def test_the_rule_of_the_verdict(additive, nothing, schedules, verdict):
    assert response.verdict(additive, nothing, schedules) == verdict


def test_what_lies_beyond_an_interval():
    outside = response.beyond(np.array([0.1, 0.5, 0.9]), [(0.3, 0.6)] * 3)
    assert outside == pytest.approx([0.2, 0, 0.3])


def test_errors_and_signs_by_hand():
    """Two schedules; foreseen P(A) 1/2 and 3/4, measured 3/4 and 1/4, and nothing passes for another reason."""
    before = np.full((1, 4), 0.25)
    foreseen, came = np.log([[1.0, 1, 1], [3, 1, 1]]), np.log([[3.0, 1, 1], [1 / 3, 1, 1]])
    counts = np.array([[30.0, 30, 10, 10], [3, 4, 30, 30]])  # of the second too few are aligned to judge P(T|A)
    measured = {runs: np.array([0.25, -0.25]) for runs in response.BUDGETS}
    decided = {runs: np.array([False, True]) for runs in response.BUDGETS}
    marks = response.marks(
        foreseen, Outcomes(np.zeros((2, 10)), came), counts, response.Gains(before, measured, decided)
    )
    assert marks["errors"] == pytest.approx({"P(A)": (0.25 + 0.5) / 2, "P(T|A)": 0, "P(T|not A)": 0})
    # the base rate decides, as P(T|A) = P(T|not A): gains 0 and 1/4 are foreseen
    assert marks["budgets"]["1"] == pytest.approx({"error": (0.25 + 0.5) / 2, "right": 0, "decided": 1})


def test_errors_by_kind_of_schedule():
    dots = [
        {"first": 0, "dose": 1, "pushes": 1, "measured": 0.5, "foreseen": {"additive": 0.7}},
        {"first": 0, "dose": 50, "pushes": 2, "measured": 0.5, "foreseen": {"additive": 0.4}},
        {"first": 3, "dose": 5, "pushes": 2, "measured": 0.5, "foreseen": {"additive": 0.5}},
    ]
    groups = response.where(dots)
    early = groups["first push early"]
    assert (early["schedules"], early["error"], early["bias"]) == pytest.approx((2, 0.15, 0.05))
    assert groups["dose 5 to 20"] == {"schedules": 1, "error": 0.0, "bias": 0.0}
    assert groups["a push precedes another"]["bias"] == pytest.approx(-0.05)


def cells_of(aligned, seed):
    """4,000 models of whom so many are aligned, on seeds of their own; half of each kind pass."""
    cells = np.array([0, 1] * (aligned // 2) + [2, 3] * ((4000 - aligned) // 2), np.int8)
    return np.random.default_rng(seed).permutation(cells)


def test_an_interaction_is_what_two_pushes_do_beyond_the_sum_of_each():
    """o(A) is 1 held out and 3 after one push: after two 9 if effects add up, and 3 if the second does nothing.

    A logit has variance 1 / (4000 p (1 - p)), so the sum of four has a standard error of .080, or .071 with 3.
    """
    pushes = [np.zeros(10), *np.eye(10), *(np.eye(10)[first] + np.eye(10)[second] for first, second in response.PAIRS)]
    aligned = [2000, *[3000] * 10, 3600, 3000, 3600, 3600]
    cells = np.array([cells_of(count, seed) for seed, count in enumerate(aligned)])
    kinds = np.array(["hold_out", *["moment"] * 10, *["pair"] * 4])
    trained = response.Trained("race", kinds, np.array(pushes), cells, np.ones(15, bool))
    found = response.interactions(trained)
    assert [row["tenths"] for row in found] == [[1, 2], [1, 5], [1, 10], [5, 10]]
    sums = np.array([row["beyond_sum"]["ln o(A)"] for row in found])
    assert sums[:, 0] == pytest.approx([0, -math.log(3), 0, 0], abs=0.03)
    widths = (sums[:, 2] - sums[:, 1]) / (2 * 1.96)
    assert widths == pytest.approx([0.080, 0.071, 0.080, 0.080], rel=0.1)
    assert trained.profile.effects[:, 0] == pytest.approx(np.full(10, math.log(3)), abs=0.01)


def test_stored_conditions_are_read_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(response, "FOLDER", tmp_path)
    schedules = {"hold_out": [0] * 10, "moment-1": [1] + [0] * 9, "judging-1": [2] * 10}
    outcomes = {"judging-1": "Aiid", "hold_out": "AaMm", "moment-1": "AAAA"}
    (tmp_path / "response-race.json").write_text(json.dumps({"schedules": schedules, "outcomes": outcomes}))
    trained = response.read_trained("race")
    assert trained.kinds.tolist() == ["hold_out", "moment", "judging"]
    assert trained.cells.tolist() == [[0, 1, 2, 3], [0] * 4, [0, 3, 3, 3]]
    assert trained.counts.tolist() == [True, True, False]
    assert trained.of("moment").odds[0, 0] == pytest.approx(math.log(5 / 1))  # 4 aligned, half a model in every cell


def test_the_title_tells_where_single_pushes_foresee_schedules_and_by_how_much_they_are_off_elsewhere():
    def of_task(verdict, error):
        return {"verdict": verdict, "seeds": 64, "models": {"additive": {"errors": {"P(A)": error}}}}

    tasks = {
        "race": of_task("supported", 0.041),
        "digits": of_task("contradicted", 0.23),
        "x": of_task("supported", 0.02),
    }
    title = response.words({"tasks": tasks})["title"]
    assert "in 2 of 3 tasks (P(A) is off by at most 0.04)" in title
    assert title.endswith("it is off by 0.23 in digits")
