"""What a YAML file may say, and the conditions it stands for.

Reading a file never runs code: YAML 1.2, no tags, no aliases, bounded size and depth. Keys and names are text as
written, so `01`, `1` and `1.0` are three. Everything that is wrong is reported at once, each problem with its line, its
full key and, for a misspelt name, the nearest right one; of many problems the first fifty.

No two conditions of a config have the same name: it is the regimen and, for each axis that applies to it, the axis and
its value to 12 digits. Regimens and axes hold neither spaces nor "=", regimens differ as keys do, all conditions of a
regimen have the same axes, and values of an axis that agree in 12 digits (or in float32, as trained) are refused.
"""

import dataclasses
import difflib
import hashlib
import itertools
import json
import math
import os
import re
import sys
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from lab.config.schema import (
    KINDS,
    MAX_BYTES,
    MAX_CONDITIONS,
    MAX_LANES,
    MAX_SEED,
    MAX_TEXT,
    MAX_WEIGHT,
    RESERVED,
    Axis,
    Config,
    Phase,
    Seeds,
    Stop,
    TrainingConfig,
)
from lab.config.source import ConfigError, Written, dotted, line_at, read_yaml, shortened
from lab.statistics.quantities import OF_ACCEPTED
from lab.tasks import TASKS
from lab.tasks.base import Task, Training
from lab.tasks.outside import TaskFileError, task_class
from lab.tasks.settings import Settings, parts

MAX_EXPANDED = 100_000
MAX_LISTED = 50


