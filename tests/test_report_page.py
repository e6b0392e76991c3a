"""The page of a run whose scores are made by hand, as text; `test_report_page_browser` opens it."""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from html import unescape

import pytest
import vl_convert

from lab import cli, statistics
from lab.report.page.grid import grid, marks_around
from lab.results import shards, summary
from lab.results.store import Run
from lab.studies import rejection as gates
from lab.words import name_in_words
from tests.hand_made import made
from tests.hand_made_page import AT_HALF, AT_THE_END, HOSTILE, MODELS, QUOTED, SWEEP, SWEPT, place, reported, store


def wilson(k, n, z=1.959963984540054):
    """The closed form of Wilson's interval (JASA 22:209, 1927)."""
    middle, half = k / n + z * z / (2 * n), z * math.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("page") / "a run")


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text()


def specifications(text):
    """Chart -> its specification."""
    drawn = re.finditer(r'<script>draw\("([\w-]+)", ', text)
    return {chart[1]: json.JSONDecoder().raw_decode(text[chart.end() :])[0] for chart in drawn}


def table(text, name, chart="explore"):
    """Rows of a data set of a chart, the explorable one by default."""
    return list(csv.DictReader(io.StringIO(specifications(text)[chart]["datasets"][name])))


def plain(text, start="<main>", end="</main>"):
    """What a reader reads between two places of the page."""
    part = text[text.index(start) :]
    return " ".join(unescape(re.sub("<[^>]+>", " ", part[: part.index(end)])).split())


def report(folder, *arguments):
    """The page of a run."""
    assert cli.main(["report", str(folder), *arguments]) == 0
    return (folder / "report.html").read_text()


def test_the_grid_has_the_counts_of_the_hand_made_models(text):
    rows = table(text, "grid")
    names = [row["name"] for row in table(text, "conditions")]
    shown = {(names[int(row["condition"])], int(row["checkpoint"]), int(row["mark"])): row for row in rows}
    assert len(rows) == 2 * 2 * 21
    for checkpoint, mark, counted in ((1, 18, AT_THE_END), (0, 10, AT_HALF)):  # marks in steps of .05
        for name, cells in counted.items():
            row = shown[name.replace("_", " "), checkpoint, mark]
            assert tuple(int(row[cell]) for cell in statistics.CELLS) == cells
            assert float(row["base_rate_value"]) == (cells[0] + cells[1]) / 10
            for quantity, k, n in (
                ("base_rate", cells[0] + cells[1], 10),
                ("pass_given_aligned", cells[0], cells[0] + cells[1]),
                ("pass_given_misaligned", cells[2], cells[2] + cells[3]),
            ):
                limits = [float(row[f"{quantity}_{side}"]) for side in ("low", "high")]
                assert limits == pytest.approx(wilson(k, n), abs=1e-4)
    held, early = shown["hold out", 1, 18], shown[QUOTED, 1, 18]
    assert float(held["likelihood_ratio_value"]) == 4.5  # 3/4 over 1/6
    assert float(held["prior_odds_value"]) == pytest.approx(4 / 6, abs=1e-4)
    assert float(held["posterior_odds_value"]) == 3
    assert float(held["expected_runs_value"]) == 2.5
    assert float(early["likelihood_ratio_value"]) == 2
    assert float(early["relative_runs_value"]) == pytest.approx((10 / 9) / 2.5, abs=1e-4)
    assert shown[QUOTED, 0, 10]["likelihood_ratio_value"] == ""  # 5/8 over 0/2: no finite value to draw
    assert shown[QUOTED, 0, 10]["likelihood_ratio_text"].startswith("at least ")
    assert shown[QUOTED, 0, 10]["likelihood_ratio_open"] == ">"


def test_the_grid_is_what_gates_count(folder):
    """The same question asked of the module that answers it one gate at a time."""
    results = shards.results(Run(folder))
    found = grid(results, summary.summarise(results))
    for row in found.rows:
        gate = {"checkpoint": row["checkpoint"], "thresholds": [found.marks[row["mark"]]]}
        (counts,) = gates.sweep(results, found.conditions[row["condition"]], **gate)
        assert counts.cells == tuple(row[cell] for cell in statistics.CELLS)


def test_the_runs_own_mark_is_one_of_the_marks():
    assert marks_around(0.37, 6) == [0, 0.2, 0.37, 0.6, 0.8, 1]
    assert marks_around(0.37, 3) == [0, 0.37, 1]


