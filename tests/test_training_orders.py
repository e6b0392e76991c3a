"""A condition is what it is, never a place in a list; a run is what it trains, whatever it is called."""

import csv
import hashlib
import io
import itertools
import json
import os

import h5netcdf
import numpy as np
import pytest

from lab import claims, cli
from lab.config.experiment import parse
from lab.results import outcomes, shards, summary
from lab.results.store import Run, StoreError, lock
from lab.results.tally import Tally
from lab.training import distributed, engine
from tests.hand_made import HOLD_OUT, made

PHASES = {"weights": {"test_linear": -0.5, "control": 0.2}, "knobs": {"preference": 0.05, "head_start": 0.4}}
CONFIG = {
    "name": "order",
    "task": "race",
    "seeds": {"first": 3, "count": 20},
    "training": {"steps": 40, "segments": 4, "block_width": 8},
    "knobs": {"preference": 0.01, "detectability": 1.0},
    "weights": {"test": 0.1, "control": 0.1},
    "thresholds": {"test": 0.5, "alignment": 0.6},
    "baseline": "hold_out",
    "regimens": {
        "hold_out": [{"until": 1}],
        "early": [{"until": 0.5, **PHASES}, {"until": 1}],
        "late": [{"until": 0.5, "gates": {"test": 0.1, "control": 0.3}}, {"until": 1, "weights": {"test": 1.0}}],
        "anti": [{"until": 1, "weights": {"test_linear": -1.0}}],
    },
    "sweep": {
        "temper": {"key": ["training.learning_rate"], "values": [0.02, 0.005]},
        "head_start": [-0.5, 0.5],
        "dose": {"key": "regimens.late[1].weights.test", "values": [2.0, 0.0, 1.0]},
    },
}


def turned(value):
    """The same config with everything that may stand in any order the other way round: mappings, and swept values."""
    if isinstance(value, dict):
        return {
            key: list(reversed(item)) if key in ("values", "head_start") and isinstance(item, list) else turned(item)
            for key, item in reversed(value.items())
        }
    return [turned(item) for item in value] if isinstance(value, list) else value


ORDERS = {"as written": CONFIG, "turned": turned(CONFIG), "sorted": json.loads(json.dumps(CONFIG, sort_keys=True))}


def numbers(results):
    """(regimen, coordinates) of each condition -> all its scores."""
    return {
        (regimen, frozenset(coordinates.items())): {name: results[name].values[index].tolist() for name in results}
        for index, (regimen, coordinates) in enumerate(summary.places(results))
    }


def same(one, other):
    assert one.keys() == other.keys()
    for key, scores in one.items():
        for name, table in scores.items():
            np.testing.assert_array_equal(table, other[key][name], err_msg=f"{key} {name}")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    results = shards.results(engine.run(parse(json.dumps(CONFIG)), tmp_path_factory.mktemp("plain") / "run"))
    by_condition = numbers(results)
    assert len(by_condition) == 2 * 2 * (3 + 3)
    tables = [json.dumps(scores) for scores in by_condition.values()]
    assert len(set(tables)) == len(tables)  # any exchange of two of them would be seen
    return by_condition


def by_workers(text, folder):
    with lock(folder):
        engine.prepare(parse(text), folder)
    for rank in (1, 0):
        distributed.work(folder, rank, 2)
    return Run(folder)


def begun_otherwise(text, folder):
    """Begun in another order and with fewer seeds, then gone on with."""
    engine.run(parse(json.dumps(CONFIG)).with_seeds(11), folder)
    return engine.run(parse(text), folder)


