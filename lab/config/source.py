"""The text of a config: plain YAML, read once, with the line of every key and without running anything."""

import functools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner

Key = tuple[str | int, ...]  # where a thing stands in a config: keys and indices, from the top
Raw = dict[str, object]  # a config as it was written, before anything of it was checked

MAX_BYTES = 1_000_000  # of a config's text; the largest of the project's own has 40,000
MAX_DEPTH = 20
MAX_VALUES = 50_000  # the library takes about two seconds for as many
MAX_NUMBER = 1_000  # characters; Python takes no more than 4,300 digits
TYPED = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null")}  # what YAML 1.2 makes of plain words


class ConfigError(Exception):
    """A config that cannot be used; `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(map(_written_out, problems))  # names in them are whatever somebody wrote
        super().__init__(self.problems)  # what it is made of again, where another process raised it

    def __str__(self) -> str:
        return "\n".join(self.problems)


def _written_out(problem: str) -> str:
    """Return a line in which no letter is one that a terminal would obey."""
    if problem.isprintable():
        return problem
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in problem
    )


class Written(NamedTuple):
    """What a text says.

    Attributes:
        data: mappings, lists, text, numbers, true, false and null. Keys are text as written.
        lines: the line of every key and value.
        words: how every number, true, false and null is written.
        problems: (key, message) of every key given twice, whose first value is in `data`.
        origins: where a value stands in the file, if that is elsewhere than in `data`.
    """

    data: object
    lines: Mapping[Key, int]
    words: Mapping[Key, str]
    problems: list[tuple[Key, str]]
    origins: Mapping[Key, Key] = MappingProxyType({})

    def place(self, key: Key) -> tuple[int, Key]:
        """Return the line of a key, or of the nearest key above it that is in the file, and the key as it is there."""
        above = key
        while above and above not in self.lines:
            above = above[:-1]
        return self.lines.get(above, 1), self.origins.get(above, above) + key[len(above) :]


class _Refused(MarkedYAMLError):
    """YAML that a config may not hold."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


@functools.cache
def _scanner() -> type[Scanner]:
    """Return the scanner of a config, which is no part of the reference: its annotations are those of the library."""

    class PlainScanner(Scanner):
        """Refuses what is no plain data where it begins, before the library has read it."""

        def _word(self) -> str:
            return re.split(r"[\s,\[\]{}]", self.reader.prefix(60))[0]

        def fetch_more_tokens(self) -> Any:
            try:
                return super().fetch_more_tokens()
            except (OverflowError, ValueError):  # of `chr`
                raise MarkedYAMLError(
                    problem="an escape that is no character", problem_mark=self.reader.get_mark()
                ) from None

        def fetch_alias(self) -> None:
            raise _Refused("aliases (*name) are not supported: write the value out", self.reader.get_mark())

        def fetch_tag(self) -> None:
            raise _Refused(f"tags ({self._word()}) are not supported: a config is plain data", self.reader.get_mark())

        def fetch_directive(self) -> None:
            """`%YAML 1.1` would change what words mean: `no`, `1:30`, `010`."""
            name, *version = re.split(r"[#\r\n]", self.reader.prefix(60))[0].split()
            if name != "%YAML":
                raise _Refused(f"directives ({name}) are not supported: a config is plain data", self.reader.get_mark())
            if version != ["1.2"]:
                raise _Refused(
                    f"YAML {' '.join(version)} is not supported, only 1.2: take that line away", self.reader.get_mark()
                )
            return super().fetch_directive()

    return PlainScanner


def read_file(path: Path) -> str:
    """Return the text of a config. Raises `ConfigError` if there is none or it is too long."""
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
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = line_at(data[: error.start].decode("utf-8"))
        raise ConfigError([f"{path}:{line}: not UTF-8 at byte {error.start}"]) from None


