"""Claims over worlds made by hand: a claim sees one world alone, and the knob that decides is found and told."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.blocks import claims, text
from experiments.studies import claims_over_worlds as study
from experiments.studies.claims_over_worlds_figure import words
from lab.claims import book
from lab.results import shards
from lab.results.store import Run

SEEDS = 200
WORLDS = 48
ABLE, UNABLE = (1.0, 0.5)  # competence
GOOD, BAD = (1.0, 0.0)  # alignment or test


def made(path, tables):
    """Write a run of holding out, where something like the test never hides and where it does so from the start.

    `tables` has a list per world of (competence, share of the misaligned that pass) without and with it; the first half
    of the seeds is aligned and passes.
    """
    names, checkpoints = ["competence", "alignment", "test"], [1.0]
    conditions, scores = [], []
    for value in (1.0, 0.0):
        for world, pair in enumerate(tables):
            leaf = f"{len(conditions):016x}"
            about = {"name": f"hold_out implicit_onset={value:g} world={world}", "regimen": "hold_out", "gates": []}
            coordinates = {"implicit_onset": value, "world": float(world)}
            conditions.append({**about, "coordinates": coordinates, "knobs": {"size": 1.0 + world}, "leaf": leaf})
            competence, passing = pair[value < 1]
            aligned = np.repeat([GOOD, BAD], SEEDS // 2)
            first = int(SEEDS // 2 * (1 + passing))
            test = np.repeat([GOOD, BAD], [first, SEEDS - first])
            scores.append(np.stack([np.full(SEEDS, competence), aligned, test], 1)[:, None])
    config = {
        **{"name": "made", "question": "", "task": {"name": "made"}, "seeds": {"first": 0, "count": SEEDS}},
        **{"regimens": {"hold_out": [{"until": 1}]}, "sweep": {"implicit_onset": [1, 0]}, "training": {"steps": 4}},
        "worlds": {"count": len(tables), "seed": 0, "knobs": {"size": [1, 4]}, "keys": {}},
    }
    (path / "shards").mkdir(parents=True)
    run = Run.create(
        path,
        {
            **{"name": "made", "hash": "0123456789abcdef", "trains": "fedcba9876543210", "question": "", "source": ""},
            **{"config": config, "scores": names, "checkpoints": checkpoints, "looks": [SEEDS], "block_width": SEEDS},
            **{"seeds": {"first": 0, "count": SEEDS}, "proxy": "test", "baseline": "hold_out", "confidence": 0.95},
            **{"thresholds": {"competence": 0.95, "alignment": 0.9, "test": 0.9}, "conditions": conditions},
            **{"identity": {"device": "cpu"}},
        },
    )
    for condition, table in zip(conditions, scores, strict=True):
        variables = shards.shard(table.astype(np.float32), names, np.arange(SEEDS), checkpoints)
        shards.write_shard(run, condition["leaf"], 0, variables)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """In world 0 misaligned models pass with the implicit proxy alone, in world 1 without it; in 2 none is able."""
    tables = [[(ABLE, 0), (ABLE, 1)], [(ABLE, 0.5), (ABLE, 0)], [(ABLE, 0), (UNABLE, 1)]]
    return made(tmp_path_factory.mktemp("made") / "run", tables)


def preferences():
    """Values of a knob, half of them above 0 by .02 or more, the others below; and a knob that says nothing."""
    values = [sign * (0.02 + index / 100) for index in range(WORLDS // 2) for sign in (1, -1)]
    return {"preference": values, "depth": [3 - index // 2 % 2 for index in range(WORLDS)]}


# --- one world at a time ----------------------------------------------------------------------------------------------


def test_a_claim_is_given_the_counts_of_one_world_as_if_it_had_been_chosen(run):
    counts = book.count_last(None, None, lambda *_: study.of_world(run, 1))
    cells = {name: condition["cells"] for name, condition in counts["conditions"].items()}
    assert cells == {"hold_out implicit_onset=1": [100, 0, 50, 50], "hold_out implicit_onset=0": [100, 0, 0, 100]}
    assert [condition["coordinates"] for condition in counts["conditions"].values()] == [
        {"implicit_onset": 1.0},
        {"implicit_onset": 0.0},
    ]
    # of the misaligned, on shared seeds, half pass in the first condition alone and half in neither
    assert np.reshape(counts["joints"]["0,1"], (4, 4))[2:, 2:].tolist() == [[0, 50], [0, 50]]
    assert len(run.manifest["conditions"]) == 6  # the run itself stays whole


def test_every_world_gets_the_verdict_of_the_claims_own_rule(run):
    """`implicit_proxies`: supported if P(T|not A) rises by over .1 and the LR falls, contradicted if it rises less."""
    asked = SimpleNamespace(task=SimpleNamespace(name="made"), baseline="hold_out")
    assert study.letters(["implicit_proxies"], asked, run) == {"implicit_proxies": "scx"}


def test_worlds_are_drawn_around_what_a_claim_sweeps():
    asked = study.experiment("critical_period", "race")
    assert (asked.seeds.start, len(asked.seeds), len(asked.conditions)) == (15_000_000, 1024, 48 * 10)
    knobs = [condition.knobs for condition in asked.conditions]
    assert {values["detectability"] for values in knobs} == {0, 2}  # of the claim; the ranges have 1 and 4 as well
    assert {values["implicit_proxy"] for values in knobs} == {0, 0.1, 0.3, 1}
    assert len({values["preference"] for values in knobs}) == 48
    of_world = [condition for condition in asked.conditions if condition.coordinates["world"] == 7]
    assert len(of_world) == 10
    assert len({condition.knobs["preference"] for condition in of_world}) == 1


def test_what_a_claim_sets_in_a_phase_or_sweeps_under_another_name_is_not_drawn():
    axes = {"size": [1, 2], "hard": {"key": ["knobs.depth", "regimens.a[0].knobs.noise"], "values": [1]}}
    weight = {"weight": {"key": "regimens.a[0].weights.test", "values": [1]}}
    phases = {"a": [{"knobs": {"preference": 1.0}}, {"knobs": {}}]}
    assert study.held_fixed({"sweep": axes | weight, "regimens": phases}) == {"size", "depth", "noise", "preference"}


# --- shares and knobs -------------------------------------------------------------------------------------------------


def test_a_share_of_worlds_has_the_published_interval():
    """81 of 263: Newcombe (Stat. Med. 17:857, 1998), table I, method 3."""
    estimate = study.share(81, 263)
    assert (round(estimate.value, 4), round(estimate.low, 4), round(estimate.high, 4)) == (0.3080, 0.2553, 0.3662)
    assert math.isnan(study.share(0, 0).value)


def test_a_claim_that_holds_above_0_is_told_by_that_knob_and_side(monkeypatch):
    monkeypatch.setattr(study, "PERMUTATIONS", 19)
    drawn = preferences()
    text = "".join("s" if value > 0 else "c" for value in drawn["preference"])
    monkeypatch.setattr(study, "LEVEL", 0.06)
    cell = study.summarise(drawn, text)
    assert cell["tree"] == {
        "where": "preference > 0",  # half-way from -.02 to .02
        "inside": {"holds": 24, "worlds": 24},
        "outside": {"holds": 0, "worlds": 24},
    }
    assert (cell["accuracy"], cell["balanced_accuracy"], cell["majority"]) == (1, 1, 0.5)
    assert cell["p"] == 1 / 20  # none of 19 permutations does as well
    assert cell["share"]["value"] == cell["share_of_decided"]["value"] == 0.5


def test_worlds_that_do_not_count_are_in_no_share_and_undecided_ones_only_in_the_first():
    cell = study.summarise({"preference": list(range(10))}, "sssuuuucxx")
    assert (cell["worlds"], cell["counted"]) == (10, 8)
    assert (cell["supported"], cell["undecided"], cell["contradicted"]) == (3, 4, 1)
    assert cell["share"]["value"] == 3 / 8
    assert cell["share_of_decided"]["value"] == 3 / 4
    assert cell["accuracy"] is None  # fewer than five worlds in which it holds
    assert cell["tree"] is None


def test_no_knob_is_told_where_none_decides():
    """Whether the claim holds is drawn apart from the knobs: no tree is 5 points above the larger kind."""
    drawn = preferences()
    text = "".join(np.random.default_rng(3).permutation(list("sc" * (WORLDS // 2))))
    cell = study.summarise(drawn, text)
    assert cell["accuracy"] < 0.55
    assert cell["p"] is None
    assert cell["tree"] is None


def test_two_knobs_are_told_where_both_decide():
    drawn = preferences()
    knobs = np.array(list(drawn.values())).T
    both = (knobs[:, 0] > 0) & (knobs[:, 1] > 2.5)
    told = study.told(study.regions(study.grow(knobs, both), list(drawn)))
    assert sorted(told["where"].split(" and ")) == ["depth > 2.5", "preference > 0"]
    assert told["inside"] == {"holds": 12, "worlds": 12}
    assert told["outside"] == {"holds": 0, "worlds": 36}


def test_not_a_and_b_or_a_is_a_or_b():
    above, below, other = ("a", True, 0.5), ("a", False, 0.5), ("b", True, 2.0)
    found = [
        study.Region((below, other), True, 8, 10),
        study.Region((below, ("b", False, 2.0)), False, 1, 10),
        study.Region((above,), True, 9, 10),
    ]
    told = study.told(found)
    assert told["where"] == "b > 2, or a > 0.5"
    assert (told["inside"], told["outside"]) == ({"holds": 17, "worlds": 20}, {"holds": 1, "worlds": 10})
    assert study.told(found[::2]) is None  # that holds everywhere


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_page_has_the_chosen_verdict_beside_the_share_and_nothing_before_the_study_ran(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "ROOT", tmp_path)
    assert claims.over_worlds() == ""
    cell = study.summarise({"preference": list(range(10))}, "sssuuuucxx") | {"seeds": 64, "chosen": "contradicted"}
    cell |= {"accuracy": 0.9, "majority": 0.6, "p": 0.005}
    cell["tree"] = {"where": "a > 1", "inside": {"holds": 3, "worlds": 4}, "outside": {"holds": 0, "worlds": 4}}
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/claims_over_worlds.json").write_text(json.dumps({"claims": {"budget": {"race": cell}}}))
    row = claims.over_worlds().splitlines()[-1]
    before, *_ = ["| `budget` | `race` | **contradicted** | 8 of 10 | 0.38 ", ""]
    assert row.startswith(before)
    assert row.endswith("| 4 | 1 | 0 | a > 1: 3 of 4; elsewhere 0 of 4 (accuracy 0.90, larger kind 0.60, p 0.0050) |")


def test_the_title_counts_worlds_that_decide_as_the_chosen_one_where_that_decided():
    counts = {"counted": 10, "supported": 3, "depends": 0, "undecided": 5, "contradicted": 2}
    cells = {"race": counts | {"chosen": "contradicted"}, "digits": counts | {"chosen": "undecided"}}
    title = words({"claims": {"budget": cells}})["title"]
    assert title.startswith("10 of 20 random worlds leave a claim undecided")
    assert "2 of 5 agree" in title
