"""Figures of claims that draw something of their own: their titles and marks, on numbers made by hand."""

import pytest

from lab import claims
from lab.figures.style import subplots
from tests.hand_made_claims import HELD, SURE, worth


def cell(row, column, value, low, high):
    return {"window": "late", "row": row, "column": column, "value": value, "low": low, "high": high, "unable": 0.0}


BETTER, WORSE, OPEN = (0.2, 0.1, 0.3), (-0.2, -0.3, -0.1), (0.2, -0.1, 0.5)
MAP = [cell(0, 1, *BETTER), cell(0, 2, *WORSE), cell(1, 1, *OPEN), cell(1, 2, *BETTER)]


def test_the_title_of_a_map_counts_the_cells_that_are_decided():
    few, many = (
        {"cells": MAP},
        {"cells": [cell(0, 1, *WORSE), cell(0, 2, *WORSE), cell(1, 1, *OPEN), cell(1, 2, *OPEN)]},
    )
    tasks = {task: {"plotted": {"1": few, "100": many}} for task in ("race", "digits")}
    assert claims.module("when_to_train").finding(tasks) == (
        "With 1 run training is better in 4 of 8 cells and holding out in 2, "
        "with 100 runs training is better in 0 and holding out in 4"
    )


def test_cells_of_a_map_say_in_letters_what_is_better_and_nothing_where_that_is_open():
    _, ax = subplots()
    image = claims.module("when_to_train").draw_map(ax, MAP, every=True)
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): "T", (1, 0): "H", (1, 1): "T"}
    assert image.get_array().mask.tolist() == [[False, False], [True, False]]


def test_the_curves_of_a_budget_go_from_the_base_rate_to_what_passing_tells():
    """Held out 13 in 20 pass, of which 6 in 13 are aligned; 3 in 10 of all are, which is what the last run gives."""
    stored = worth([HELD, HELD, HELD], [SURE, HELD, HELD])
    row = claims.module("budget").plotted(stored)[0]
    by_runs = dict(zip(row["runs"], row["hold out"], strict=True))
    assert by_runs[1] == pytest.approx(0.3)
    assert by_runs[3] == pytest.approx((1 - 0.35**2) * 6 / 13 + 0.35**2 * 0.3)
    assert by_runs[1000] == pytest.approx(6 / 13)
    assert row["train"] == [pytest.approx(1.0)] * len(row["runs"])


def test_the_title_of_the_budget_counts_worlds_whose_test_is_worth_holding_out():
    choices = [["train", "hold out"], ["train", "train"], ["open", "open"], None]
    tasks = {"race": {"plotted": [{"choices": pair} for pair in choices]}}
    assert claims.module("budget").finding(tasks) == (
        "With 1 run training is best in 2 of 3 worlds; with 1,000 runs holding out is in 1 and training still in 1"
    )


def test_a_badge_does_not_count_as_a_use_of_proxies():
    module = claims.module("which_proxies")
    assert module.ways("race", "TTTA") == {"T"}
    assert module.ways("digits", "TTTA") == {"T", "A"}
    title = module.finding({"race": {"winner": "TTHA"}, "digits": {"winner": "TTHA"}})
    assert title == "The best of 81 ways to use four proxies mixes two uses in 1 of 2 tasks and all three in 1"


def test_the_title_of_building_in_says_from_where_to_where_tasks_go():
    def plotted(rejected, built):
        return {"plotted": {"rejected": {"value": rejected}, "built": [{"value": 0.1}, {"value": built}]}}

    title = claims.module("by_construction").finding({"race": plotted(0.404, 0.96), "digits": plotted(0.8, 1.0)})
    assert title == (
        "With the solution built in, 96% to 100% of models are aligned; of those that pass a held-out test, 40% to 80%"
    )


def test_a_claim_without_a_finding_of_its_own_says_its_sentence_in_its_title():
    data, _ = claims.rejudge("validate_or_train")
    sentence = claims.claim("validate_or_train").sentence.removesuffix(".")
    assert data["title"].endswith(f': "{sentence}"')  # in quotes, because it does not hold everywhere