def read_yaml(text: str, file: str) -> Written:
    """Read YAML 1.2 without tags or aliases; this never runs code.

    Args:
        text: of the file.
        file: its name, for errors.

    Raises:
        ConfigError: the text is not YAML of that kind.
    """
    try:
        return _Builder(text).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        kind = "" if isinstance(error, _Refused) else "not YAML: "
        line, problem = mark.line + 1 if mark else 1, str(error.problem or error.context)
    except ReaderError as error:
        kind, line, problem = "not YAML: ", line_at(text[: error.position]), str(error)
    except YAMLError as error:
        kind, line, problem = "not YAML: ", 1, str(error)
    line = min(line, line_at(text.rstrip()))  # what is missing at the end is missing on the last line
    raise ConfigError([f"{file}:{line}: {kind}{problem.splitlines()[0]}"])


def select(written: Written, task: str | None, file: str) -> Written:
    """Return the config of one task from a file that holds those of several, or the only one of a file without `tasks`.

    Below `tasks` stands for each task what differs from what the tasks have in common: mappings are merged key by key,
    everything else replaces. The config is called NAME_TASK, and its task is the one of that name unless it says more.

    Args:
        written: what the file says.
        task: the name below `tasks`; None for a file without them.
        file: its name, for errors.

    Raises:
        ConfigError: `tasks` is no mapping or has no such task, or no task is named though there are several.
    """
    data = written.data
    if not isinstance(data, dict) or "tasks" not in data:
        if task is not None:
            raise ConfigError([f"{file}:1: has no 'tasks' to choose {shortened(task)!r} from: leave --task away"])
        return written
    here = f"{file}:{written.lines.get(('tasks',), 1)}: tasks: "
    tasks = data["tasks"]
    if not isinstance(tasks, dict) or not tasks:
        raise ConfigError([f"{here}must be a mapping from each task to what differs for it"])
    known = shortened(", ".join(tasks), 1_000)
    if task is None:
        raise ConfigError([f"{here}there is a config for each of {known}: choose one with --task"])
    if task not in tasks:
        raise ConfigError([f"{here}no config for {shortened(task)!r}; known: {known}"])
    if not isinstance(tasks[task], dict):
        line = written.lines.get(("tasks", task), 1)
        raise ConfigError([f"{file}:{line}: {dotted(('tasks', task))}: must be a mapping of what differs for it"])
    return _merged(written, task)


def tasks_in(written: Written) -> list[str]:
    """Return the tasks for which a file holds a config, in its order; none if it is the config of one."""
    tasks = written.data.get("tasks") if isinstance(written.data, dict) else None
    return list(tasks) if isinstance(tasks, dict) else []


def _merged(written: Written, task: str) -> Written:
    """Return what the tasks have in common with what one of them changes, each value with its line and its origin."""
    common, prefix = cast(Raw, written.data), ("tasks", task)
    replaced: set[Key] = set()

    def merge(values: Raw, changes: Raw, above: Key) -> Raw:
        merged = dict(values)
        for name, change in changes.items():
            value = values.get(name)
            if isinstance(value, dict) and isinstance(change, dict):
                merged[name] = merge(value, change, (*above, name))
            else:
                merged[name] = change
                replaced.add((*above, name))
        return merged

    def is_replaced(key: Key) -> bool:
        return any(key[:depth] in replaced for depth in range(1, len(key) + 1))

    section = cast(dict[str, Raw], common["tasks"])[task]
    data = merge({key: value for key, value in common.items() if key != "tasks"}, section, ())
    of_task = {key[len(prefix) :]: key for key in written.lines if key[: len(prefix)] == prefix}
    origins = {key: origin for key, origin in of_task.items() if is_replaced(key)}
    lines = {key: line for key, line in written.lines.items() if not is_replaced(key)}
    lines |= {key: written.lines[origin] for key, origin in origins.items()}
    words = {key: word for key, word in written.words.items() if key[:1] != ("tasks",) and not is_replaced(key)}
    words |= {key: written.words[origin] for key, origin in origins.items() if origin in written.words}

    name = words.pop(("name",), data.get("name"))
    if isinstance(name, str):
        data["name"] = f"{name}_{task}"
    chosen = data.setdefault("task", task)
    if isinstance(chosen, dict) and not chosen.keys() & {"name", "file"}:
        data["task"] = {"name": task, **chosen}
    return Written(data, lines, words, written.problems, origins)


def line_at(text: str) -> int:
    """Return the number of the line on which the text after this one begins."""
    return 1 + len(re.findall(r"\r\n|\r|\n", text))


