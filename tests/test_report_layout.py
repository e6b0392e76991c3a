"""Tables on narrow terminals: every word is there, and whole. What is looked for is taken from the cells themselves."""

import io
import itertools
import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import lab
from lab import cli, report
from lab.cli.console import console, errors
from lab.report.layout import Sheet, wrapped
from lab.results import shards
from lab.statistics import Estimate
from lab.studies.pilot import Need, Pilot
from lab.studies.probe import Probe
from tests.test_results_tally import made

ROOT = Path(lab.__file__).parent.parent
NARROW = 80
DRAWN = re.compile("[▁▂▃▄▅▆▇█▔▀─]+")
SWEEP = """
name: swept
question: When does a push that somebody makes on the proxy change what a model values?
task: race
seeds: 16
training: {steps: 20, segments: 10, block_width: 16}
regimens:
  hold_out: [{until: 1}]
  push_on_the_test: [{until: 0}, {lasts: 0.1, weights: {test: 0}}, {until: 1}]
sweep:
  faking_onset: [0, 0.5]
  weight: {key: "regimens.push_on_the_test[1].weights.test", values: [0.3, 3]}
  onset: {key: "regimens.push_on_the_test[0].until", values: [0, 0.1, 0.3, 0.5]}
"""
FEW = """
name: few
question: What happens if I train on the proxy?
task: race
seeds: 16
training: {steps: 20, segments: 2, block_width: 16}
regimens:
  hold_out: [{until: 1}]
  train_throughout: [{until: 1, weights: {test: 1}}]
  anti_train: [{until: 0.5, weights: {test: -1}}, {until: 1}]
"""


def text_at(sheet, width):
    file = io.StringIO()
    Console(width=width, file=file).print(sheet)
    return file.getvalue()


def words_of(text):
    """The words of a text; a colon stands behind the heading of a cell that goes below its row."""
    return Counter(word for word in text.replace(":", " ").split() if not DRAWN.fullmatch(word))


def check(sheet, width=NARROW):
    """Every word of every cell, heading, title and caption stands whole in what is printed, as often as it is there."""
    text = text_at(sheet, width)
    assert max(map(cell_len, text.splitlines())) <= width
    said = [sheet.title, sheet.caption, *sheet.columns]
    said += [part for row in sheet.rows for part in (*row.cells, row.heading)]
    assert not sum((words_of(part) for part in said), Counter()) - words_of(text)
    for line in text.splitlines():
        assert line.count("[") == line.count("]"), "an interval is broken"


# --- the layout by itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_a_table_of_anything_loses_no_word(width):
    draw = np.random.default_rng(3)
    words = ["late", "of", "train_early", "0.3", "a", "misaligned", "weight", "push,"]
    estimates = ["0.33 [0.22, 0.46]", "at least 15", "n/a", "1", "-0.44 [-0.8, -0.11]", "160 (at least 40)"]
    for kinds in itertools.product((0, 1), repeat=4):
        sheet = Sheet("a title of some words", ["name", "P(T|not A)", "net (nats)", "because", "cost"], "and a caption")
        for _ in range(4):
            prose = [" ".join(draw.choice(words, draw.integers(1, 15))) for _ in kinds]
            cells = [prose[index] if kind else str(draw.choice(estimates)) for index, kind in enumerate(kinds)]
            sheet.add_row(" ".join(draw.choice(words, 2)), *cells)
        check(sheet, width)


def test_lines_end_between_words_and_never_in_an_interval():
    assert wrapped("better by 1.51 [0.78, 2.31] nats", 20) == ["better by 1.51", "[0.78, 2.31] nats"]
    assert wrapped("P(T|A) and P(T|not A)", 14) == ["P(T|A) and", "P(T|not A)"]
    assert wrapped("it is at least 15", 14, "  ") == ["it is", "  at least 15"]
    assert wrapped("  a  b\nc", 80) == ["  a  b", "c"]  # what fits is left as it is


def test_a_name_that_is_wider_than_its_column_is_broken_where_it_has_joints():
    assert wrapped("train_throughout", 8) == ["train_", "througho", "ut"]
    assert wrapped("runs/train_late", 12) == ["runs/train_", "late"]
    assert wrapped("größer大大大", 6) == ["größer", "大大大"]  # letters that take two columns


def test_columns_that_do_not_fit_follow_below_with_the_names_again():
    sheet = Sheet("", ["name", *"abcd"])
    sheet.add_row("early", *["0.33 [0.22, 0.46]"] * 4)
    lines = [line.split() for line in text_at(sheet, 35).splitlines() if line.strip() and "─" not in line]
    assert lines[0] == ["name", "a", "b"]
    assert lines[1] == ["early", "0.33", "0.33"]
    assert lines[2] == ["[0.22,", "0.46]", "[0.22,", "0.46]"]
    assert lines[3] == ["name", "c", "d"]
    assert lines[4][0] == "early"


