"""Figures: colours that differ in grey, files that are whole, bytes that no environment changes."""

import itertools
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from lab import cli, figures
from lab.figures.run import OUTCOMES, PART_COLOURS, draw_response
from lab.figures.style import OTHERS, STYLES, kind_of, style_of
from lab.report.page.charts import SHAPES
from lab.results.store import StoreError
from tests.hand_made import made

# Machado, Oliveira and Fernandes, IEEE TVCG 15:1291 (2009), table 1: deuteranopia, severity 1
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


def linear(colour):
    """WCAG 2.2, relative luminance: sRGB without its gamma."""
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one, other, seen):
    """WCAG 2.2, contrast ratio: 1 for equal luminances, 21 for black on white."""
    low, high = sorted(np.clip(seen @ linear(colour), 0, 1) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_wcag_says():
    assert contrast("#000000", "#ffffff", np.eye(3)) == pytest.approx(21)
    # 119 of 255 is ((.4667 + .055) / 1.055)^2.4 = .1845 without gamma, and 1.05 / (.1845 + .05) = 4.48
    assert contrast("#777777", "#ffffff", np.eye(3)) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("seen", [np.eye(3), np.array(DEUTERANOPIA)], ids=["grey", "deuteranopia"])
def test_what_may_touch_differs_in_grey(seen):
    """Any two outcomes may touch, where no model is in between; on the page nothing is hatched."""
    for (_, one, hatch), (_, other, another) in itertools.combinations(OUTCOMES.values(), 2):
        assert contrast(one, other, seen) > (1.5 if hatch == another else 1.2)
    assert contrast(OUTCOMES["aligned_pass"][1], OUTCOMES["misaligned_pass"][1], seen) > 3
    for one, other in itertools.combinations(PART_COLOURS.values(), 2):
        assert contrast(one, other, seen) > 1.5


def test_every_style_has_a_marker_of_its_own():
    markers = [marker for _, marker, _ in [*STYLES.values(), *OTHERS]]
    assert len(set(markers)) == len(markers)
    assert len({SHAPES[marker] for marker in markers}) == len(markers)


def test_a_kind_is_told_by_the_beginning_of_a_word():
    kinds = {"hold_out": "hold", "train_early": "early", "very-late": "late", "anti_late": "anti", "later": "late"}
    others = ["related", "template", "nearly", "quantity", "threshold", "built_in", "plateau", "x"]
    assert {name: kind_of(name) for name in kinds} == kinds
    assert not any(map(kind_of, others))
    styles = [style_of("x", position) for position in range(9)]
    assert styles[:3] == OTHERS
    assert len(set(styles)) == len({style[:2] for style in styles}) == 9  # no two look alike without their dashes


def along(shares, rates):
    """Conditions of one regimen along an axis, with the rate of each, or None."""
    estimates = [
        {"value": rate, "low": 0.0 if rate is None else rate / 2, "high": 1.0 if rate is None else rate}
        for rate in rates
    ]
    return [
        {"regimen": "hold_out", "coordinates": {"share": share}, "base_rate": own}
        for share, own in zip(shares, estimates, strict=True)
    ]


def test_a_line_goes_along_its_axis_and_has_a_gap_where_nothing_is_known():
    """In the order of the config it would run to and fro, and be called by its name at the height of the last one."""
    _, ax = figures.subplots()
    conditions = along([0.5, 0.1, 0.9, 0.3, 0.7, 1.0], [0.6, 0.2, 0.8, None, 0.7, None])
    ((height, _, _),) = draw_response(conditions, ax, "share", ["base_rate"])
    line, *marks = ax.lines
    assert line.get_xdata().tolist() == [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    np.testing.assert_array_equal(line.get_ydata(), [0.2, np.nan, 0.6, 0.7, 0.8, np.nan])
    assert height == 0.8
    intervals = [mark for mark in marks if len(mark.get_xdata()) == 2]
    assert [list(mark.get_xdata()) for mark in intervals] == [[x, x] for x in (0.1, 0.5, 0.7, 0.9)]
    _, ax = figures.subplots()
    assert draw_response(along([1, 2, 3], [None] * 3), ax, "share", ["base_rate"]) == []


def draw(data):
    figure, ax = figures.subplots(figsize=(2, 2))
    ax.plot(data["values"], color=figures.GREY)
    ax.set_title(data["title"])
    return figure


DATA = {"values": [1, 3, 2], "title": "a figure"}


def test_a_figure_that_finds_no_room_leaves_the_one_before(tmp_path):
    path = figures.save(draw, DATA, tmp_path, "same")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == {"same.png", "same.pdf", "same.json"}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(StoreError, match=f"no room to write {path}"):
            figures.save(draw, DATA | {"title": "another"}, tmp_path, "same")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_no_environment_changes_a_figure(tmp_path):
    """A backend that is not there, which ends matplotlib's import, and settings in MATPLOTLIBRC and where one is."""
    figures.save(draw, DATA, tmp_path / "plain", "same")
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsavefig.dpi: 20\nfont.family: serif\nbackend: none\n")
    (tmp_path / "other").write_text("axes.facecolor: red\ntext.usetex: true\n")
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from lab import figures; from tests.test_figures import DATA, draw\n"
        "figures.save(draw, DATA, 'elsewhere', 'same'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = os.environ | {"MPLBACKEND": "module://nowhere", "MATPLOTLIBRC": str(tmp_path / "other")}
    root = str(cli.__file__).rpartition("/lab/")[0]
    command = [sys.executable, "-c", code, root]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for file in (tmp_path / "plain").iterdir():
        assert file.read_bytes() == (tmp_path / "elsewhere" / file.name).read_bytes()


def test_gates_of_a_run_that_cannot_be_written(tmp_path, capsys):
    """The table is printed and one line says where no figure could be written; --out writes it elsewhere."""
    run = made(tmp_path / "run")
    (run.path / "figures").write_text("not a folder")
    assert cli.main(["gates", str(run.path), "--budget", "2"]) == 0
    said = capsys.readouterr()
    assert "best gates" in said.out
    assert said.err.startswith(f"no figure: cannot write the run folder {run.path}: ")
    assert said.err.count("\n") == 1
    assert cli.main(["gates", str(run.path), "--budget", "2", "--out", str(tmp_path / "else")]) == 0
    assert {file.suffix for file in (tmp_path / "else").iterdir()} == {".png", ".pdf", ".json"}
    assert json.loads((tmp_path / "else/made-gates.json").read_text())["name"] == "made"
    assert cli.main(["gates", str(run.path), "--budget", "2", "--out", str(run.path / "figures")]) == 1