def dotted(key: Key) -> str:
    """('regimens', 'early', 0, 'until') -> 'regimens.early[0].until'."""
    text = ""
    for part in key:
        if part == "" or (isinstance(part, str) and not part.isprintable()):
            part = repr(part)
        text += f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" if text else shortened(part)
    return text


def shortened(text: str, most: int = 80) -> str:
    """Return a text that is cut off if it is long."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a float can hold; what else stands in its place is found by its type."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


class _Builder:
    """Makes plain data of the events of a text, one after the other."""

    def __init__(self, text: str) -> None:
        yaml = YAML(typ="safe", pure=True)
        yaml.Scanner = _scanner()
        self.events: Iterator[Any] = yaml.parse(text)
        self.resolver, self.constructor = yaml.resolver, yaml.constructor
        self.lines: dict[Key, int] = {}
        self.words: dict[Key, str] = {}
        self.problems: list[tuple[Key, str]] = []
        self.count = 0

    def document(self) -> Written:
        """Return the only document of the stream."""
        data = None
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), DocumentStartEvent):
            data = self.value(next(self.events), ())
            next(self.events)  # the end of the document
            if not isinstance(event := next(self.events), StreamEndEvent):
                raise _Refused("a second document (---): a config is one", event.start_mark)
        return Written(data, self.lines, self.words, self.problems)

    def value(self, event: Event, key: Key) -> object:
        """Return what begins with an event."""
        self.counted(event)
        self.lines.setdefault(key, event.start_mark.line + 1)
        if isinstance(event, ScalarEvent):
            return self.scalar(event, key)
        if len(key) >= MAX_DEPTH:
            raise _Refused(f"nested deeper than the limit of {MAX_DEPTH} levels", event.start_mark)
        return self.sequence(key) if isinstance(event, SequenceStartEvent) else self.mapping(key)

    def counted(self, event: Event) -> None:
        """Count a key or a value; more of them would be judged for longer than anybody waits."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise _Refused(f"holds more than the limit of {MAX_VALUES:,} keys and values", event.start_mark)

    def sequence(self, key: Key) -> list[object]:
        """Return the items of a sequence that has begun."""
        items: list[object] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self.value(event, (*key, len(items))))
        return items

    def mapping(self, key: Key) -> Raw:
        """Return the entries of a mapping that has begun."""
        entries: Raw = {}
        repeated: set[str] = set()
        while not isinstance(event := next(self.events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise MarkedYAMLError(problem="a key must be a plain name", problem_mark=event.start_mark)
            self.counted(event)
            name, line = self.text(event), event.start_mark.line + 1
            path = (*key, name)
            if name not in entries:
                self.lines[path] = line
                entries[name] = self.value(next(self.events), path)
                continue
            if name not in repeated:
                repeated.add(name)
                self.problems.append((path, f"given twice, the second time on line {line}"))
            first = self.lines, self.words
            self.lines, self.words = {}, {}  # those of the first value stand
            self.value(next(self.events), path)
            self.lines, self.words = first
        return entries

    def text(self, event: ScalarEvent) -> str:
        """Return a scalar as text; JSON writes a rare character as a pair of escapes, which YAML leaves apart."""
        if event.value.isascii():
            return event.value
        try:
            return event.value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise _Refused("half of a pair of surrogates, which is no character", event.start_mark) from None

    def scalar(self, event: ScalarEvent, key: Key) -> str | int | float | bool | None:
        """Return a scalar as the library reads it by the core schema of YAML 1.2."""
        text = self.text(event)
        plain, _ = event.implicit
        tag = self.resolver.resolve(ScalarNode, text, event.implicit)
        if not plain or str(tag) not in TYPED:
            return text
        self.words[key] = text
        prefix = f"{dotted(key)}: " if key else ""
        if len(text) > MAX_NUMBER:
            problem = f"{prefix}a number of {len(text):,} characters; the limit is {MAX_NUMBER:,}"
            raise _Refused(problem, event.start_mark)
        try:
            return self.constructor.yaml_constructors[str(tag)](self.constructor, ScalarNode(tag, text))
        except ValueError:  # such as -_ and 0x_
            raise _Refused(f"{prefix}{text!r} is not a number", event.start_mark) from None
