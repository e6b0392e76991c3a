"""What a YAML file may say, and the conditions it stands for.

Reading a file never runs code: YAML 1.2, no tags, no aliases, bounded size and depth. Everything that is wrong is
reported at once, each problem with its line, its full key and, for a misspelt name, the nearest right one.
"""

import copy
import dataclasses
import difflib
import hashlib
import itertools
import json
import re
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.population import Settings, parts
from lab.schema import (
    COORDINATES,
    MAX_LANES,
    MAX_SEED,
    OF_ACCEPTED,
    Axis,
    Config,
    Name,
    Phase,
    Seeds,
    Stop,
    TrainingConfig,
)
from lab.source import ConfigError, read_yaml
from lab.tasks import TASKS
from lab.tasks.outside import TaskFileError, task_class

MAX_BYTES = 1_000_000
MAX_CONDITIONS = 10_000


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
    task: object
    training: object
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
            raise ConfigError([f"{_dotted(('stop', *key))}: {message}" for key, message in explained]) from None
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
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than the limit of {MAX_BYTES:,} bytes"])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}"]) from None
    return parse(text, str(path), trust_code)


def parse(text, file="config", trust_code=False):
    """Read an experiment from YAML text as `load` does; `file` names it in errors. Raises `ConfigError`."""
    raw, lines, found = read_yaml(text, file)
    if not isinstance(raw, dict):
        raise ConfigError([f"{file}: a config is a mapping of keys, such as 'name: first-run'"])
    config = None
    try:
        # JSON in strict mode takes lists for lists and whole numbers for floats, and nothing else
        config = Config.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        alternatives = {}
        for item in error.errors(include_url=False):
            key, message = _explain(item)
            alternatives.setdefault(key, []).append(message)
        found += [(key, ", or ".join(dict.fromkeys(messages))) for key, messages in alternatives.items()]
    task = _task(raw.get("task"), found, Path(file).parent, trust_code)
    if task is not None:
        _check_names(raw, task, found)
        axes = _axes(raw, task, found)
    experiment = None
    if config is not None and not found:
        experiment = _resolve(config, task, axes, text, found)
    if found:
        located = sorted({(_line(lines, key), _dotted(key), message) for key, message in found})
        raise ConfigError(f"{file}:{line}: {key + ': ' if key else ''}{message}" for line, key, message in located)
    return experiment


# --- what is wrong, in words ------------------------------------------------------------------------------------------


def _line(lines, key):
    """The line of a key, or of the nearest key above it that is in the file."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def _dotted(key):
    """('regimens', 'early', 0, 'until') -> 'regimens.early[0].until'."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _suggest(name, allowed):
    near = difflib.get_close_matches(str(name), [str(item) for item in allowed], n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(map(str, allowed)))}"


MODELS = {
    Phase: "phase",
    TrainingConfig: "training",
    Seeds: "seeds",
    Stop: "stop",
    Axis: "axis",
    Config: "config",
}
UNIONS = {"int", "float", "str", "bool", "constrained-int", "list[constrained-float]", "list[float]", "list[str]"}
UNIONS |= {model.__name__ for model in MODELS}


def _explain(item):
    """Return (key, message) for one error of pydantic."""
    where = item["loc"]
    key = tuple(part for part in where if part not in UNIONS and not str(part).startswith(("dict[", "list[", "constr")))
    if item["type"] == "extra_forbidden":
        fields = next(
            (model.model_fields for model, name in MODELS.items() if _owner(key) == name), Config.model_fields
        )
        return key, f"unknown key; {_suggest(key[-1], fields)}"
    if key and key[-1] == "[key]":
        return key[:-1], "is not a name: use letters, digits, '-' and '_' (at most 64)"
    if item["type"] == "string_pattern_mismatch":
        return key, f"{item['input']!r} is not a name: use letters, digits, '-' and '_' (at most 64)"
    message = item["msg"].removeprefix("Input ").replace("should be", "must be")
    if item["type"] == "value_error":
        return key, message.removeprefix("Value error, ")
    if item["type"] == "missing":
        return key, "is required"
    shown = repr(item["input"])
    return key, f"{message}, not {shown if len(shown) <= 60 else shown[:57] + '...'}"


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
    name, file = fields.pop("name", None), fields.pop("file", None)
    if isinstance(file, str):
        if not trust_code:
            found.append((("task", "file"), f"{file!r} is code that this config runs: read it, then add --trust-code"))
            return None
        try:
            kind = task_class(folder / file)
        except TaskFileError as error:
            found.append((("task", "file"), str(error)))
            return None
        if name not in (None, kind.name):
            found.append((("task", "name"), f"{file!r} defines the task {kind.name!r}, not {name!r}"))
    elif not isinstance(name, str) or name not in TASKS:
        if chosen is not None:
            found.append((("task",), f"unknown task {name!r}; {_suggest(name, TASKS)}"))
        return None
    else:
        kind = TASKS[name]
    known = {field.name for field in dataclasses.fields(kind)}
    found += [
        (("task", field), f"unknown key; {_suggest(field, known | {'name', 'file'})}") for field in set(fields) - known
    ]
    try:
        text = json.dumps({key: fields[key] for key in known & set(fields)}, default=str)
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            message = item["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be")
            found.append((("task", *item["loc"]), message))
        return kind()


