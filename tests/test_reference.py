"""The reference: every public name has its words, and pdoc makes pages of them without a warning."""

import importlib
import inspect
import os
import re
import subprocess
import sys

import pytest

MODULES = [
    "lab",
    "lab.statistics",
    "lab.decision",
    "lab.ideas",
    "lab.results.outcomes",
    "lab.report.export",
    "lab.tasks.base",
]
# the bytes of this file are part of what a run is, so its docstrings stay as they are: a line and the shapes
WITHOUT_ARGS = "lab.tasks.base"


def public():
    """Every public function, class, method and property, with its full name."""
    for name in MODULES:
        module = importlib.import_module(name)
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == name]
        for key in getattr(module, "__all__", own):
            value = getattr(module, key)
            if key.startswith("_") or not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            yield f"{name}.{key}", value
            for method, inner in vars(value).items() if inspect.isclass(value) else ():
                if not method.startswith("_") and (inspect.isfunction(inner) or isinstance(inner, property)):
                    yield f"{name}.{key}.{method}", inner


def documented(doc):
    """Names in the section Args of a docstring."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", doc, re.MULTILINE)
    lines = re.findall(r"^    (\w[\w, *]*):", section[1], re.MULTILINE) if section else []
    return {name.strip("* ") for line in lines for name in line.split(",")}


def test_the_list_is_not_empty():
    names = [name for name, _ in public()]
    for name in ("lab.summarise", "lab.statistics.compare", "lab.ideas.Beta.atoms", "lab.tasks.base.Task.measure"):
        assert name in names


@pytest.mark.parametrize(("name", "value"), list(public()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_public_name_and_every_argument_has_words(name, value):
    doc = inspect.getdoc(value.fget if isinstance(value, property) else value)
    assert doc, f"{name} has no docstring"
    # that of a dataclass or a NamedTuple that nobody wrote is its signature
    assert not doc.startswith(f"{name.rpartition('.')[2]}("), f"{name} has no docstring"
    if inspect.isfunction(value) and not name.startswith(WITHOUT_ARGS):
        arguments = set(inspect.signature(value).parameters) - {"self"}
        assert arguments <= documented(doc), f"{name} does not say what {arguments - documented(doc)} is"


def test_pdoc_makes_pages_without_a_warning(tmp_path):
    pytest.importorskip("pdoc", reason="the extra `docs` is not installed")
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "pdoc",
        "-d",
        "google",
        "--no-show-source",
        "-o",
        tmp_path,
        "lab",
        "!lab.cli",
    ]
    # some import asks the system for its processor, which pdoc would refuse
    environment = {**os.environ, "PDOC_ALLOW_EXEC": "1", "JAX_PLATFORMS": "cpu"}
    made = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert made.returncode == 0, made.stderr
    assert "Warn" not in made.stderr
    page = (tmp_path / "lab/statistics.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    # a section of Google's style has become a heading and a list
    assert '<h6 id="arguments">Arguments:</h6>' in page
    assert "confidence: in (0, 1)." in text
    assert "Args:" not in text
