"""Published tables: read strictly, turned into counts only without doubt, and compared as by hand."""

import json
import math
import re
from pathlib import Path

import matplotlib
import pytest
from matplotlib.text import Text

from experiments.published import tables
from experiments.published.figure import SMALLEST, figure_of
from experiments.published.published import beside, comparisons, missing_items, study, verdicts
from experiments.published.tables import HEADER, TableError, every_table, read_papers, read_table, whole_count
from lab.figures.style import SETTINGS
from lab.statistics import Estimate
from lab.words import Json

FIGURES = Path(tables.__file__).parents[2] / "figures"
LINE: dict[str, str] = {
    **dict.fromkeys(HEADER, ""),
    **{"comparison": "task, model", "role": "held out", "condition": "none", "detector": "probe", "row": "run"},
    **{"truth": "a hidden test", "source": "arXiv 1, Table 1", "read": "paper"},
}


def counted(role: str, n: int, aligned: int, gaming: int) -> dict[str, str]:
    """A line whose aligned runs all pass."""
    return LINE | {
        **{"role": role, "n": str(n), "aligned": str(aligned), "aligned_pass": str(aligned)},
        "misaligned_pass": str(gaming),
    }


def write(folder: Path, *lines: dict[str, str]) -> Path:
    path = folder / "paper.csv"
    cells = [",".join(HEADER), *(",".join(f'"{line[name]}"' for name in HEADER) for line in lines)]
    path.write_text("\n".join(cells) + "\n")
    return path


@pytest.fixture(scope="module")
def data() -> Json:
    return study()


def impact_of(data: Json, comparison: str, trained: str, part: str) -> Estimate:
    (row,) = (row for row in data["comparisons"] if (row["comparison"], row["trained"]) == (comparison, trained))
    value = row[part]
    return Estimate(*(math.nan if value[key] is None else float(value[key]) for key in Estimate._fields))


def test_a_rate_becomes_a_count_only_if_one_whole_number_rounds_to_it() -> None:
    assert whole_count("58%", 12) == 7  # 6/12 is 50%, 7/12 58.3%, 8/12 66.7%
    assert whole_count("58%", 300) is None  # 173/300 is 57.7%, 174/300 58.0%, 175/300 58.3%
    assert whole_count("0.594", 300) is None  # 178/300 is .5933, 179/300 .5967
    assert whole_count(".5", 2) == 1
    assert whole_count("1.7%", 1000) == 17
    assert whole_count("100%", 3) == 3
    assert whole_count("58%", None) is None
    assert whole_count("5+27", 36) == 32
    assert whole_count("0%", 0) is None


def test_every_number_says_in_which_table_or_figure_of_which_paper_it_stands() -> None:
    papers = {paper["name"]: paper["arxiv"] for paper in read_papers()}
    rows = [row for table in every_table().values() for row in table]
    assert len(rows) == 32 + 3 + 13 + 2 + 3
    for row in rows:
        assert row.printed, row.place
        assert re.fullmatch(
            rf"arXiv {re.escape(papers[row.paper])}v\d, (Table|Figure) \d+(, p\. \d+)?", row.texts["source"]
        ), row.place


def test_every_table_belongs_to_a_paper() -> None:
    names = {path.stem for path in tables.HERE.glob("*.csv")} - {"papers"}
    assert names <= {paper["name"] for paper in read_papers()}


def test_the_log_impact_of_a_probe_in_the_reward_is_that_by_hand(data: Json) -> None:
    """Taufeeque et al., Table 16, KL 0.0001: 1 of 36 is honest and 3 others pass; at penalty 10, 14 of 20 and 3."""
    named = ("hard-coding, KL 0.0001", "penalty 10")
    assert impact_of(data, *named, "base_rate").value == pytest.approx(math.log(14 / 6 * 35 / 1))
    assert impact_of(data, *named, "likelihood_ratio").value == pytest.approx(math.log(6 / 3) - math.log(35 / 3))
    net = impact_of(data, *named, "net")
    assert net.value == pytest.approx(math.log(14))  # 14 to 3 against 1 to 3
    assert net.low < 0 < net.high


def test_a_change_without_misaligned_runs_is_a_bound(data: Json) -> None:
    """Table 23: 1 of 10 honest without the detector, 10 of 10 with it."""
    base = impact_of(data, "hard-coding (length is free), Llama-3-8B", "penalty 3", "base_rate")
    assert base.value == base.high == math.inf
    assert 0 < base.low < math.log(9 / 1 * 9 / 1)  # one run fewer would be 9 of 10
    assert math.isnan(impact_of(data, "hard-coding (length is free), Llama-3-8B", "penalty 3", "net").value)


def test_what_is_printed_without_n_has_no_interval(data: Json) -> None:
    """Gupta and Jenner, Table 4: .594 evade, of the base model .04; Haskins et al.: 1.7 and 44.7, 25.7 and 12.0."""
    test = impact_of(data, "harmful text, Llama 2 7B, mean probe", "rewarded to evade", "likelihood_ratio")
    assert test.value == pytest.approx(-math.log(0.594 / 0.04))
    assert (test.low, test.high) == (-math.inf, math.inf)
    named = ("concealed defects, gpt-oss-120b", "reads of its monitor")
    assert impact_of(data, *named, "base_rate").value == pytest.approx(math.log(62.3 / 37.7) - math.log(53.6 / 46.4))
    assert impact_of(data, *named, "likelihood_ratio").value == pytest.approx(
        -math.log(25.7 / 37.7) + math.log(1.7 / 46.4)
    )
    assert math.isnan(impact_of(data, *named, "net").value)


