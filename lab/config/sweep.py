"""From a config to its conditions: every regimen at every point of the axes that apply to it."""

import functools
import itertools
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from lab.config.problems import Message, Problems, shown, unknown
from lab.config.schema import (
    MAX_CONDITIONS,
    MAX_RATE,
    MAX_TEXT,
    MAX_WEIGHT,
    RESERVED,
    WORLD,
    Config,
    Phase,
    Schedule,
)
from lab.config.source import Key, Raw, is_number, shortened
from lab.config.worlds import drawn_values, read_draws, wrong_draws
from lab.tasks.base import Task, Training
from lab.tasks.settings import Settings, parts

MAX_EXPANDED = 500_000  # phases in all conditions; expanding as many takes about 20 seconds
MAX_INDEX_DIGITS = 9  # of the index of a phase, far above `MAX_PHASES`; Python reads no number of any length
ROUNDING = 1e-9  # by which shares of training may miss each other, after sums of what a config says to 12 digits
STEP_ROUNDING = 1e-6  # the same for a share times the number of steps, as a share of the steps

# an index has one way of being written, so that no two keys stand for one thing
PATH = re.compile(
    r"(?:(?P<everywhere>knobs|weights)\.(?P<name>\w+)|training\.(?P<rate>learning_rate|final_learning_rate)"
    r"|regimens\.(?P<regimen>[\w-]+)\[(?P<index>0|[1-9][0-9]*)\]"
    r"\.(?:(?P<end>until|lasts)|(?P<section>weights|knobs|rates|gates)\.(?P<item>\w+)))",
    re.ASCII,
)
CAN_BE_SWEPT = (
    "knobs.NAME, weights.TERM, training.learning_rate, training.final_learning_rate, or regimens.NAME[PHASE] with "
    ".until, .lasts, .weights.TERM, .knobs.NAME, .rates.PART or .gates.SCORE can"
)


Segment = Settings  # whose leaves are plain numbers and tuples of them, which can be compared and hashed


@dataclass(frozen=True)
class Condition:
    """A regimen with values for every knob: one point of a sweep.

    Attributes:
        name: the regimen's name and the value on every axis that applies to it.
        regimen: the regimen's name.
        coordinates: axis of the sweep -> value, for the axes that apply to it; of a world drawn at random its number as
            "world" and the keys that are drawn. The name has the number alone.
        knobs: knob -> value, every knob of the task.
        settings: one `Settings` per segment, without lanes.
        gates: (share of training, score, lowest score that survives) of each gate of the regimen, in time order.
    """

    name: str
    regimen: str
    coordinates: dict[str, float]
    knobs: dict[str, float]
    settings: tuple[Segment, ...]
    gates: tuple[tuple[float, str, float], ...] = ()

    def schedule(self, ends: Sequence[float], terms: Sequence[str]) -> Schedule:
        """Return the weight of each loss term beside the main one through training, stretches of equal weight as one.

        A term that never has a weight is left out.

        Args:
            ends: of the segments, as shares of training.
            terms: names of the task's loss terms.
        """
        return _schedule(tuple(segment.weights for segment in self.settings), tuple(ends), tuple(terms))


@functools.lru_cache(1024)  # conditions that differ in knobs alone have one schedule
def _schedule(weights: tuple[tuple[float, ...], ...], ends: tuple[float, ...], terms: tuple[str, ...]) -> Schedule:
    schedule: Schedule = {}
    for term, course in zip(terms, zip(*weights, strict=True), strict=True):
        if term != "main" and any(course):
            stretches = itertools.groupby(zip(ends, course, strict=True), key=operator.itemgetter(1))
            schedule[term] = [(list(stretch)[-1][0], float(weight)) for weight, stretch in stretches]
    return schedule


class Target(NamedTuple):
    """What a key of a sweep sets.

    Attributes:
        section: "knobs", "weights", "rates" or "gates"; "training" for a learning rate; "end" for that of a phase.
        name: what is set in that section.
        regimen: whose phase it is set in; None if in all of training.
        written_index: that of the phase, as the key has it.
    """

    section: str
    name: str
    regimen: str | None = None
    written_index: str = ""

    @property
    def phase(self) -> int:
        """The index of the phase."""
        return int(self.written_index)


