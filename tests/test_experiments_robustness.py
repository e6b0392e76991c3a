"""Verdicts that are asked again: what is counted, and what stays of claims that are not asked."""

import pytest

from experiments.studies import robustness
from lab import claims


def test_count_verdicts_by_hand() -> None:
    rows = {
        "one": {"rule": "", "tasks": {"race": ["supported", "supported"], "digits": ["undecided", "supported"]}},
        "two": {"rule": "", "tasks": {"race": ["supported", "contradicted"], "digits": ["depends", "undecided"]}},
    }
    counted = robustness.count_verdicts(rows)
    assert (counted["same"], counted["other"], counted["undecided"]) == (1, 1, 1)
    assert counted["claims"] == ["one", "two"]
    assert counted["changed"] == [
        "`two` in `race`: supported, now contradicted",
        "`two` in `digits`: depends, now undecided",
    ]


def test_join_keeps_what_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = {"race": "supported", "digits": "contradicted"}
    monkeypatch.setattr(robustness, "verdicts_stored", lambda name: verdicts)
    kept, changed, asked = claims.names_with_counts()[:3]
    rule = {name: claims.claim(name).rule for name in (kept, changed, asked)}
    stored = {
        kept: {"rule": rule[kept], "tasks": {"race": ["supported", "supported"], "digits": ["supported", "supported"]}},
        changed: {"rule": "another one", "tasks": {"race": ["supported", "supported"]}},
        asked: {"rule": rule[asked], "tasks": {"race": ["supported", "supported"], "digits": ["contradicted"] * 2}},
    }
    joined = robustness.join({asked: {"rule": rule[asked], "tasks": {"race": ["supported", "undecided"]}}}, stored)
    assert {name: row["tasks"] for name, row in joined.items()} == {
        kept: {"race": ["supported", "supported"]},  # its verdict in digits is another one now
        asked: {"race": ["supported", "undecided"], "digits": ["contradicted", "contradicted"]},
    }