@dataclasses.dataclass(frozen=True)
class Condition:
    """A regimen with values for every knob: one point of a sweep.

    Attributes:
        name: the regimen's name and the place on every axis that applies to it.
        regimen: the regimen's name.
        coordinates: axis of the sweep -> value, for the axes that apply to it.
        knobs: knob -> value, every knob of the task.
        settings: one `Settings` per segment, without lanes.
        gates: (share of training, score, lowest score that survives) of each gate of the regimen, in time order.
    """

    name: str
    regimen: str
    coordinates: dict[str, float]
    knobs: dict[str, float]
    settings: tuple[Settings, ...]
    gates: tuple[tuple[float, str, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A config with everything filled in.

    Attributes:
        config: the `Config` as written, defaults of the task filled in.
        source: the text it came from.
        task: the task to train.
        training: steps, optimizer, learning rates, momentum and block widths.
        ends: last step of each segment, ascending.
        conditions: what the sweep stands for, in order.
    """

    config: Config
    source: str
    task: Task
    training: Training
    ends: tuple[int, ...]
    conditions: tuple[Condition, ...]

    @property
    def name(self):
        """The name the config gives itself."""
        return self.config.name

    @property
    def seeds(self):
        """The seeds, as a range."""
        seeds = self.config.seeds
        return range(seeds.first, seeds.first + seeds.count)

    @property
    def thresholds(self):
        """Pass mark of competence, alignment and each proxy."""
        return self.config.thresholds

    @property
    def baseline(self):
        """The regimen that others are compared with: the one named, or else the first."""
        return self.config.baseline

    @cached_property
    def hash(self):
        """Hexadecimal digest of everything the config says, comments and layout aside."""
        return _digest(self.as_json())

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The digest of each condition: of all that decides how its models are trained and when they are measured.

        Conditions with the same digest are one training. Where rejected runs are really stopped, their gates count.
        """
        gates = {}
        for condition in self.conditions:
            gates.setdefault(condition.settings, []).append(condition.gates)
        task = {"name": self.task.name, **dataclasses.asdict(self.task)}
        training = {key: getattr(self.training, key) for key in ("steps", "optimizer", "momentum")}
        common = {"task": task, **training, "ends": self.ends}
        digests = {}
        for settings, of_conditions in gates.items():
            stops = self.config.stop_rejected and all(of_conditions)  # a condition without gates needs every run
            spans = [
                [end, _by_name(self.task, segment)]
                for end, segment, following in zip(self.ends, settings, (*settings[1:], None), strict=True)
                if segment != following
            ]
            trained = {**common, "spans": spans, "gates": sorted(set(of_conditions)) if stops else []}
            digests[settings] = _digest(trained)
        return tuple(digests[condition.settings] for condition in self.conditions)

    @cached_property
    def trains(self) -> str:
        """Hexadecimal digest of what is trained, whatever it is called, however it is judged and by how many seeds."""
        return _digest({"leaves": sorted(set(self.leaves)), "first_seed": self.seeds.start})

    @property
    def folder_name(self) -> str:
        """What the folder of its run is called by default: its name and a digest of what is trained."""
        return f"{self.name}-{self.trains[:8]}"

    def as_json(self):
        """Return the filled-in config as plain JSON values."""
        values = self.config.model_dump()
        for key, absent in (("stop", None), ("stop_rejected", False)):
            if values[key] == absent:
                del values[key]  # runs from before there was such a key keep their hash
        outside = {"file": self.config.task["file"]} if "file" in self.config.task else {}
        return {**values, "task": {"name": self.task.name, **outside, **dataclasses.asdict(self.task)}}

    def with_seeds(self, count, first=None):
        """Return the same experiment with other seeds. Raises `ConfigError` beyond the limits."""
        first = self.config.seeds.first if first is None else first
        problem = _too_many(first, count, len(self.conditions))
        if count < 1 or first < 0 or problem:
            raise ConfigError([f"seeds: {problem or 'must be at least 1, the first of them at least 0'}"])
        seeds = Seeds(first=first, count=count)
        return dataclasses.replace(self, config=self.config.model_copy(update={"seeds": seeds}))

    def with_stop(self, **rule):
        """Return the same experiment with another `Stop`, or none. Raises `ConfigError` if there is no such rule."""
        try:
            stop = Stop(**rule) if rule else None
        except ValidationError as error:
            explained = (_explain(item) for item in error.errors(include_url=False))
            raise ConfigError([f"{dotted(('stop', *key))}: {message}" for key, message in explained]) from None
        config = self.config.model_copy(update={"stop": stop})
        if problem := _unknowable(config):
            raise ConfigError([f"stop.of: {problem}"])
        return dataclasses.replace(self, config=config)

    def looks(self, block_width):
        """Return the numbers of seeds at which training pauses; all but the last are whole blocks."""
        count, stop = self.config.seeds.count, self.config.stop
        if stop is None:
            return [count]
        blocks = [-(-count * look // (stop.planned * block_width)) for look in range(1, stop.planned + 1)]
        return sorted({min(count, block * block_width) for block in blocks})


def _digest(values):
    """Return a hexadecimal digest of plain JSON values; the order of keys does not count, that of lists does."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _by_name(task, settings):
    """Return the `Settings` of a segment as plain JSON values, by the names of loss terms, knobs and parts."""
    rates = settings.part_rates
    return {
        "weights": dict(zip(task.terms, settings.weights, strict=True)),
        "training_knobs": dict(zip(task.knobs, settings.training_knobs, strict=True)),
        "world_knobs": dict(zip(task.knobs, settings.world_knobs, strict=True)),
        "learning_rate": settings.learning_rate,
        "final_learning_rate": settings.final_learning_rate,
        "part_rates": (
            {part: rate for part, rate in zip(parts(task), rates, strict=True) if rate != 1}
            if isinstance(rates, tuple)
            else {}
        ),
    }


def _unknowable(config):
    """Return why a rule for stopping can never be met, or None."""
    if config.stop is None:
        return None
    if config.stop.of == "net" and len(config.regimens) == 1:
        return "net compares regimens, and there is only one"
    gated = any(phase.gates for phases in config.regimens.values() for phase in phases)
    if config.stop_rejected and gated and config.stop.of not in ("net", *OF_ACCEPTED):
        return f"{config.stop.of} takes the truth about runs that stop_rejected stops; {', '.join(OF_ACCEPTED)} do not"
    return None


def _too_many(first, count, conditions):
    """Return what is wrong with that many seeds, or None."""
    if first + count > MAX_SEED:
        return f"seeds must stay below {MAX_SEED}"
    if conditions * count > MAX_LANES:
        return f"{conditions} conditions x {count:,} seeds exceed the limit of {MAX_LANES:,} runs"
    return None


def load(path, trust_code=False):
    """Read an experiment from a YAML file.

    Args:
        path: of the file.
        trust_code: run the Python file that the config names as its task, if it names one.

    Raises:
        ConfigError: the file cannot be used; every problem is listed.
    """
    path = Path(os.path.expanduser(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except ValueError as error:  # a name that no file can have
        raise ConfigError([f"{str(path)!r}: cannot be read: {error}"]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than the limit of {MAX_BYTES:,} bytes"])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = line_at(data[: error.start].decode("utf-8"))
        raise ConfigError([f"{path}:{line}: not UTF-8 at byte {error.start}"]) from None
    return parse(text, str(path), trust_code)


def parse(text, file="config", trust_code=False):
    """Read an experiment from YAML text as `load` does; `file` names it in errors. Raises `ConfigError`."""
    if len(text) > MAX_BYTES:
        raise ConfigError([f"{file}: larger than the limit of {MAX_BYTES:,} bytes"])
    written = read_yaml(text, file)
    if not isinstance(written.data, dict):
        raise ConfigError([f"{file}:1: a config is a mapping of keys, such as 'name: first-run'"])
    _put_words(written.data, written.words)
    return _experiment(written, text, file, trust_code)


def from_values(values: dict, trust_code: bool = False) -> Experiment:
    """Read an experiment from what `Experiment.as_json` returned, such as the config in a manifest.

    Args:
        values: plain JSON values.
        trust_code: run the Python file that the config names as its task, if it names one.

    Raises:
        ConfigError: this lab reads it no more.
    """
    return _experiment(Written(values, {}, {}, []), json.dumps(values), "config", trust_code)


def _experiment(written: Written, text: str, file: str, trust_code: bool) -> Experiment:
    """Return the experiment that a config stands for. Raises `ConfigError` with every problem."""
    raw, found = written.data, list(written.problems)
    config = None
    try:
        # JSON in strict mode takes lists for lists and whole numbers for floats, and nothing else
        config = Config.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        found += [(_place(item), partial(_message, item)) for item in error.errors(include_url=False)]
    task = _task(raw.get("task"), found, Path(file).parent, trust_code)
    if task is not None:
        sized = not any(key[:1] == ("task",) for key, _ in found)  # or nobody knows the ranges of its knobs
        _check_names(raw, written.words, task, sized, found)
        axes = _axes(raw, task, sized, found)
    experiment = None
    if config is not None and not found:
        experiment = _resolve(config, task, axes, text, found)
    if found:
        raise ConfigError(_listed(file, written.lines, found))
    return experiment


def _put_words(raw: dict, words: dict[tuple, str]) -> None:
    """Put what was written in place of numbers, true and false where a config holds words, such as `baseline: 1`."""
    for key, text in words.items():
        swept = key[0:1] == ("sweep",) and key[2:3] == ("key",)
        if key in WORDS or swept:
            *above, last = key
            holder = raw
            for part in above:
                holder = holder[part]
            if holder[last] is not None:
                holder[last] = text


# --- what is wrong, in words ------------------------------------------------------------------------------------------

# keys whose values are words; those of `sweep.AXIS.key` are as well
WORDS = {("name",), ("question",), ("task",), ("task", "name"), ("task", "file"), ("proxy",), ("baseline",)}


def _listed(file: str, lines: dict[tuple, int], found: list) -> list[str]:
    """Return a line of text for each of the first problems, and one that says how many more there are.

    Args:
        file: name of the file.
        lines: the line of every key.
        found: (key, message); a message may be a function that returns it, since most of many are never read.
    """
    located = sorted(
        dict.fromkeys((_line(lines, key), dotted(key), message) for key, message in found), key=lambda own: own[:2]
    )
    listed = [
        f"{file}:{line}: {key + ': ' if key else ''}{message() if callable(message) else message}"
        for line, key, message in located[:MAX_LISTED]
    ]
    more = len(located) - len(listed)
    return listed + [f"{file}: and {more:,} more"] * bool(more)


def _line(lines, key):
    """The line of a key, or of the nearest key above it that is in the file."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def _shown(value) -> str:
    """Return a value as it is shown in a message."""
    return shortened(repr(value), 60)


def _suggest(name, allowed):
    names, name = [str(item) for item in allowed], str(name)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6) if len(name) <= 64 else []  # no name is longer
    return f"did you mean {near[0]!r}?" if near else f"known: {shortened(', '.join(sorted(names)), 1_000)}"


def _unknown(task, what: str, name: str, allowed) -> str:
    """Say that a task has no knob, loss term, ... of a name."""
    return f"{task.name} has no {what} {_shown(name)}; {_suggest(name, allowed)}"


MODELS = {
    Phase: "phase",
    TrainingConfig: "training",
    Seeds: "seeds",
    Stop: "stop",
    Axis: "axis",
    Config: "config",
}
NO_NAME = "is not a name: use letters, digits, '-' and '_' (at most 64)"


def _place(item) -> tuple:
    """Return the key of one error of pydantic, without the kind that it puts behind that of a choice by kind."""
    key, chosen = (), None
    for part in item["loc"]:
        swept = key[:1] == ("sweep",) and (len(key) == 2 or key[2:] == ("key",))
        if part in KINDS and key != chosen and (swept or key in (("task",), ("seeds",), ("training", "segments"))):
            chosen = key
        else:
            key = (*key, part)
    return (
        key[:-1] if key[-1:] == ("[key]",) and item["type"] in ("string_pattern_mismatch", "string_too_long") else key
    )


def _message(item) -> str:
    """Return in words what one error of pydantic says."""
    key, kind, limits = _place(item), item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        fields = next(
            (model.model_fields for model, name in MODELS.items() if _owner(key) == name), Config.model_fields
        )
        return f"unknown key; {_suggest(key[-1], fields)}"
    if kind in ("string_pattern_mismatch", "string_too_long") and item["loc"][-1] == "[key]":
        return NO_NAME
    if kind == "string_pattern_mismatch" or (kind == "string_too_long" and key == ("name",)):
        return f"{_shown(item['input'])} {NO_NAME}"
    if kind == "value_error":
        return item["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "is required"
    if kind in ("too_long", "too_short"):
        most = "most" if kind == "too_long" else "least"
        return f"must hold at {most} {limits.get('max_length', limits.get('min_length')):,} entries"
    message = item["msg"].removeprefix("Input ").removeprefix("String ").replace("should", "must")
    return f"{message}, not {_shown(item['input'])}"


def _explain(item):
    """Return (key, message) for one error of pydantic."""
    return _place(item), _message(item)


def _owner(key):
    """Which part of a config the last name of a key belongs to."""
    if len(key) >= 4 and key[0] == "regimens":
        return "phase"
    if len(key) >= 2 and key[0] in ("training", "seeds", "stop"):
        return key[0]
    return "axis" if len(key) >= 3 and key[0] == "sweep" else "config"


def _task(chosen, found, folder, trust_code):
    """Return the task that a config names, with default sizes if its own are wrong, or None if there is no such."""
    fields = dict(chosen) if isinstance(chosen, dict) else {"name": chosen}
    if isinstance(chosen, dict) and not fields.keys() & {"name", "file"}:
        found.append((("task",), "needs 'name' or 'file'"))
    name, file = fields.pop("name", None), fields.pop("file", None)
    if isinstance(file, str):
        kind = _outside(file, name, found, folder, trust_code)
    elif isinstance(name, str) and name not in TASKS:
        key = ("task", "name") if isinstance(chosen, dict) else ("task",)
        found.append((key, f"unknown task {_shown(name)}; {_suggest(name, TASKS)}"))
        kind = None
    else:  # a name of another type is reported with the rest of the config
        kind = TASKS.get(name) if isinstance(name, str) else None
    if kind is None:
        return None
    known = {field.name for field in dataclasses.fields(kind)}
    found += [
        (("task", field), partial(lambda field: f"unknown key; {_suggest(field, known | {'name', 'file'})}", field))
        for field in fields.keys() - known
    ]
    sizes = {key: fields[key] for key in known & fields.keys() if isinstance(fields[key], str | bool | int | float)}
    try:
        task = TypeAdapter(kind).validate_json(json.dumps(sizes), strict=True)
    except ValidationError as error:
        found += [(("task", *_place(item)), partial(_message, item)) for item in error.errors(include_url=False)]
        try:
            task = kind()
        except Exception:  # a size without a default, say: there is nothing to look names up in
            return None
    except Exception as error:  # whatever a task in a file of its own may raise
        found.append((("task",), f"{type(error).__name__}: {' '.join(str(error).splitlines())}"))
        return None
    if taken := [score for score in RESERVED if score in task.scores]:
        found.append((("task",), f"its score {taken[0]!r} has the name of something else in the results"))
    return task


def _outside(file, name, found, folder, trust_code):
    """Return the class of a task in a file of its own, or None after appending to `found` why there is none."""
    if not trust_code:
        found.append(
            (("task", "file"), f"{_shown(file)} is code that this config runs: read it, then add --trust-code")
        )
        return None
    try:
        kind = task_class(folder / file)
    except TaskFileError as error:
        found.append((("task", "file"), " ".join(str(error).splitlines())))
        return None
    parts_of_task = ("name", "knobs", "terms", "proxies", "scores", "thresholds", "training")
    lacking = [part for part in parts_of_task if not hasattr(kind, part)]
    if lacking or not dataclasses.is_dataclass(kind):
        what = f"lacks {', '.join(lacking)}" if lacking else "is no dataclass"
        found.append((("task", "file"), f"{kind.__name__} {what}; lab check-task says all that is wrong"))
        return None
    if name not in (None, kind.name):
        found.append((("task", "name"), f"{file!r} defines the task {kind.name!r}, not {_shown(name)}"))
    return kind


def _is_number(value) -> bool:
    """Whether a value is a number that a float can hold; others are reported with the rest of the config."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _check_names(raw, words, task, sized, found):
    """Check every knob, loss term, score, proxy and regimen that the raw data names; ranges of knobs if `sized`."""

    def check(key, mapping, allowed, what):
        if not isinstance(mapping, dict):
            return
        for name, value in mapping.items():
            if name not in allowed:
                found.append(((*key, name), partial(_unknown, task, what, name, allowed)))
            elif what == "knob" and sized and _is_number(value):
                knob = task.knobs[name]
                if not knob.low <= value <= knob.high:
                    found.append(((*key, name), f"must lie in {knob.low:g} to {knob.high:g}, not {_shown(value)}"))

    check(("knobs",), raw.get("knobs"), task.knobs, "knob")
    check(("weights",), raw.get("weights"), task.terms, "loss term")
    check(("thresholds",), raw.get("thresholds"), task.thresholds, "score with a threshold")
    proxy = raw.get("proxy", "test")
    if isinstance(proxy, str) and proxy not in task.proxies:
        found.append((("proxy",), _unknown(task, "proxy", proxy, task.proxies)))

    regimens = raw.get("regimens")
    regimens = regimens if isinstance(regimens, dict) else {}
    baseline = raw.get("baseline")
    if isinstance(baseline, str) and regimens and baseline not in regimens:
        found.append((("baseline",), f"no regimen {_shown(baseline)}; {_suggest(baseline, regimens)}"))
    if baseline is None and (written := words.get(("baseline",))) in regimens:
        found.append((("baseline",), f"{written} is nothing here: write '{written}' for the regimen of that name"))
    for name, phases in regimens.items():
        phases = phases if isinstance(phases, list) else []
        for index, phase in enumerate(phases):
            if isinstance(phase, dict):
                key = ("regimens", name, index)
                check((*key, "weights"), phase.get("weights"), task.terms, "loss term")
                check((*key, "knobs"), phase.get("knobs"), task.knobs, "knob")
                check((*key, "gates"), phase.get("gates"), task.scores, "score")
                if phase.get("rates"):
                    check((*key, "rates"), phase["rates"], (*parts(task), "all"), "part")
        _phase_ends(("regimens", name), phases, found)


def _phase_ends(key, phases, found):
    """Return the end of each phase as a share of training, or None after appending to `found`."""
    ends, start, before = [], 0.0, len(found)
    for index, phase in enumerate(phases):
        if not isinstance(phase, dict) or phase.keys() - Phase.model_fields.keys():
            return None  # reported with the rest of the config
        until, lasts = phase.get("until"), phase.get("lasts")
        if (until is None) == (lasts is None):
            found.append(((*key, index), "a phase needs either 'until' or 'lasts'"))
            return None
        end = until if lasts is None else lasts
        if not _is_number(end) or not 0 <= end <= 1:
            return None  # likewise
        end = end if lasts is None else start + end
        if end < start - 1e-9:
            problem = f"ends at {end:.12g}, before the phase above it, which ends at {start:.12g}"
            found.append(((*key, index), problem))
        ends.append(end)
        start = end
    if ends and len(found) == before and abs(ends[-1] - 1) > 1e-9:
        found.append(((*key, len(ends) - 1), f"the last phase must end at 1, not {ends[-1]:.12g}"))
    return ends if len(found) == before else None


# --- from a config to conditions ----------------------------------------------------------------------------------

# an index has one way of being written, so that no two keys stand for one thing
PATH = re.compile(
    r"(?:(knobs|weights)\.(\w+)|training\.(learning_rate|final_learning_rate)"
    r"|regimens\.([\w-]+)\[(0|[1-9][0-9]*)\]\.(until|lasts|(weights|knobs|rates|gates)\.(\w+)))",
    re.ASCII,
)


def _resolve(config, task, axes, text, found):
    """Fill in defaults, expand the sweep and build the experiment; append to `found` what does not fit."""
    defaults = dataclasses.asdict(task.training)
    given = config.training.model_dump(exclude_none=True)
    segments = given.pop("segments", 20)
    width = given.pop("block_width", None)
    training = dataclasses.replace(task.training, **given)
    if width is not None:
        training = dataclasses.replace(training, block_width=dict.fromkeys(defaults["block_width"], width))
    ends = _segment_ends(segments, training.steps, found)
    seeds = config.seeds if isinstance(config.seeds, Seeds) else Seeds(count=config.seeds)
    if found:
        return None
    filled = {name: getattr(training, name) for name in given.keys() | defaults.keys() - {"block_width"}}
    config = config.model_copy(
        update={
            "seeds": seeds,
            "training": config.training.model_copy(update=filled),
            "thresholds": {**task.thresholds, **config.thresholds},
            "knobs": {name: float(config.knobs.get(name, knob.default)) for name, knob in task.knobs.items()},
            "baseline": config.baseline or next(iter(config.regimens)),
        }
    )
    if problem := _unknowable(config):
        found.append((("stop", "of"), problem))
    conditions = tuple(_conditions(config, task, training, ends, axes, found))
    if problem := _too_many(seeds.first, seeds.count, len(conditions)):
        found.append((("seeds",), problem))
    return None if found else Experiment(config, text, task, training, ends, conditions)


def _segment_ends(segments, steps, found):
    if isinstance(segments, int):
        if steps % segments:
            found.append((("training", "segments"), f"{segments} equal segments do not divide {steps} steps"))
            return ()
        return tuple(steps // segments * (index + 1) for index in range(segments))
    ends = [share * steps for share in segments]
    whole = [round(end) for end in ends]
    if any(abs(end - step) > 1e-6 * steps for end, step in zip(ends, whole, strict=True)):
        found.append((("training", "segments"), f"every end must be a whole number of the {steps} steps"))
    elif not whole or whole[-1] != steps or whole[0] <= 0 or any(b <= a for a, b in itertools.pairwise(whole)):
        found.append((("training", "segments"), "ends must rise from above 0 to 1"))
    return tuple(whole)


def _well_formed(raw) -> dict:
    """Return axis -> (its key in the config, swept keys, values), without what the rest of the checks report."""
    sweep, axes = raw.get("sweep"), {}
    for label, axis in sweep.items() if isinstance(sweep, dict) else ():
        short = isinstance(axis, list)
        axis = {"key": f"knobs.{label}", "values": axis} if short else axis if isinstance(axis, dict) else {}
        keys, values = axis.get("key"), axis.get("values")
        keys = keys if isinstance(keys, list) else [keys]
        if isinstance(values, list) and all(map(_is_number, values)) and all(isinstance(key, str) for key in keys):
            where = ("sweep", label) if short else ("sweep", label, "key")
            axes[label] = where, keys, [float(value) for value in values]
    return axes


def _axes(raw, task, sized, found):
    """Return axis -> (parsed keys, values), reporting what cannot be swept; how far knobs can, if `sized`."""
    regimens = raw.get("regimens")
    axes, swept = {}, set()
    for label, (where, keys, values) in _well_formed(raw).items():
        matches, problems = [], []
        for key in keys:
            match = PATH.fullmatch(key)
            problem, limits = _sweepable(match, regimens, task)
            if problem:
                problems.append((where, partial(_cannot_sweep, key, problem)))
                continue
            if key in swept:
                problems.append((where, f"{key!r} is swept already"))
                continue
            other = re.sub("until$", "lasts", key) if key.endswith("until") else re.sub("lasts$", "until", key)
            if other != key and other in swept:
                problems.append((where, f"{key!r} cannot be swept beside {other!r}: a phase has one end"))
                continue
            swept.add(key)
            matches.append(match)
            known = sized or "knobs" not in (match[1], match[7])
            if known and (outside := [value for value in values if not limits[0] <= value <= limits[1]]):
                problem = f"{key} must lie in {limits[0]:g} to {limits[1]:g}, not {outside[0]}"
                problems.append((("sweep", label), problem))
        if label in (*RESERVED, *task.scores):
            problems.append((("sweep", label), "is the name of something else in the results; choose another"))
        elif label in task.knobs and not problems and label not in {match[2] or match[8] for match in matches}:
            problems.append((("sweep", label), "is the name of a knob that it does not sweep; choose another"))
        if not values:
            problems.append((("sweep", label), "needs at least one value"))
        if problem := _alike(values):
            problems.append((("sweep", label), problem))
        found += problems
        axes[label] = matches, values
    if isinstance(regimens, dict):
        shared, own = _applying(axes, regimens)
        of_regimens = sum(math.prod(len(axes[label][1]) for label in labels) for labels in own.values())
        if of_regimens * math.prod(len(axes[label][1]) for label in shared) > MAX_CONDITIONS:
            key = ("sweep",) if axes else ("regimens",)
            found.append((key, f"stands for more than the limit of {MAX_CONDITIONS:,} conditions"))
    return axes


def _applying(axes, regimens) -> tuple[dict, dict]:
    """Return the parsed keys of no regimen, by axis, and those of each regimen, by regimen and axis.

    An axis that has any of the first applies to all regimens, any other to the regimens of its keys.
    """
    shared, own = {}, {regimen: {} for regimen in regimens}
    for label, (matches, _) in axes.items():
        everywhere = [match for match in matches if match[4] is None]
        if everywhere:
            shared[label] = everywhere
    for label, (matches, _) in axes.items():
        for match in matches:
            if match[4] in own:
                own[match[4]].setdefault(label, []).append(match)
    return shared, own


def _alike(values: list[float]) -> str | None:
    """Return what is wrong with values of an axis of which two cannot be told apart, or None."""
    with np.errstate(over="ignore"):
        trained = np.array(values).astype(np.float32).tolist()
    for seen, problem in (
        (values, "holds the same value twice"),
        (trained, "{} and {} are the same number in float32, in which models are trained"),
        ([f"{value:.12g}" for value in values], "{} and {} would have the same name, which has 12 digits"),
    ):
        first = {}
        for value, same in zip(values, seen, strict=True):
            if same in first:
                return problem.format(first[same], value)
            first[same] = value
    return None


def _cannot_sweep(key: str, problem) -> str:
    return f"{_shown(key)} cannot be swept: {problem() if callable(problem) else problem}"


CAN_BE_SWEPT = (
    "knobs.NAME, weights.TERM, training.learning_rate, training.final_learning_rate, or regimens.NAME[PHASE] with "
    ".until, .lasts, .weights.TERM, .knobs.NAME, .rates.PART or .gates.SCORE can"
)


def _sweepable(match, regimens, task):
    """Return what is wrong with a key of a sweep (or a function that says it), or None, and the range of its values."""
    if match is None:
        return CAN_BE_SWEPT, None
    section, name = (match[1], match[2]) if match[1] else (match[7], match[8])
    phases = regimens.get(match[4], []) if isinstance(regimens, dict) else None
    if match[4] and isinstance(phases, list) and (len(match[5]) > 9 or int(match[5]) >= len(phases)):
        return f"there is no phase {shortened(f'regimens.{match[4]}[{match[5]}')}]", None
    what, allowed, limits = {
        "knobs": ("knob", task.knobs, None),
        "weights": ("loss term", task.terms, (-MAX_WEIGHT, MAX_WEIGHT)),
        "rates": ("part", (*parts(task), "all") if section == "rates" else (), (0, 1e6)),
        "gates": ("score", task.scores, (0, 1)),
        None: (None, (None,), (0, 1e6) if match[3] == "learning_rate" else (0, 1)),
    }[section]
    if name not in allowed:
        return partial(_unknown, task, what, name, allowed), None
    return None, (task.knobs[name].low, task.knobs[name].high) if section == "knobs" else limits


def _conditions(config, task, training, ends, axes, found):
    """Yield every condition: point by point of the axes that apply to all regimens, and there regimen by regimen."""
    regimens = config.model_dump()["regimens"]
    shared, own = _applying(axes, regimens)
    labels = {regimen: [*shared, *(label for label in own[regimen] if label not in shared)] for regimen in regimens}
    worlds = list(itertools.product(*(axes[label][1] for label in shared)))
    size = sum(
        (len(phases) + sum(map(len, own[regimen].values())))
        * math.prod(len(axes[label][1]) for label in labels[regimen][len(shared) :])
        for regimen, phases in regimens.items()
    )
    if size * len(worlds) > MAX_EXPANDED:
        key = ("sweep",) if axes else ("regimens",)
        found.append((key, f"stands for more than the limit of {MAX_EXPANDED:,} phases in all conditions"))
        return
    locks = any(phase.rates for phases in config.regimens.values() for phase in phases)
    locks |= any(match[7] == "rates" for matches, _ in axes.values() for match in matches)
    for world in worlds:
        for regimen, phases in regimens.items():
            for point in itertools.product(*(axes[label][1] for label in labels[regimen][len(shared) :])):
                coordinates = dict(zip(labels[regimen], (*world, *point), strict=True))
                changes = [
                    (match, value)
                    for label, value in coordinates.items()
                    for match in (*shared.get(label, ()), *own[regimen].get(label, ()))
                ]
                condition = _condition(
                    config, task, training, ends, regimen, phases, coordinates, changes, locks, found
                )
                if condition is not None:
                    yield condition


def _condition(config, task, training, ends, regimen, phases, coordinates, changes, locks, found):
    """Return one condition, or None after appending to `found` why its phases do not fit."""
    knobs, weights = dict(config.knobs), {"main": 1.0, **config.weights}
    rates = {"learning_rate": training.learning_rate, "final_learning_rate": training.final_learning_rate}
    phases = list(phases)
    for match, value in changes:
        if match[1]:
            {"knobs": knobs, "weights": weights}[match[1]][match[2]] = value
        elif match[3]:
            rates[match[3]] = value
        else:
            phase = phases[int(match[5])]
            swept = {match[7]: {**phase[match[7]], match[8]: value}} if match[7] else {match[6]: value}
            phases[int(match[5])] = {**phase, **({} if match[7] else {"until": None, "lasts": None}), **swept}
    name = " ".join([regimen, *(f"{label}={value:.12g}" for label, value in coordinates.items())])
    key = ("sweep",) if coordinates else ("regimens", regimen)

    problems = []
    shares, fit = _phase_ends(key, phases, problems) or [], {0, *ends}
    stops = [round(share * training.steps) for share in shares]
    for share, stop, phase in zip(shares, stops, phases, strict=bool(shares)):
        if phase["gates"] and stop == 0:
            problems.append((key, "a gate stands at the end of a phase, and nothing is measured before training"))
        if abs(share * training.steps - stop) > 1e-6 * training.steps or stop not in fit:
            problems.append((key, partial(_no_end, share, training.steps, fit)))
    if len(name) > MAX_TEXT:
        problems.append((key, f"a name of more than {MAX_TEXT:,} characters: sweep fewer axes"))
    if problems:
        found += [(key, partial(_of_condition, name, message) if coordinates else message) for _, message in problems]
        return None
    settings, index, same = [], 0, None
    for end in ends:
        while stops[index] < end:
            index, same = index + 1, None
        same = same or _settings(task, phases[index], knobs, weights, rates, locks)
        settings.append(same)
    gates = (
        (stop / training.steps, score, mark)
        for stop, phase in zip(stops, phases, strict=True)
        for score, mark in phase["gates"].items()
    )
    return Condition(name, regimen, coordinates, knobs, tuple(settings), tuple(gates))


def _no_end(share: float, steps: int, ends: set[int]) -> str:
    """Say that no segment ends where a phase does."""
    near = sorted(ends, key=lambda end: abs(end - share * steps))[:2]
    fits = " and ".join(f"{end / steps:.12g}" for end in sorted(near))
    return f"a phase ends at {share:.12g}, where no segment ends; the nearest are {fits}"


def _of_condition(name: str, message) -> str:
    return f"{shortened(name, 200)}: {message() if callable(message) else message}"


def _settings(task, phase, knobs, weights, rates, locks):
    """Return the `Settings` of one segment, as tuples of Python floats, which can be compared and hashed."""
    every = phase["rates"].get("all", 1.0)
    by_part = tuple(float(every * phase["rates"].get(part, 1.0)) for part in parts(task)) if locks else 1.0
    weights = {**weights, **phase["weights"]}
    trained = {**knobs, **phase["knobs"]}
    return Settings(
        # + 0.0, so that -0 and 0 are one number here too
        weights=tuple(float(weights.get(term, 0.0)) + 0.0 for term in task.terms),
        training_knobs=tuple(float(trained[knob]) + 0.0 for knob in task.knobs),
        world_knobs=tuple(float(knobs[knob]) + 0.0 for knob in task.knobs),
        learning_rate=float(rates["learning_rate"]),
        final_learning_rate=float(rates["final_learning_rate"]),
        part_rates=by_part,
    )
