"""Imports follow the data flow, bottom to top; nothing that only reads results needs JAX."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lab

ROOT = Path(lab.__file__).parent
# bottom to top; a wing imports from those before it
WINGS = [
    "machine",
    "statistics",
    "words",
    "ideas",
    "tasks",
    "models",
    "config",
    "results",
    "training",
    "decision",
    "studies",
    "figures",
    "report",
    "claims",
    "cli",
    "__main__",
]
JAX = {"tasks", "models", "training", "__main__"}
WITH_JAX = {"machine.fixed", "config.experiment", "config.sweep", "studies.estimators"}


def imported(path):
    """Wings that a file imports from, at any depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lab":
            parts = node.module.split(".")[1:]
            yield from [parts[0]] if parts else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lab."))


def modules():
    """(wing, dotted name without lab, path) of every module but the front door."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], ".".join(part for part in parts if part != "__init__"), path


def test_every_module_is_in_a_wing():
    assert {wing for wing, _, _ in modules()} == set(WINGS)


@pytest.mark.parametrize(("wing", "name", "path"), list(modules()), ids=lambda value: str(value).rsplit("/", 1)[-1])
def test_imports_go_up(wing, name, path):
    for other in imported(path):
        assert WINGS.index(other) <= WINGS.index(wing), f"{name} imports {other}"


@pytest.mark.parametrize("wing", [wing for wing in WINGS if (ROOT / wing).is_dir()])
def test_every_wing_says_what_it_is_for_and_who_may_import_it(wing):
    words = ast.get_docstring(ast.parse((ROOT / wing / "__init__.py").read_text()))
    assert "import" in words


def test_reading_results_needs_no_jax():
    """Nor scipy.stats, which takes a second to import. One process: the first module that brings it is named."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'lab.{name}')\n"
        "    assert not {'jax', 'scipy.stats'} & set(sys.modules), name\n"
    )
    names = [name for wing, name, _ in modules() if wing not in JAX and name not in WITH_JAX]
    ended = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