class Axis(NamedTuple):
    """An axis of a sweep as it applies: what it sets, and to which values in turn, or in which world to which value."""

    targets: list[Target]
    values: list[float]
    drawn: bool = False


Axes = Mapping[str, Axis]
Targets = dict[str, list[Target]]  # by axis


@dataclass(frozen=True)
class Filled:
    """A config with the defaults of its task, which is all that its conditions have in common.

    Attributes:
        config: with no default left open.
        task: the task to train.
        training: steps, optimizer, learning rates, momentum and block widths.
        ends: last step of each segment, ascending.
    """

    config: Config
    task: Task
    training: Training
    ends: tuple[int, ...]


# --- time -------------------------------------------------------------------------------------------------------------


class Ends(NamedTuple):
    """Ends of phases as shares of training, or None if something is wrong; (phase, message) of what is wrong.

    What the types of a config say already is not said again.
    """

    shares: list[float] | None
    problems: list[tuple[int, str]]


def phase_ends(phases: Sequence[object]) -> Ends:
    """Return the end of each phase of a regimen as a share of training."""
    ends: list[float] = []
    problems: list[tuple[int, str]] = []
    start = 0.0
    for index, phase in enumerate(phases):
        if not isinstance(phase, dict) or phase.keys() - Phase.model_fields.keys():
            return Ends(None, problems)
        until, lasts = phase.get("until"), phase.get("lasts")
        if (until is None) == (lasts is None):
            return Ends(None, [*problems, (index, "a phase needs either 'until' or 'lasts'")])
        end = until if lasts is None else lasts
        if not is_number(end) or not 0 <= end <= 1:
            return Ends(None, problems)
        end = end if lasts is None else start + end
        if end < start - ROUNDING:
            problem = f"ends at {end:.12g}, before the phase above it, which ends at {start:.12g}"
            problems.append((index, problem))
        ends.append(end)
        start = end
    if ends and not problems and abs(ends[-1] - 1) > ROUNDING:
        problems.append((len(ends) - 1, f"the last phase must end at 1, not {ends[-1]:.12g}"))
    return Ends(None if problems else ends, problems)