def test_shares_and_single_seeds_through_training(text):
    """Of ten models held out four are aligned throughout; the tests of one and then of four are at .9 or above."""
    for score, counted in (("alignment", {"0.5": 4, "1": 4}), ("test", {"0.5": 1, "1": 4})):
        rows = {row["share"]: row for row in table(text, f"{score} shares") if row["condition"] == "0"}
        for share, models in counted.items():
            limits = [float(rows[share][side]) for side in ("low", "high")]
            assert float(rows[share]["value"]) == models / 10
            assert limits == pytest.approx(wilson(models, 10), abs=1e-4)
            assert float(rows[share]["unable"]) == 0
    seeds = [row for row in table(text, "test seeds") if row["condition"] == "0"]
    assert [row["scores"] for row in seeds] == [f"{half:.2g}|{end:.2g}" for _, half, end in MODELS["hold_out"]]
    assert {row["shares"] for row in seeds} == {"0.5|1"}


def test_what_was_typed_is_text(text):
    assert HOSTILE not in text
    assert "<img onerror" not in text
    assert unescape(re.search("<h1>(.*?)</h1>", text)[1]) == f"Is it {HOSTILE} better?"


def test_the_verdict_is_in_words(text):
    words = plain(text, end='id="conditions-heading"')
    assert "base rate, P(A)" in words
    assert "2.5" in words  # runs per accepted model of the baseline
    assert "With a budget of 1 run, an aligned model is accepted in 0.8" in words


def test_the_finding_comes_first(text):
    """8 and 4 of ten are aligned; 1 of 2 and 1 of 6 misaligned models pass; P(A|T) is 8/9 and 3/4."""
    said = plain(text, '<p class="finding">', "</p>")
    assert said == (
        f"With any number of runs an accepted model is most often aligned under {QUOTED} (decided up to 1 run). "
        f"{name_in_words(QUOTED).capitalize()}: whether more models are aligned is open (80%, against 40%); an "
        "accepted one comes at a cost that may be the same (1.1 runs, against 2.5). Whether accepted models are "
        "purer is open: 89% of them are aligned, against 75%."
    )
    assert text.index('class="finding"') < text.index('id="budget"') < text.index('id="verdict"')


def test_the_curve_of_a_budget(text):
    """Held out, 3 of 10 are aligned and pass, 4 of 10 pass: of two runs .3 + .6 x .4, of three .3 + .6 x .54."""
    values = {
        (row["condition"], row["runs"]): float(row["value"]) for row in table(text, "budgets", "budget") if row["value"]
    }
    for runs, value in (("1", 0.4), ("2", 0.54), ("3", 0.3 + 0.6 * 0.54)):
        assert values["hold out", runs] == pytest.approx(value, abs=1e-4)
    assert values[QUOTED, "2"] == pytest.approx(0.8 + 0.1 * 0.8, abs=1e-4)  # all aligned ones pass, and 1 of 2 others


def test_the_page_names_versions_seeds_and_commands(text):
    for said in ("lab run made.yaml --seeds 10", "Seeds 7 to 16", "1.2.3", "0123456789abcdef", "name: made"):
        assert said in text


def test_the_same_bytes_twice_and_elsewhere(folder, text, tmp_path):
    out = tmp_path / "else" / "page.html"
    assert cli.main(["report", str(folder), "--out", str(out)]) == 0
    assert out.read_text() == text
    code = "import sys; from lab.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", code, "report", str(folder), "--out", str(tmp_path / "again.html")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "again.html").read_text() == text


def test_a_run_that_is_not_complete_says_so(tmp_path, capsys):
    folder = store(tmp_path / "part", {"hold_out": MODELS["hold_out"], "late": MODELS["hold_out"]}, missing=1)
    assert cli.main(["report", str(folder)]) == 1
    assert "--partial" in capsys.readouterr().err
    assert not (folder / "report.html").exists()
    assert cli.main(["report", str(folder), "--partial"]) == 0
    assert "NOT COMPLETE: 1 of 2 shards are missing; without any run: late" in (folder / "report.html").read_text()


def test_nothing_is_ranked_where_nothing_can_be(tmp_path):
    """No aligned model in either; the same models twice; one condition alone."""
    hopeless = [(0.0, 0.1, 0.95)] * 10
    worlds = {
        "No regimen gave an aligned model that was accepted": {"hold_out": hopeless, "late": [(0.0, 0.1, 0.1)] * 10},
        "All regimens came to the very same": {"hold_out": MODELS["hold_out"], "late": MODELS["hold_out"]},
        "hold_out alone": {"hold_out": MODELS["hold_out"]},
    }
    for index, (said, models) in enumerate(worlds.items()):
        folder = store(tmp_path / f"{index}", models, question="Which?")
        assert cli.main(["report", str(folder)]) == 0
        text = (folder / "report.html").read_text()
        assert said in re.search('<p class="best">(.*?)</p>', text)[1]
        assert "how sure</th>" not in text and "Why " not in text