PATHS = {
    "run": lambda text, folder: engine.run(parse(text), folder),
    "worker": by_workers,
    "resume": begun_otherwise,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_no_order_of_anything_moves_a_number(tmp_path, plain, path, order):
    run = PATHS[path](json.dumps(ORDERS[order]), tmp_path / "run")
    same(numbers(shards.results(run)), plain)
    assert list(dict.fromkeys(row["regimen"] for row in run.manifest["conditions"])) == list(ORDERS[order]["regimens"])
    assert Run(tmp_path / "run").manifest == run.manifest  # written and read in this order
    assert parse(json.dumps(ORDERS[order])).trains == parse(json.dumps(CONFIG)).trains


def test_everything_that_reads_a_run_has_the_same_numbers_under_the_same_names(tmp_path, plain, capsys):
    """By `watch`, `show`, `compare`, `plan`, `export` and `report`, in the order as written and turned round."""
    pyarrow = pytest.importorskip("pyarrow.parquet")
    said = {}
    for order in ("as written", "turned"):
        run, answers = by_workers(json.dumps(ORDERS[order]), tmp_path / order), {}

        def key(name):
            regimen, *places = name.split()
            return regimen, frozenset(places)

        tally = Tally(run.path)
        tally.update()
        answers["watch"] = {key(row.name): row.counts for row in tally.summaries()}
        assert cli.main(["show", str(run.path), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)["conditions"]
        answers["show"] = {key(row["name"]): [row["counts"], row["base_rate"], row["posterior_odds"]] for row in shown}
        assert cli.main(["compare", str(run.path), "--json"]) == 0
        compared = json.loads(capsys.readouterr().out)
        answers["compare"] = {key(name): [row["net"], key(row["baseline"])] for name, row in compared.items()}
        assert cli.main(["plan", str(run.path), "--budget", "3", "--json"]) == 0
        plans = json.loads(capsys.readouterr().out)
        answers["plan"] = {
            key(choice["name"]): choice["accepted_aligned"]["value"]
            for world in plans
            for choice in world["budgets"][0]["conditions"]
        }
        assert cli.main(["export", str(run.path), "--out", str(tmp_path / f"{order} tables")]) == 0
        models = pyarrow.read_table(tmp_path / f"{order} tables" / "models.parquet").to_pylist()
        answers["export"] = {
            name: [(row["seed"], row["cell"], row["score_test"]) for row in rows]
            for name, rows in itertools.groupby(models, key=lambda row: key(row["condition"]))
        }
        assert cli.main(["report", str(run.path), "--out", str(tmp_path / f"{order}.html")]) == 0
        page = (tmp_path / f"{order}.html").read_text()
        chart, _ = json.JSONDecoder().raw_decode(page.split('draw("outcomes", ')[1])
        answers["report"] = {
            (frozenset(row["condition"].split(", ")), row["outcome"]): float(row["models"])
            for row in csv.DictReader(io.StringIO(chart["datasets"]["outcomes"]))
        }
        capsys.readouterr()
        said[order] = answers
    for path, answer in said["as written"].items():
        assert answer, path
        assert answer == said["turned"][path], path


# --- what makes another run -------------------------------------------------------------------------------------------


def trained(experiment, folder):
    """Run it; return how many shards that took and the run."""
    counted = []

    def train(stored, missing, progress, say):
        counted.extend(missing)
        engine.local_trainer(experiment)(stored, missing, progress, say)

    run = engine.run(experiment, folder, train=train, still_open=lambda run: set())
    return len(counted), run


def test_other_words_and_marks_train_nothing_and_are_recorded(tmp_path):
    text = json.dumps({**CONFIG, "question": "Wich order?"})
    assert trained(parse(text), tmp_path / "run")[0] > 0
    changes = [
        {"question": "Which order?", "confidence": 0.9, "baseline": "anti", "proxy": "control"},
        {"thresholds": {"test": 0.7}, "stop": {"of": "base_rate", "width": 0.5, "looks": 2}},
    ]
    for change in changes:
        config = {**CONFIG, **change}
        count, run = trained(parse(json.dumps(config)), tmp_path / "run")
        assert count == 0
        assert {key: run.manifest["config"][key] for key in change if key != "thresholds" and key != "stop"} == {
            key: value for key, value in change.items() if key != "thresholds" and key != "stop"
        }
        assert run.manifest["hash"] == parse(json.dumps(config)).hash
    assert run.manifest["thresholds"]["test"] == 0.7
    assert parse(text).folder_name == parse(json.dumps(config)).folder_name


def test_more_seeds_go_on_with_what_is_there_and_fewer_lose_nothing(tmp_path, plain):
    """Blocks of 8: 9 seeds are two of them, 20 are three, and 8 are one."""
    experiment = parse(json.dumps(CONFIG))
    leaves = len(set(experiment.leaves))
    counts = [(9, 2), (20, 1), (8, 0), (20, 0)]
    for seeds, blocks in counts:
        count, run = trained(experiment.with_seeds(seeds), tmp_path / "run")
        assert count == blocks * leaves
        results = shards.results(run)
        assert results.seed.values.tolist() == list(range(3, 3 + seeds))
        cut = {key: {name: table[:seeds] for name, table in scores.items()} for key, scores in plain.items()}
        same(numbers(results), cut)
    engine.run(experiment, tmp_path / "fresh")
    names = [sorted(path.name for path in (tmp_path / run / "shards").iterdir()) for run in ("run", "fresh")]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    "change",
    [
        {"knobs": {"preference": 0.02}},
        {"weights": {"test": 0.2}},
        {"training": {**CONFIG["training"], "steps": 80}},
        {"training": {**CONFIG["training"], "segments": 8}},
        {"training": {**CONFIG["training"], "optimizer": "adam"}},
        {"seeds": {"first": 4, "count": 20}},
        {"stop_rejected": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_training_is_another_run(change):
    assert parse(json.dumps({**CONFIG, **change})).trains != parse(json.dumps(CONFIG)).trains


def test_conditions_that_differ_in_anything_that_trains_have_other_leaves():
    experiment = parse(json.dumps(CONFIG))
    settings = {condition.settings for condition in experiment.conditions}
    assert len(set(experiment.leaves)) == len(settings) == 24
    # -0 and 0 are one weight
    zeros = {**CONFIG, "regimens": {"a": [{"until": 1, "weights": {"test": 0.0}}], "b": [{"until": 1}]}, "sweep": {}}
    zeros |= {"baseline": "a", "weights": {"test": -0.0}}
    assert len(set(parse(json.dumps(zeros)).leaves)) == 1


# --- runs of an older lab ---------------------------------------------------------------------------------------------


def of_format_2(folder, regimens=("hold_out", "early")):
    """A run as the lab wrote it when leaves were numbers; the second condition has the models of the first, by one."""
    run = made(folder)
    manifest = run.manifest
    for path in run.shards().values():
        path.unlink()
    conditions = [
        {**condition, "name": name, "regimen": name, "coordinates": {}, "leaf": leaf}
        for leaf, (condition, name) in enumerate(zip(manifest["conditions"], regimens, strict=True))
    ]
    changed = {"format": 2, "conditions": conditions, "baseline": regimens[0], "config": {**manifest["config"]}}
    changed["config"]["sweep"] = {}
    gone = ("trains", "accepted", "changes", "leaf_seeds")
    manifest = {key: value for key, value in manifest.items() if key not in gone} | changed
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": digest}, indent=1, sort_keys=True))
    tables = np.array([HOLD_OUT, np.roll(HOLD_OUT, 1, axis=0)], np.float32).swapaxes(2, 3)
    for leaf, start in itertools.product(range(2), range(0, len(HOLD_OUT), 3)):
        block, buffer = tables[leaf, start : start + 3], io.BytesIO()
        with h5netcdf.File(buffer, "w") as file:
            file.dimensions.update(seed=len(block), checkpoint=2)
            file.create_variable("seed", ("seed",), data=10 + np.arange(start, start + len(block)))
            file.create_variable("checkpoint", ("checkpoint",), data=np.array([0.5, 1.0]))
            for index, name in enumerate(("competence", "alignment", "test")):
                file.create_variable(name, ("seed", "checkpoint"), data=block[:, :, index])
            file.attrs.update(run=manifest["hash"], leaf=leaf, first_seed=10 + start, format=2)
        data = buffer.getvalue()
        name = f"c{leaf:04d}-s{10 + start:08d}.{hashlib.sha256(data).hexdigest()}.nc"
        (folder / "shards" / name).write_bytes(data)
    return folder


def test_runs_of_an_older_lab_are_read(tmp_path):
    results = shards.results(Run(of_format_2(tmp_path / "run")))
    np.testing.assert_array_equal(results["test"].values[0], np.array(HOLD_OUT, np.float32)[:, 2])
    counts = [summary.counts(results, name) for name in ("hold_out", "early")]
    assert counts[0] == counts[1]
    assert counts[0].cells == (2, 1, 1, 4)


def test_runs_whose_rows_workers_of_an_older_lab_may_have_exchanged_are_refused(tmp_path, capsys):
    folder = of_format_2(tmp_path / "run")
    (folder / ".lock-0-of-2").write_text("")
    for command in ("show", "compare", "watch"):
        assert cli.main([command, str(folder)]) == 1
        assert "numbered its conditions in alphabetical order" in capsys.readouterr().err
    sorted_already = of_format_2(tmp_path / "other", ("early", "hold_out"))
    (sorted_already / ".lock-0-of-2").write_text("")
    assert Run(sorted_already).manifest["conditions"][0]["regimen"] == "early"


def test_runs_of_an_older_lab_are_not_gone_on_with(tmp_path):
    folder = of_format_2(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match="begun by an older lab"):
        engine.run(parse(json.dumps(CONFIG)), folder)
    after = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {name: data for name, data in after.items() if name != ".lock"} == {
        name: data for name, data in before.items() if name != ".lock"
    }
    assert os.listdir(folder / "shards")


def test_a_name_may_have_its_axes_in_any_order(tmp_path, plain):
    results = shards.results(engine.run(parse(json.dumps(CONFIG)), tmp_path / "run"))
    names = [str(name) for name in results.condition.values]
    for index, name in enumerate(names):
        regimen, *places = name.split()
        assert summary.find(results, " ".join([regimen, *reversed(places)])) == index
    with pytest.raises(outcomes.UnknownName):
        summary.find(results, names[0].replace("=0.02", "=0.03"))


def test_counts_of_a_claim_do_not_hang_on_the_order_of_their_file():
    """As a tool that sorts keys would leave it: cells 0, 1, 2, 3 of four seeds beside 0, 0, 3, 3."""
    about = {name: {"regimen": name, "coordinates": {}} for name in ("hold_out", "early")}
    data = claims.tabulate([[0, 1, 2, 3], [0, 0, 3, 3]], about, 0.95)
    for order in (data, json.loads(json.dumps(data, sort_keys=True))):
        first, second, joint = claims.Stored("race", order).pair("hold_out", "early")
        assert (first.cells, second.cells) == ((1, 1, 1, 1), (2, 0, 0, 2))
        assert joint.nonzero()[0].tolist() == [0, 1, 2, 3]
        assert joint.nonzero()[1].tolist() == [0, 0, 3, 3]
