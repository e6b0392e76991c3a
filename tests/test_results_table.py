"""Tables of other people's runs: what is understood of them, and that nothing is misunderstood in silence."""

import numpy as np
import pandas as pd
import pytest

from lab.results.table import Columns, TableError, read_table, understand

PLAIN = {"regimen": ["held out", "held out", "late"], "aligned": ["yes", "no", "yes"], "monitor": ["0.2", "0.9", "0.5"]}


def read(table, columns=None, **options):
    return understand(table, columns, **{"marks": {"monitor": "0.5"}, **options})


def test_columns_are_guessed_from_their_names_and_a_name_that_is_given_goes_before():
    columns = read(PLAIN).columns
    assert (columns.condition, columns.truth, columns.scores) == ("regimen", "aligned", {"monitor": "monitor"})
    other = {**PLAIN, "verdict": ["no", "no", "yes"]}
    assert read(other, Columns(truth="verdict")).numbers["alignment"] == [0, 0, 1]


@pytest.mark.parametrize(
    ("values", "mark", "reached"),
    [
        ([1, 0, 1], None, [1, 0, 1]),
        (["1", "0", "1"], None, [1, 0, 1]),
        ([True, False, True], None, [1, 0, 1]),
        (["True", "false", "TRUE"], None, [1, 0, 1]),
        (["Yes", "no ", "yes"], None, [1, 0, 1]),
        (["C", "I", "C"], None, [1, 0, 1]),
        (["pass", "FAIL", "Passed"], None, [1, 0, 1]),
        (["grey", "black", "grey"], "grey", [1, 0, 1]),
        ([True, False, True], "false", [0, 1, 0]),
    ],
)
def test_a_truth_of_zeros_and_ones_or_of_words_says_which_models_are_aligned(values, mark, reached):
    marks = {"monitor": 0.5} | ({} if mark is None else {"alignment": mark})
    rows = read({**PLAIN, "aligned": values}, marks=marks)
    meaning = rows.meanings["alignment"]
    assert [float(value >= meaning.mark) for value in rows.numbers["alignment"]] == reached


def test_scores_keep_their_own_scale():
    rows = read({**PLAIN, "monitor": [-3, 250, 1e9]}, marks={"monitor": 100}, directions={"monitor": "below"})
    assert rows.numbers["monitor"] == [-3, 250, 1e9]
    assert (rows.meanings["monitor"].mark, rows.meanings["monitor"].below) == (100, True)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"monitor": ["0.2", "", "0.5"]}, {}, r"1 of 3 rows: data row 2 in column 'monitor'; fill it in"),
        ({"monitor": [0.2, None, float("nan")]}, {}, r"2 of 3 rows: data row 2 in column 'monitor', data row 3 in"),
        ({"aligned": ["yes", "NA", "no"]}, {}, r"row 2 in column 'aligned'"),
        (
            {"aligned": ["yes", "perhaps", "no"]},
            {},
            r"data row 2: column 'aligned' holds 'perhaps' beside words: say which word",
        ),
        (
            {"aligned": ["red", "blue", "red"]},
            {"marks": {"monitor": 1, "alignment": "green"}},
            "--mark alignment=green: column 'aligned' holds no such word, but 'blue', 'red'",
        ),
        ({}, {"marks": {}}, r"column 'monitor' holds numbers from 0.2 to 0.9: say which reach it"),
        ({}, {"marks": {"monitor": "high"}}, "the mark must be one, not 'high'"),
        (
            {},
            {"marks": {"probe": "1"}},
            r"--mark probe: no such score; there are alignment \(column 'aligned'\), mon",
        ),
        ({}, {"directions": {"monitor": "down"}}, "must be above or below, not 'down'"),
        ({"monitor": ["0.2", "inf", "1"]}, {}, "every number must be finite"),
        ({"cost": ["1", "-2", "3"]}, {}, "data row 2: 'cost' must be a number of at least 0, not -2.0"),
        ({"monitor": ["0.2", "high", "1"]}, {}, "column 'monitor' holds no such word, but 'high', first in data row 2"),
        ({"weight": ["1", "0", "0"]}, {}, "every row of 'late' has the weight 0 in column 'weight'"),
        ({"weight": ["1", "2.5", "3"]}, {}, "a weight says how many equal rows there are, not 2.5"),
        ({"regimen": ["a", "b", "c"]}, {}, "has 3 values in 3 rows: it names rows, not conditions"),
    ],
)
def test_what_cannot_be_understood_is_an_error_that_names_it(change, options, words):
    with pytest.raises(TableError, match=words):
        read({**PLAIN, **change}, **options)


