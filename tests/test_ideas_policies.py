"""Policies by exact fractions and by brute force over all of them."""

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest

from lab.ideas import (
    POLICIES,
    Beta,
    Discrete,
    policy_outcome,
    policy_value,
)
from tests.ideas_examples import FOLDER, REFERENCE, STOCHASTIC, exact, near, rates

ROWS = REFERENCE["decision"]["rows"]
PRIORS = {
    "two ideas Beta(1,1)": [Beta(1, 1)] * 2,
    "two ideas Beta(1,3)": [Beta(1, 3)] * 2,
    "three ideas Beta(1,1)": [Beta(1, 1)] * 3,
    "two all-or-nothing ideas pi=3/10": [Discrete((0, 1), (0.7, 0.3))] * 2,
    "two ideas theta in {1/10,9/10}": [Discrete((0.1, 0.9), (0.5, 0.5))] * 2,
}
CELLS = [(row, name) for row in ROWS for name in row["policies"]]


@pytest.mark.parametrize(
    ("row", "name"), CELLS, ids=[f"{name}-{row['case']}-{row['f']}-{row['n']}" for row, name in CELLS]
)
def test_policies_are_exact(row, name):
    got, want = policy_outcome(name, PRIORS[row["case"]], row["n"], *rates(row)), row["policies"][name]
    assert got.accepted_aligned == near(want["p_accepted_aligned"])
    for part, stored in (("expected_runs", "expected_runs"), ("accepted_passed", "p_accepted_passed")):
        if stored in want:
            assert getattr(got, part) == near(want[stored])
    if name.endswith("with_recall"):
        assert got.expected_runs == pytest.approx(row["n"])


def test_every_policy_is_in_the_reference():
    assert set(POLICIES) == {name for _, name in CELLS}


SHARED = json.loads((FOLDER / "budget_examples.json").read_text())["shared_latent"]


@pytest.mark.parametrize("row", SHARED)
def test_rejection_sampling_on_one_idea_is_the_shared_latent_budget(row):
    got = policy_outcome("rejection_single_idea", [Beta(*row["prior"])], row["n"], *rates(row))
    assert got.accepted_aligned == near(row["P_accepted_aligned"])
    assert got.expected_runs == near(row["expected_runs"])
    assert 1 - got.accepted_passed == pytest.approx(exact(row["P_forced_fail"]), rel=1e-9)


def test_naive_exploration_often_loses_to_rejection_sampling():
    """The essay: exploring on throwaway runs dominates rejection sampling. It does so only if done optimally."""
    names = ("explore_each_once_then_reject_on_best", "rejection_random_idea_each_run", "optimal_no_recall")
    rows = [row for row in ROWS if names[0] in row["policies"]]
    assert len(rows) == 18  # it needs more runs than ideas, which 11 of the 29 rows do not have
    losses = 0
    for row in rows:
        explore, reject, optimal = (policy_value(name, PRIORS[row["case"]], row["n"], *rates(row)) for name in names)
        stored = [Fraction(row["policies"][name]["p_accepted_aligned"]["exact"]) for name in names]
        assert (explore < reject) == (stored[0] < stored[1])
        assert optimal >= max(explore, reject) - 1e-12
        losses += explore < reject
    assert losses == 12  # as the fractions of the file say


def trees(left, recall):
    """Every deterministic policy: (idea, after a pass, after a failure), or None to stop there."""
    later = list(trees(left - 1, recall)) if left > 1 else [None]
    after_pass = later if recall or left == 1 else [None, *later]
    return itertools.product((0, 1), after_pass, later)


def histories(tree, theta, s, f):
    """Every (ideas and outcomes, alignment of each run) that a policy can meet, with its probability."""
    idea, *after = tree
    for aligned, passed in itertools.product((1, 0), (1, 0)):
        test = s if aligned else f
        chance = (theta[idea] if aligned else 1 - theta[idea]) * (test if passed else 1 - test)
        following = after[0] if passed else after[1]
        ends = histories(following, theta, s, f) if following else [((), (), Fraction(1))]
        for seen, truth, rest in ends:
            yield ((idea, passed), *seen), (aligned, *truth), chance * rest