def segment_ends(segments: int | list[float], steps: int, problems: Problems) -> tuple[int, ...]:
    """Return the last step of each segment, ascending."""
    if isinstance(segments, int):
        if steps % segments:
            problems.add(("training", "segments"), f"{segments} equal segments do not divide {steps} steps")
            return ()
        return tuple(steps // segments * (index + 1) for index in range(segments))
    ends = [share * steps for share in segments]
    whole = [round(end) for end in ends]
    if any(abs(end - step) > STEP_ROUNDING * steps for end, step in zip(ends, whole, strict=True)):
        problems.add(("training", "segments"), f"every end must be a whole number of the {steps} steps")
    elif not whole or whole[-1] != steps or whole[0] <= 0 or any(b <= a for a, b in itertools.pairwise(whole)):
        problems.add(("training", "segments"), "ends must rise from above 0 to 1")
    return tuple(whole)


# --- axes -------------------------------------------------------------------------------------------------------------


def read_axes(raw: Raw, task: Task, sized: bool, problems: Problems) -> dict[str, Axis]:
    """Return the axes of a config by name, and say what cannot be swept.

    Args:
        raw: the config as written.
        task: the task whose knobs, loss terms and scores are swept.
        sized: whether the sizes of the task are those of the config, so that the ranges of its knobs are known.
        problems: where to say what is wrong.
    """
    regimens = raw.get("regimens")
    axes: dict[str, Axis] = {}
    swept: set[str] = set()
    draws = read_draws(raw)
    for key, problem in wrong_draws(draws):
        problems.add(key, problem)
    written = [(("sweep", label), label, *entry) for label, entry in _well_formed(raw).items()]
    written += [(draw.above, label, draw.above, draw.keys, [*draw.ends]) for label, draw in draws.items()]
    for place, label, above, keys, values in written:
        targets: list[Target] = []
        before = len(problems)
        drawn = place[0] == "worlds"
        for key in keys:
            target, problem = _target(key, regimens, task)
            if target is not None and drawn and target.section == "end" and draws[label].way != "choose":
                problem = "an end of a phase is drawn by 'choose', from ends of segments"
            if target is None or problem is not None:
                problems.add(above, partial(_cannot_set, "drawn" if drawn else "swept", key, problem or CAN_BE_SWEPT))
                continue
            if problem := _swept_already(key, swept):
                problems.add(above, problem)
                continue
            swept.add(key)
            targets.append(target)
            low, high = _limits(target, task)
            in_range = (value for value in values if not low <= value <= high)
            if (sized or target.section != "knobs") and (outside := next(in_range, None)) is not None:
                problems.add(place, f"{key} must lie in {low:g} to {high:g}, not {outside:g}")
        for problem in _wrong_axis(label, targets, len(problems) == before, values, task):
            problems.add(place, problem)
        if not drawn and (problem := _alike(values)):
            problems.add(place, problem)
        if place[:2] == ("worlds", "keys") and label in task.knobs:
            problems.add(place, "is the name of a knob; choose another")
        elif label in axes and len(problems) == before:
            problems.add(place, f"{label!r} is an axis of the sweep already")
        axes[label] = Axis(targets, values, drawn)
    for label in _twice(raw):
        problems.add(("worlds", "keys", label), "is the name of a knob; choose another")
    worlds = raw.get("worlds")
    if isinstance(worlds, dict) and not draws and not problems.concern("worlds"):
        problems.add(("worlds",), "draws nothing, so all worlds would be the same: name 'knobs' or 'keys'")
    if isinstance(worlds, dict) and WORLD in (*axes, *task.knobs, *task.scores):
        problems.add(("worlds",), f"results call worlds {WORLD!r}, which is an axis, a knob or a score here")
    if isinstance(regimens, dict):
        shared, of_regimen = applying(axes, regimens)
        size = {label: 1 if axis.drawn else len(axis.values) for label, axis in axes.items()}
        points = sum(math.prod(size[label] for label in labels) for labels in of_regimen.values())
        count = worlds.get("count") if isinstance(worlds, dict) else 1
        count = count if isinstance(count, int) else 1
        if points * count * math.prod(size[label] for label in shared) > MAX_CONDITIONS:
            key = ("worlds",) if worlds else ("sweep",) if axes else ("regimens",)
            problems.add(key, f"stands for more than the limit of {MAX_CONDITIONS:,} conditions")
    if not len(problems) and isinstance(worlds, dict):
        for label, values in drawn_values(draws, worlds["count"], worlds.get("seed") or 0).items():
            axes[label] = axes[label]._replace(values=values)
    return axes


def _twice(raw: Raw) -> list[str]:
    """Return the names that worlds draw both as a knob and as a key: one of the two would be lost."""
    worlds = raw.get("worlds")
    if not isinstance(worlds, dict):
        return []
    knobs, keys = (worlds.get(name) for name in ("knobs", "keys"))
    return [label for label in keys if label in knobs] if isinstance(knobs, dict) and isinstance(keys, dict) else []


def _well_formed(raw: Raw) -> dict[str, tuple[Key, list[str], list[float]]]:
    """Return axis -> (its key in the config, swept keys, values), without what the rest of the checks report."""
    sweep = raw.get("sweep")
    axes = {}
    for label, axis in sweep.items() if isinstance(sweep, dict) else ():
        short = isinstance(axis, list)
        entries = {"key": f"knobs.{label}", "values": axis} if short else axis if isinstance(axis, dict) else {}
        keys, values = entries.get("key"), entries.get("values")
        keys = keys if isinstance(keys, list) else [keys]
        if isinstance(values, list) and all(map(is_number, values)) and all(isinstance(key, str) for key in keys):
            above = ("sweep", label) if short else ("sweep", label, "key")
            axes[label] = above, keys, [float(value) for value in values]
    return axes


def _target(key: str, regimens: object, task: Task) -> tuple[Target | None, Message | None]:
    """Return what a key of a sweep sets, and what is wrong with that."""
    match = PATH.fullmatch(key)
    if match is None:
        return None, None
    groups = match.groupdict()
    if groups["rate"]:
        return Target("training", groups["rate"]), None
    if groups["everywhere"]:
        target = Target(groups["everywhere"], groups["name"])
    else:
        target = Target(groups["section"] or "end", groups["item"] or groups["end"], groups["regimen"], groups["index"])
        phases = regimens.get(target.regimen, []) if isinstance(regimens, dict) else None
        if isinstance(phases, list) and (len(target.written_index) > MAX_INDEX_DIGITS or target.phase >= len(phases)):
            phase = shortened(f"regimens.{target.regimen}[{target.written_index}")
            return target, f"there is no phase {phase}]"
    what, allowed = {
        "knobs": ("knob", task.knobs),
        "weights": ("loss term", task.terms),
        "rates": ("part", (*parts(task), "all") if target.section == "rates" else ()),
        "gates": ("score", task.scores),
        "end": ("end", ("until", "lasts")),
    }[target.section]
    return target, None if target.name in allowed else partial(unknown, task.name, what, target.name, allowed)


def _limits(target: Target, task: Task) -> tuple[float, float]:
    """Return the range of what a key of a sweep sets."""
    if target.section == "knobs":
        return task.knobs[target.name].low, task.knobs[target.name].high
    if target.section == "weights":
        return -MAX_WEIGHT, MAX_WEIGHT
    if target.section == "rates" or (target.section, target.name) == ("training", "learning_rate"):
        return 0, MAX_RATE
    return 0, 1


def _swept_already(key: str, swept: set[str]) -> str | None:
    """Return why a key cannot be swept beside others, or None."""
    if key in swept:
        return f"{key!r} is swept already"
    other = re.sub("until$", "lasts", key) if key.endswith("until") else re.sub("lasts$", "until", key)
    if other != key and other in swept:
        return f"{key!r} cannot be swept beside {other!r}: a phase has one end"
    return None


def _wrong_axis(label: str, targets: list[Target], sound: bool, values: list[float], task: Task) -> Iterator[str]:
    """Yield what is wrong with name and values of an axis; `sound` says that nothing is wrong with its keys."""
    if label in (*RESERVED, *task.scores):
        yield "is the name of something else in the results; choose another"
    elif label in task.knobs and sound and label not in {target.name for target in targets}:
        yield "is the name of a knob that it does not sweep; choose another"
    if not values:
        yield "needs at least one value"


def _alike(values: list[float]) -> str | None:
    """Return what is wrong with values of an axis of which two cannot be told apart, or None."""
    with np.errstate(over="ignore"):
        trained = np.array(values).astype(np.float32).tolist()
    for readings, problem in (
        (values, "holds the same value twice"),
        (trained, "{} and {} are the same number in float32, in which models are trained"),
        ([f"{value:.12g}" for value in values], "{} and {} would have the same name, which has 12 digits"),
    ):
        first = {}
        for value, reading in zip(values, readings, strict=True):
            if reading in first:
                return problem.format(first[reading], value)
            first[reading] = value
    return None


def _cannot_set(how: str, key: str, problem: Message) -> str:
    return f"{shown(key)} cannot be {how}: {problem() if callable(problem) else problem}"


def applying(axes: Axes, regimens: Iterable[str]) -> tuple[Targets, dict[str, Targets]]:
    """Return what axes set in no regimen, and what they set in each regimen.

    An axis that sets any of the first applies to all regimens, any other to the regimens of its keys.
    """
    everywhere = {label: [target for target in axis.targets if target.regimen is None] for label, axis in axes.items()}
    shared = {label: targets for label, targets in everywhere.items() if targets}
    of_regimen: dict[str, Targets] = {regimen: {} for regimen in regimens}
    for label, axis in axes.items():
        for target in axis.targets:
            if target.regimen in of_regimen:
                of_regimen[target.regimen].setdefault(label, []).append(target)
    return shared, of_regimen


# --- conditions -------------------------------------------------------------------------------------------------------


def conditions(filled: Filled, axes: Axes, problems: Problems) -> Iterator[Condition]:
    """Yield every condition.

    Point by point of the axes that apply to all regimens, there world by world, and there regimen by regimen.
    """
    regimens = cast(dict[str, list[Raw]], filled.config.model_dump()["regimens"])
    drawn, swept = ({label: axis for label, axis in axes.items() if axis.drawn is kind} for kind in (True, False))
    shared, of_regimen = applying(swept, regimens)
    drawn_everywhere, drawn_of_regimen = applying(drawn, regimens)
    further = {regimen: [label for label in of_regimen[regimen] if label not in shared] for regimen in regimens}
    points = list(itertools.product(*(axes[label].values for label in shared)))
    worlds = range(filled.config.worlds.count) if filled.config.worlds else [None]
    size = sum(
        (len(phases) + sum(map(len, of_regimen[regimen].values())))
        * math.prod(len(axes[label].values) for label in further[regimen])
        for regimen, phases in regimens.items()
    )
    if size * len(points) * len(worlds) > MAX_EXPANDED:
        key = ("worlds",) if filled.config.worlds else ("sweep",) if axes else ("regimens",)
        problems.add(key, f"stands for more than the limit of {MAX_EXPANDED:,} phases in all conditions")
        return
    locks = any(phase["rates"] for phases in regimens.values() for phase in phases)
    locks |= any(target.section == "rates" for axis in axes.values() for target in axis.targets)
    expand = partial(_condition, filled, locks)
    for common_point, world, (regimen, phases) in itertools.product(points, worlds, regimens.items()):
        labels = {**drawn_everywhere, **drawn_of_regimen[regimen]}
        of_world = {} if world is None else {label: axes[label].values[world] for label in labels}
        for point in itertools.product(*(axes[label].values for label in further[regimen])):
            named = dict(zip(shared, common_point, strict=True))
            named |= {} if world is None else {WORLD: float(world)}
            named |= dict(zip(further[regimen], point, strict=True))
            coordinates = {
                **named,
                **{label: value for label, value in of_world.items() if label not in filled.task.knobs},
            }
            changes = [
                (target, value)
                for label, value in (*named.items(), *of_world.items())
                for kinds in ((shared, of_regimen[regimen]), (drawn_everywhere, drawn_of_regimen[regimen]))
                for targets in kinds
                for target in targets.get(label, ())
            ]
            condition, wrong = expand(regimen, phases, named, coordinates, changes)
            if condition is not None:
                yield condition
            for message in wrong:
                if world is None:
                    name = _name(regimen, named)
                    place = ("sweep",) if coordinates else ("regimens", regimen)
                    problems.add(place, partial(_of_condition, name, message) if coordinates else message)
                else:
                    problems.add(*_of_worlds(regimen, {**named, **of_world}, axes, message))


def _condition(
    filled: Filled,
    locks: bool,
    regimen: str,
    phases: list[Raw],
    named: dict[str, float],
    coordinates: dict[str, float],
    changes: list[tuple[Target, float]],
) -> tuple[Condition | None, list[Message]]:
    """Return one condition, or None and why its phases do not fit; `named` are the coordinates in its name."""
    config, task, training = filled.config, filled.task, filled.training
    everywhere = {
        "knobs": dict(config.knobs),
        "weights": {"main": 1.0, **config.weights},
        "training": {name: getattr(training, name) for name in ("learning_rate", "final_learning_rate")},
    }
    phases = list(phases)
    for target, value in changes:
        if target.regimen is None:
            everywhere[target.section][target.name] = value
        else:
            phases[target.phase] = _changed(phases[target.phase], target, value)
    name = _name(regimen, named)
    stops, wrong = _stops(phases, filled)
    if len(name) > MAX_TEXT:
        wrong.append(f"a name of more than {MAX_TEXT:,} characters: sweep fewer axes")
    if wrong:
        return None, wrong
    of_phases = [_settings(task, phase, everywhere, locks) for phase in phases]
    settings: list[Segment] = []
    index = 0
    for end in filled.ends:
        while stops[index] < end:
            index += 1
        settings.append(of_phases[index])
    gates = tuple(
        (stop / training.steps, score, mark)
        for stop, phase in zip(stops, phases, strict=True)
        for score, mark in cast(dict[str, float], phase["gates"]).items()
    )
    return Condition(name, regimen, coordinates, everywhere["knobs"], tuple(settings), gates), []


def _name(regimen: str, named: Mapping[str, float]) -> str:
    """Return what the condition of a regimen with these coordinates is called."""
    return " ".join([regimen, *(f"{label}={value:.12g}" for label, value in named.items())])


def _changed(phase: Raw, target: Target, value: float) -> Raw:
    """Return a phase in which a sweep has set a value."""
    if target.section == "end":
        return {**phase, "until": None, "lasts": None, target.name: value}
    return {**phase, target.section: {**cast(dict[str, float], phase[target.section]), target.name: value}}


def _stops(phases: list[Raw], filled: Filled) -> tuple[list[int], list[Message]]:
    """Return the last step of each phase, and what is wrong with them."""
    steps, fitting = filled.training.steps, {0, *filled.ends}
    ends = phase_ends(phases)
    wrong: list[Message] = [message for _, message in ends.problems]
    shares = ends.shares or []
    stops = [round(share * steps) for share in shares]
    for share, stop, phase in zip(shares, stops, phases, strict=bool(shares)):
        if phase["gates"] and stop == 0:
            wrong.append("a gate stands at the end of a phase, and nothing is measured before training")
        if abs(share * steps - stop) > STEP_ROUNDING * steps or stop not in fitting:
            wrong.append(partial(_no_end, share, steps, fitting))
    return stops, wrong


def _no_end(share: float, steps: int, ends: set[int]) -> str:
    """Say that no segment ends where a phase does."""
    near = sorted(ends, key=lambda end: abs(end - share * steps))[:2]
    fits = " and ".join(f"{end / steps:.12g}" for end in sorted(near))
    return f"a phase ends at {share:.12g}, where no segment ends; the nearest are {fits}"


def _of_worlds(regimen: str, values: Mapping[str, float], axes: Axes, message: Message) -> tuple[Key, str]:
    """Return the key and the words of what is wrong in a world: the same of all worlds that have it for one reason.

    Args:
        regimen: whose phases do not fit.
        values: of the axes in that world, those that are drawn included.
        axes: of the config.
        message: what is wrong.
    """
    ends = {
        label: value
        for label, value in values.items()
        if label in axes and ("end", regimen) in {(target.section, target.regimen) for target in axes[label].targets}
    }
    drawn = [label for label in ends if axes[label].drawn]
    key: Key = ("sweep", next(iter(ends))) if ends else ("regimens", regimen)
    if drawn:
        key = ("worlds", "keys", drawn[0], "choose")
    chosen = ", ".join(f"{label} = {value:.12g}" for label, value in ends.items())
    words = message() if callable(message) else message
    return key, f"{regimen} with {chosen}: {words}" if chosen else words


def _of_condition(name: str, message: str | Callable[[], str]) -> str:
    return f"{shortened(name, 200)}: {message() if callable(message) else message}"


def _settings(task: Task, phase: Raw, everywhere: Mapping[str, Mapping[str, float]], locks: bool) -> Segment:
    """Return what a lane does in a segment of a phase."""
    of_phase = cast(dict[str, dict[str, float]], phase)
    rates, knobs = of_phase["rates"], everywhere["knobs"]
    every = rates.get("all", 1.0)
    by_part = tuple(float(every * rates.get(part, 1.0)) for part in parts(task)) if locks else 1.0
    weights = {**everywhere["weights"], **of_phase["weights"]}
    trained = {**knobs, **of_phase["knobs"]}
    return Settings(
        # + 0.0, so that -0 and 0 are one number here too
        weights=tuple(float(weights.get(term, 0.0)) + 0.0 for term in task.terms),
        training_knobs=tuple(float(trained[knob]) + 0.0 for knob in task.knobs),
        world_knobs=tuple(float(knobs[knob]) + 0.0 for knob in task.knobs),
        learning_rate=float(everywhere["training"]["learning_rate"]),
        final_learning_rate=float(everywhere["training"]["final_learning_rate"]),
        part_rates=by_part,
    )
