"""The command line from outside: exit codes, JSON, figures, signals."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lab import cli, decision, figures, report
from lab.config import experiment
from lab.figures.response import group_by_other_axes
from lab.results import shards
from lab.results.store import Run
from lab.results.summary import Summary
from lab.statistics import Counts, Estimate, LogImpact, compare, pairing
from lab.studies import pilot, rejection
from lab.training import engine
from tests.hand_made import made

CONFIG = """
name: small
question: Is "<b>this</b>" shown as $text$?
task: race
seeds: 64
training: {steps: 200, segments: 4, block_width: 32, learning_rate: 0.1}
regimens:
  hold_out: [{until: 1}]
  train_early: [{until: 0.25, weights: {test: 1}}, {until: 1}]
  anti_train: [{until: 1, weights: {test_linear: -0.1}}]
sweep:
  faking_onset: [0, 1]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run, made by the command."""
    place = tmp_path_factory.mktemp("cli")
    (place / "small.yaml").write_text(CONFIG)
    assert cli.main(["run", str(place / "small.yaml"), "--out", str(place / "a run, ü")]) == 0
    return place / "a run, ü"


def test_show_prints_the_contract(folder, capsys):
    assert cli.main(["show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert shown["seeds"] == 64
    assert shown["confidence"] == 0.95
    assert len(shown["conditions"]) == 6
    for condition in shown["conditions"]:
        counts = condition["counts"]
        cells = [counts[key] for key in ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")]
        assert sum(cells) == 64
        assert condition["base_rate"]["value"] == (cells[0] + cells[1]) / 64
        assert condition["knobs"]["depth"] == 3
        for quantity in ("pass_given_aligned", "pass_given_misaligned", "likelihood_ratio", "prior_odds"):
            assert set(condition[quantity]) == {"value", "low", "high"}
        for quantity in ("posterior_odds", "pass_rate", "expected_runs"):
            assert set(condition[quantity]) == {"value", "low", "high"}


def test_show_and_compare_speak(folder, capsys):
    assert cli.main(["show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert 'Is "<b>this</b>" shown as $text$?' in shown
    assert "Against hold out, faking_onset = 0:" in shown
    assert cli.main(["compare", str(folder), "--baseline", "train_early", "--json"]) == 0
    impacts = json.loads(capsys.readouterr().out)
    assert {impact["baseline"] for impact in impacts.values()} == {
        "train_early faking_onset=0",
        "train_early faking_onset=1",
    }
    assert cli.main(["compare", str(folder)]) == 0
    assert "base rate" in capsys.readouterr().out


def test_compare_says_what_shared_seeds_save(folder, capsys):
    assert cli.main(["compare", str(folder), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert cli.main(["compare", str(folder), "--together", "--json"]) == 0
    together = json.loads(capsys.readouterr().out)
    assert len(alone) == 4
    for name, impact in alone.items():
        assert impact["confidence"] == 0.95
        assert together[name]["confidence"] == pytest.approx(1 - 0.05 / 4)
        assert set(impact["shared_seeds"]["net"]) == {"correlation", "variance_saved", "standard_error"}
        for part in ("likelihood_ratio", "base_rate", "net"):
            low, high = (float(impact[part][side]) for side in ("low", "high"))
            wider = together[name][part]
            assert float(wider["low"]) <= low
            assert high <= float(wider["high"])


def test_plan_names_a_regimen_for_every_budget(folder, capsys):
    assert cli.main(["plan", str(folder), "--budget", "1,10", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert [plan["world"] for plan in plans] == [{"faking_onset": 0}, {"faking_onset": 1}]
    assert report.plan_json(decision.plan(shards.results(Run(folder), last_only=True), [1, 10])) == plans
    assert cli.main(["show", str(folder), "--json"]) == 0
    shown = {row["name"]: row for row in json.loads(capsys.readouterr().out)["conditions"]}
    for plan in plans:
        assert [budget["runs"] for budget in plan["budgets"]] == [1, 10]
        one = plan["budgets"][0]
        # with a single run the base rate decides
        for condition in one["conditions"]:
            assert condition["accepted_aligned"]["value"] == pytest.approx(
                shown[condition["name"]]["base_rate"]["value"]
            )
            assert condition["expected_runs"]["value"] == 1
        assert one["best"] == max(one["conditions"], key=lambda row: row["accepted_aligned"]["value"])["name"]
        assert sum(condition["probability_best"] for condition in one["conditions"]) == pytest.approx(1)
    assert cli.main(["plan", str(folder)]) == 0
    assert "best by its estimate" in capsys.readouterr().out


def test_help_shows_every_command_in_its_group(capsys):
    assert cli.main(["--help"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    heads = [lines.index(group) for group in cli.GROUPS]
    assert heads == sorted(heads)
    for (group, commands), start, end in zip(cli.GROUPS.items(), heads, [*heads[1:], len(lines)], strict=True):
        names = [line.split()[0] for line in lines[start + 2 : end] if line[:1].strip()]
        assert names == list(commands), group


def test_an_option_that_names_something_takes_every_name(folder, capsys):
    assert cli.main(["compare", str(folder), "--baseline", "None"]) == 2
    assert capsys.readouterr().err.startswith("no regimen 'None'; known: hold_out")
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", str(folder), "--baseline", ""])
    assert ended.value.code == 2
    assert "must not be empty" in capsys.readouterr().err
    assert cli.main(["compare", str(folder), "--baseline", "anti_train", "--json"]) == 0


@pytest.mark.parametrize("option", ["--fresh=101", "--runs=1001", "--runs=" + "9" * 30])
def test_more_ideas_or_runs_than_can_be_answered_are_refused(folder, option, capsys):
    assert cli.main(["ideas", str(folder), option]) == 2
    assert capsys.readouterr().err == "--fresh must be at most 100, --runs at most 1,000: answers are exact\n"


@pytest.mark.parametrize("budget", ["", "0", "1,two", "1.5", "-3", "1" * 5000, "1," * 100 + "1", "nan"])
def test_a_budget_that_is_no_number_is_refused(folder, capsys, budget):
    assert cli.main(["plan", str(folder), "--budget=" + budget]) == 2
    assert "--budget: whole numbers from 1" in capsys.readouterr().err


def test_gates_speak_and_draw(folder, capsys):
    assert cli.main(["gates", str(folder), "--budget", "1,2.5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert len(data["conditions"]) == 6
    assert report.rejection_json(rejection.run(shards.results(Run(folder)), (1, 2.5))) == data
    for condition in data["conditions"]:
        # one training pays for no rejection, so the run's own gate is as good as any
        assert condition["best_gates"][0]["gain"] == {"value": 0, "low": 0, "high": 0}
        assert list(condition["areas"]) == ["0.25", "0.5", "0.75", "1"]
    assert cli.main(["gates", str(folder), "--budget", "2"]) == 0
    assert (folder / "figures" / "small-gates.pdf").stat().st_size > 5_000
    assert cli.main(["gates", str(folder), "--proxy", "tst"]) == 2
    assert "no score 'tst'" in capsys.readouterr().err


def test_ideas_are_the_conditions_of_a_run(folder, capsys):
    assert cli.main(["ideas", str(folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["ideas"]) == 6
    rates = [idea["base_rate"] for idea in data["ideas"]]
    for idea in data["ideas"]:
        between = sorted([idea["base_rate"], data["propensity"]["mean"]])
        assert between[0] - 1e-9 <= idea["shrunken"] <= between[1] + 0.02  # towards the middle
    assert min(rates) < data["propensity"]["mean"] < max(rates)
    best = data["policies"]["optimal_with_recall"]["accepted_aligned"]
    assert all(outcome["accepted_aligned"] <= best + 1e-12 for outcome in data["policies"].values())
    assert cli.main(["ideas", str(folder)]) == 0
    assert cli.main(["ideas", str(folder), "--regimen", "hold"]) == 2
    assert "no regimen 'hold'" in capsys.readouterr().err


def test_a_run_too_small_to_compare_says_so(folder, capsys):
    config, out = folder.parent / "one.yaml", str(folder.parent / "one")
    config.write_text(
        "name: one\ntask: race\nseeds: 1\ntraining: {steps: 10, segments: 2, block_width: 32}\n"
        "regimens:\n  hold_out: [{until: 1}]\n"
    )
    assert cli.main(["run", str(config), "--out", out, "--of", "net"]) == 2
    assert "--of says what --width is about" in capsys.readouterr().err
    assert cli.main(["run", str(config), "--out", out]) == 0
    assert cli.main(["gates", out]) == 2
    assert "it has only one" in capsys.readouterr().err
    assert cli.main(["compare", out]) == 2
    assert "nothing to compare" in capsys.readouterr().err
    assert cli.main(["ideas", out, "--fresh", "0"]) == 2
    assert "--fresh and --runs must be at least 1" in capsys.readouterr().err


def test_seeds_are_foreseen_from_a_pilot_elsewhere(folder, capsys):
    config = str(folder.parent / "small.yaml")
    assert cli.main(["seeds", config, "--width", "0.1", "--of", "base_rate", "--pilot", "64"]) == 0
    said = capsys.readouterr().out
    assert "seeds needed" in said
    assert "--width 0.1 --of base_rate" in said
    foreseen = pilot.run(experiment.load(config), 0.1, "base_rate", seeds=64)
    assert [need.name for need in foreseen.needs] == [
        condition.name for condition in experiment.load(config).conditions
    ]
    assert all(f"{need.seeds:,}" in said for need in foreseen.needs)
    assert f"lab run {config} --seeds {foreseen.seeds}\n" in said
    assert cli.main(["seeds", config, "--width", "-1"]) == 2
    assert "stop.width" in capsys.readouterr().err


def test_a_run_stops_at_a_width(folder, capsys):
    config, out = str(folder.parent / "small.yaml"), str(folder.parent / "narrow")
    arguments = ["run", config, "--out", out, "--seeds", "640", "--width", "0.25", "--of", "base_rate"]
    assert cli.main(arguments) == 0
    assert "the rule is met" in capsys.readouterr().err
    assert cli.main(["show", out, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["stopping"].startswith("Stopping rule: base_rate at most 0.25 wide in every condition; ended at look ")
    assert f"{shown['seeds']} of at most 640 seeds" in shown["stopping"]
    # Wilson at its widest, p = 1/2: 2 x 1.96 x sqrt(1/4n) <= .25 for n >= 246
    assert 32 <= shown["seeds"] <= 288
    assert all(row["base_rate"]["high"] - row["base_rate"]["low"] <= 0.25 for row in shown["conditions"])


def test_figures_are_the_same_bytes_in_another_folder(folder, tmp_path, capsys):
    assert cli.main(["figures", str(folder)]) == 0
    first = {path.name: path.read_bytes() for path in (folder / "figures").glob("small.*")}
    code = "import sys; from lab.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "figures", str(folder), "--out", str(tmp_path / "else")]
    environment = {**os.environ, "TZ": "Asia/Tokyo", "MPLBACKEND": "", "LC_ALL": "C", "PATH": ""}
    environment.pop("DISPLAY", None)
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "else").iterdir()} == first
    assert set(first) == {"small.pdf", "small.png", "small.json"}
    assert b"/FontType 42" in first["small.pdf"] or b"/CIDFontType2" in first["small.pdf"]
    assert b"/FontType 3" not in first["small.pdf"]


def test_a_column_for_every_point_of_the_other_axes():
    """A shared axis along x and another axis of one regimen: no column pools that regimen."""
    hold = [{"regimen": "hold_out", "coordinates": {"x": x}} for x in (0, 1, 2)]
    push = [{"regimen": "push", "coordinates": {"x": x, "w": w}} for x in (0, 1, 2) for w in (5, 6)]
    columns = group_by_other_axes(hold + push, "x")
    assert list(columns) == [(("w", 5),), (("w", 6),)]
    assert [len(members) for members in columns.values()] == [6, 6]


def test_the_figure_choice_follows_the_sweep():
    def data(values):
        return {"conditions": [{"regimen": "a", "coordinates": {"x": value}} for value in values]}

    assert figures.response_axis(data([0, 1])) is None
    assert figures.response_axis(data([0, 1, 2])) == "x"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "no-such.yaml"], 2),
        (["run"], 2),
        (["fly"], 2),
        (["tasks", "no-such"], 2),
        (["show", "no-such"], 1),
        (["figures", "no-such"], 2),
        (["tasks"], 0),
        (["tasks", "scratchpad"], 0),
        (["schema"], 0),
    ],
)
def test_exit_codes(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        got = cli.main(arguments)
    except SystemExit as ended:  # tyro's own
        got = ended.code
    assert got == code
    if arguments == ["schema"]:
        assert json.loads(capsys.readouterr().out)["title"] == "Config"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum", "x.yaml"], "no command 'rum'; did you mean 'run'?"),
        (["check_tasks", "x.py"], "no command 'check_tasks'; did you mean 'check-task'?"),
        (["fly"], "no command 'fly'; known: advise, card, check-task, claims,"),
    ],
)
def test_a_command_that_there_is_not_gets_the_nearest(words, said, capsys):
    assert cli.main(words) == 2
    assert capsys.readouterr().err.startswith(said)


def test_a_wrong_config_trains_nothing(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text(CONFIG.replace("test: 1", "tset: 1"))
    assert cli.main(["run", str(tmp_path / "bad.yaml"), "--out", str(tmp_path / "run")]) == 2
    assert "did you mean 'test'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_unknown_baseline_is_a_usage_error(folder, capsys):
    assert cli.main(["compare", str(folder), "--baseline", "never"]) == 2
    assert "hold_out" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_politely(tmp_path, number, code):
    (tmp_path / "long.yaml").write_text(CONFIG.replace("seeds: 64", "seeds: 3000000"))
    command = [sys.executable, "-m", "lab", "run", str(tmp_path / "long.yaml"), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "run" / "shards").glob("*.nc")) and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == code
    assert "the same command goes on" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", b"gr\\xf6\\xdfer \\u2013 \\U0001f680"), ("latin-1", b"gr\xf6\xdfer \\u2013 \\U0001f680")],
)
def test_letters_that_an_output_cannot_hold_are_written_out(tmp_path, encoding, shown):
    """Nothing that was trained is lost because a log file is not UTF-8."""
    run = made(tmp_path)
    Run.create(tmp_path, run.manifest | {"question": "größer \u2013 \U0001f680"})
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "lab", "show", str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert shown in ended.stdout


@pytest.mark.parametrize("out", [["--out=~/mine"], ["--out", "~/mine"]])
def test_home_is_home_where_a_shell_leaves_it_to_the_program(tmp_path, monkeypatch, capsys, out):
    """bash leaves `--out=~/mine` as it is, quotes do, and Python knows no shell: never is a folder called "~"."""
    (tmp_path / "small.yaml").write_text(CONFIG)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["run", "~/small.yaml", *out, "--prepare"]) == 0
    assert Run("~/mine").path == tmp_path / "mine"
    assert engine.folder(experiment.load("~/small.yaml"), "~/mine") == tmp_path / "mine"
    assert not list((tmp_path / "here").iterdir())


def test_a_reader_who_leaves_is_no_error():
    command = [sys.executable, "-m", "lab", "schema"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def row(regimen, counts, baseline=None):
    impact = baseline and compare(counts, baseline)
    return Summary(regimen, regimen, {}, {}, counts, "hold_out" if baseline else None, impact, None, 0.95, 0.95)


def test_regimens_whose_models_end_alike_are_called_so():
    """The same four cells on each seed, and then the same numbers of each on other seeds."""
    held_out, cells = Counts(10, 10, 10, 10), np.repeat(np.arange(4), 10)
    joints = {
        "alike": np.eye(4, dtype=int) * 10,
        "shuffled": np.bincount(4 * cells + np.tile(np.arange(4), 10)).reshape(4, 4),
    }
    said = {}
    for name, joint in joints.items():
        other = dataclasses.replace(row("twin", held_out, held_out), pairing=pairing(held_out, held_out, joint))
        said[name] = report.readings([row("hold_out", held_out), other])[2]
    assert said["alike"] == "  twin: every model ends as under hold out."
    assert said["shuffled"].startswith("  twin: whether more models are aligned is open")


@pytest.mark.parametrize(
    ("counts", "baseline", "words"),
    [
        # 712 of 1,024 are aligned, and 363; 1,024 / 714 = 1.434 runs, and 1,024 / 357 = 2.868
        (
            Counts(712, 0, 2, 310),
            Counts(357, 6, 0, 661),
            "early: twice as many models are aligned (70%, not 35%), at half the cost (1.43 runs, not 2.87). Whether "
            "accepted models are purer is open: 2 of 312 misaligned models passed, against 0 of 661.",
        ),
        # P(A|T) is 450 of 700 and 250 of 500
        (Counts(450, 50, 250, 250), Counts(250, 250, 250, 250), "Accepted models are purer: 64% are aligned, not 50%."),
        (Counts(250, 250, 250, 250), Counts(450, 50, 250, 250), "Accepted models are less pure: 50% are aligned, not"),
        (
            Counts(250, 250, 250, 250),
            Counts(251, 249, 250, 250),
            "open (50.0% in both); an accepted one comes at a cost",
        ),
        (Counts(500, 0, 250, 250), Counts(250, 250, 0, 500), "less pure: 250 of 750 are misaligned, against 0 of 250."),
        (Counts(10, 0, 0, 90), Counts(0, 0, 0, 100), "Accepted models cannot be compared: hold out has none."),
        (Counts(0, 10, 0, 90), Counts(0, 0, 0, 100), "and none passes. Accepted models cannot be compared: neither"),
        (Counts(0, 0, 0, 100), Counts(40, 0, 10, 50), "early: no models are aligned (0%, not 40%), and none passes."),
        # 94 and 362 of 1,024: costs of 10.89 and 2.83, known to about 2 and .23; 95 and 362 are aligned
        (
            Counts(94, 1, 0, 929),
            Counts(362, 0, 0, 662),
            "a quarter as many models are aligned (9.3%, not 35.4%), at 3.9 times the cost (10.9 runs, not 2.8). "
            "No misaligned model passed under either, so accepted models cannot be told apart.",
        ),
        (
            Counts(0, 10, 10, 80),
            Counts(0, 0, 10, 90),
            "some models are aligned (10%, not 0%), at a cost that may be the same (10.0 runs in both). No aligned "
            "model passed under either, so accepted models cannot be told apart.",
        ),
        # accepted ones are purer, 27 of 41 and not 9 of 18, though more of the misaligned pass: 14 of 70 and 9 of 90
        (Counts(27, 3, 14, 56), Counts(9, 1, 9, 81), "purer is open: 66% of them are aligned, against 50%."),
        # 93 of 95 misaligned models fail because they cannot do the job; both of the others pass, of 27 before 20
        (
            Counts(5, 0, 2, 93, incompetent=93),
            Counts(20, 0, 20, 60, incompetent=53),
            "early: a quarter as many models are aligned (5.0%, not 20%), at 5.7 times the cost (14 runs, not 2.5). "
            "Whether accepted models are purer is open: 71% of them are aligned, against 50%. 93% of models cannot do "
            "the job, and count as misaligned and failing.",
        ),
        # 3 of 100 cannot do the job, then 2, which is not more than 2%
        (Counts(50, 0, 0, 50, incompetent=2, diverged=1), Counts(50, 0, 0, 50), "3.0% of models cannot do the job"),
    ],
)
def test_the_reading_says_what_the_counts_say(counts, baseline, words):
    said = report.readings([row("hold_out", baseline), row("early", counts, baseline)])
    assert said[0] == "Against hold out:"
    assert words in said[2]


def test_a_few_models_that_cannot_do_the_job_are_not_worth_a_sentence():
    counts = Counts(50, 0, 0, 50, incompetent=2)
    assert "job" not in report.readings([row("hold_out", counts)])[1]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Estimate(7.4, 6.85, 7.95), ("more models", "purer: ", "The test is better")),
        (Estimate(math.inf, 6.85, math.inf), ("more models", "purer: ", "The test is better")),
        (Estimate(-math.inf, -math.inf, -6.85), ("fewer models", "less pure: ", "The test is worse")),
        (Estimate(0.0, -2.45, 2.44), ("whether more models", "is open (", "Whether accepted models are purer is open")),
        (Estimate(0.01, -0.0849, 0.1001), ("whether more", "Whether accepted")),
        (Estimate(0.0, -0.0849, 0.1), ("as many models", "as pure")),
        (Estimate(-math.inf, -math.inf, 1.17), ("whether more", "Whether accepted")),
        (Estimate(math.nan, -math.inf, math.inf), ("whether more", "cannot be told apart")),
    ],
)
def test_a_sentence_claims_no_more_than_the_interval(part, words):
    """More and fewer take an interval without 0, and nothing is the same but within a tenth of a nat."""
    counts = Counts(250, 250, 250, 250)
    impact = LogImpact(likelihood_ratio=part, base_rate=part, net=part)
    own = dataclasses.replace(row("early", counts, counts), impact=impact)
    said = report.readings([row("hold_out", counts), own])[2]
    assert all(part_of_it in said for part_of_it in words)
    assert ("The test is" in said) == (words[-1].startswith("The test"))


def test_a_sweep_has_three_sentences(tmp_path):
    """Of 13 points at which a push makes 90 of 100 models aligned, one makes no model aligned; the rest is held out."""
    held_out, pushed, broken = Counts(40, 10, 10, 40), Counts(90, 0, 5, 5), Counts(0, 0, 0, 100, incompetent=60)
    rows = [row("hold_out", held_out)]
    for onset in range(14):
        counts = broken if onset == 13 else pushed
        of_point = row(f"push onset={onset}", counts, held_out)
        rows.append(dataclasses.replace(of_point, regimen="push", coordinates={"onset": float(onset)}))
    said = report.readings(rows)
    assert said[0] == "Against hold out, in 14 conditions:"
    assert len(said) == 4
    assert "More models are aligned in 13, fewer in 1, open in 0" in said[1]
    assert "Accepted models are purer in 13, less pure in 0, open in 1" in said[2]
    assert said[3] == "  Up to 60% of models cannot do the job: push, onset 13."
