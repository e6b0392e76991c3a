"""`lab import`, and every command that reads on what it has imported: each says what is so, and what it cannot know."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lab
from lab import cli

ROOT = Path(lab.__file__).parent.parent
TABLE = ROOT / "experiments/outside/your_runs.csv"
OPTIONS = ["--score", "monitor=suspicion", "--mark", "monitor=50", "--pass", "monitor=below", "--cost", "gpu_hours"]
UNTRUE = re.compile(r"\bsteps\b|JAX|jax|same seeds|shared seeds|\bseed\b|diverged", re.IGNORECASE)


@pytest.fixture
def lab_says(capsys):
    def says(*words, code=0):
        assert cli.main([str(word) for word in words]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return says


@pytest.fixture
def run(tmp_path, lab_says):
    lab_says("import", TABLE, *OPTIONS, "--out", tmp_path / "run")
    return tmp_path / "run"


def one_line(text):
    return " ".join(text.split())


def test_it_says_how_the_table_was_understood_and_writes_nothing_where_that_is_asked_for(
    tmp_path, lab_says, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    text = one_line(lab_says("import", TABLE, *OPTIONS, "--preview"))
    assert "300 rows in 3 conditions by column 'regimen'; others are compared with 'held out'" in text
    assert "A, aligned: aligned is yes. T, passes: suspicion <= 50." in text
    assert "No column says whether a model does the job" in text
    assert "No column says what conditions share, so they are independent here." in text
    assert "Not used: 'name' (300 values)." in text
    assert list(tmp_path.iterdir()) == []


def test_the_json_of_a_table_has_its_counts_and_says_what_it_is(run, lab_says):
    """As the table was made: 9 of 10 aligned and 9 of 90 misaligned runs pass, held out."""
    data = json.loads(lab_says("show", run, "--json"))
    counts = data["conditions"][0]["counts"]
    assert [counts[cell] for cell in ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")] == [
        9,
        1,
        9,
        81,
    ]
    assert data["thresholds"]["monitor"] == 50
    assert data["observed"]["passing"] == "suspicion <= 50"
    assert data["observed"]["paired"] is False
    assert "shared_seeds" not in data["conditions"][1]["log_impact"]
    assert set(data["conditions"][1]["cost_per_accepted"]) == {"value", "low", "high"}


@pytest.mark.parametrize(
    "words", [["show"], ["compare"], ["plan"], ["watch", "--once"], ["gates"], ["ideas"], ["advise"]]
)
def test_every_command_that_reads_works_and_says_nothing_untrue(run, lab_says, words):
    if words == ["advise"]:
        names = ["--pilot-hold-out", "held out", "--pilot-early", "trained early", "--pilot-late", "trained late"]
        text = lab_says("advise", "--from", run, *names)
    else:
        text = lab_says(words[0], run, *words[1:])
    assert not UNTRUE.search(text), text


def test_the_page_the_figure_and_the_tables_say_what_they_come_from(run, lab_says):
    lab_says("report", run)
    page = (run / "report.html").read_text()
    body = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert "trained elsewhere" in body
    assert "suspicion &lt;= 50" in body
    assert "your_runs.csv" in body
    assert not re.search(r"steps of training, \d|blocks of|lab run ", body)
    lab_says("figures", run)
    caption = json.loads((run / "figures/your-runs.json").read_text())["caption"]
    assert "T: suspicion <= 50" in caption
    assert not UNTRUE.search(caption)
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    lab_says("export", run)
    models = pandas.read_parquet(run / "export/models.parquet")
    assert models.groupby("condition", sort=False)["passes"].sum().tolist() == [18, 41, 63]
    assert models["score_monitor"].min() >= 0
    assert (models["passes"] == (models["score_monitor"] <= 50)).all()
    conditions = pandas.read_parquet(run / "export/conditions.parquet")
    assert conditions["base_rate"].tolist() == [0.1, 0.3, 0.3]
    assert not UNTRUE.search(
        (run / "export/dictionary.md").read_text().replace("| `diverged` |", "").split("models.parquet")[-1]
    )


def test_other_marks_are_on_the_scale_of_the_column(run, lab_says):
    """No run has a suspicion of 1 or less."""
    data = json.loads(lab_says("show", run, "--json", "--mark", "monitor=1"))
    assert [row["pass_rate"]["value"] for row in data["conditions"]] == [0, 0, 0]
    assert "suspicion <= 1" in one_line(lab_says("show", run, "--mark", "monitor=1"))
    assert "is a word in the table" in lab_says("show", run, "--mark", "alignment=1", code=2)


def test_a_plan_for_a_budget_of_costs(run, lab_says):
    """A held-out run costs 10 GPU hours and a little: 35 pay for three of these, two of the others."""
    (world,) = json.loads(lab_says("plan", run, "--budget-cost", "35", "--json"))
    (budget,) = world["budgets"]
    assert budget["cost"] == 35
    assert {row["name"]: row["runs"] for row in budget["conditions"]}["held out"] == 3
    assert "pays for no run" in lab_says("plan", run, "--budget-cost", "1", code=2)
    assert "give one of them" in lab_says("plan", run, "--budget-cost", "35", "--budget", "3", code=2)
    text = lab_says("plan", run, "--budget-cost", "11")
    assert "A budget of 11 pays for no run of trained early, trained late: left out." in text
    assert "alone" in text


@pytest.mark.parametrize("words", [["probe"], ["worker", "--rank", "0", "--of", "1"]])
def test_what_takes_models_that_were_trained_here_says_so(run, lab_says, words):
    assert "its runs were trained elsewhere" in lab_says(words[0], run, *words[1:], code=2)


def test_a_run_of_the_lab_is_not_trained_into_the_folder_of_a_table(run, lab_says):
    said = lab_says("run", ROOT / "configs/quickstart.yaml", "--seeds", "2", "--out", run, code=1)
    assert "holds runs that were trained elsewhere; give another --out" in said


def with_rows(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    return tmp_path / "t.csv"


def test_gates_over_the_checkpoints_of_a_table(tmp_path, lab_says):
    """Half way the monitor knows who will be aligned, so a gate there stops the others at half of the cost."""
    rows = [f"a,{run},{step},{run % 2},{9 if run % 2 == 0 else 1}" for run in range(40) for step in (50, 100)]
    file = with_rows(tmp_path, "\n".join(["arm,name,step,aligned,monitor", *rows]) + "\n")
    words = [
        "--run",
        "name",
        "--checkpoint",
        "step",
        "--mark",
        "monitor=5",
        "--pass",
        "below",
        "--out",
        tmp_path / "run",
    ]
    lab_says("import", file, *words)
    data = json.loads(lab_says("gates", tmp_path / "run", "--budget", "1.5", "--json"))
    gate = data["conditions"][0]["best_gates"][0]["gates"][0]
    assert (gate["checkpoint"], gate["threshold"], gate["below"]) == (0.5, 1, True)
    assert "monitor <= 1" in one_line(lab_says("gates", tmp_path / "run", "--budget", "1.5"))


def test_rows_are_counted_as_they_are_whatever_pairs_share(tmp_path, lab_says):
    """40 rows in each condition, 30 of whose prompts are in both."""
    rows = "".join(
        f"{arm},{i},{i % 2},{i % 3 % 2}\n" for arm, first in (("a", 0), ("b", 10)) for i in range(first, first + 40)
    )
    file = with_rows(tmp_path, f"arm,prompt,aligned,monitor\n{rows}")
    text = one_line(lab_says("import", file, "--pair", "prompt", "--out", tmp_path / "run"))
    assert "t: 40 rows each" in text
    assert "the same 'prompt': 30 of 50 are in several conditions." in text
    lab_says("report", tmp_path / "run")
    assert "40 rows each" in (tmp_path / "run/report.html").read_text()
    lab_says("figures", tmp_path / "run")
    assert "40 rows per condition at most" in json.loads((tmp_path / "run/figures/t.json").read_text())["caption"]


def test_rows_of_checkpoints_are_told_apart_from_runs(tmp_path, lab_says):
    rows = "".join(f"a,{run},{step},{run % 2},{run % 2}\n" for run in range(10) for step in (50, 100, 200))
    file = with_rows(tmp_path, f"arm,run_id,step,aligned,monitor\n{rows}")
    text = one_line(lab_says("import", file, "--out", tmp_path / "run"))
    assert "30 rows of 10 runs in 1 condition" in text
    assert "shares of the last one, 200 in column 'step'; rows with the same 'run_id' are one run" in text
    assert "t: 10 runs each" in text
    assert "when 25% of their training is done" in lab_says("show", tmp_path / "run", "--checkpoint", "50")


def test_a_plan_in_which_nobody_is_aligned_has_no_winner(tmp_path, lab_says):
    rows = "".join(f"{arm},0,{i % 2}\n" for arm in ("a", "b") for i in range(20))
    lab_says("import", with_rows(tmp_path, f"arm,aligned,monitor\n{rows}"), "--out", tmp_path / "run")
    text = lab_says("plan", tmp_path / "run")
    assert "No regimen gave an aligned model that was accepted: nothing can be ranked" in text
    assert "best by its estimate" not in text


def test_what_is_left_out_is_said_in_every_table(tmp_path, lab_says):
    rows = "".join(f"{arm},{i % 2},{i % 3 % 2}\n" for arm in ("a", "b") for i in range(20))
    file = with_rows(tmp_path, f"arm,aligned,monitor\n{rows}a,,1\n")
    assert "data row 41 in column 'aligned'" in lab_says("import", file, "--out", tmp_path / "run", code=2)
    assert not (tmp_path / "run").exists()
    lab_says("import", file, "--leave-out-missing", "--out", tmp_path / "run")
    for command in ("show", "compare", "plan"):
        assert "1 of 41 rows are left out" in one_line(lab_says(command, tmp_path / "run"))
    lab_says("report", tmp_path / "run")
    assert "1 of 41 rows are left out" in (tmp_path / "run/report.html").read_text()


def test_samples_of_few_runs_are_warned_of(tmp_path, lab_says):
    rows = "".join(f"{arm},{arm}{i // 50},{i % 2},{i % 3 % 2}\n" for arm in ("a", "b") for i in range(200))
    file = with_rows(tmp_path, f"arm,run,aligned,monitor\n{rows}")
    text = one_line(lab_says("import", file, "--out", tmp_path / "run"))
    assert "Rows with the same 'run' are one group: intervals are for groups, not for rows." in text
    assert "the 200 rows of 'a' come from 4" in one_line(lab_says("show", tmp_path / "run"))
    for command, what in (("ideas", "a field of ideas"), ("gates", "a choice of gates")):
        assert f"{what} takes rows for independent runs" in lab_says(command, tmp_path / "run", code=2)
    lab_says("plan", tmp_path / "run")


def test_a_measured_truth_is_said_where_it_counts(tmp_path, lab_says):
    judge = ["--sensitivity", "45/50", "--specificity", ".95"]
    text = one_line(lab_says("import", TABLE, *OPTIONS, *judge, "--out", tmp_path / "run"))
    assert "Who is aligned was measured (sensitivity 45 of 50, specificity 0.95)" in text
    for command in ("show", "compare", "plan"):
        assert "45 of 50" in one_line(lab_says(command, tmp_path / "run"))
    assert "takes the truth of every run" in lab_says("ideas", tmp_path / "run", code=2)


def test_a_judge_that_few_have_validated_is_warned_of(tmp_path, lab_says):
    few = ["--sensitivity", "9/10", "--specificity", "9/10"]
    lab_says("import", TABLE, *OPTIONS, *few, "--out", tmp_path / "few")
    assert "times as wide as that of a judge whose rates are known" in one_line(lab_says("show", tmp_path / "few"))
    many = ["--sensitivity", "90000/100000", "--specificity", "90000/100000"]
    lab_says("import", TABLE, *OPTIONS, *many, "--out", tmp_path / "many")
    assert "times as wide" not in lab_says("show", tmp_path / "many")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--score", "suspicion", "--mark", "suspicion"], "--mark: name=value, not 'suspicion'"),
        (["--score", "monitor=wrong"], "no column 'wrong'; there are 'regimen', 'name', 'aligned'"),
        ([*OPTIONS, "--mark", "monitor=40"], "--mark: monitor is given twice"),
        ([*OPTIONS, "--sensitivity", ".9"], "--sensitivity and --specificity belong together"),
        ([*OPTIONS, "--sensitivity", "101%", "--specificity", "1"], "sensitivity must lie from 0 to 1, not 1.01"),
        ([*OPTIONS, "--sensitivity", "many", "--specificity", "1"], "--sensitivity: a share such as .9"),
        ([*OPTIONS, "--sensitivity", ".5", "--specificity", ".4"], "such a judge tells nothing"),
        ([*OPTIONS, "--confidence", "95"], "--confidence: from 0.5 to 0.9999, not 95"),
        ([TABLE, *OPTIONS], "give one table; several files may be logs of Inspect"),
    ],
)
def test_wrong_usage_is_said_in_a_line(lab_says, words, said):
    assert said in lab_says("import", TABLE, *words, code=2)


def test_an_occupied_folder_is_refused_before_anything_is_said(tmp_path, capsys):
    (tmp_path / "thesis.tex").touch()
    assert cli.main(["import", str(TABLE), *OPTIONS, "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "holds other files (thesis.tex)" in printed.err


def test_a_table_is_stored_though_nobody_reads_what_is_printed(tmp_path):
    program = [sys.executable, "-m", "lab", "import", str(TABLE), *OPTIONS, "--out", str(tmp_path / "run")]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        process.stdout.close()
    assert (tmp_path / "run/manifest.json").exists()


def test_conditions_may_have_any_name(tmp_path, lab_says):
    rows = "".join(f'"{arm}",{i % 2},{i % 3 % 2}\n' for arm in ("RL out", "held out", "x=1 [b]") for i in range(30))
    file = with_rows(tmp_path, f"arm,aligned,monitor\n{rows}")
    lab_says("import", file, "--out", tmp_path / "run")
    text = lab_says("compare", tmp_path / "run")
    for name in ("RL out", "held out", "x=1 [b]"):
        assert name in text
    lab_says("figures", tmp_path / "run")
    lab_says("report", tmp_path / "run")


def test_logs_of_inspect_are_a_table(inspect_logs, lab_says):
    """The mock models of tests/inspect_examples.py, 12 of 30 and 15 of 30 of whose are honest."""
    words = ["--condition", "metadata.regimen", "--truth", "score.aligned", "--score", "monitor=score.monitor"]
    data = json.loads(
        lab_says("import", *inspect_logs, *words, "--mark", "monitor=0.5", "--group", "sample", "--preview", "--json")
    )
    assert [sum(row["counts"][cell] for cell in ("aligned_pass", "aligned_fail")) for row in data["conditions"]] == [
        12,
        30,
    ]