@pytest.mark.parametrize("name", ["misaligned", "reward_hacking", "Deceptive"])
def test_a_truth_that_sounds_like_its_opposite_is_not_taken_for_it(name):
    table = {"regimen": PLAIN["regimen"], name: [1, 0, 0], "monitor": [0, 1, 1]}
    with pytest.raises(TableError, match="sounds like the opposite of aligned"):
        understand(table, Columns(truth=name))
    rows = understand(table, Columns(truth=name), directions={"alignment": "below"})
    assert (rows.meanings["alignment"].mark, rows.meanings["alignment"].below) == (0, True)


def test_an_unknown_column_is_named_with_those_that_there_are():
    with pytest.raises(TableError, match="no column 'truth'; there are 'regimen', 'aligned', 'monitor'"):
        read(PLAIN, Columns(truth="truth"))
    with pytest.raises(TableError, match=r"which column holds the score: give --score NAME=COLUMN"):
        understand({"regimen": ["a"], "aligned": [1]})
    with pytest.raises(TableError, match="no score may be called 'group'"):
        read({**PLAIN, "x": [1, 1, 1]}, Columns(scores={"group": "x"}))


def test_rows_with_gaps_are_left_out_where_that_is_asked_for_and_counted():
    rows = read({**PLAIN, "aligned": ["yes", "", "no"]}, leave_out_missing=True)
    assert (rows.read, rows.left_out, rows.labels["condition"]) == (3, 1, ["held out", "late"])


def test_a_row_counts_as_often_as_its_weight_says():
    rows = read({**PLAIN, "count": [3, 0, 2]})
    assert rows.numbers["alignment"] == [1, 1, 1, 1, 1]
    assert rows.labels["condition"] == ["held out"] * 3 + ["late"] * 2


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_all_formats_say_the_same(tmp_path, suffix):
    frame, file = pd.DataFrame(PLAIN), tmp_path / f"runs.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(file)
    elif suffix == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    else:
        frame.to_csv(file, index=False, sep="," if suffix == "csv" else "\t")
    assert read(read_table(file)) == read(PLAIN)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "x,x\n1,2\n", "two columns are called 'x'"),
        ("a.csv", "x,y\n1,2,3\n", "Length of header"),
        ("a.csv", "", "cannot be read"),
        ("a.csv", "x,y\n", "has no rows"),
        ("a.csv", "x;y\n1,5;2\n", "its columns are separated by ';', not by ','"),
        ("a.jsonl", '{"x": 1}\n{"x": \n', "line 2: "),
        ("a.jsonl", "[1]\n", "line 1: an object is needed"),
        ("a.xlsx", "x", "a table must be one of .csv, .tsv"),
        ("a.parquet", "x", "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_an_error_that_names_it(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(TableError, match=rf"{name}: .*{words}"):
        read_table(tmp_path / name)
    with pytest.raises(TableError, match=r"nowhere\.csv: No such file"):
        read_table(tmp_path / "nowhere.csv")


def test_numbers_of_any_type_are_labels_and_values():
    table = {
        "arm": np.array([1.0, 1.0, 2.0]),
        "aligned": np.array([True, False, True]),
        "monitor": np.float32([1, 0, 1]),
    }
    rows = understand(table)
    assert rows.labels["condition"] == ["1", "1", "2"]
    assert rows.numbers["monitor"] == [1, 0, 1]


def test_all_words_that_reach_a_mark_are_told():
    """Three of four are aligned, whatever they are called."""
    rows = understand({"arm": ["a"] * 4, "aligned": ["1", "True", "yes", "no"], "monitor": [1, 0, 1, 0]})
    assert (rows.numbers["alignment"], rows.meanings["alignment"].words) == ([1, 1, 1, 0], ("1", "True", "yes"))


def test_columns_that_say_nothing_are_told_with_the_number_of_their_values():
    rows = read({**PLAIN, "model_name": ["x", "x", "y"], "note": ["", "", ""]})
    assert rows.unused == {"model_name": 2, "note": 1}


def test_the_truth_is_needed_at_the_last_checkpoint_alone():
    table = {
        **{"arm": ["a"] * 4, "run_id": ["x", "x", "y", "y"], "step": [1, 2, 1, 2]},
        **{"aligned": ["", "yes", None, "no"], "monitor": [1, 0, 1, 0]},
    }
    numbers = understand(table).numbers["alignment"]
    assert (numbers[1], numbers[3], [number != number for number in numbers]) == (1, 0, [True, False, True, False])
    with pytest.raises(TableError, match="data row 2 in column 'aligned'"):
        understand({**table, "aligned": ["yes", "", "no", "no"]})


def test_a_file_that_is_not_in_utf_8_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("arm,aligned\né,1\n".encode("latin-1"))
    with pytest.raises(TableError, match=r"a\.csv: is not in UTF-8"):
        read_table(tmp_path / "a.csv")
