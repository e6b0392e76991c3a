"""The wheel is enough outside a clone: what is no Python is in it, and its commands run in an empty folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import lab

ROOT = Path(lab.__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
# a config to start from, with fewer and shorter runs; and commands of claims, which need a clone
COMMANDS = """
import json, lab
from lab.cli import main
codes = [main(["new", "mine.yaml", "--task", "race"])]
with open("mine.yaml", "a") as file:
    file.write("training: {steps: 20, block_width: 2}\\n")
codes += [main(["run", "mine.yaml", "--seeds", "2", "--out", "run"]), main(["show", "run", "--json"])]
claims = [main(words) for words in (["claims"], ["experiment", "all"], ["experiment", "budget"], ["figures", "budget"])]
print(json.dumps([lab.__file__, lab.load("quickstart").name, codes, claims]))
"""


def pins(name):
    """Each line of a lock that names a package: its version and where it is installed, hashes left out."""
    return re.findall(r"^[\w.-]+==[^\\\n]*", (ROOT / name).read_text(), re.MULTILINE)


def test_the_lock_of_the_tests_pins_all_that_running_needs_in_the_same_versions():
    running, tests = (set(pins(name)) for name in ("requirements.lock", "requirements-test.lock"))
    assert running < tests
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    here, there = ({canonicalize_name(pin.partition("==")[0]) for pin in lock} for lock in (running, tests))
    needed, extra = (
        {canonicalize_name(re.split(r"[<>=\[]", line)[0]) for line in lines}
        for lines in (project["dependencies"], project["optional-dependencies"]["test"])
    )
    assert needed <= here
    assert extra - {"proxy-lab"} <= there
    assert not (extra - needed) & here


def test_no_lock_names_a_place_that_packages_come_from():
    for name in ("requirements.lock", "requirements-test.lock"):
        lines = (ROOT / name).read_text().splitlines()
        assert [line for line in lines if "/" in line or line.startswith("-")] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of what is here now, built beside the clone, where nothing of an earlier build lies."""
    pytest.importorskip("setuptools", "77", reason="it builds the wheel")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "lab", source / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, out], cwd=source, check=True, capture_output=True)
    (file,) = out.glob("*.whl")
    return file


def test_the_wheel_holds_every_file_of_the_package(wheel):
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "lab").rglob("*") if path.is_file()}
    files = {file for file in files if "__pycache__" not in file}
    assert files >= {
        "lab/py.typed",
        "lab/config/quickstart.yaml",
        "lab/report/page/page.html",
        "lab/studies/studied.json",
    }
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_with_the_wheel_alone_an_empty_folder_is_enough(wheel, tmp_path):
    """Four regimens with two seeds each are eight models."""
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(installed)
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS], cwd=empty, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    file, quickstart, codes, claims = json.loads(ended.stdout.splitlines()[-1])
    assert Path(file).is_relative_to(installed)
    assert (quickstart, codes, claims) == ("quickstart", [0, 0, 0], [2, 2, 2, 2])
    assert ended.stderr.count("an installed package lacks: clone it") == 3
    assert "budget: neither a run's folder nor the name of a run under runs/ or, in a clone, of a claim" in ended.stderr
    shown = json.loads(ended.stdout[ended.stdout.index("\n{\n") : ended.stdout.rindex("\n[")])
    cells = ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")
    assert [sum(row["counts"][cell] for cell in cells) for row in shown["conditions"]] == [2] * 4
    assert {path.name for path in (empty / "run/figures").iterdir()} == {"mine.png", "mine.pdf", "mine.json"}


def test_the_built_in_config_is_that_of_the_clone():
    """The one in configs/ is changed, and copied: cp configs/quickstart.yaml lab/config/."""
    assert (ROOT / "lab/config/quickstart.yaml").read_bytes() == (ROOT / "configs/quickstart.yaml").read_bytes()
