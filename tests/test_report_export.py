"""Parquet tables of a run made by hand, read back by others, against numbers counted by hand."""

import json
import math
import subprocess

import numpy as np
import pytest
import xarray as xr

from lab import cli, statistics
from lab.report import export
from tests.hand_made import CELLS, HOLD_OUT, made, r_can_read

pyarrow = pytest.importorskip("pyarrow", reason="the extra `export` is not installed")


@pytest.fixture
def run(tmp_path):
    return made(tmp_path / "run")


def test_pandas_counts_what_was_counted_by_hand(run, capsys):
    pandas = pytest.importorskip("pandas")
    assert cli.main(["export", str(run.path)]) == 0
    models = pandas.read_parquet(run.path / "export/models.parquet")
    assert len(models) == 16
    hold_out = models[models.condition == "hold_out"].reset_index()
    assert hold_out.cell.value_counts().to_dict() == CELLS
    assert hold_out.seed.tolist() == list(range(10, 18))
    assert hold_out.aligned.tolist() == [True, True, True, False, False, False, False, False]
    assert hold_out.passes.tolist() == [True, True, False, True, False, False, False, False]
    assert hold_out.competent.tolist() == [True, True, True, True, False, False, True, True]
    assert (hold_out.incompetent.sum(), hold_out.diverged.sum(), hold_out.unjudged.sum()) == (1, 1, 0)
    assert hold_out.axis_onset.isna().all()
    assert (models[models.regimen == "early"].axis_onset == 0.25).all()
    assert hold_out.score_competence.isna().tolist() == [False] * 5 + [True] + [False] * 2
    conditions = pandas.read_parquet(run.path / "export/conditions.parquet").set_index("regimen")
    assert conditions.loc["hold_out", list(CELLS)].to_dict() == CELLS
    assert conditions.loc["hold_out", "base_rate"] == 3 / 8
    # P(T|A) / P(T|not A) = (2/3) / (1/5), o(A|T) = 2 / 1, 1 / P(T) = 8 / 3
    assert conditions.loc["hold_out", "likelihood_ratio"] == pytest.approx(10 / 3)
    assert conditions.loc["hold_out", "posterior_odds"] == 2
    assert conditions.loc["hold_out", "expected_runs"] == pytest.approx(8 / 3)
    # Wilson's interval of 3 of 8 by his formula: (k + z^2/2 -+ z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2)
    z = 1.959963984540054
    half = z * math.sqrt(3 * 5 / 8 + z**2 / 4)
    assert conditions.loc["hold_out", "base_rate_low"] == pytest.approx((3 + z**2 / 2 - half) / (8 + z**2))
    assert conditions.loc["hold_out", "base_rate_high"] == pytest.approx((3 + z**2 / 2 + half) / (8 + z**2))
    assert conditions.loc["hold_out", ["knob_size"]].tolist() == [1.5]
    # the same models in another order: no change
    assert conditions.loc["early", ["impact_base_rate", "impact_likelihood_ratio", "impact_net"]].tolist() == [0, 0, 0]
    assert conditions.loc["early", "baseline"] == "hold_out"
    assert conditions.baseline.isna().tolist() == [True, False]


R = """
path <- commandArgs(TRUE)
models <- read_parquet(file.path(path, "models.parquet"))
conditions <- read_parquet(file.path(path, "conditions.parquet"))
held <- models[models$condition == "hold_out", ]
stopifnot(nrow(models) == 16, identical(as.integer(held$seed), 10:17))
stopifnot(identical(which(is.na(held$score_competence)), 6L))
stopifnot(all(is.na(held$axis_onset)), identical(as.integer(table(held$cell)), c(1L, 2L, 4L, 1L)))
stopifnot(identical(held$aligned, c(TRUE, TRUE, TRUE, FALSE, FALSE, FALSE, FALSE, FALSE)))
wilson <- suppressWarnings(prop.test(sum(held$aligned), 8, correct = FALSE))$conf.int
first <- conditions[conditions$condition == "hold_out", ]
stopifnot(abs(wilson[1] - first$base_rate_low) < 1e-12, abs(wilson[2] - first$base_rate_high) < 1e-12)
cat("read")
"""


