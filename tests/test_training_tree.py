"""The plan of a run: which segments conditions share, by hand."""

from lab.config.experiment import parse
from lab.training import tree
from tests.races import RACE, race


def test_equal_conditions_are_one_leaf():
    text = RACE.format(seeds=4, rate=0.02).replace("test: 1", "test: 0")
    first, second = parse(text).leaves
    assert first == second


def spans(node):
    """First segment, end and number of conditions of every node below one, from top to bottom."""
    below = sorted((child.depth, child.end, len(child.leaves)) for child in node.children.values())
    return below + [span for child in node.children.values() for span in spans(child)]


def test_what_conditions_share_is_one_node_until_they_part():
    """Of ten segments the two regimens share the first five."""
    root = tree.plan(race(4))
    assert (root.depth, root.end, len(root.leaves)) == (0, 0, 2)
    one_by_one = spans(root)
    assert [span for span in one_by_one if span[2] == 2] == [(depth, depth + 1, 2) for depth in range(5)]
    assert sorted(span for span in one_by_one if span[2] == 1) == sorted([(d, d + 1, 1) for d in range(5, 10)] * 2)
    assert spans(tree.merge_chains(root)) == [(0, 5, 2), (5, 10, 1), (5, 10, 1)]


def test_a_break_ends_a_node_and_nothing_else():
    """After three segments, and where both conditions part anyway."""
    assert spans(tree.merge_chains(tree.plan(race(4)), {3, 5})) == [(0, 3, 2), (3, 5, 2), (5, 10, 1), (5, 10, 1)]


def test_merging_keeps_every_segment():
    root = tree.merge_chains(tree.plan(race(4)))
    (shared,) = root.children.values()
    for leaf, condition in zip(race(4).leaves, race(4).conditions, strict=True):
        (own,) = (child for child in shared.children.values() if child.leaves == {leaf})
        assert shared.settings + own.settings == condition.settings


def test_conditions_with_other_knobs_share_nothing():
    """Though both regimens hold out for the first half: two knobs, two trees, each with two conditions."""
    swept = parse(RACE.format(seeds=4, rate=0.02) + "sweep:\n  preference: [0, 0.1]\n")
    assert spans(tree.merge_chains(tree.plan(swept)))[:2] == [(0, 5, 2), (0, 5, 2)]


def test_terms_are_used_that_have_a_weight_somewhere_also_a_negative_one():
    text = RACE.format(seeds=4, rate=0.02)
    assert tree.used_terms(parse(text)) == {"main", "test"}
    assert tree.used_terms(parse(text.replace("test: 1", "test: -1") + "weights: {main: 0}\n")) == {"test"}
    assert tree.used_terms(parse(text.replace("test: 1", "test: 0"))) == {"main"}
