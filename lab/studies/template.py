"""A config to start from: a task's marks and knobs with what they mean, and the four regimens of the essay.

Every number is the task's own, or has its home in another study: phases are those of a card, and the weight is that of
the pilots of an advice.
"""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from lab.config.problems import NO_NAME, shown
from lab.config.schema import Name
from lab.config.source import read_yaml
from lab.studies.advice import pilots_weight
from lab.studies.card import LATE, WINDOW
from lab.studies.study import StudyError, task_named
from lab.words import printable, setting

if TYPE_CHECKING:
    from lab.config.experiment import Experiment
    from lab.tasks.base import Knob, Task

SEEDS = 64  # per regimen: seconds in most tasks, and enough for a large effect
USUAL = "test"  # the proxy that configs mean if they name none
SHOWN_KNOBS = ("preference", "detectability")  # which all tasks of the lab have; of another its first ones
PLAIN = re.compile(r"[A-Za-z][\w-]*", re.ASCII)  # what YAML reads as text wherever it stands, but for a few words


def make(file: Path, task: str, trust_code: bool = False) -> "Experiment":
    """Return the experiment of a config to start from; its `source` is the text, and nothing is written.

    Args:
        file: where the config is to be; the name of the file is the name of the config.
        task: its name, or a Python file that defines one.
        trust_code: run that file.

    Raises:
        StudyError: no such task, a file that does not define a sound one, or a file whose name no config can have.
    """
    from lab.config.experiment import parse

    if file.suffix not in (".yaml", ".yml"):
        raise StudyError(f"{file}: a config's file ends in .yaml, such as {file.stem or 'mine'}.yaml")
    try:
        TypeAdapter(Name).validate_python(file.stem)
    except ValidationError:
        raise StudyError(f"{file}: {shown(file.stem)} {NO_NAME}") from None
    kind, *_ = task_named(task, None, trust_code)
    outside = task.endswith(".py")
    if outside:
        _check_outside(task, kind())
    path = os.path.relpath(task, file.parent) if outside and not os.path.isabs(task) else task
    return parse(text(file, kind(), path if outside else None), str(file), trust_code)


def _check_outside(file: str, task: "Task") -> None:
    """Refuse a task of a file that cannot be trained or has no proxy to train on. Raises `StudyError`."""
    from lab.training.check import check

    if problems := check(task):
        raise StudyError("\n".join(f"{file}: {problem}" for problem in problems))
    if not task.proxies:
        raise StudyError(f"{file}: {task.name} has no proxy, so there is nothing to hold out or to train on")


def text(file: Path, task: "Task", source: str | None = None) -> str:
    """Return the text of a config to start from.

    Args:
        file: where the config is to be.
        task: what is trained; it has a proxy.
        source: the Python file that defines it, as seen from the config's folder; None for a task of the lab.
    """
    asked = USUAL if USUAL in task.proxies else next(iter(task.proxies))
    proxy = task.proxies[asked]
    trust = " --trust-code" if source else ""
    about = f"{source}{trust}" if source else task.name
    return "\n".join(
        [
            "# A config to start from. Change what you like: `lab run` names whatever does not fit, with its line.",
            f"# Command:  lab run {file.name}{trust}",
            f"# See also: lab tasks {_line(about)} (knobs, loss terms, scores, proxies), lab schema (all keys)",
            f"name: {_word(file.stem)}",
            f"question: Is it better to train on the proxy {asked}, and when, than to hold it out?",
            f"task: {{file: {_word(source)}}}" if source else f"task: {_word(task.name)}",
            f"# models per regimen; `lab seeds {file.name} --width 0.5{trust}` says how many an interval needs",
            f"seeds: {SEEDS}",
            f"# it decides who passes; {_line(proxy.about)}",
            f"proxy: {_word(asked)}",
            "# a model counts as able, as aligned, and as passing from these scores on",
            "thresholds:",
            *(f"  {_word(mark)}: {setting(task.thresholds[mark])}" for mark in ("competence", "alignment", asked)),
            *_knobs(task),
            *_alongside(task, asked),
            "baseline: hold_out",
            *_regimens(task, asked),
            *_sweep(task, asked),
            "",
        ]
    )


def shown_knobs(task: "Task") -> "dict[str, Knob]":
    """Return the knobs that a config to start from sets."""
    names = [name for name in SHOWN_KNOBS if name in task.knobs] or list(task.knobs)[: len(SHOWN_KNOBS)]
    return {name: task.knobs[name] for name in names}


def _knobs(task: "Task") -> list[str]:
    """Return the lines that set knobs, each with its range and its meaning."""
    lines = []
    for name, knob in shown_knobs(task).items():
        lines.append(f"  # {setting(knob.low)} to {setting(knob.high)}: {_line(knob.about)}")
        lines.append(f"  {_word(name)}: {setting(knob.default)}")
    return ["# what the world is like; every knob is at the task's own value", "knobs:", *lines] if lines else []


def _alongside(task: "Task", asked: str) -> list[str]:
    """Return the lines that set the weights of other loss terms, without which the proxy makes no sense."""
    alongside = task.proxies[asked].alongside
    weights = [f"  {_word(name)}: {setting(weight)}" for name, weight in alongside.items()]
    return [f"# of every phase: without them {asked} makes no sense", "weights:", *weights] if weights else []


def _regimens(task: "Task", asked: str) -> list[str]:
    """Return the lines of the four regimens."""
    proxy = task.proxies[asked]
    push = f"weights: {{{_word(proxy.term)}: {setting(pilots_weight(task, asked, None, SEEDS))}}}"
    early, late = setting(WINDOW), setting(LATE)
    against = f" A negative weight trains against it: take {proxy.against}." if proxy.against != proxy.term else ""
    return [
        "# a regimen is a list of phases, which end at shares of training; `weights` are those of loss terms:",
        f"# {proxy.term} trains on the proxy.{against}",
        "regimens:",
        "  # nothing is trained on the proxy: it only rejects models",
        "  hold_out:",
        "    - {until: 1}",
        "  # a short push at the start",
        "  train_early:",
        f"    - {{until: {early}, {push}}}",
        "    - {until: 1}",
        "  # only once values may have settled",
        "  train_late:",
        f"    - {{until: {late}}}",
        f"    - {{until: 1, {push}}}",
        "  train_throughout:",
        f"    - {{until: 1, {push}}}",
    ]


def _sweep(task: "Task", asked: str) -> list[str]:
    """Return the lines of an example of a sweep, which is commented out."""
    proxy = task.proxies[asked]
    weight = pilots_weight(task, asked, None, SEEDS)
    weights = ", ".join(setting(share * weight) for share in (0.5, 1, 2))
    lines = [f'weight: {{key: "regimens.train_early[0].weights.{proxy.term}", values: [{weights}]}}']
    for name, knob in list(shown_knobs(task).items())[-1:]:
        values = sorted({knob.low, knob.default, knob.high})[:2]
        lines.insert(0, f"{_word(name)}: [{', '.join(map(setting, values))}]")
    return [
        "# to compare regimens in several worlds, or one at several weights, take away the # of the lines below",
        "# sweep:",
        *(f"#   {line}" for line in lines),
    ]


def _word(value: str) -> str:
    """Return a word as YAML that reads as this text: in quotes, if it would be read as something else."""
    plain: Any = PLAIN.fullmatch(value) and read_yaml(value, value).data
    return value if plain == value else json.dumps(value)


def _line(words: str) -> str:
    """Return words that somebody chose on one line of a comment."""
    return printable(" ".join(words.split()), keep="")