def _check_names(raw, task, found):
    """Check every knob, loss term, score, proxy and regimen that the raw data names."""

    def check(key, mapping, allowed, what):
        if not isinstance(mapping, dict):
            return
        for name, value in mapping.items():
            if name not in allowed:
                found.append(((*key, name), f"{task.name} has no {what} {name!r}; {_suggest(name, allowed)}"))
            elif what == "knob" and isinstance(value, int | float) and not isinstance(value, bool):
                knob = task.knobs[name]
                if not knob.low <= value <= knob.high:
                    found.append(((*key, name), f"must lie in {knob.low:g} to {knob.high:g}, not {value}"))

    check(("knobs",), raw.get("knobs"), task.knobs, "knob")
    check(("weights",), raw.get("weights"), task.terms, "loss term")
    check(("thresholds",), raw.get("thresholds"), task.thresholds, "score with a threshold")
    proxy = str(raw.get("proxy", "test"))
    if proxy not in task.proxies:
        found.append((("proxy",), f"{task.name} has no proxy {proxy!r}; {_suggest(proxy, task.proxies)}"))

    regimens = raw.get("regimens")
    regimens = regimens if isinstance(regimens, dict) else {}
    baseline = raw.get("baseline")
    if baseline is not None and regimens and str(baseline) not in regimens:
        found.append((("baseline",), f"no regimen {baseline!r}; {_suggest(baseline, regimens)}"))
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
        if not isinstance(phase, dict):
            return None
        until, lasts = phase.get("until"), phase.get("lasts")
        if (until is None) == (lasts is None):
            found.append(((*key, index), "a phase needs either 'until' or 'lasts'"))
            return None
        end = until if lasts is None else lasts
        if isinstance(end, bool) or not isinstance(end, int | float) or not 0 <= end <= 1:
            return None  # reported with the rest of the config
        end = end if lasts is None else start + end
        if end < start - 1e-9:
            found.append(((*key, index), f"ends at {end:g}, before the phase above it, which ends at {start:g}"))
        ends.append(end)
        start = end
    if ends and abs(ends[-1] - 1) > 1e-9:
        found.append(((*key, len(ends) - 1), f"the last phase must end at 1, not {ends[-1]:g}"))
    return ends if len(found) == before else None


# --- from a config to conditions ----------------------------------------------------------------------------------

