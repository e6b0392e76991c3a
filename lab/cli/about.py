"""Commands that say what there is."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from lab.cli.console import UsageError, console
from lab.words import setting


def tasks(name: Positional[str] | None = None, /, trust_code: bool = False) -> None:
    """List the tasks, or one task's knobs, loss terms, scores and parts.

    Args:
        name: a task, or a Python file that defines one.
        trust_code: run that file.
    """
    from lab.tasks import TASKS
    from lab.tasks.settings import parts as part_names

    if name is None:
        for task in TASKS.values():
            console.print(Text(sys.modules[task.__module__].__doc__.splitlines()[0]), soft_wrap=True)
        return
    task = task_kind(name, trust_code)()
    console.print(Text(sys.modules[type(task).__module__].__doc__))
    knobs = Table(title="knobs (sweep them freely: nothing recompiles)", title_justify="left")
    for column in ("knob", "default", "range", ""):
        knobs.add_column(column)
    for key, knob in task.knobs.items():
        knobs.add_row(key, setting(knob.default), f"{setting(knob.low)} to {setting(knob.high)}", Text(knob.about))
    console.print(knobs)
    parts = {"loss terms (weights)": task.terms, "scores": task.scores}
    parts["proxies"] = {
        key: f"{proxy.about}; loss terms: {', '.join(proxy.terms)}" for key, proxy in task.proxies.items()
    }
    parts["pass marks (thresholds)"] = {key: setting(value) for key, value in task.thresholds.items()}
    parts["static (task: {name: " + name + ", ...}; a new value compiles)"] = {
        field.name: str(getattr(task, field.name)) for field in dataclasses.fields(task)
    }
    for title, rows in parts.items():
        if rows:
            table = Table(title=Text(title), title_justify="left", show_header=False)
            for key, about in rows.items():
                table.add_row(key, Text(about))
            console.print(table)
    console.print(f"parts, which `rates` in a phase can lock in: {', '.join(part_names(task))}", markup=False)


def task_kind(name, trust_code):
    """Return the class of a task by its name, or from a Python file that the user trusts. Raises `UsageError`."""
    from lab.tasks import TASKS
    from lab.tasks.outside import TaskFileError, task_class

    if not name.endswith(".py"):
        if name not in TASKS:
            raise UsageError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
        return TASKS[name]
    if not trust_code:
        raise UsageError(f"{name} is code: read it, then add --trust-code")
    try:
        return task_class(Path(name))
    except TaskFileError as error:
        raise UsageError(str(error)) from None


def check_task(file: Annotated[Positional[Path], arg(metavar="FILE")], /) -> None:
    """Run a Python file that defines a task and say what keeps the lab from training it.

    Args:
        file: the file; a config names it as `task: {file: FILE}`.
    """
    from lab.tasks.outside import TaskFileError, task_class
    from lab.training.check import check

    try:
        task = task_class(file)()
    except TaskFileError as error:
        raise UsageError(str(error)) from None
    if problems := check(task):
        raise UsageError("\n".join(f"{file}: {problem}" for problem in problems))
    console.print(f"{file}: the task {task.name!r} is ready: task: {{file: {file.name}}}", markup=False, soft_wrap=True)


def schema() -> None:
    """Print the JSON schema of a config."""
    from lab.config.experiment import Config

    print(json.dumps(Config.model_json_schema(), indent=1))


def claims(figures: Path | None = None, as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """List the claims with verdicts, which are computed from stored counts; what is not stored is not run.

    Args:
        figures: folder of what `lab experiment` counted; the project's own by default.
        as_json: print JSON, with each claim's rule.
    """
    from lab.claims import book as made

    try:
        rows = made.table(figures)
    except made.ClaimError as error:
        raise UsageError(str(error)) from None
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    view = Table(title="claims, each judged by the rule in its experiment", title_justify="left")
    for column in ("name", "claim", "verdict", "by task"):
        view.add_column(column, overflow="fold")
    for row in rows:
        by_task = ", ".join(f"{task} {own['verdict']}" for task, own in row["tasks"].items())
        view.add_row(*map(Text, (row["name"], row["claim"], row["verdict"], by_task)))
    console.print(view)