def test_a_column_that_may_be_left_out_costs_no_second_table():
    for width, shown in ((40, True), (25, False)):
        sheet = Sheet("", ["name", "training", "a"], optional=("training", "Drawn."))
        sheet.add_row("early", "█▁▁▁▁▁▁▁", "0.33 [0.22, 0.46]")
        assert ("training" in text_at(sheet, width)) == shown
        assert ("Drawn." in text_at(sheet, width)) == shown
        assert text_at(sheet, width).count("early") == 1


# --- every command ------------------------------------------------------------------------------------------------


def stored(folder, text):
    """A run of known outcomes of every kind; pushes with an onset from 0.3 on come to the same as each other."""
    run = made(folder, text)
    names, count = run.manifest["scores"], run.manifest["seeds"]["count"]
    ends = run.manifest["checkpoints"]
    for place, condition in enumerate(run.manifest["conditions"]):
        scores = np.zeros((count, len(ends), len(names)), np.float32)
        kind = 0 if condition["coordinates"].get("onset", 0) >= 0.3 else place
        scores[kind % 3 :, :, names.index("competence")] = 1
        scores[: 4 + kind, :, names.index("alignment")] = 1
        scores[2 : 6 + kind % 5, :, names.index("test")] = 1
        shards.write_shard(run, condition["leaf"], 0, shards.shard(scores, names, range(count), ends))
    return run.path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow")
    return {name: stored(folder / name, text) for name, text in (("few", FEW), ("swept", SWEEP))}


@pytest.fixture
def printed(monkeypatch, capsys):
    """What a command prints on a terminal of a width, or where there is none."""

    def of(words, width=None):
        with monkeypatch.context() as patched:
            patched.setattr("lab.cli.console.PATIENCE", 600)
            for stream in (console, errors) if width else ():
                patched.setattr(stream, "_force_terminal", True)
                patched.setattr(stream, "_color_system", None)
                patched.setattr(stream, "_width", width)
                patched.setattr(stream, "_height", 10_000)
            capsys.readouterr()
            assert cli.main([str(word) for word in words]) == 0
        return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)

    return of


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["show"], "few"),
        (["show"], "swept"),
        (["compare", "--together"], "few"),
        (["compare"], "swept"),
        (["plan"], "few"),
        (["plan", "--budget", "1,100"], "swept"),
        (["gates", "--budget", "2"], "few"),
        (["ideas"], "few"),
    ],
)
def test_a_narrow_terminal_shows_every_word_of_a_wide_table(runs, printed, command, name):
    words = [command[0], runs[name], *command[1:]]
    same_words(printed(words), printed(words, NARROW))


@pytest.mark.parametrize("words", [["--help"], ["tasks"], ["tasks", "scratchpad"], ["tasks", "race"]], ids=" ".join)
def test_what_there_is_fits_too(printed, words):
    same_words(printed(words), printed(words, NARROW))


@pytest.mark.parametrize("command", cli.FILES)
def test_the_help_of_a_command_fits_a_narrow_terminal(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(NARROW))
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert max(map(cell_len, capsys.readouterr().out.splitlines())) <= NARROW


def test_claims_fit_with_their_verdicts(printed, monkeypatch):
    row = {
        "name": "prerequisite_or_approximation",
        "claim": "That passing and failing misaligned models are close in weight space does not decide anything.",
        "changed": True,
        "verdict": "depends",
        "tasks": {
            task: {"verdict": "undecided", "why": "", "by_mark": "undecided at marks 0.5 to 0.75"}
            for task in ("scratchpad", "race", "digits")
        },
    }
    monkeypatch.setattr("lab.claims.table", lambda *_: [row, row | {"name": "budget"}])
    same_words(printed(["claims"]), printed(["claims"], NARROW))


def test_a_table_of_ones_own_fits(printed, tmp_path):
    options = ["--score", "monitor=suspicion", "--mark", "monitor=50", "--pass", "monitor=below", "--cost", "gpu_hours"]
    words = ["import", ROOT / "experiments/outside/your_runs.csv", *options, "--preview"]
    same_words(printed(words), printed(words, NARROW))


def same_words(wide, narrow):
    """No word of what is printed without a terminal is missing on it, none is broken, and every line fits."""
    lines = [line for line in narrow.splitlines() if "/" not in line or " " in line.strip()]  # a path may be longer
    assert max(map(cell_len, lines)) <= NARROW or max(lines, key=cell_len).startswith("figures: ")
    had, has = map(words_of, (wide, narrow))
    assert not had - has
    assert not set(has) - set(had)
    for line in lines:
        assert line.count("[") == line.count("]"), "an interval is broken"


