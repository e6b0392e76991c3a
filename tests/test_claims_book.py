"""The book of claims: found, run, redrawn, and judged by what is stored alone."""

import itertools
import json

import numpy as np
import pytest

from lab import claims
from lab.claims import book, judged, latex
from lab.cli import main
from lab.figures.claim import MOST
from tests.hand_made_claims import BETTER, HELD, SURE, WORSE, regimens

pytestmark = pytest.mark.usefixtures("quick_to_train")


def test_every_claim_has_its_words_and_configs():
    for name in claims.names():
        module = claims.module(name)
        assert claims.claim(name).rule.startswith("Rule")
        assert f"lab experiment {name}" in module.__doc__
        for word in ("Command:", "Expected:", "Cost:"):
            assert word in module.__doc__, (name, word)
        assert len(claims.configs(name)) >= 2, name


def test_a_verdict_is_computed_from_what_is_stored_and_from_nothing_else(tmp_path, capsys):
    """A stored claim whose counts are replaced changes its verdict; one that is not there is not run."""
    stored = regimens(BETTER, SURE, WORSE, BETTER)
    data = {"tasks": {"made": {"baseline": "hold_out", **stored.data}}}
    (tmp_path / "four_regimens.json").write_text(json.dumps(data))
    rows = {row["name"]: row for row in claims.table(tmp_path)}
    assert rows["four_regimens"]["verdict"] == claims.SUPPORTED
    assert {row["verdict"] for name, row in rows.items() if name != "four_regimens"} == {claims.NOT_RUN}
    data["tasks"]["made"] |= regimens(HELD, HELD, HELD, HELD).data
    (tmp_path / "four_regimens.json").write_text(json.dumps(data))
    assert main(["claims", "--figures", str(tmp_path), "--json"]) == 0
    rows = {row["name"]: row["verdict"] for row in json.loads(capsys.readouterr().out)}
    assert rows["four_regimens"] == claims.UNDECIDED
    assert main(["experiment", "no_such_claim"]) == 2
    assert "no_such_claim" in capsys.readouterr().err


def test_a_kept_verdict_is_read_only_while_counts_and_code_are_as_they_were(tmp_path, monkeypatch):
    stored = regimens(BETTER, SURE, WORSE, BETTER)
    path = tmp_path / "four_regimens.json"
    path.write_text(json.dumps({"tasks": {"made": {"baseline": "hold_out", **stored.data}}}))
    assert judged.read(tmp_path) == {}
    (row,) = (row for row in claims.table(tmp_path) if row["name"] == "four_regimens")
    judged.write(tmp_path, [row])
    assert judged.read(tmp_path) == {"four_regimens": row}
    monkeypatch.setattr("lab.claims.judged.code_checksum", lambda: "of other code")
    assert judged.read(tmp_path) == {}
    monkeypatch.undo()
    path.write_text(path.read_text() + " ")
    assert judged.read(tmp_path) == {}
    (tmp_path / judged.FILE).write_text("{")
    assert judged.read(tmp_path) == {}


def test_the_verdicts_that_are_kept_are_those_of_the_counts_and_the_code_as_they_are():
    """`python -m experiments.pages` keeps them; the small ones are judged again here."""
    kept = judged.read(judged.FIGURES)
    assert set(kept) == set(claims.names())
    for name in claims.names_with_counts():
        if (claims.FIGURES / f"{name}.json").stat().st_size < 50_000:
            assert kept[name] == book.judge_again(claims.FIGURES, name)


def test_numbers_and_words_of_claims_are_what_the_stored_counts_say():
    kept = [name for name in claims.names_with_counts() if (claims.FIGURES / f"{name}.json").stat().st_size < 50_000]
    for name in kept:
        stored = claims.FIGURES / name
        data, verdicts = claims.rejudge(name)
        assert json.dumps(data, indent=1) + "\n" == stored.with_suffix(".json").read_text()
        assert data["caption"] + "\n" == stored.with_suffix(".txt").read_text()
        assert latex.tables(data, verdicts) == stored.with_suffix(".tex").read_text()


@pytest.mark.parametrize("name", ["precursors", "validate_or_train"])  # conditions, and estimates
def test_figures_of_claims_are_rebuilt_to_the_byte(tmp_path, name):
    """Pictures depend on matplotlib's version: they are twice alike."""
    for folder in ("first", "second"):
        claims.redraw(name, to=tmp_path / folder)
    for ending in ("json", "txt", "tex", "png", "pdf"):
        stored = claims.FIGURES if ending in ("json", "txt", "tex") else tmp_path / "second"
        assert (tmp_path / "first" / f"{name}.{ending}").read_bytes() == (stored / f"{name}.{ending}").read_bytes()


def test_a_figure_draws_finished_numbers(tmp_path, monkeypatch):
    """Drawing samples nothing, and the picture is that of the numbers in the JSON beside it: nets included."""
    data, _ = claims.rejudge("summoning_scroll")
    monkeypatch.setattr("lab.statistics.draws.draw_shares", lambda *_: pytest.fail("drawn while drawing"))
    monkeypatch.setattr("lab.claims.rules.Stored.__init__", lambda *_: pytest.fail("read while drawing"))
    figure = claims.claim("summoning_scroll").draw(data)
    nets = [row["net"] for counts in data["tasks"].values() for row in counts["plotted"] if row["net"]]
    ends = [list(line.get_xdata()) for line in figure.axes[3].lines if len(line.get_xdata()) == 2]
    for net in nets:
        assert [np.clip(float(net[key]), -MOST, MOST) for key in ("low", "high")] in ends


def test_a_claim_runs_on_few_seeds(tmp_path):
    """The whole way, on one task: train, count, judge, draw; and the same again from what is stored."""
    given = ["experiment", "by_construction", "--seeds", "64", "--tasks", "race", "--out", str(tmp_path)]
    assert main(given) == 0
    data = json.loads((tmp_path / "figures/by_construction.json").read_text())
    own = data["tasks"]["race"]
    assert own["seeds"] == 64
    assert all(sum(condition["cells"]) == 64 for condition in own["conditions"].values())
    for one, other in itertools.combinations_with_replacement(range(2), 2):
        assert sum(own["joints"][f"{one},{other}"]) == 64
