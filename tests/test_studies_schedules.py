"""The search for schedules against a general optimiser, differences, and populations whose best schedule is known."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from lab import figures, report
from lab.cli import main
from lab.config.experiment import load
from lab.report import drawing
from lab.statistics import Counts
from lab.studies import schedules, search
from lab.studies.bounds import Bounds, handmade, project, spend_from_start, spend_to_end
from lab.studies.search import Effort, Goal
from lab.training import engine

pytestmark = pytest.mark.usefixtures("quick_to_train")

LENGTHS = np.array([0.05, 0.05, 0.2, 0.3, 0.4])


def test_projection_is_the_nearest_point():
    """Against a general constrained optimiser, on weights split into positive and negative parts."""
    random = np.random.default_rng(0)
    for cap, budget in ((1.0, 0.3), (0.5, 10.0), (2.0, 0.05)):
        given = random.normal(0, 1, (5, 2))
        spans = np.repeat(LENGTHS, 2)

        def distance(parts, given=given):
            return ((parts[:10] - parts[10:] - given.ravel()) ** 2).sum()

        best = minimize(
            distance, np.full(20, 0.01), bounds=[(0, cap)] * 20, method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
            constraints={"type": "ineq", "fun": lambda parts, b=budget, s=spans: b - np.tile(s, 2) @ parts},
        )  # fmt: skip
        projected = project(given, Bounds(LENGTHS, cap, budget))
        np.testing.assert_allclose(projected.ravel(), best.x[:10] - best.x[10:], atol=2e-4)
        assert (LENGTHS[:, None] * np.abs(projected)).sum() <= budget + 1e-9


def test_schedules_made_by_hand_spend_the_budget():
    """Cap 1, budget .2: the first three segments take .05 + .05 + .1; the last takes .2 at half the cap."""
    bounds = Bounds(LENGTHS, 1.0, 0.2)
    np.testing.assert_allclose(spend_from_start(bounds), [1, 1, 0.5, 0, 0])
    np.testing.assert_allclose(spend_to_end(bounds), [0, 0, 0, 0, 0.5])
    made = handmade(bounds, ["test"])
    np.testing.assert_allclose(made["early_1_then_anti_last"][:, 0], [1, 0, 0, 0, -0.375])
    np.testing.assert_allclose(made["early_1_then_anti"][:, 0], [1, *[-0.15 / 0.95] * 4])
    np.testing.assert_allclose(made["early_2"][:, 0], [1, 1, 0, 0, 0])
    np.testing.assert_allclose(made["throughout"][:, 0], 0.2)
    for name, schedule in made.items():
        assert (LENGTHS @ np.abs(schedule))[0] <= 0.2 + 1e-12, name
    assert len(handmade(bounds, ["a", "b"])) == 2 * (len(made) - 1) + 1


@pytest.mark.parametrize("goal", [Goal(), Goal("accepted_aligned", 3)])
def test_slopes_of_the_goal_are_those_of_moving_seeds(goal):
    """One more aligned pass and one less misaligned pass of 100,000."""
    counts = np.array([30_000, 10_000, 20_000, 40_000])
    cells = np.repeat(np.arange(4), counts)[None]
    slopes = goal.slopes(cells, np.ones(cells.shape, bool))
    first = slopes[0][np.cumsum(counts) - 1]
    shares = (counts + 0.5) / (counts.sum() + 2)
    for one, other in ((0, 2), (0, 3), (1, 2)):
        step = 1e-6 * (np.eye(4)[one] - np.eye(4)[other])
        change = (goal.value(shares + step) - goal.value(shares - step)) / 2e-6
        assert first[one] - first[other] == pytest.approx(change, rel=1e-4)
    assert Goal().value(np.array([0.4, 0, 0.1, 0.5])) == pytest.approx(math.log(4))


def test_a_floor_pays_for_models_that_do_the_job():
    cells, able = np.array([[0, 2, 3, 3]]), np.array([[True, True, True, False]])
    apart = Goal(floor=0.9).slopes(cells, able) - Goal().slopes(cells, able)
    np.testing.assert_allclose(apart, search.STEEP * able)
    np.testing.assert_array_equal(Goal(floor=0.7).slopes(cells, able), Goal().slopes(cells, able))


def test_the_search_finds_what_is_known_to_be_best():
    """All pass; ln o(A) = 4 w_0 - 2 w_4. By budget, the first segment pays 4 / .05, the last 2 / .4: the cap first."""
    random = np.random.default_rng(1)

    def sample(seeds, *weights):
        luck = random.uniform(size=len(seeds))
        chances = [1 / (1 + np.exp(-(4 * side[:, 0, 0] - 2 * side[:, 4, 0]))) for side in weights]
        return np.array([np.where(luck < chance, 0, 2) for chance in chances]), np.ones(
            (len(weights), len(seeds)), bool
        )

    bounds, effort = Bounds(LENGTHS, 1.0, 0.25), Effort(starts=1, iterations=80, pairs=512)
    optimum = search.search(sample, Goal(), bounds, np.zeros((5, 1)), effort, first_seed=0)
    # .05 of the budget of .25 goes to the first segment, .2 to the last; noise elsewhere costs some of it
    assert optimum.weights[0, 0] > 0.9
    assert -0.5 <= optimum.weights[4, 0] < -0.3
    assert optimum.slopes[0, 0] / 4 == pytest.approx(1, abs=4 * optimum.errors[0, 0] / 4 + 0.35)  # smoothed over .3
    expected = 4 * optimum.weights[0, 0] - 2 * optimum.weights[4, 0]
    assert optimum.value == pytest.approx(expected, abs=4 * math.sqrt(1 / 2048 / 0.01))


def count(steps):
    steps[-1] += 1


def test_rivals_and_verdicts_by_hand(tmp_path, monkeypatch, capsys):
    """A search on the race, whose config trains, and whose table is counted from it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(
        "name: r\ntask: race\nseeds: 512\nknobs: {preference: 0}\ntraining: {steps: 400, segments: 4}\n"
        "regimens: {hold_out: [{until: 1}]}\n"
    )
    given = ["optimise", "r.yaml", "--terms", "push", "--cap", "0.05", "--goal", "accepted_aligned", "--runs", "2"]
    given += ["--iterations", "4", "--starts", "2", "--pairs", "64", "--out", "o", "--json"]
    assert main(given) == 0
    data = json.loads(capsys.readouterr().out)
    made = load(tmp_path / "o/optimised-r.yaml")
    assert len(made.conditions) == len(data["schedules"]) == len(data["rivals"])
    at = list(made.task.terms).index("push")
    for condition in made.conditions:
        weights = [own.weights[at] for own in condition.settings]
        np.testing.assert_allclose(weights, np.ravel(data["schedules"][condition.name]), atol=1e-12)
        assert np.abs(weights) @ np.full(4, 0.25) <= data["budget"] + 1e-9
    assert {row["name"] for row in data["rivals"] if row["gain"] is None} == {"learned"}
    # the same command again searches no more and says the same
    before = (tmp_path / "o/search.json").stat().st_mtime_ns
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out) == data
    assert (tmp_path / "o/search.json").stat().st_mtime_ns == before
    # from Python the same again
    problem = search.problem(load("r.yaml"), None, ["push"], Goal("accepted_aligned", 2), 0.05)
    optimised = schedules.run(problem, Effort(starts=2, iterations=4, pairs=64), out=tmp_path / "o")
    assert report.optimised_json(optimised) == data
    ax = figures.Figure().subplots()
    drawing.draw_schedules(optimised, ax)
    assert len(ax.get_yticks()) == len(data["rivals"])
    # what other code found is not taken for what this one would find, and what is damaged is not taken at all
    experiment = load("r.yaml")
    problem = search.problem(experiment, None, ["push"], Goal(), 0.05, 0.01)
    file, honest, steps = tmp_path / "kept.json", engine.identity, []
    for code in ("one", "one", "other", "damaged"):
        monkeypatch.setattr(engine, "identity", lambda *given, code=code: {**honest(*given), "training_code": code})
        if code == "damaged":
            file.write_text("[]")
        steps.append(0)
        search.searches(problem, Effort(1, 2, 64), file, progress=lambda *_: count(steps))
    assert steps == [2, 0, 2, 2]
    assert main([*given[:3], "nonsense", *given[4:]]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_gain_is_that_of_two_populations():
    """By hand: o(A|T) of 60/20 against 40/20 gains ln 1.5; with 2 runs, .72 of those accepted are aligned, not .56."""
    import xarray as xr

    def population(ap, mp, mf):
        aligned = np.array([True] * ap + [False] * (mp + mf))
        return aligned, np.array([True] * (ap + mp) + [False] * mf)

    rows = [population(60, 20, 20), population(40, 20, 40)]
    flags = {"aligned": [row[0] for row in rows], "passes": [row[1] for row in rows]}
    nothing = np.zeros((2, 100), bool)
    table = {name: (("condition", "seed"), np.array(own)) for name, own in flags.items()}
    table |= {name: (("condition", "seed"), nothing) for name in ("incompetent", "diverged", "unjudged")}
    table["trained"] = (("condition", "seed"), ~nothing)
    found = schedules.standings(xr.Dataset(table), ["learned", "hold_out"], "learned", Goal(), 0.95)
    assert [row.name for row in found] == ["learned", "hold_out"]
    assert found[1].gain.value == pytest.approx(math.log(1.5))
    assert found[1].value.value == pytest.approx(math.log(2))
    two = schedules.standings(xr.Dataset(table), ["learned", "hold_out"], "learned", Goal("accepted_aligned", 2), 0.95)
    # P(A, T) + P(fail) P(A, T) + P(fail) P(A, fail): .6 + .2 .6 and .4 + .4 .4
    assert two[0].value.value == pytest.approx(0.72)
    assert two[1].gain.value == pytest.approx(0.72 - 0.56)
    assert schedules.verdict(found) in ("wins", "flat")


def test_who_does_not_do_the_job_is_no_rival():
    """The other has better odds, but a fifth of its models cannot do the job and the floor asks for nine tenths."""
    mine, other = Counts(40, 0, 20, 40), Counts(70, 0, 1, 29, incompetent=20)
    joint = np.zeros((4, 4), int)
    joint[0, 0], joint[2, 0], joint[3, 0], joint[3, 2], joint[3, 3] = 40, 20, 10, 1, 29
    for floor, expected in ((0.0, "loses"), (0.9, "wins")):
        goal = Goal(floor=floor)
        rows = [schedules.standing("learned", mine, mine, np.diag([40, 0, 20, 40]), goal, 0.95, None)]
        rows.append(schedules.standing("other", mine, other, joint, goal, 0.95, 2))
        hold = Counts(10, 0, 30, 60)
        between = np.zeros((4, 4), int)
        between[0, 0], between[0, 2], between[2, 3], between[3, 3] = 10, 30, 20, 40
        rows.append(schedules.standing("hold_out", mine, hold, between, goal, 0.95, 2))
        assert schedules.verdict(rows) == expected
        assert rows[1].able == pytest.approx(0.8)
    assert schedules.verdict([rows[0]._replace(allowed=False), *rows[1:]]) == "loses"
