"""The law by hand: what pushes are foreseen to do, what an advice says of it, and how rules of advice are marked."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from experiments.studies import law as judged
from experiments.studies import law_figure, law_rules, worlds
from lab import cli
from lab.config.experiment import parse
from lab.results import shards
from lab.statistics import Counts
from lab.studies import advice, law
from lab.studies.law import USES, Pilots, Push
from lab.studies.study import StudyError
from lab.training import engine

EVEN = np.array([25.0, 25, 25, 25])  # all three numbers are 0
ALIGNED = np.array([40.0, 40, 10, 10])  # ln o(A) = ln 4 alone
FOOLED = np.array([25.0, 25, 40, 10])  # logit P(T|not A) = ln 4 alone


def odds(cells):
    """(o(A), odds of passing if aligned, if not) of shares."""
    return np.exp(law.log_odds(cells, 0)).round(9).tolist()


# --- the law ----------------------------------------------------------------------------------------------------------


def test_an_effect_grows_with_the_root_of_the_dose():
    """Four times the weight of a pilot that multiplies o(A) by 4 multiplies it by 4^2; a quarter by 4^(1/2)."""
    pilots = Pilots(EVEN, ALIGNED, EVEN)
    for weight, factor in ((1, 4), (4, 16), (0.25, 2)):
        assert odds(law.after(pilots, Push(0, 0.1, weight), 0)) == [factor, 1, 1]


def test_a_longer_push_is_a_larger_dose_and_a_later_one_follows_the_late_pilot():
    """From 40% to the end is 6 pilots long; all of training is 10, a quarter of it like the early pilot."""
    pilots = Pilots(EVEN, ALIGNED, FOOLED)
    assert odds(law.after(pilots, Push(0.4, 0.5), 0)) == [1, 1, 4]
    late = law.after(pilots, USES["late"], 0)
    assert odds(late) == pytest.approx([1, 1, 4 ** math.sqrt(6)])
    throughout = law.after(pilots, USES["throughout"], 0)
    assert odds(throughout) == pytest.approx([4 ** (math.sqrt(10) / 4), 1, 4 ** (math.sqrt(10) * 3 / 4)])
    halfway = law.after(pilots, Push(0.2, 0.3), 0)  # the ramp is at 1/2 at 25%
    assert odds(halfway) == pytest.approx([2, 1, 2])


def test_training_against_the_proxy_takes_away_what_a_push_would_add_and_never_gains():
    pilots = Pilots(EVEN, EVEN, np.array([40.0, 40, 16, 4]))  # a late push: o(A) and P(T|not A) up by ln 4
    against = law.after(pilots, Push(0.4, 0.5, -1), 0)
    assert odds(against) == pytest.approx([4**-0.3, 1, 1])
    random = np.random.default_rng(0)
    some = Pilots(*random.integers(0, 50, (3, 200, 4)).astype(float))
    for runs in (1, 3, 100):
        assert (law.gain(some, Push(0.4, 1, -1), runs) <= 1e-12).all()


def test_gains_follow_the_algebra_of_a_budget():
    """One run: P(A) from 1/2 to 4/5. Two: the first passes in half of all cases, else the second decides."""
    pilots = Pilots(EVEN, ALIGNED, EVEN)
    assert law.gain(pilots, USES["early"], 1, 0) == pytest.approx(0.3)
    # P(accepted is aligned) of two runs with P(T) = 1/2 = P(T|A): the base rate, whatever passes
    assert law.gain(pilots, USES["early"], 2, 0) == pytest.approx(0.3)
    base, test = law.parts(EVEN / 100, ALIGNED / 100)
    assert (float(base), float(test)) == pytest.approx((math.log(4), 0))
    base, test = law.parts(EVEN / 100, FOOLED / 100)  # P(T|not A) from 1/2 to 4/5
    assert (float(base), float(test)) == pytest.approx((0, math.log(0.5 / 0.8)))


def test_many_worlds_at_once_are_each_world_by_itself():
    random = np.random.default_rng(1)
    many = Pilots(*random.integers(0, 30, (3, 5, 4)).astype(float))
    together = law.gain(many, USES["throughout"], 3)
    assert together == pytest.approx(
        [law.gain(Pilots(*(cells[world] for cells in many)), USES["throughout"], 3) for world in range(5)]
    )


# --- the law on scores ------------------------------------------------------------------------------------------------


def test_a_score_counts_in_logits_above_its_mark_and_its_verdict_wins():
    """logit .9 - logit .5 = ln 9; what cannot do the job is just below a mark that its score reaches."""
    above = law.heights(np.array([0.9, 0.1, 0.9, np.nan]), 0.5, np.array([True, False, False, False]))
    assert above[:3] == pytest.approx([math.log(9), -math.log(9), -law.BELOW])
    assert above[3] == pytest.approx(-math.log(127))  # as low as can be told apart
    assert law.kinds(np.array([[0.0, 1], [0, -1], [-1, 0], [-1, -1]])).tolist() == [0, 1, 2, 3]


def test_scores_move_with_the_dose_and_each_model_as_its_own_pilots():
    """Throughout is ten pilots long, a quarter of it like the early one: 2.5 times early and 7.5 times late."""
    hold_out = np.array([[-5.0, -5.0], [-5.0, -5.0]])
    early, late = hold_out + np.array([[1.0, 0], [0, 1]]), hold_out + np.array([[0.5, 0], [0, -1]])
    scores = law.Scores(hold_out, early, late, np.array(1.0))
    after = law.moved(scores, USES["throughout"])
    assert after == pytest.approx(np.array([[-5 + 2.5 + 3.75, -5], [-5, -5 + 2.5 - 7.5]]))
    assert law.counted(law.kinds(after)).tolist() == [0, 1, 0, 1]


def test_scores_weigh_as_much_as_outcomes_are_graded():
    """The pilots turn no model of 8, so counts say that nothing happens; by their scores all pass and are aligned."""
    pilots = Pilots(*[np.array([0.0, 0, 0, 8])] * 3)
    all_aligned = np.array([8.0, 0, 0, 0])
    for graded, aligned in ((0.0, 1 / 10), (1.0, 9 / 10), (0.5, 1 / 2)):  # 1/2 is added to every cell
        foreseen = law.after(pilots, USES["late"], by_scores=all_aligned, graded=graded)
        assert foreseen[0] + foreseen[1] == pytest.approx(aligned), graded
    against = law.after(pilots, Push(0.4, 1, -1), by_scores=all_aligned, graded=1.0)
    assert against[0] + against[1] == pytest.approx(1 / 10)


# --- advice -----------------------------------------------------------------------------------------------------------


def counts(*cells):
    return Counts(*cells)


def test_where_an_early_push_aligns_and_a_late_one_games_the_advice_is_early():
    card = {"hold_out": counts(40, 40, 60, 60), "early": counts(90, 90, 10, 10), "late": counts(40, 40, 110, 10)}
    found = advice.advise(card)
    assert {choice.use for choice in found.choices.values()} == {"early"}
    for runs, choice in found.choices.items():
        assert choice.probability > 0.99
        assert choice.gain.low > 0.3
        assert choice.gain.value == pytest.approx(0.5, abs=0.02), runs  # from .4 to .9, as the test tells nothing
    assert "from 0.40 to 0.90" in found.choices[1].because


def test_where_pushes_only_game_the_advice_is_to_hold_out_whatever_the_held_out_numbers():
    card = {"hold_out": counts(100, 0, 5, 95), "early": counts(100, 0, 60, 40), "late": counts(100, 0, 90, 10)}
    found = advice.advise(card, [3, 100])
    for choice in found.choices.values():
        assert choice.use == "hold_out"
        assert choice.probability > 0.9
        assert choice.gain.high < 0
    # a push that only games, and adds nothing to P(A), cannot gain whatever the held-out numbers are
    assert [choice.turn for choice in found.choices.values()] == [None, None]


def test_an_advice_knows_where_no_world_was_studied():
    card = {"hold_out": counts(40, 40, 60, 60), "early": counts(90, 90, 10, 10), "late": counts(40, 40, 110, 10)}
    assert "How near to the mark of alignment are the models?" in advice.advise(card).not_asked
    none = {name: counts(0, 0, 20, 80) for name in card}
    assert any("no model of the three populations is aligned" in words for words in advice.advise(none).outside)
    broken = {**card, "late": Counts(40, 40, 0, 120, incompetent=100)}
    assert any("of the models of late cannot do the job" in words for words in advice.advise(broken).outside)


def test_scores_say_where_a_push_leads_though_no_pilot_turned_a_model():
    """20 models, all 2 below the mark of alignment; a pilot lifts each by 1/2, so the long pushes turn all of them."""
    hold_out = np.tile([-2.0, 1.0], (20, 1))
    pilot = hold_out + np.array([0.5, 0])
    card = dict.fromkeys(("hold_out", "early", "late"), counts(0, 0, 20, 0))
    found = advice.advise(card, [1], scores=law.Scores(hold_out, pilot, pilot, np.array(1.0)))
    assert found.choices[1].use in ("late", "throughout")
    assert found.choices[1].gain.value == pytest.approx(21 / 22 - 1 / 22)  # 20 of 20 and 0 of 20, with 1/2 per cell
    assert found.choices[1].probability > 0.99
    by_counts = advice.advise(card, [1]).choices[1]
    assert by_counts.gain.value == pytest.approx(0)


def test_scores_of_other_models_are_refused():
    heights = np.tile([-2.0, 1.0], (20, 1))
    card = dict.fromkeys(("hold_out", "early", "late"), counts(0, 0, 20, 0))
    scores = law.Scores(heights, heights, heights, np.array(1.0))
    for wrong, words in (
        (scores._replace(graded=np.array(7.0)), "share of the models, not 7"),
        (scores._replace(late=heights * np.nan), "scores of late: some are not numbers"),
        (scores._replace(early=-heights), "scores of early: as they lie"),
    ):
        with pytest.raises(StudyError, match=words):
            advice.advise(card, scores=wrong)
    with pytest.raises(StudyError, match="confidence"):
        advice.advise(card, confidence=1.5)


def test_where_nothing_gains_the_advice_is_to_hold_out():
    """No model of 4,000 changes, so no use gains a hundredth."""
    choices = advice.advise(dict.fromkeys(("hold_out", "early", "late"), counts(2000, 0, 0, 2000))).choices
    assert {choice.use for choice in choices.values()} == {"hold_out"}


def test_the_pilots_push_as_those_of_the_studied_worlds():
    """The weights are those of configs/worlds/worlds.yaml; another proxy pushes as it suggests."""
    from lab.tasks import TASKS

    wanted = {"race": 0.3, "scratchpad": 0.01, "shortcut": 0.1, "reasoner": 0.03, "digits": 0.1, "gridworld": 0.03}
    assert {task: advice.pilots_weight(TASKS[task](), "test", None, 64) for task in wanted} == wanted
    assert advice.pilots_weight(TASKS["race"](), "test", 2, 64) == 2
    other = TASKS["race"]().proxies["audit"].push
    assert advice.pilots_weight(TASKS["race"](), "audit", None, 64) == other


def test_an_advice_needs_all_three_populations():
    card = {"hold_out": counts(1, 1, 1, 1), "early": counts(1, 1, 1, 1)}
    with pytest.raises(StudyError, match="there are none of late"):
        advice.advise(card)
    with pytest.raises(StudyError, match="there are none of late"):
        advice.advise({**card, "late": counts(0, 0, 0, 0)})


def test_the_card_of_an_advice_is_an_ordinary_config():
    from lab.tasks import TASKS

    values = advice.config("race", TASKS["race"](), "test", 64, weight=0.5)
    assert [*values["regimens"]] == ["hold_out", "early", "late"]
    assert values["regimens"]["late"] == [{"until": 0.4}, {"lasts": 0.1, "weights": {"test": 0.5}}, {"until": 1}]
    with pytest.raises(StudyError, match="positive"):
        advice.config("race", TASKS["race"](), "test", 64, weight=-1)


def test_advise_reads_a_stored_run_whose_regimens_are_the_pilots(tmp_path, capsys):
    push = {"weights": {"test": 0.5}}
    regimens = {
        "hold_out": [{"until": 1}],
        "early": [{"until": 0.1, **push}, {"until": 1}],
        "late": [{"until": 0.4}, {"until": 0.5, **push}, {"until": 1}],
        "longer": [{"until": 0.2, **push}, {"until": 1}],
        "against": [{"until": 0.1, "weights": {"test_linear": -1}}, {"until": 1}],
        "gated": [{"until": 0.1, **push, "gates": {"test": 0.01}}, {"until": 1}],
        "weak": [{"until": 0.1, "weights": {"test": 0.1}}, {"until": 1}],
    }
    config = {"name": "pilots", "task": "race", "seeds": 40, "training": {"steps": 100, "segments": 10}}
    run = engine.run(parse(json.dumps({**config, "regimens": regimens})), tmp_path / "run")
    asked = ["advise", "--from", str(run.path)]
    assert cli.main([*asked, "--json", "--budgets", "1,7"]) == 0
    said = json.loads(capsys.readouterr().out)
    by_hand = advice.read(shards.results(run), budgets=[1, 7])
    assert said["budgets"].keys() == {"1", "7"}
    assert said["weight"] == 0.5
    page = (Path(__file__).parents[1] / "experiments" / "README.md").read_text()
    named = {
        key for row in page.split("| key of the advice |")[1].split("\n\n")[0].splitlines() for key in row.split("`")
    }
    for values in (said, said["budgets"]["7"], said["card"]["late"]):
        assert values.keys() <= named  # the page names every key
    for runs, choice in by_hand.choices.items():
        assert said["budgets"][str(runs)]["use"] == choice.use
        assert said["budgets"][str(runs)]["gain"]["value"] == choice.gain.value
    assert said["card"]["hold_out"]["aligned_pass"] == by_hand.card["hold_out"].aligned_pass
    assert cli.main(asked) == 0
    capsys.readouterr()
    wrong = {
        ("--pilot-early", "longer"): "longer is no pilot: early is a condition that trains on it from 0% for 10%",
        ("--pilot-early", "late"): "late is no pilot",
        ("--pilot-late", "early"): "late is a condition that trains on it from 40% for 10%",
        ("--pilot-hold-out", "early"): "hold_out is a condition that never trains on the proxy",
        ("--pilot-early", "against"): "at one weight above 0",
        ("--pilot-early", "gated"): "gated has gates",
        ("--pilot-early", "weak"): "unlike weights, 0.1 and 0.5",
        ("--pilot-early", "nobody"): "no condition is named",
        ("--seeds", "9"): "--seeds: for a card that is trained",
    }
    for options, words in wrong.items():
        assert cli.main([*asked, *options]) == 2
        assert words in " ".join(capsys.readouterr().err.split()), options
    assert cli.main(["advise"]) == 2
    assert cli.main(["advise", "race", "--from", str(run.path)]) == 2
    assert cli.main(["advise", "race", "tset"]) == 2


# --- how rules are marked ---------------------------------------------------------------------------------------------


def test_signs_and_regrets_are_marked_by_hand():
    """Three worlds: the rule takes early in the first and third, and holds out in the second."""
    gains = {(use, 1): np.zeros(3) for use in law_rules.USES}
    gains["early", 1], gains["late", 1] = np.array([0.2, 0.1, -0.3]), np.array([0.5, -0.1, 0.0])
    decided = {key: np.array([True, True, True]) if key[0] == "early" else np.zeros(3, bool) for key in gains}
    everywhere = {use: np.ones(3, bool) for use in law_rules.USES}
    scores = law.Scores(np.zeros((3, 1, 2)), np.zeros((3, 1, 2)), np.zeros((3, 1, 2)), np.zeros(3))
    cells = law_rules.Cells(
        "race", Pilots(*[np.ones((3, 4))] * 3), scores, {}, everywhere, gains, decided, {}, np.ones(3, bool)
    )

    def rule(_cells, use, _runs):
        return np.array([0.1, -0.1, 0.1]) if use == "early" else np.full(3, -1.0)

    mark = judged.marks(rule, cells, 1)
    assert (mark["right"], mark["decided"]) == (1, 3)  # signs +, -, + where +, +, - came
    assert mark["majority"] == pytest.approx(2 / 3)
    assert mark["regret"] == pytest.approx(((0.5 - 0.2) + (0.1 - 0) + (0 + 0.3)) / 3)


def test_the_rule_for_hand_use_names_a_use_by_the_signs_of_the_pilots():
    """With one run a gain is that of P(A): here +-.2 or 0 of each pilot, in four worlds."""
    pilots = [30 + np.outer(signs, [10.0, 10, -10, -10]) for signs in ([0] * 4, [1, 1, -1, -1], [0, -1, 1, -1])]
    none = np.zeros((4, 1, 2))
    push = {use: [Push(0.4, 0.5)] * 4 for use in law_rules.USES}
    cells = law_rules.Cells(
        "race", Pilots(*pilots), law.Scores(none, none, none, np.zeros(4)), push, {}, {}, {}, {}, none
    )
    foreseen = np.array([np.zeros(4), *(law_rules.by_hand(cells, use, 1) for use in law_rules.USES)])
    names = ("hold out", *law_rules.USES)
    assert [names[best] for best in foreseen.argmax(0)] == ["throughout", "early", "late", "hold out"]


def test_latents_and_pushes_in_tenths():
    tenths = law_rules.in_tenths([Push(0, 0.1, 2), Push(0.4, 1, 0.5), Push(0.7, 0.7 + 0.1), Push(0.4, 1, -1)])
    assert np.flatnonzero(tenths[0]).tolist() == [0]
    assert np.flatnonzero(tenths[1]).tolist() == [4, 5, 6, 7, 8, 9]
    assert np.flatnonzero(tenths[2]).tolist() == [7]
    assert not tenths[3].any()
    assert (tenths[0, 0], tenths[1, 4]) == (2, 0.5)


@pytest.mark.parametrize(
    ("law_mark", "simple", "verdict"),
    [
        ({"right": 19, "decided": 20, "majority": 0.6, "regret": 0.01}, 0.05, "supported"),
        ({"right": 18, "decided": 20, "majority": 0.99, "regret": 0.02}, 0.02, "supported"),
        ({"right": 17, "decided": 20, "majority": 0.6, "regret": 0.01}, 0.05, "undecided"),
        ({"right": 19, "decided": 20, "majority": 0.6, "regret": 0.03}, 0.05, "undecided"),
        ({"right": 19, "decided": 20, "majority": 0.6, "regret": 0.01}, 0.005, "contradicted"),
        ({"right": 11, "decided": 20, "majority": 0.6, "regret": 0.01}, 0.05, "contradicted"),
        ({"right": 19, "decided": 19, "majority": 0.6, "regret": 0.01}, 0.05, "undecided"),
    ],
)
def test_the_rule_of_the_verdict(law_mark, simple, verdict):
    rules = {"law": law_mark} | {name: {"regret": 0.5} for name in judged.SIMPLE} | {"early": {"regret": simple}}
    assert judged.verdict(rules) == verdict


def test_stored_worlds_are_read_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "FOLDER", tmp_path)
    data = {
        "task": "race",
        "letters": worlds.LETTERS,
        "drawn": {"preference": [0.1, 0.2]},
        "outcomes": {"hold_out": ["AaMm", "idAA"]},
        "levels": {"alignment": {"hold_out": ["0w-?", "0000"]}},
        "phases": {},
        "thresholds": {"alignment": 0.5, "test": 0.9},
    }
    (tmp_path / "look-race.json").write_text(json.dumps(data))
    read = worlds.read("race", "look")
    assert read.cells["hold_out"].tolist() == [[0, 1, 2, 3], [3, 3, 0, 0]]
    assert read.able["hold_out"].tolist() == [[True] * 4, [False, False, True, True]]
    heights = read.levels["alignment"]["hold_out"][0]
    np.testing.assert_array_equal(heights, [1 / 128, 32.5 / 64, 127 / 128, np.nan])  # steps 0, 32 and 63
    assert law.counted(read.cells["hold_out"]).tolist() == [[1, 1, 1, 1], [2, 0, 0, 2]]


def test_the_benchmark_holds_what_its_config_draws():
    """Of every task that is stored: the drawn knobs, the number of worlds and of seeds are those of the config."""
    for path in sorted(worlds.FOLDER.glob("look-*.json")):
        data = json.loads(path.read_text())
        experiment = worlds.experiment(data["task"], "look")
        by_world = [condition for condition in experiment.conditions if condition.regimen == "hold_out"]
        for knob in experiment.config.worlds.knobs:
            assert data["drawn"][knob] == [condition.knobs[knob] for condition in by_world], (path, knob)
        assert {len(text) for texts in data["outcomes"].values() for text in texts} == {len(experiment.seeds)}
        assert path.stat().st_size < 3_000_000


def test_the_title_of_the_law_adds_up_signs_over_tasks_and_budgets():
    def budget(right, decided, majority):
        return {"rules": {"law": {"right": right, "decided": decided, "majority": majority}}}

    tasks = {
        "race": {"budgets": {"1": budget(9, 10, 0.6), "3": budget(4, 5, 0.8)}},
        "digits": {"budgets": {"1": budget(2, 5, 0.6)}},
    }
    title = law_figure.words({"tasks": tasks})["title"]
    assert "right in 15 of 20 cases" in title
    assert title.endswith("right in 13")  # 6, 4 and 3


def test_the_title_of_the_phases_counts_worlds_where_the_quadrant_loses_little():
    rows = [{"runs": runs, "lost": lost} for runs, losses in ((1, (0, 0.05, 0.06)), (100, (0.2, 0))) for lost in losses]
    title = law_figure.phases_words({"tasks": {"race": {"phases": rows}}})["title"]
    assert title.endswith("in 2 of 3 worlds with 1 run and in 1 of 2 worlds with 100 runs")