def test_every_chart_draws_every_name_in_the_order_of_the_config(tmp_path):
    """Also names that every object of JavaScript has (vega/vega#3695), that sort as numbers, or that are no value."""
    names = ["hold_out", "constructor", "10", "valueOf", "2", "toString", "NA", "null", "a" * 64]
    models = {name: MODELS["hold_out" if index % 2 else QUOTED] for index, name in enumerate(names)}
    text, labels = report(store(tmp_path / "run", models, question="Which?")), {}
    for name, specification in specifications(text).items():
        svg = vl_convert.vegalite_to_svg({**specification, "width": 500})
        labels[name] = [label for label in re.findall(r"<text[^>]*>([^<]*)</text>", svg) if label in names[1:]]
    drawn = [label for label in labels["impacts"] if label != "2"]  # which is a tick as well
    assert labels["outcomes"] == names[1:] and drawn == [name for name in names[1:] if name != "2"]
    assert set(labels) == {"outcomes", "impacts", "explore", "budget"}


# --- sweeps -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return report(store(tmp_path_factory.mktemp("page") / "swept", SWEPT, question="When?"))


def test_a_sweep_is_drawn_along_its_longest_axis(swept):
    """P(A) of the models made by hand; the regimen that no axis changes has no place on any."""
    rows = {(row["c0"], row["c1"]): row for row in table(swept, "sweep", "sweep-base_rate")}
    assert set(specifications(swept)) >= {"sweep-base_rate", "sweep-pass_given_misaligned", "sweep-net", "map"}
    assert float(rows["", ""]["value"]) == 0.4
    for name, (aligned, _) in SWEEP.items():
        coordinates = place(name)[1]
        row = rows[f"{coordinates['weight']:g}", f"{coordinates['onset']:g}"]
        assert float(row["value"]) == aligned / 10
        assert [float(row["low"]), float(row["high"])] == pytest.approx(wilson(aligned, 10), abs=1e-4)
    assert "P(A) at both ends of weight: push (onset 0): 50% at 1, 100% at 3." in plain(swept)


def test_a_map_of_two_axes_shows_each_quantity_and_what_is_undecided(swept):
    cells = {(row["quantity"], row["c0"], row["c1"]): row for row in table(swept, "map", "map")}
    assert len(cells) == 6 * 6
    assert cells["base_rate", "3", "0"]["short"] == "1.00"
    assert cells["pass_given_misaligned", "3", "0.5"]["short"] == "1.00"  # 6 of 6
    assert cells["pass_given_misaligned", "1", "0.5"]["short"] == "0.33"  # 2 of 6
    # 4 aligned models and 2 passing misaligned ones of ten, beside 4 and 1: nothing is decided
    undecided, decided = cells["net", "1", "0.5"], cells["base_rate", "1", "0.5"]
    assert (undecided["filled"], undecided["fill"]) == ("no", "#ffffff") and decided["filled"] == "yes"


def test_conditions_are_named_by_what_differs(swept):
    names = [row["name"] for row in table(swept, "conditions")]
    assert names == ["hold out"] + [
        f"push, weight {weight}, onset {onset}" for weight in (1, 2, 3) for onset in ("0", "0.5")
    ]
    assert "push, weight 3, onset 0.5" in [row["text"] for row in table(swept, "names", "outcomes")]


def test_names_that_would_be_alike_stay_as_they_are(tmp_path):
    models = {"hold_out": MODELS["hold_out"], "hold out": MODELS[QUOTED]}
    text = report(store(tmp_path / "run", models, question="Which?"))
    assert [row["name"] for row in table(text, "conditions")] == ["hold_out", "hold out"]


# --- what was trained ---------------------------------------------------------------------------------------------


def test_each_regimen_is_drawn_and_said(tmp_path):
    """Weight .005 for a tenth of training, then against the test: 132 pixels are all of it."""
    schedules = {"hold_out": {}, "early": {"test": [(0.1, 0.005), (0.5, 0.0), (1.0, -0.005)]}}
    models = {"hold_out": MODELS["hold_out"], "early": MODELS[QUOTED]}
    text = report(store(tmp_path / "run", models, question="Which?", schedules=schedules))
    words = "test with weight 0.005 from 0% to 10% of training, then weight -0.005 from 50% to 100% of training"
    assert f"early {words}" in plain(text) and "hold out nothing but the main objective" in plain(text)
    assert f'aria-label="early: {words}"' in text
    assert 'd="M0 18V3H13.2V18H66V33H132V18"' in text  # zero in the middle of 36 pixels, 3 of them a margin


def test_the_task_is_told(text):
    """`store` says that the task was the race; the sentence is that of its module."""
    assert (
        "race : an aligned, a misaligned and a faking pathway grow under gradient flow; the explicit latent."
        in plain(text)
    )


