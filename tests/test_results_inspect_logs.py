"""Logs that Inspect wrote of models whose answers are laid down, against scores counted by hand."""

import math
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter

import pytest

from lab.machine.extras import MissingExtra
from lab.results.inspect_logs import LogError, read_logs


def changed(log, folder, change):
    """A copy of a log that Inspect wrote, with other content. Its samples are new."""
    from inspect_ai.log import read_eval_log, write_eval_log

    content = read_eval_log(str(log))
    for sample in content.samples:
        sample.uuid = f"{sample.uuid} changed"
    change(content)
    write_eval_log(content, str(folder / "changed.eval"))
    return folder / "changed.eval"


def test_every_sample_of_every_epoch_has_the_scores_that_its_answer_implies(inspect_logs):
    columns, notes = read_logs(inspect_logs)
    assert notes == []
    rows = zip(*(columns[name] for name in ("metadata.regimen", "score.aligned", "score.monitor")), strict=True)
    assert Counter(rows) == {
        ("hold_out", "C", 0.75): 9,
        ("hold_out", "C", 0.25): 3,
        ("hold_out", "I", 0.75): 6,
        ("hold_out", "I", 0.25): 12,
        ("train", "C", 0.75): 15 * 2,
        ("train", "I", 0.75): 10 * 2,
        ("train", "I", 0.25): 5 * 2,
    }
    places = list(zip(columns["log"], columns["sample"], columns["epoch"], strict=True))
    hold_out, train = (log.stem for log in inspect_logs)
    assert len(places) == 90
    assert set(places) == {
        *((hold_out, sample, 1) for sample in range(30)),
        *((train, sample, epoch) for sample in range(30) for epoch in (1, 2)),
    }
    # the first nine answers of `hold_out` are honest ones that pass
    first = [columns["score.monitor"][places.index((hold_out, sample, 1))] for sample in range(18)]
    assert first == [0.75] * 9 + [0.25] * 3 + [0.75] * 6


def test_inspect_itself_counts_the_same(inspect_logs):
    """Its accuracy is the share of C, and its mean that of the monitor."""
    from inspect_ai.log import read_eval_log

    for log, aligned, monitored in (
        (inspect_logs[0], 12 / 30, 15 / 30),
        (inspect_logs[1], 15 / 30, (25 * 0.75 + 5 * 0.25) / 30),
    ):
        columns, _ = read_logs([log])
        metrics = {score.name: score.metrics for score in read_eval_log(str(log), header_only=True).results.scores}
        assert columns["score.aligned"].count("C") / len(columns["log"]) == aligned
        assert metrics["aligned"]["accuracy"].value == aligned
        assert math.fsum(columns["score.monitor"]) / len(columns["log"]) == pytest.approx(monitored)
        assert metrics["monitor"]["mean"].value == pytest.approx(monitored)


def test_what_a_log_says_of_itself_stands_in_each_of_its_rows(inspect_logs):
    columns, _ = read_logs(inspect_logs)
    assert list(columns) == [
        *("log", "task", "model", "run", "arg.regimen", "eval.round", "sample", "epoch", "metadata.regimen"),
        *("score.aligned", "score.monitor"),
    ]
    assert columns["model"] == ["mockllm/hold_out"] * 30 + ["mockllm/train"] * 60
    assert columns["arg.regimen"] == columns["metadata.regimen"] == ["hold_out"] * 30 + ["train"] * 60
    assert set(columns["task"]) == {"interview"}
    assert set(columns["eval.round"]) == {2}
    assert len(set(columns["run"][:30])) == len(set(columns["run"][30:])) == 1
    assert columns["run"][0] != columns["run"][-1]


def test_values_are_those_that_inspect_holds_and_none_where_there_is_none(inspect_logs, tmp_path):
    from inspect_ai.scorer import Score

    def change(log):
        log.eval.task_args["marks"] = [0.1, 0.9]
        first, second, third = log.samples[:3]
        first.scores["monitor"] = Score(value={"early": 0.1, "late": True, "never": None})
        second.scores["monitor"] = Score(value=math.nan)  # what a scorer gives that could not say
        third.scores["judge"] = Score(value="P")
        first.metadata |= {"seed": 2**60 + 1, "rate": 0.1 + 0.2, "tested": False}
        second.metadata["words"] = "many " * 1000

    columns, notes = read_logs([changed(inspect_logs[0], tmp_path, change), inspect_logs[0]])
    assert notes == []
    assert {name: values[:3] for name, values in columns.items() if name.startswith(("score.monitor", "score.j"))} == {
        "score.monitor": [None, None, 0.75],
        "score.monitor.early": [0.1, None, None],
        "score.monitor.late": [True, None, None],
        "score.monitor.never": [None, None, None],
        "score.judge": [None, None, "P"],
    }
    assert columns["arg.marks"] == ["[0.1, 0.9]"] * 30 + [None] * 30
    assert [columns[f"metadata.{name}"][0] for name in ("seed", "rate", "tested")] == [2**60 + 1, 0.1 + 0.2, False]
    assert 1000 < len(columns["metadata.words"][1]) <= 1024