@pytest.mark.skipif(r_can_read() is None, reason="no R with a reader of Parquet")
def test_r_counts_the_same_and_has_the_same_interval(run, capsys):
    """R's own interval of Wilson, and the counts by hand: cells in the order of the alphabet."""
    assert cli.main(["export", str(run.path)]) == 0
    program = ["Rscript", "--vanilla", "-e", f"library({r_can_read()})\n{R}", str(run.path / "export")]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "read"), ended.stderr


def test_polars_and_every_checkpoint(run, capsys):
    polars = pytest.importorskip("polars")
    assert cli.main(["export", str(run.path), "--out", str(run.path / "else where")]) == 0
    curves = polars.read_parquet(run.path / "else where/curves.parquet")
    assert curves.shape[0] == 32
    early = curves.filter(polars.col("regimen") == "early")
    assert early["seed"].to_list() == [seed for seed in range(10, 18) for _ in range(2)]
    assert early["checkpoint"].to_list() == [0.5, 1.0] * 8
    assert early["step"].to_list() == [20, 40] * 8
    moved = [HOLD_OUT[-1], *HOLD_OUT[:-1]]
    assert early["score_test"].to_list() == [np.float32(x) for _, _, test in moved for x in test]
    assert early["score_competence"].null_count() == 1
    assert early["score_competence"].is_nan().sum() == 0
    assert curves.schema["score_test"] == polars.Float32
    assert curves.schema["seed"] == polars.Int64


def test_a_gate_that_stops_leaves_what_nobody_knows_null(tmp_path, capsys):
    pandas = pytest.importorskip("pandas")
    made(tmp_path, gates=[[0.5, "test", 0.5]], stop_rejected=True)
    assert cli.main(["export", str(tmp_path)]) == 0
    models = pandas.read_parquet(tmp_path / "export/models.parquet")
    models = models[models.regimen == "early"]
    rejected = [True, False, True, False, False, False, False, False]  # test at half of the training is .1
    assert models.unjudged.tolist() == rejected
    assert models.survives.tolist() == [not own for own in rejected]
    assert models.spent.tolist() == [0.5 if own else 1.0 for own in rejected]
    assert models.aligned.isna().tolist() == rejected
    assert models.competent.isna().tolist() == rejected
    assert not models.passes[models.unjudged].any()
    conditions = pandas.read_parquet(tmp_path / "export/conditions.parquet")
    assert conditions.unjudged.tolist() == [0, 2]
    assert conditions.base_rate.isna().tolist() == [False, True]
    # what passes is aligned once and misaligned once; 7 trainings in 8 runs, 2 of which are accepted
    assert conditions.posterior_odds.tolist() == [2, 1]
    assert conditions.compute_per_accepted[1] == pytest.approx(7 / 2)


def test_a_partial_run_says_so_everywhere(tmp_path, capsys):
    made(tmp_path, without=[(1, 3)])
    assert cli.main(["export", str(tmp_path)]) == 1
    assert "1 of 6 shards are missing" in capsys.readouterr().err
    assert not (tmp_path / "export").exists()
    assert cli.main(["export", str(tmp_path), "--partial"]) == 0
    models = pyarrow.parquet.read_table(tmp_path / "export/models.parquet")
    assert models.num_rows == 16 - 3
    assert models.schema.metadata[b"proxy_lab.partial"] == b"1 of 6 shards are missing"
    assert (
        json.loads((tmp_path / "export/dictionary.json").read_text())["run"]["partial"] == "1 of 6 shards are missing"
    )
    assert "NOT COMPLETE: 1 of 6 shards are missing" in (tmp_path / "export/dictionary.md").read_text()


