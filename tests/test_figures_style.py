"""What figures share: a style per regimen, files that are whole, bytes that no environment changes."""

import os
import resource
import subprocess
import sys

import pytest

from lab import cli, figures
from lab.figures.style import OTHERS, STYLES, kind_of, style_of
from lab.report.page.charts import SHAPES
from lab.results.store import StoreError


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