def test_a_sweep_is_shown_by_axis_in_a_few_sentences(runs, printed):
    """18 conditions: 2 held out, and 16 pushes at 4 onsets."""
    shown = printed(["show", runs["swept"]], NARROW)
    said = shown[shown.index("Against hold out") :]
    assert said.startswith("Against hold out, in 16 conditions:")
    assert len(re.findall(r"^  \S", said, re.MULTILINE)) == 3
    table = shown[shown.index("P(A): share of models") : shown.index("P(T|not A): share")]
    assert "by onset of push on the test" in " ".join(table.split())
    rows = re.findall(r"^(hold out|\d[\d.]*(?: to \d[\d.]*)?)  +\d", table, re.MULTILINE)
    assert rows == ["hold out", "0", "0.1", "0.3 to 0.5"]


def test_models_that_cannot_do_the_job_have_a_column_where_there_are_more_than_a_few(runs, printed):
    """Of 16 models 0, 1 and 2 cannot: 6.25% and 12.5%."""
    shown = printed(["show", runs["few"]])
    assert "cannot do the job" in shown
    assert re.search(r"^train throughout .* 6\.2%", shown, re.MULTILINE)
    assert "P(A) is a share of all models." in " ".join(shown.split())


def test_regimens_that_come_to_the_same_are_one_line_of_a_plan(tmp_path, printed):
    text = FEW.replace("  anti_train:", "  again: [{until: 1}]\n  anti_train:")
    run = made(tmp_path / "run", text)
    names, ends = run.manifest["scores"], run.manifest["checkpoints"]
    for condition in run.manifest["conditions"]:
        scores = np.ones((16, len(ends), len(names)), np.float32)
        scores[8 if condition["regimen"] in ("hold_out", "again") else 4 :, :, names.index("alignment")] = 0
        with_shard = shards.shard(scores, names, range(16), ends)
        path = run.path / "shards"
        if not any(file.name.startswith(f"{condition['leaf']}-") for file in path.glob("*")):
            shards.write_shard(run, condition["leaf"], 0, with_shard)
    planned = printed(["plan", run.path, "--budget", "1"])
    assert "hold out or again" in planned
    assert len(re.findall(r"^hold out", planned, re.MULTILINE)) == 1


# --- tables of studies --------------------------------------------------------------------------------------------


def estimate(value, low, high):
    return {"value": value, "low": low, "high": high}


def studies():
    yield report.card_table(json.loads((ROOT / "figures/card-scratchpad-test.json").read_text()))
    knobs = {"probe_bias": -3.338, "probe_bit": 38.78, "probe_cue": -4.415, "probe_switch": -122.5}
    areas = Estimate(0.9123, 0.8512, 0.9678), Estimate(1.0, 0.86, 1.0)
    yield report.probe_table([Probe("train_throughout weight=0.3", knobs, *areas)], 0.95)
    needs = (Need("train_throughout weight=0.3", 0.25, 318.0), Need("anti_train", math.inf, math.inf))
    yield report.pilot_table(Pilot(needs, 0.95, 2, 0.1), "net", 0.1, 64)
    choice = {
        "use": "early",
        "probability": 0.97,
        "gain": estimate(0.28, 0.15, 0.45),
        "because": "a push at the start is foreseen to change ln o(A) by +3.7 and ln LR by -2.6; with 3 runs that "
        "takes P(accepted is aligned) from 0.71 to 0.99",
        "would_change": None,
    }
    cells = {"aligned_pass": 10, "aligned_fail": 10, "misaligned_pass": 10, "misaligned_fail": 34}
    advice = {"budgets": {"1": choice, "100": choice}, "card": {"hold_out": cells}, "weight": 0.01}
    yield report.advice_table(advice)
    quantities = {"base_rate": "P(A)", "pass_given_aligned": "P(T|A)", "likelihood_ratio": "ln LR", "net": "ln o(A|T)"}
    moment = {
        "start": 0.05,
        "end": 0.1,
        "derivative": dict.fromkeys(quantities, estimate(-0.1234, -0.5123, 0.2456)),
        "pushed": {"base_rate": estimate(0.1, -0.1, 0.3)},
    }
    yield report.profile_table(
        {
            "condition": "hold_out",
            "estimator": "counted",
            "quantities": quantities,
            "seeds": 1024,
            "confidence": 0.95,
            "terms": {"test_linear": {"step": 0.003, "push": 0.03, "moments": [moment, moment]}},
        }
    )
    rival = {"name": "early_2_then_anti_last", "value": estimate(1.4, -0.2, 3.4), "gain": None, "able": 0.9371}
    rivals = [rival | {"allowed": True}, rival | {"allowed": False, "gain": estimate(1.0, -3.4, 5.5)}]
    goal = {"name": "accepted_aligned", "runs": 10, "floor": 0.9}
    yield report.optimised_table(
        {"goal": goal, "seeds": 1024, "confidence": 0.95, "cap": 0.03, "budget": 0.006, "rivals": rivals}
    )


@pytest.mark.parametrize("sheet", list(studies()), ids=["card", "probe", "seeds", "advise", "sensitivity", "optimise"])
def test_tables_of_studies_fit(sheet):
    check(sheet)
