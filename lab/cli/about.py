"""Commands that say what there is: tasks, claims, the schema of a config, and this machine."""

import ast
import dataclasses
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from lab.cli.console import Failed, UsageError, print_json, print_rows, print_text, waiting
from lab.cli.options import AsJson
from lab.words import Json, setting

# --- tasks --------------------------------------------------------------------------------------------------------


def tasks(name: Positional[str] | None = None, /, trust_code: bool = False) -> None:
    """List the tasks, or one task's knobs, loss terms, scores and parts.

    Args:
        name: a task, or a Python file that defines one.
        trust_code: run that file.
    """
    from lab.tasks import TASKS

    if name is None:
        for known in TASKS:
            print_text(_first_sentence(known))
        return
    from lab.tasks.outside import TaskFileError, find_task
    from lab.tasks.settings import parts

    try:
        task = find_task(name, trust_code)()
    except TaskFileError as error:
        raise UsageError(str(error)) from None
    for paragraph in _words_of_module(type(task)).split("\n\n"):
        print_text(" ".join(paragraph.split()) + "\n", hanging="")
    print_rows(
        "knobs (sweep them freely: nothing recompiles)",
        ("knob", "default", "range", ""),
        [
            (key, setting(knob.default), f"{setting(knob.low)} to {setting(knob.high)}", knob.about)
            for key, knob in task.knobs.items()
        ],
    )
    sizes = dataclasses.fields(task) if dataclasses.is_dataclass(task) else ()
    proxies = {key: f"{proxy.about}; loss terms: {', '.join(proxy.terms)}" for key, proxy in task.proxies.items()}
    lists: dict[str, Mapping[str, str]] = {
        "loss terms (weights)": task.terms,
        "scores": task.scores,
        "proxies": proxies,
        "pass marks (thresholds)": {key: setting(mark) for key, mark in task.thresholds.items()},
        f"static (task: {{name: {name}, ...}}; a new value compiles)": {
            size.name: str(getattr(task, size.name)) for size in sizes
        },
    }
    for title, rows in lists.items():
        if rows:
            print_rows(title, ("", ""), list(rows.items()))
    print_text(f"parts, which `rates` in a phase can lock in: {', '.join(parts(task))}")


def _first_sentence(task: str) -> str:
    """Return the first line of a task's file, which need not be imported for it, and JAX neither."""
    source = files("lab.tasks").joinpath(f"{task}.py").read_bytes()
    return (ast.get_docstring(ast.parse(source)) or task).splitlines()[0]


def _words_of_module(kind: type) -> str:
    """Return the docstring of the module that defines a class."""
    return sys.modules[kind.__module__].__doc__ or kind.__name__


def check_task(file: Annotated[Positional[Path], arg(metavar="FILE")], /) -> None:
    """Run a file that defines a task, and say what keeps the lab from training it.

    Args:
        file: the file; a config names it as `task: {file: FILE}`.
    """
    from lab.tasks.outside import TaskFileError, task_class
    from lab.training.check import check

    try:
        task = task_class(file)()
    except TaskFileError as error:
        raise UsageError(str(error)) from None
    with waiting(f"training a few steps of {task.name}"):
        problems = check(task)
    if problems:
        raise UsageError("\n".join(f"{file}: {problem}" for problem in problems))
    print_text(f"{file}: the task {task.name!r} is ready: task: {{file: {file.name}}}")


# --- configs and claims -------------------------------------------------------------------------------------------


def schema() -> None:
    """Print the JSON schema of a config."""
    from lab.config.schema import Config

    print_json(Config.model_json_schema())


def claims(figures: Path | None = None, as_json: AsJson = False) -> None:
    """List the claims with their verdicts, which are computed from stored counts.

    Args:
        figures: folder of what `lab experiment` counted; the project's own by default.
        as_json: print JSON, with each claim's rule.
    """
    from lab.claims import judged

    try:
        kept, names = judged.read(judged.checked_folder(figures)), judged.names()
        claims = [kept[name] for name in names] if kept.keys() >= set(names) else _judged_again(figures)
    except judged.ClaimError as error:
        raise UsageError(str(error)) from None
    if as_json:
        print_json(claims)
        return
    rows = []
    for claim in claims:
        by_task = ", ".join(f"{task} {judged.Verdict(**verdict).in_words}" for task, verdict in claim["tasks"].items())
        verdict = f"{claim['verdict']} ({judged.CHANGED_IN_WORDS})" if claim["changed"] else claim["verdict"]
        rows.append((claim["name"], claim["claim"], verdict, by_task))
    print_rows("claims, each judged by the rule in its experiment", ("name", "claim", "verdict", "by task"), rows)


def _judged_again(figures: Path | None) -> list[Json]:
    """Return the rows of all claims; those whose counts or code have changed are judged again, which takes long."""
    from lab.claims import book

    with waiting("judging claims") as progress:
        return book.table(figures, progress)


# --- this machine -------------------------------------------------------------------------------------------------


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine has, what the lab will use, and what is wrong.

    The exit code is 0 if nothing is wrong, else 1.

    Args:
        as_json: print JSON.
    """
    from lab.training import doctor as examination

    findings = examination.examine()
    problems = findings["problems"]
    if as_json:
        print_json(findings)
    else:
        print_rows("this machine", ("", ""), list(_rows_of_machine(findings["machine"]).items()))
        print_rows("the lab will use", ("", ""), list(_rows_of_lab(findings["lab"]).items()))
        for number, problem in enumerate(problems, 1):
            print_text(f"problem {number}: {problem['what']}\n  do: {problem['do']}")
        if not problems:
            print_text("nothing is wrong")
    if problems:
        raise Failed("1 problem" if len(problems) == 1 else f"{len(problems)} problems")


def _gigabytes(count: int | None) -> str:
    return "size unknown" if count is None else f"{count / 1e9:,.1f} GB"


def _rows_of_machine(machine: Mapping[str, Any]) -> dict[str, str]:
    devices = machine.get("devices", [])
    kinds: dict[str, int] = {}  # equal devices on one line
    for device in devices:
        memory = "" if device["platform"] == "cpu" else f", {_gigabytes(device['memory_bytes'])}"
        line = f"{device['kind']} ({device['platform']}){memory}"
        kinds[line] = kinds.get(line, 0) + 1
    container = machine["cores_of_container"]
    cores = f"{machine['cores']}, of which this process may use {machine['cores_allowed']}"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    rows = {
        "system": machine["system"],
        "python": machine["python"],
        "packages": packages or "not installed",
        "extras": ", ".join(f"{name}: {version or 'no'}" for name, version in machine["extras"].items()),
        "cores": cores + (f"; the container grants {container:g}" if container else ""),
        "free disk": _gigabytes(machine["free_disk_bytes"]),
    }
    if devices:
        rows["memory"] = f"{_gigabytes(machine['memory_bytes'])} for this process"
        rows["JAX devices"] = "; ".join(f"{count} x {line}" for line, count in kinds.items())
    return rows


def _rows_of_lab(plan: Mapping[str, Any] | None) -> dict[str, str]:
    if plan is None:
        return {"platform": "none"}
    width, at_once = plan["block_width"], plan["lanes_at_once"]
    return {
        "platform": f"{plan['platform']}, {plan['devices']} devices, a block of models on each",
        "block width": ", ".join(f"{task} {width[task]:,} ({at_once[task]:,} models at once)" for task in width),
        "runs go to": plan["runs"],
        "programs": f"kept in {plan['programs']}" if plan["programs"] else "compiled anew in every process",
    }