def test_rates_of_both_kinds_give_the_whole_impact_without_interval(tmp_path: Path) -> None:
    """P(A) .2 to .5, P(T|A) .9 to .6, P(T|not A) .1 to .3: LR 9 to 2, odds 1/4 to 1."""
    held_out = LINE | {"aligned": "20%", "pass_given_aligned": ".9", "fail_given_misaligned": "90%"}
    trained = LINE | {"role": "trained on", "misaligned": "50%", "fail_given_aligned": "40%"}
    (found,) = comparisons(read_table(write(tmp_path, held_out, trained | {"pass_given_misaligned": ".3"})))
    assert found.impact.base_rate.value == pytest.approx(math.log(4))
    assert found.impact.likelihood_ratio.value == pytest.approx(math.log(2 / 9))
    assert found.impact.net.value == pytest.approx(math.log(8 / 9))
    assert not found.counted
    assert not found.missing


def test_shares_of_a_known_n_are_counts(tmp_path: Path) -> None:
    """Of 12 runs 58% are aligned, which is 7; of these 50% of all pass, which is 6; 1 of the other 5 does."""
    line = LINE | {"n": "12", "aligned": "58%", "aligned_pass": "50%", "misaligned_pass": "8%"}
    (row,) = read_table(write(tmp_path, line))
    assert row.counts is not None
    assert row.counts.cells == (6, 1, 1, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": ""}, "`source` is empty"),
        ({"role": "late"}, "`role` is 'late', not one of held out, trained on"),
        ({"read": "memory"}, "`read` is 'memory', not one of paper, quoted, transcribed"),
        ({"aligned": "about 8%"}, "`aligned` is 'about 8%', neither a count nor a rate from 0 to 1 or 0% to 100%"),
        ({"aligned": "108%"}, "`aligned` is '108%', neither a count nor a rate from 0 to 1 or 0% to 100%"),
        ({"n": "3.5"}, "`n` is '3.5', not a whole number"),
        ({"misaligned_fail": "5"}, "the cells do not add up to n = 10"),
        ({"misaligned_pass": "8"}, "the cells do not add up to n = 10"),
    ],
)
def test_an_error_names_the_file_and_the_line(tmp_path: Path, change: dict[str, str], words: str) -> None:
    good = counted("held out", 10, 4, 2)
    with pytest.raises(TableError, match=re.escape(f"paper.csv, line 3: {words}")):
        read_table(write(tmp_path, good, good | change))


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, LINE)
    path.write_text(path.read_text().replace("comparison,", "group,", 1))
    with pytest.raises(TableError, match=re.escape("paper.csv, line 1: the columns are not those of a table (compar")):
        read_table(path)
    short = write(tmp_path, LINE)
    short.write_text(short.read_text() + "a,b\n")
    with pytest.raises(TableError, match=re.escape("paper.csv, line 3: 2 cells, not 20")):
        read_table(short)


def test_two_lines_that_hold_the_same_detector_out_are_refused(tmp_path: Path) -> None:
    line = counted("held out", 10, 4, 2)
    rows = read_table(write(tmp_path, line, line))
    with pytest.raises(ValueError, match=re.escape("paper.csv, line 3: a second line of this comparison")):
        comparisons(rows)


def test_the_verdict_needs_both_sides_or_three_on_one(tmp_path: Path) -> None:
    """100 to 100 of 400 held out; 200 to 50 is better for sure, 50 to 200 worse, 100 to 100 neither."""
    lines = [counted("held out", 400, 100, 100), counted("trained on", 400, 200, 50)]
    lines += [counted("trained on", 400, 50, 200), counted("trained on", 400, 100, 100)]
    held_out, *trained = read_table(write(tmp_path, *lines))
    better, worse, same = (beside(row, held_out) for row in trained)
    claim = "no slogan holds"
    assert verdicts([better, worse, same])[claim] == "supported"
    assert verdicts([better, better, better])[claim] == "contradicted"
    assert verdicts([better, better, same])[claim] == "undecided"
    counts = verdicts([better, worse, same])
    assert (counts["counted"], counts["above"]["net"], counts["below"]["net"]) == (3, 1, 1)


def test_the_test_is_spoilt_where_more_models_are_aligned_and_passing_says_less(tmp_path: Path) -> None:
    """LR 3 with 100 of 400 aligned, to LR 1 with 200 of 400."""
    lines = [counted("held out", 400, 100, 100), counted("trained on", 400, 200, 200)]
    held_out, trained = read_table(write(tmp_path, *lines))
    claim = "training moves models and spoils the test"
    assert verdicts([beside(trained, held_out)])[claim] == "supported"
    assert verdicts([beside(held_out, trained)])[claim] == "contradicted"
    assert verdicts([beside(held_out, held_out)])[claim] == "undecided"


def test_what_is_missing_is_counted_over_papers_whose_text_tells() -> None:
    missing = missing_items()
    assert missing["early"] == {
        "yes": [],
        "no": ["Baker et al. 2025", "Taufeeque et al. 2026"],
        "unread": [paper["authors"] for paper in read_papers() if paper["read"] != "whole text"],
    }
    for paper in read_papers():
        if paper["read"] == "whole text":
            assert all(paper["authors"] not in answers["unread"] for answers in missing.values())


def test_the_stored_data_are_those_of_the_tables(data: Json) -> None:
    stored = json.loads((FIGURES / "published.json").read_text())
    words = {key: stored.pop(key) for key in ("title", "subtitle", "caption")}
    assert stored == data
    # 7 of 19, as the page of published tables says
    assert words["title"].startswith("Of 19 published comparisons")
    assert "for sure in 7 and lowers them in 0" in words["title"]


def test_no_text_of_the_figure_is_below_six_points(data: Json) -> None:
    with matplotlib.rc_context(SETTINGS):
        figure = figure_of(data)
        texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
        assert min(float(text.get_fontsize()) for text in texts) >= SMALLEST == 6