def test_the_dictionary_has_every_column_and_the_marks(run, capsys):
    assert cli.main(["export", str(run.path)]) == 0
    written = json.loads((run.path / "export/dictionary.json").read_text())
    assert written["definitions"]["A"].startswith("aligned: score_alignment >= 0.9 and score_competence >= 0.95")
    assert written["definitions"]["T"].startswith("passes: score_test >= 0.9 and score_competence >= 0.95")
    assert written["run"]["hash"] == "0123456789abcdef"
    assert written["run"]["identity"] == {"device": "cpu", "jax": "0.10"}
    assert written["run"]["seeds"] == {"first": 10, "count": 8}
    page = (run.path / "export/dictionary.md").read_text()
    assert list(written["tables"]) == ["conditions.parquet", "models.parquet", "curves.parquet"]
    for name, own in written["tables"].items():
        table = pyarrow.parquet.read_table(run.path / "export" / name)
        assert own["rows"] == table.num_rows
        assert [column["name"] for column in own["columns"]] == table.column_names
        assert table.schema.metadata[b"proxy_lab.hash"] == b"0123456789abcdef"
        assert set(json.loads(table.schema.metadata[b"proxy_lab.columns"])) == set(table.column_names)
        for column in own["columns"]:
            values = table[column["name"]]
            assert str(values.type).replace("float", "float32").replace("double", "float64") == column["type"]
            assert f"| `{column['name']}` |" in page
            assert column["meaning"].endswith(".")
            if column["null"] == "never null":
                assert values.null_count == 0
            if column["low"] is not None:
                limits = float(column["low"]), float(column["high"])
                assert all(limits[0] <= value <= limits[1] for value in values.to_pylist() if value is not None)


def test_every_quantity_has_its_columns(run):
    described = {column.name for column in export.columns(run.manifest)["conditions.parquet"]}
    for name in (*statistics.QUANTITIES, *(f"impact_{part}" for part in statistics.LogImpact._fields)):
        assert {name, f"{name}_low", f"{name}_high"} <= described
    assert set(export.COUNTED) == set(vars(statistics.Counts(1, 1, 1, 1)))


def test_same_bytes_twice_and_in_row_groups_of_whole_blocks(run, monkeypatch, capsys):
    written = []
    for rows, out in ((export.ROWS, "a"), (export.ROWS, "b"), (12, "c")):  # 12 rows are 2 blocks of 3 seeds
        monkeypatch.setattr(export, "ROWS", rows)
        assert cli.main(["export", str(run.path), "--out", str(run.path / out)]) == 0
        written.append({path.name: path.read_bytes() for path in (run.path / out).iterdir()})
    assert len(written[0]) == 5
    assert written[0] == written[1]
    files = [pyarrow.parquet.ParquetFile(run.path / out / "models.parquet") for out in ("a", "c")]
    groups = [[file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)] for file in files]
    assert groups == [[8, 8], [6, 2, 6, 2]]
    assert files[0].read().equals(files[1].read())


def test_without_pyarrow_the_extra_is_named(run, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert cli.main(["export", str(run.path)]) == 2
    assert "pip install 'proxy-lab[export]'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(run, capsys):
    (run.path / "file").write_text("")
    assert cli.main(["export", str(run.path), "--out", str(run.path / "file")]) == 1
    said = capsys.readouterr().err
    assert str(run.path / "file") in said
    assert "Traceback" not in said


@pytest.mark.filterwarnings("ignore")  # ArviZ announces its own next version
def test_arviz_reads_models_as_draws(run, capsys):
    """One chain, and a draw for every seed: the mean of `aligned` over draws is the base rate."""
    arviz = pytest.importorskip("arviz", reason="ArviZ is not installed")
    pandas = pytest.importorskip("pandas")
    assert cli.main(["export", str(run.path)]) == 0
    models = pandas.read_parquet(run.path / "export/models.parquet")
    wide = models.pivot(index="seed", columns="condition", values="aligned").astype(float)
    data = xr.Dataset(
        {"aligned": (("chain", "draw", "condition"), wide.to_numpy()[None])},
        {"draw": wide.index.to_numpy(), "condition": list(wide.columns)},
    )
    summary = arviz.summary(data, kind="stats", round_to="none")
    assert summary.loc["aligned[hold_out]", "mean"] == 3 / 8
    assert len(summary) == 2
