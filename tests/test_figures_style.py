"""What figures share: a style per regimen, files that are whole, bytes that no environment changes."""

import itertools
import os
import re
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from lab import cli, figures
from lab.figures.palette import OTHERS, STYLES, kind_of, style_of
from lab.figures.style import grid, ink, luminance, write_unable
from lab.report.page.charts import SHAPES
from lab.results.store import StoreError
from tests.colours import DEUTERANOPIA, linear


def test_every_style_has_a_marker_of_its_own():
    markers = [marker for _, marker, _ in [*STYLES.values(), *OTHERS]]
    assert len(set(markers)) == len(markers)
    assert len({SHAPES[marker] for marker in markers}) == len(markers)


def test_a_kind_is_told_by_the_beginning_of_a_word():
    kinds = {"hold_out": "hold", "train_early": "early", "very-late": "late", "anti_late": "anti", "later": "late"}
    kinds |= {"held out": "hold", "withheld": None}
    others = ["related", "template", "nearly", "quantity", "threshold", "built_in", "plateau", "x"]
    assert {name: kind_of(name) for name in kinds} == kinds
    assert not any(map(kind_of, others))
    styles = [style_of("x", position) for position in range(9)]
    assert styles[:3] == OTHERS
    assert len(set(styles)) == len({style[:2] for style in styles}) == 9  # no two look alike without their dashes


ROOT = Path(cli.__file__).parents[2]
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of sRGB


def lab(light):
    """CIE 1976 L*a*b* of linear red, green and blue, with their white: about 2.3 apart is just noticeable."""
    x, y, z = np.cbrt((XYZ @ np.clip(light, 0, 1)) / XYZ.sum(1))  # all are above the foot of the curve
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_kinds_of_regimens_differ_in_grey_and_for_the_colour_blind():
    light = [linear(style.colour) for style in STYLES.values()]
    for one, other in itertools.combinations(light, 2):
        assert abs(lab(one)[0] - lab(other)[0]) >= 9  # lightness, all that is left in grey
        assert np.linalg.norm(lab(DEUTERANOPIA @ one) - lab(DEUTERANOPIA @ other)) >= 20


def test_contrast_and_lightness_are_those_that_others_publish():
    """WCAG's own example of the palest grey on white, and CIE's lightness of middle grey."""
    assert 1.05 / (luminance("#767676") + 0.05) == pytest.approx(4.54, abs=0.005)
    assert lab(linear("#777777"))[0] == pytest.approx(50.0, abs=0.2)


@pytest.mark.parametrize("colour", [*(style.colour for style in [*STYLES.values(), *OTHERS]), "#ffff00", "#5a5a5a"])
def test_text_is_dark_enough_to_be_read(colour):
    contrast = 1.05 / (luminance(ink(colour)) + 0.05)
    assert contrast >= 4.5
    if contrast > 4.7:  # as dark as it was
        assert ink(colour) == colour


def width_and_letters(content):
    """Read from a PDF: 72 points are an inch; `Tf` sets the size of letters."""
    box = re.search(rb"/MediaBox \[ ?0 0 ([0-9.]+) [0-9.]+ ?\]", content)
    packed = re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", content, re.DOTALL)
    page = next(stream for stream in map(zlib.decompress, packed) if b" Tf" in stream)
    assert box
    return float(box[1]) / 72, [float(size) for size in re.findall(rb"/\S+ ([0-9.]+) Tf", page)]


@pytest.mark.parametrize(("venue", "width"), [("neurips", 5.5), ("icml", 6.75), ("iclr", 5.5), ("slides", 5.51)])
def test_a_figure_has_the_width_of_its_venue_and_no_small_letter(tmp_path, venue, width):
    def pale(data):
        figure = draw(data)
        figure.axes[0].text(0, 1, "small", fontsize=2, color="#E69F00")
        return figure

    figures.save(pale, DATA | {"subtitle": "What is it? " * 20}, tmp_path, "wide", figures.Edition(venue, "pdf"))
    wide, sizes = width_and_letters((tmp_path / "wide.pdf").read_bytes())
    assert wide == pytest.approx(width, abs=0.005)
    assert min(sizes) == 6 and max(sizes) >= 8  # the small text and the title


@pytest.mark.parametrize("path", sorted((ROOT / "figures").rglob("*.pdf")), ids=lambda path: path.stem)
def test_every_figure_of_the_project_fits_a_page_with_letters_that_can_be_read(path):
    width, sizes = width_and_letters(path.read_bytes())
    assert width == pytest.approx(5.5, abs=0.005)
    assert min(sizes) >= 6


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
        "from lab import figures; from tests.test_figures_style import DATA, draw\n"
        "figures.save(draw, DATA, 'elsewhere', 'same'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = os.environ | {"MPLBACKEND": "module://nowhere", "MATPLOTLIBRC": str(tmp_path / "other")}
    root = str(cli.__file__).rpartition("/lab/")[0]
    command = [sys.executable, "-c", code, root]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for file in (tmp_path / "plain").iterdir():
        assert file.read_bytes() == (tmp_path / "elsewhere" / file.name).read_bytes()


def test_a_grid_has_a_panel_for_each_thing_and_blanks_what_is_left_over():
    figure, panels, blank = grid(5, 1.5)
    assert (len(panels), len(blank)) == (5, 1)
    assert figure.get_size_inches().tolist() == [5.5, 3.0]  # two rows
    assert not blank[0].axison


def test_shares_that_cannot_do_the_job_stand_beside_their_rows_from_two_percent_on():
    _, (ax,), _ = grid(1, 1.5, columns=1)
    write_unable(ax, [0.02, 0.281, 0.5])
    assert [(text.get_text(), text.xy) for text in ax.texts] == [
        ("28% cannot\ndo the job", (1, 1)),
        ("50%", (1, 2)),
    ]