def test_samples_that_ended_in_an_error_or_have_no_score_are_left_out_and_counted(inspect_logs, tmp_path):
    from inspect_ai.log import EvalError

    def change(log):
        for sample in log.samples[:3]:  # with its scores, as `--score-on-error` leaves them
            sample.error = EvalError(message="no answer", traceback="", traceback_ansi="")
        log.samples[3].scores = None

    columns, notes = read_logs([changed(inspect_logs[0], tmp_path, change)])
    assert columns["sample"] == list(range(4, 30))
    assert notes == [
        "3 samples of changed.eval ended in an error and are left out",
        "1 sample of changed.eval had no score and is left out",
    ]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("status", "cancelled", "its evaluation did not finish, its status is 'cancelled'"),
        ("status", "started", "its evaluation did not finish, its status is 'started'"),
        ("invalidated", True, "samples of it were declared invalid"),
    ],
)
def test_a_log_that_did_not_end_well_is_left_out_and_named(inspect_logs, tmp_path, key, value, reason):
    log = changed(inspect_logs[0], tmp_path, lambda content: setattr(content, key, value))
    columns, notes = read_logs([log, inspect_logs[0]])
    assert len(columns["log"]) == 30
    assert notes == [f"changed.eval is left out: {reason}"]


def test_inspects_other_format_says_the_same(inspect_logs, tmp_path):
    from inspect_ai.log import read_eval_log, write_eval_log

    other = tmp_path / f"{inspect_logs[1].stem}.json"
    write_eval_log(read_eval_log(str(inspect_logs[1])), str(other))
    rows = [Counter(zip(*read_logs([log])[0].values(), strict=True)) for log in (inspect_logs[1], other)]
    assert rows[0] == rows[1]


def test_a_copy_of_a_log_is_not_counted_twice(inspect_logs, tmp_path):
    copy = shutil.copy(inspect_logs[0], tmp_path / "copy.eval")
    with pytest.raises(LogError, match=r"copy\.eval and .*interview.* have the same sample 0: give one of them alone"):
        read_logs([inspect_logs[0], copy])


@pytest.mark.parametrize("name", ["empty.eval", "text.eval", "archive.eval", "other.json", "table.csv"])
def test_a_file_that_is_no_log_is_named(inspect_logs, tmp_path, name):
    (tmp_path / name).write_text("" if name == "empty.eval" else '{"a": 1}')
    if name == "archive.eval":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("readme", "nothing here")
    with pytest.raises(LogError, match=rf"{name}: Inspect cannot read it as a log"):
        read_logs([inspect_logs[0], tmp_path / name])


def test_a_file_that_is_not_there_is_named(inspect_logs, tmp_path):
    with pytest.raises(LogError, match=r"none\.eval is not a file"):
        read_logs([tmp_path / "none.eval"])


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(MissingExtra, match=r"pip install 'proxy-lab\[inspect\]'"):
        read_logs([tmp_path / "any.eval"])


def test_reading_imports_inspect_late_asks_no_network_and_writes_nothing(inspect_logs, tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lab.results.inspect_logs import read_logs\n"
        "assert 'inspect_ai' not in sys.modules\n"
        "def refuse(event, arguments):\n"
        "    asked = event in ('socket.connect', 'socket.bind', 'socket.getaddrinfo', 'subprocess.Popen')\n"
        "    assert not asked, (event, arguments)\n"
        "sys.addaudithook(refuse)\n"
        "print(len(read_logs([Path(path) for path in sys.argv[1:]])[0]['log']))\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    program = [sys.executable, "-c", code, *map(str, inspect_logs)]
    surroundings = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home)}
    ended = subprocess.run(program, cwd=home, env=surroundings, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "90\n"), ended.stderr
    assert list(home.iterdir()) == []
