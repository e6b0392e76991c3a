"""What a YAML file may say, and the experiment it stands for.

Reading a file never runs code: YAML 1.2, no tags, no aliases, bounded size and depth. Keys and names are text as
written, so `01`, `1` and `1.0` are three. Everything that is wrong is reported at once, each problem with its line, its
full key and, for a misspelt name, the nearest right one; of many problems the first fifty.

No two conditions of a config have the same name: it is the regimen and, for each axis that applies to it, the axis and
its value to 12 digits. Regimens and axes hold neither spaces nor "=", regimens differ as keys do, all conditions of a
regimen have the same axes, and values of an axis that agree in 12 digits (or in float32, as trained) are refused.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lab.config.problems import MAX_LISTED, Problems, explained, shown, suggestion, unknown
from lab.config.schema import MAX_BYTES, MAX_LANES, MAX_SEED, RESERVED, Config, Seeds, Stop
from lab.config.source import ConfigError, Raw, Written, dotted, is_number, read_file, read_yaml, select, shortened
from lab.config.sweep import Axis, Condition, Filled, Segment, conditions, phase_ends, read_axes, segment_ends
from lab.statistics.quantities import OF_ACCEPTED
from lab.tasks import TASKS
from lab.tasks.base import Task, Training
from lab.tasks.outside import TaskFileError, task_class
from lab.tasks.settings import parts

__all__ = ["MAX_LISTED", "Condition", "Config", "ConfigError", "Experiment", "Stop", "from_values", "load", "parse"]

LATER_KNOBS = {"capability"}  # that tasks got after claims had been counted; left alone they change nothing
BUILT_IN = Path(__file__).parent  # where the configs lie that come with the lab
EQUAL_SEGMENTS = 20  # unless a config says otherwise: scores are recorded at every twentieth of training
# keys whose values are words; those of `sweep.AXIS.key` are as well
WORDS = {("name",), ("question",), ("task",), ("task", "name"), ("task", "file"), ("proxy",), ("baseline",)}


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
    def name(self) -> str:
        """The name the config gives itself."""
        return self.config.name

    @property
    def seeds(self) -> range:
        """The seeds, as a range."""
        seeds = _seeds(self.config)
        return range(seeds.first, seeds.first + seeds.count)

    @property
    def thresholds(self) -> dict[str, float]:
        """Pass mark of competence, alignment and each proxy."""
        return self.config.thresholds

    @property
    def baseline(self) -> str:
        """The regimen that others are compared with: the one named, or else the first."""
        return self.config.baseline or next(iter(self.config.regimens))

    @cached_property
    def hash(self) -> str:
        """Hexadecimal digest of everything the config says, comments and layout aside."""
        return _digest(self.as_json())

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The digest of each condition: of all that decides how its models are trained and when they are measured.

        Conditions with the same digest are one training. Where rejected runs are really stopped, their gates count.
        """
        gates: dict[tuple[Segment, ...], list[tuple]] = {}
        for condition in self.conditions:
            gates.setdefault(condition.settings, []).append(condition.gates)
        task = {"name": self.task.name, **_sizes(self.task)}
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

    def as_json(self) -> dict[str, Any]:
        """Return the filled-in config as plain JSON values."""
        values = self.config.model_dump()
        for key, absent in (("stop", None), ("stop_rejected", False), ("worlds", None)):
            if values[key] == absent:
                del values[key]  # runs from before there was such a key keep their hash
        for name in LATER_KNOBS & self.task.knobs.keys():
            if values["knobs"].get(name) == self.task.knobs[name].default:
                del values["knobs"][name]  # so do those from before there was such a knob
        chosen = self.config.task
        outside = {"file": chosen["file"]} if isinstance(chosen, dict) and "file" in chosen else {}
        return {**values, "task": {"name": self.task.name, **outside, **_sizes(self.task)}}

    def with_seeds(self, count: int, first: int | None = None) -> "Experiment":
        """Return the same experiment with other seeds. Raises `ConfigError` beyond the limits."""
        first = self.seeds.start if first is None else first
        problem = _too_many(first, count, len(self.conditions))
        if count < 1 or first < 0 or problem:
            raise ConfigError([f"seeds: {problem or 'must be at least 1, the first of them at least 0'}"])
        seeds = Seeds(first=first, count=count)
        return dataclasses.replace(self, config=self.config.model_copy(update={"seeds": seeds}))

    def with_stop(self, **rule: Any) -> "Experiment":
        """Return the same experiment with another `Stop`, or none. Raises `ConfigError` if there is no such rule."""
        try:
            stop = Stop(**rule) if rule else None
        except ValidationError as error:
            raise ConfigError([f"{dotted(('stop', *key))}: {message}" for key, message in explained(error)]) from None
        config = self.config.model_copy(update={"stop": stop})
        if problem := _why_never_met(config):
            raise ConfigError([f"stop.of: {problem}"])
        return dataclasses.replace(self, config=config)

    def looks(self, block_width: int) -> list[int]:
        """Return the numbers of seeds at which training pauses; all but the last are whole blocks."""
        count, stop = len(self.seeds), self.config.stop
        if stop is None:
            return [count]
        blocks = [-(-count * look // (stop.planned * block_width)) for look in range(1, stop.planned + 1)]
        return sorted({min(count, block * block_width) for block in blocks})


def _digest(values: object) -> str:
    """Return a hexadecimal digest of plain JSON values; the order of keys does not count, that of lists does."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _sizes(task: Task) -> dict[str, Any]:
    """Return the static settings of a task by name."""
    if not dataclasses.is_dataclass(task):
        raise TypeError(f"{type(task).__name__} is no dataclass")
    return dataclasses.asdict(task)


def _seeds(config: Config) -> Seeds:
    """Return the seeds of a config, which may say only how many they are."""
    return config.seeds if isinstance(config.seeds, Seeds) else Seeds(count=config.seeds)


def _by_name(task: Task, settings: Segment) -> dict[str, Any]:
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


def _why_never_met(config: Config) -> str | None:
    """Return why a rule for stopping can never be met, or None."""
    if config.stop is None:
        return None
    if config.stop.of == "net" and len(config.regimens) == 1:
        return "net compares regimens, and there is only one"
    gated = any(phase.gates for phases in config.regimens.values() for phase in phases)
    if config.stop_rejected and gated and config.stop.of not in ("net", *OF_ACCEPTED):
        return f"{config.stop.of} takes the truth about runs that stop_rejected stops; {', '.join(OF_ACCEPTED)} do not"
    return None


def _too_many(first: int, count: int, conditions: int) -> str | None:
    """Return what is wrong with that many seeds, or None."""
    if first + count > MAX_SEED:
        return f"seeds must stay below {MAX_SEED}"
    if conditions * count > MAX_LANES:
        return f"{conditions} conditions x {count:,} seeds exceed the limit of {MAX_LANES:,} runs"
    return None


def load(path: str | Path, trust_code: bool = False, task: str | None = None) -> Experiment:
    """Read an experiment from a YAML file.

    Args:
        path: of the file, or the name of a config that comes with the lab, such as "quickstart". What is a path,
            such as "./quickstart", is never such a name, and neither is a `Path`.
        trust_code: run the Python file that the config names as its task, if it names one.
        task: which task's config to take from a file that holds several below `tasks`.

    Raises:
        ConfigError: the file cannot be used; every problem is listed.
    """
    path = _file(path)
    return parse(read_file(path), str(path), trust_code, task)


def _file(named: str | Path) -> Path:
    """Return the file of a config by its path or, for one that comes with the lab, by its name."""
    built_in = {file.stem: file for file in BUILT_IN.glob("*.yaml")}
    if isinstance(named, str) and named in built_in:
        return built_in[named]
    path = Path(os.path.expanduser(named))
    is_word = str(named) == path.stem and path.stem.isprintable()
    if not os.path.lexists(path) and (is_word or path.stem in built_in):
        meant = suggestion(path.stem, built_in)
        raise ConfigError([f"{shortened(str(named))}: no such file, and no such built-in config; {meant}"])
    return path


def parse(text: str, file: str = "config", trust_code: bool = False, task: str | None = None) -> Experiment:
    """Read an experiment from YAML text as `load` does; `file` names it in errors. Raises `ConfigError`."""
    if len(text) > MAX_BYTES:
        raise ConfigError([f"{file}: larger than the limit of {MAX_BYTES:,} bytes"])
    written = select(read_yaml(text, file), task, file)
    if not isinstance(written.data, dict):
        raise ConfigError([f"{file}:1: a config is a mapping of keys, such as 'name: first-run'"])
    _put_words(written.data, written.words)
    return _experiment(written.data, written, text, file, trust_code)


def from_values(values: dict[str, Any], trust_code: bool = False) -> Experiment:
    """Read an experiment from what `Experiment.as_json` returned, such as the config in a manifest.

    Args:
        values: plain JSON values.
        trust_code: run the Python file that the config names as its task, if it names one.

    Raises:
        ConfigError: this lab reads it no more.
    """
    return _experiment(values, Written(values, {}, {}, []), json.dumps(values), "config", trust_code)


def _experiment(raw: Raw, written: Written, text: str, file: str, trust_code: bool) -> Experiment:
    """Return the experiment that a config stands for. Raises `ConfigError` with every problem."""
    problems = Problems(file, written)
    config = None
    try:
        # JSON in strict mode takes lists for lists and whole numbers for floats, and nothing else
        config = Config.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        problems.add_invalid(error)
    task = _task(raw.get("task"), problems, Path(file).parent, trust_code)
    axes: dict[str, Axis] = {}
    if task is not None:
        sized = not problems.concern("task")  # or nobody knows the ranges of its knobs
        _check_names(raw, task, sized, problems)
        _check_regimens(raw, written.words, task, sized, problems)
        axes = read_axes(raw, task, sized, problems)
    problems.check()
    if config is None or task is None:
        raise AssertionError("a config without problems has a task")
    filled = _filled(config, task, problems)
    problems.check()
    if reason := _why_never_met(filled.config):
        problems.add(("stop", "of"), reason)
    expanded = tuple(conditions(filled, axes, problems))
    seeds = _seeds(config)
    if reason := _too_many(seeds.first, seeds.count, len(expanded)):
        problems.add(("seeds",), reason)
    problems.check()
    return Experiment(filled.config, text, task, filled.training, filled.ends, expanded)


def _put_words(raw: Raw, words: Mapping[tuple, str]) -> None:
    """Put what was written in place of numbers, true and false where a config holds words, such as `baseline: 1`."""
    for key, text in words.items():
        of_axis = key[0:1] == ("sweep",) and key[2:3] == ("key",)
        if key in WORDS or of_axis or (key[0:2] == ("worlds", "keys") and key[3:4] == ("key",)):
            *above, last = key
            holder: Any = raw
            for part in above:
                holder = holder[part]
            if holder[last] is not None:
                holder[last] = text


def _task(chosen: object, problems: Problems, folder: Path, trust_code: bool) -> Task | None:
    """Return the task that a config names, with default sizes if its own are wrong, or None if there is no such."""
    fields = dict(chosen) if isinstance(chosen, dict) else {"name": chosen}
    if isinstance(chosen, dict) and not fields.keys() & {"name", "file"}:
        problems.add(("task",), "needs 'name' or 'file'")
    name, file = fields.pop("name", None), fields.pop("file", None)
    if isinstance(file, str):
        kind = _outside(file, name, problems, folder, trust_code)
    elif isinstance(name, str) and name not in TASKS:
        key = ("task", "name") if isinstance(chosen, dict) else ("task",)
        problems.add(key, f"unknown task {shown(name)}; {suggestion(name, TASKS)}")
        kind = None
    else:  # a name of another type is reported with the rest of the config
        kind = TASKS.get(name) if isinstance(name, str) else None
    if kind is None or not dataclasses.is_dataclass(kind):
        return None
    known = {field.name for field in dataclasses.fields(kind)}
    for field in fields.keys() - known:
        problems.add(
            ("task", field), partial(lambda name: f"unknown key; {suggestion(name, known | {'name', 'file'})}", field)
        )
    sizes = {key: fields[key] for key in known & fields.keys() if isinstance(fields[key], str | bool | int | float)}
    try:
        task = TypeAdapter(kind).validate_json(json.dumps(sizes), strict=True)
    except ValidationError as error:
        problems.add_invalid(error, ("task",))
        try:
            task = kind()
        except Exception:  # a size without a default, say: there is nothing to look names up in
            return None
    except Exception as error:  # whatever a task in a file of its own may raise
        problems.add(("task",), f"{type(error).__name__}: {' '.join(str(error).splitlines())}")
        return None
    if taken := [score for score in RESERVED if score in task.scores]:
        problems.add(("task",), f"its score {taken[0]!r} has the name of something else in the results")
    return task


def _outside(file: str, name: object, problems: Problems, folder: Path, trust_code: bool) -> type[Task] | None:
    """Return the class of a task in a file of its own, or None after saying why there is none."""
    if not trust_code:
        problems.add(("task", "file"), f"{shown(file)} is code that this config runs: read it, then add --trust-code")
        return None
    try:
        kind = task_class(folder / file)
    except TaskFileError as error:
        problems.add(("task", "file"), " ".join(str(error).splitlines()))
        return None
    parts_of_task = ("name", "knobs", "terms", "proxies", "scores", "thresholds", "training")
    lacking = [part for part in parts_of_task if not hasattr(kind, part)]
    if lacking or not dataclasses.is_dataclass(kind):
        what = f"lacks {', '.join(lacking)}" if lacking else "is no dataclass"
        problems.add(("task", "file"), f"{kind.__name__} {what}; lab check-task says all that is wrong")
        return None
    if name not in (None, kind.name):
        problems.add(("task", "name"), f"{file!r} defines the task {kind.name!r}, not {shown(name)}")
    return kind


def _check_names(raw: Raw, task: Task, sized: bool, problems: Problems) -> None:
    """Check knobs, loss terms, thresholds and the proxy that a config names outside its regimens."""
    _check_knobs(("knobs",), raw.get("knobs"), task, sized, problems)
    _check_known(("weights",), raw.get("weights"), task, "loss term", task.terms, problems)
    _check_known(("thresholds",), raw.get("thresholds"), task, "score with a threshold", task.thresholds, problems)
    proxy = raw.get("proxy", "test")
    if isinstance(proxy, str) and proxy not in task.proxies:
        problems.add(("proxy",), unknown(task.name, "proxy", proxy, task.proxies))


def _check_regimens(raw: Raw, words: Mapping[tuple, str], task: Task, sized: bool, problems: Problems) -> None:
    """Check the baseline, and in each phase of a regimen its end, knobs, loss terms, scores and parts."""
    regimens = raw.get("regimens")
    regimens = regimens if isinstance(regimens, dict) else {}
    baseline = raw.get("baseline")
    if isinstance(baseline, str) and regimens and baseline not in regimens:
        problems.add(("baseline",), f"no regimen {shown(baseline)}; {suggestion(baseline, regimens)}")
    if baseline is None and (word := words.get(("baseline",))) in regimens:
        problems.add(("baseline",), f"{word} is nothing here: write '{word}' for the regimen of that name")
    for name, written_phases in regimens.items():
        phases = written_phases if isinstance(written_phases, list) else []
        for index, phase in enumerate(phases):
            if isinstance(phase, dict):
                key = ("regimens", name, index)
                _check_known((*key, "weights"), phase.get("weights"), task, "loss term", task.terms, problems)
                _check_knobs((*key, "knobs"), phase.get("knobs"), task, sized, problems)
                _check_known((*key, "gates"), phase.get("gates"), task, "score", task.scores, problems)
                if phase.get("rates"):
                    known = (*parts(task), "all")
                    _check_known((*key, "rates"), phase["rates"], task, "part", known, problems)
        for index, problem in phase_ends(phases).problems:
            problems.add(("regimens", name, index), problem)


def _check_known(
    key: tuple, names: object, task: Task, what: str, allowed: Mapping[str, Any] | Sequence[str], problems: Problems
) -> None:
    """Check that a task has whatever a mapping of a config names."""
    for name in names if isinstance(names, dict) else ():
        if name not in allowed:
            problems.add((*key, name), partial(unknown, task.name, what, name, allowed))


def _check_knobs(key: tuple, values: object, task: Task, sized: bool, problems: Problems) -> None:
    """Check that a task has the knobs that a mapping of a config sets and, if it is `sized`, their ranges."""
    _check_known(key, values, task, "knob", task.knobs, problems)
    for name, value in values.items() if isinstance(values, dict) and sized else ():
        if name in task.knobs and is_number(value):
            knob = task.knobs[name]
            if not knob.low <= value <= knob.high:
                problems.add((*key, name), f"must lie in {knob.low:g} to {knob.high:g}, not {shown(value)}")


def _filled(config: Config, task: Task, problems: Problems) -> Filled:
    """Return a config with the defaults of its task."""
    defaults = dataclasses.asdict(task.training)
    changes = config.training.model_dump(exclude_none=True)
    segments = changes.pop("segments", EQUAL_SEGMENTS)
    width = changes.pop("block_width", None)
    training = dataclasses.replace(task.training, **changes)
    if width is not None:
        training = dataclasses.replace(training, block_width=dict.fromkeys(defaults["block_width"], width))
    names = changes.keys() | defaults.keys() - {"block_width"}
    filled = config.model_copy(
        update={
            "seeds": _seeds(config),
            "training": config.training.model_copy(update={name: getattr(training, name) for name in names}),
            "thresholds": {**task.thresholds, **config.thresholds},
            "knobs": {name: float(config.knobs.get(name, knob.default)) for name, knob in task.knobs.items()},
            "baseline": config.baseline or next(iter(config.regimens)),
        }
    )
    return Filled(filled, task, training, segment_ends(segments, training.steps, problems))