PATH = re.compile(
    r"^(?:(knobs|weights)\.(\w+)|training\.(learning_rate|final_learning_rate)"
    r"|regimens\.([\w-]+)\[(\d+)\]\.(until|lasts|(weights|knobs|rates|gates)\.(\w+)))$"
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


def _axes(raw, task, found):
    """Return axis -> (parsed keys, values), reporting what cannot be swept."""
    try:
        sweep = TypeAdapter(dict[Name, list[float] | Axis]).validate_json(json.dumps(raw.get("sweep", {}), default=str))
    except ValidationError:
        return {}  # reported with the rest of the config
    regimens = raw.get("regimens") if isinstance(raw.get("regimens"), dict) else {}
    phases = {name: len(own) for name, own in regimens.items() if isinstance(own, list)}
    axes, conditions, swept = {}, len(regimens), set()
    for label, axis in sweep.items():
        short = not isinstance(axis, Axis)
        where = ("sweep", label) if short else ("sweep", label, "key")
        values = axis if short else axis.values
        keys = [f"knobs.{label}"] if short else [axis.key] if isinstance(axis.key, str) else axis.key
        matches = []
        for key in keys:
            match = PATH.match(key)
            problem, limits = _sweepable(match, phases, task)
            if problem:
                found.append((where, f"{key!r} cannot be swept: {problem}"))
                continue
            if key in swept:
                found.append((where, f"{key!r} is swept already"))
                continue
            other = re.sub("until$", "lasts", key) if key.endswith("until") else re.sub("lasts$", "until", key)
            if other != key and other in swept:
                found.append((where, f"{key!r} cannot be swept beside {other!r}: a phase has one end"))
                continue
            swept.add(key)
            matches.append(match)
            if outside := [value for value in values if not limits[0] <= value <= limits[1]]:
                found.append((("sweep", label), f"{key} must lie in {limits[0]:g} to {limits[1]:g}, not {outside[0]}"))
        if label in (*COORDINATES, *task.scores):
            found.append((("sweep", label), "is the name of something else in the results; choose another"))
        if not values:
            found.append((("sweep", label), "needs at least one value"))
        if len(set(values)) < len(values):
            found.append((("sweep", label), "holds the same value twice"))
        axes[label] = (matches, values)
        conditions *= max(1, len(values))
        if conditions > MAX_CONDITIONS:
            found.append((("sweep",), f"stands for more than the limit of {MAX_CONDITIONS:,} conditions"))
            break
    return axes


def _sweepable(match, phases, task):
    """Return what is wrong with a key of a sweep, or None, and the range of its values."""
    if match is None:
        hint = "knobs.NAME, weights.TERM, training.learning_rate, training.final_learning_rate, or "
        return (
            hint
            + "regimens.NAME[PHASE] with .until, .lasts, .weights.TERM, .knobs.NAME, .rates.PART or .gates.SCORE can",
            None,
        )
    section, name = (match[1], match[2]) if match[1] else (match[7], match[8])
    if match[4] and int(match[5]) >= phases.get(match[4], 0):
        return f"there is no phase regimens.{match[4]}[{match[5]}]", None
    if section == "knobs":
        knob = task.knobs.get(name)
        return (
            (None, (knob.low, knob.high))
            if knob
            else (f"{task.name} has no knob {name!r}; {_suggest(name, task.knobs)}", None)
        )
    if section == "weights":
        known = name in task.terms
        return None if known else f"{task.name} has no loss term {name!r}; {_suggest(name, task.terms)}", (-1e6, 1e6)
    if section == "rates":
        known = name in (*parts(task), "all")
        return None if known else f"{task.name} has no part {name!r}; {_suggest(name, (*parts(task), 'all'))}", (0, 1e6)
    if section == "gates":
        known = name in task.scores
        return None if known else f"{task.name} has no score {name!r}; {_suggest(name, task.scores)}", (0, 1)
    return None, (0, 1e6) if match[3] == "learning_rate" else (0, 1)


def _conditions(config, task, training, ends, axes, found):
    """Yield every condition: point by point of the axes that apply to all regimens, and there regimen by regimen."""
    regimens = config.model_dump()["regimens"]
    shared = {label: axis for label, axis in axes.items() if any(match[4] is None for match in axis[0])}
    for world in itertools.product(*(values for _, values in shared.values())):
        for regimen, phases in regimens.items():
            own = {
                label: axis
                for label, axis in axes.items()
                if label not in shared and any(match[4] == regimen for match in axis[0])
            }
            for point in itertools.product(*(values for _, values in own.values())):
                coordinates = {
                    label: float(value) for label, value in zip((*shared, *own), (*world, *point), strict=True)
                }
                condition = _condition(config, task, training, ends, axes, regimen, phases, coordinates, found)
                if condition is not None:
                    yield condition


def _condition(config, task, training, ends, axes, regimen, phases, coordinates, found):
    """Return one condition, or None after appending to `found` why its phases do not fit."""
    knobs, weights = dict(config.knobs), {"main": 1.0, **config.weights}
    rates = {"learning_rate": training.learning_rate, "final_learning_rate": training.final_learning_rate}
    phases = copy.deepcopy(phases)
    for label, value in coordinates.items():
        for match in axes[label][0]:
            if match[1]:
                {"knobs": knobs, "weights": weights}[match[1]][match[2]] = value
            elif match[3]:
                rates[match[3]] = value
            elif match[4] == regimen and match[7]:
                phases[int(match[5])][match[7]][match[8]] = value
            elif match[4] == regimen:
                phases[int(match[5])].update({"until": None, "lasts": None, match[6]: value})
    name = " ".join([regimen, *(f"{label}={value:.12g}" for label, value in coordinates.items())])
    key = ("sweep",) if coordinates else ("regimens", regimen)

    problems = []
    shares = _phase_ends(key, phases, problems) or []
    stops = [round(share * training.steps) for share in shares]
    for share, stop, phase in zip(shares, stops, phases, strict=bool(shares)):
        if phase["gates"] and stop == 0:
            problems.append((key, "a gate stands at the end of a phase, and nothing is measured before training"))
        if abs(share * training.steps - stop) > 1e-6 * training.steps or stop not in (0, *ends):
            near = sorted({0, *ends}, key=lambda end: abs(end - share * training.steps))[:2]
            fits = " and ".join(f"{end / training.steps:g}" for end in sorted(near))
            problems.append((key, f"a phase ends at {share:g}, where no segment ends; the nearest are {fits}"))
    if problems:
        found += [(key, f"{name}: {message}" if coordinates else message) for _, message in problems]
        return None
    locks = any(phase.rates for own in config.regimens.values() for phase in own)
    locks |= any(match[7] == "rates" for matches, _ in axes.values() for match in matches)
    settings = (_settings(task, phases[_phase_at(stops, end)], knobs, weights, rates, locks) for end in ends)
    gates = (
        (stop / training.steps, score, mark)
        for stop, phase in zip(stops, phases, strict=True)
        for score, mark in phase["gates"].items()
    )
    return Condition(name, regimen, coordinates, knobs, tuple(settings), tuple(gates))


def _phase_at(stops, end):
    """Index of the phase that a segment ending at step `end` belongs to."""
    return next(index for index, stop in enumerate(stops) if end <= stop)


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