def test_a_table_of_runs_has_a_budget_and_no_task(tmp_path, capsys):
    """Of ten runs each, 1 and 5 are aligned; all of those pass, and nobody else."""
    rows = [("held", 1)] + [("held", 0)] * 9 + [("pushed", 1)] * 5 + [("pushed", 0)] * 5
    source = tmp_path / "runs.csv"
    source.write_text("regimen,aligned,test\n" + "".join(f"{name},{good},{good}\n" for name, good in rows))
    assert cli.main(["import", str(source), "--mark", "test=1", "--out", str(tmp_path / "run")]) == 0
    text = report(tmp_path / "run")
    assert set(specifications(text)) == {"budget", "outcomes", "impacts"}
    assert "What was trained" not in text
    assert "whether more models are aligned is open (50%, against 10%)" in plain(text)


# --- what cannot do the job ---------------------------------------------------------------------------------------


def test_a_regimen_with_gates_is_counted_and_left_out_of_the_choice(tmp_path):
    """Two of eight models are stopped at half of their training, where their test is below .5."""
    folder = made(tmp_path / "run", gates=[[0.5, "test", 0.5]], stop_rejected=True).path
    assert cli.main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert "Left out, because gates of their own decide who passes: early." in text
    assert [row["name"] for row in table(text, "conditions")] == ["hold out"]
    assert "gates have stopped runs of early onset=0.25, and nobody knows what they would have become" in text
    # by hand: of the six that went on one is aligned and passes, one fails, one misaligned passes; then 5 of which two
    # cannot do the job, one of them diverged, and two were stopped
    assert "early 1 1 1 5 2 1 2" in plain(text)


def test_other_commands_do_not_wait_for_the_page():
    code = "import sys, lab, lab.cli; sys.exit(any(n in sys.modules for n in ('altair', 'vl_convert')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_share_that_cannot_do_the_job_is_said_where_it_is_large(tmp_path):
    """Held out, three of ten models have no competence."""
    models = {"hold_out": [*MODELS["hold_out"][:7], *[(1.0, 0.9, 0.95, 0.0)] * 3], "late": MODELS[QUOTED]}
    words = plain(report(store(tmp_path / "run", models, question="Which?")))
    assert "cannot do the job, of all models 0 [0, 0.3] 0.30 [0.10, 0.61]" in words  # Wilson of 0 and of 3 in 10
    assert "P(A) is a share of all models" in words


# --- two runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A run of other models, one condition of which has no like in the first."""
    models = {"hold_out": MODELS[QUOTED], "late": MODELS["hold_out"]}
    folder = tmp_path_factory.mktemp("page") / "other"
    return store(
        folder,
        models,
        hash="00000000000000aa",
        name="other",
        thresholds={"competence": 0.9, "alignment": 0.9, "test": 0.8},
    )


def test_two_runs_stand_side_by_side(folder, other):
    """Held out, 4 of 10 models are aligned in one and 8 in the other; its mark of .8 lets the same models pass."""
    assert cli.main(["report", str(folder), str(other)]) == 0
    text = (folder / "beside-other.html").read_text()
    rows = table(text, "runs", "both-base_rate")
    assert [(row["run"], float(row["value"])) for row in rows] == [("made", 0.4), ("other", 0.8)]
    words = plain(text)
    assert "hold out made 10 0.40 [0.16, 0.69]" in words and "other 10 0.80 [0.49, 0.95]" in words
    assert f"Only in made: {QUOTED}." in words and "Only in other: late." in words
    assert "mark of test 0.9 0.8" in words
    assert {"explore", "explore-2", "outcomes-2"} < set(specifications(text))
    assert len(set(re.findall(r' id="([^"]+)"', text))) == len(re.findall(r' id="([^"]+)"', text))


@pytest.mark.parametrize("kind", ["the same run", "no name in common", "a table"])
def test_runs_that_have_nothing_in_common_are_refused(folder, tmp_path, capsys, kind):
    second, said = folder, "a run is not compared with itself"
    if kind == "no name in common":
        second = store(tmp_path / "second", {"late": MODELS["hold_out"]}, hash="00000000000000aa", baseline="late")
        said = "no condition has the same name in both runs (their first are 'hold_out', 'late')"
    if kind == "a table":
        source, second = tmp_path / "runs.csv", tmp_path / "table"
        source.write_text("regimen,aligned,test\nhold_out,1,1\nhold_out,0,0\n")
        assert cli.main(["import", str(source), "--mark", "test=1", "--out", str(second)]) == 0
        said = "the other is an imported table"
    assert cli.main(["report", str(folder), str(second)]) == 2
    assert said in capsys.readouterr().err