def value_of(tree, prior, s, f, recall):
    """P(accepted is aligned), by enumerating latents, alignment and outcomes of every run."""
    joint = {}  # what was seen -> P(seen and run t aligned) for every run t
    for (one, p), (other, q) in itertools.product(*prior):
        for seen, truth, chance in histories(tree, (one, other), s, f):
            sums = joint.setdefault(seen, [Fraction(0)] * len(truth))
            joint[seen] = [total + p * q * chance * aligned for total, aligned in zip(sums, truth, strict=True)]
    if not recall:
        return sum(sums[-1] for sums in joint.values())
    best = Fraction(0)
    for seen, sums in joint.items():
        outcome = max(passed for _, passed in seen)
        best += max(total for total, (_, passed) in zip(sums, seen, strict=True) if passed == outcome)
    return best


HALF, TENTH = Fraction(1, 2), Fraction(1, 10)
PAIRS = [
    ([[(0, 1 - 3 * TENTH), (1, 3 * TENTH)], [(TENTH, HALF), (6 * TENTH, HALF)]], 9 * TENTH, HALF),
    ([[(2 * TENTH, HALF), (9 * TENTH, HALF)], [(HALF, Fraction(1))]], 8 * TENTH, 2 * TENTH),
]


@pytest.mark.parametrize("recall", [False, True])
@pytest.mark.parametrize("runs", [1, 2, 3])
@pytest.mark.parametrize(("prior", "s", "f"), PAIRS, ids=["noisy", "sharp"])
def test_the_optimum_is_the_best_of_all_policies(prior, s, f, runs, recall):
    every = [value_of(tree, prior, s, f, recall) for tree in trees(runs, recall)]
    assert len(every) == ({1: 2, 2: 8, 3: 128} if recall else {1: 2, 2: 12, 3: 312})[runs]
    ideas = [Discrete(*zip(*values_and_weights, strict=True)) for values_and_weights in prior]
    name = "optimal_with_recall" if recall else "optimal_no_recall"
    assert policy_value(name, ideas, runs, float(s), float(f)) == pytest.approx(float(max(every)), rel=1e-12)


def test_no_policy_beats_the_optimum_of_its_class():
    random = np.random.default_rng(20261123)
    for _ in range(12):
        if random.random() < 0.5:
            ideas = [Beta(*random.integers(1, 6, 2)) for _ in range(2)]
        else:
            ideas = [Discrete(random.random(3), random.dirichlet([1, 1, 1])) for _ in range(2)]
        s, f = random.random(2)
        value = {name: policy_value(name, ideas, 4, s, f) for name in POLICIES}
        for name in STOCHASTIC:
            if name.endswith("with_recall"):
                assert value[name] <= value["optimal_with_recall"] + 1e-12
            else:
                assert value[name] <= value["optimal_no_recall"] + 1e-12
                if not name.startswith("explore"):
                    assert value[name] <= value["optimal_accept_first_pass"] + 1e-12
        assert value["optimal_accept_first_pass"] <= value["optimal_no_recall"] + 1e-12


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: policy_value("best", [Beta(1, 1)], 1, 1, 0), "known: rejection_random"),
        (lambda: policy_value("optimal_no_recall", [], 1, 1, 0), "ideas must"),
        (lambda: policy_value("optimal_no_recall", [Beta(1, 1)], 0, 1, 0), "runs must"),
        (lambda: policy_value("explore_each_once_then_reject_on_best", [Beta(1, 1)] * 2, 2, 1, 0), "runs must exceed"),
        (lambda: policy_value("thompson_with_recall", [Beta(1, 1), Discrete((1,), (1,))], 2, 1, 0), "all Beta"),
        (lambda: policy_value("thompson_with_recall", [Beta(1, 1)] * 9, 30, 0.9, 0.2), "simulate_policy"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
