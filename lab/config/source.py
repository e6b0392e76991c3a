"""The text of a config: plain YAML, read once, with the line of every key and without running anything."""

import functools
import re
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner

MAX_DEPTH = 20
MAX_VALUES = 50_000  # the library takes about two seconds for as many
MAX_NUMBER = 1_000  # characters; Python takes no more than 4,300 digits
TYPED = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null")}  # what YAML 1.2 makes of plain words


class ConfigError(Exception):
    """A config that cannot be used; `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems):
        self.problems = list(problems)
        super().__init__(self.problems)  # what it is made of again, where another process raised it

    def __str__(self) -> str:
        return "\n".join(self.problems)


class Written(NamedTuple):
    """What a text says.

    Attributes:
        data: mappings, lists, text, numbers, true, false and null. Keys are text as written.
        lines: the line of every key and value, by its path.
        words: how every number, true, false and null is written, by its path.
        problems: (path, message) of every key given twice, whose first value is in `data`.
    """

    data: object
    lines: dict[tuple, int]
    words: dict[tuple, str]
    problems: list[tuple[tuple, str]]


class _Refused(MarkedYAMLError):
    """YAML that a config may not hold."""

    def __init__(self, problem: str, mark: Any):
        super().__init__(problem=problem, problem_mark=mark)


@functools.cache
def _scanner() -> type[Scanner]:
    """Return the scanner of a config, which is no part of the reference: its annotations are those of the library."""

    class PlainScanner(Scanner):
        """Refuses what is no plain data where it begins, before the library has read it."""

        def _word(self) -> str:
            return re.match(r"[^\s,\[\]{}]*", self.reader.prefix(60))[0]

        def fetch_more_tokens(self):
            try:
                return super().fetch_more_tokens()
            except (OverflowError, ValueError):  # of `chr`
                raise MarkedYAMLError(
                    problem="an escape that is no character", problem_mark=self.reader.get_mark()
                ) from None

        def fetch_alias(self):
            raise _Refused("aliases (*name) are not supported: write the value out", self.reader.get_mark())

        def fetch_tag(self):
            raise _Refused(f"tags ({self._word()}) are not supported: a config is plain data", self.reader.get_mark())

        def fetch_directive(self):
            """`%YAML 1.1` would change what words mean: `no`, `1:30`, `010`."""
            name, *version = re.match(r"[^#\r\n]*", self.reader.prefix(60))[0].split()
            if name != "%YAML":
                raise _Refused(f"directives ({name}) are not supported: a config is plain data", self.reader.get_mark())
            if version != ["1.2"]:
                raise _Refused(
                    f"YAML {' '.join(version)} is not supported, only 1.2: take that line away", self.reader.get_mark()
                )
            return super().fetch_directive()

    return PlainScanner


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
        line, problem = mark.line + 1 if mark else 1, error.problem or error.context
    except ReaderError as error:
        kind, line, problem = "not YAML: ", line_at(text[: error.position]), str(error)
    except YAMLError as error:
        kind, line, problem = "not YAML: ", 1, str(error)
    line = min(line, line_at(text.rstrip()))  # what is missing at the end is missing on the last line
    raise ConfigError([f"{file}:{line}: {kind}{problem.splitlines()[0]}"])


def line_at(text: str) -> int:
    """Return the number of the line on which the text after this one begins."""
    return 1 + len(re.findall(r"\r\n|\r|\n", text))


def dotted(key: tuple) -> str:
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


class _Builder:
    """Makes plain data of the events of a text, one after the other."""

    def __init__(self, text: str):
        yaml = YAML(typ="safe", pure=True)
        yaml.Scanner = _scanner()
        self.events = yaml.parse(text)
        self.resolver, self.constructor = yaml.resolver, yaml.constructor
        self.lines, self.words, self.problems = {}, {}, []
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

    def value(self, event, key: tuple) -> object:
        """Return what begins with an event."""
        self.counted(event)
        self.lines.setdefault(key, event.start_mark.line + 1)
        if isinstance(event, ScalarEvent):
            return self.scalar(event, key)
        if len(key) >= MAX_DEPTH:
            raise _Refused(f"nested deeper than the limit of {MAX_DEPTH} levels", event.start_mark)
        return self.sequence(key) if isinstance(event, SequenceStartEvent) else self.mapping(key)

    def counted(self, event) -> None:
        """Count a key or a value; more of them would be judged for longer than anybody waits."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise _Refused(f"holds more than the limit of {MAX_VALUES:,} keys and values", event.start_mark)

    def sequence(self, key: tuple) -> list:
        """Return the items of a sequence that has begun."""
        items = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self.value(event, (*key, len(items))))
        return items

    def mapping(self, key: tuple) -> dict:
        """Return the entries of a mapping that has begun."""
        entries, repeated = {}, set()
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

    def scalar(self, event: ScalarEvent, key: tuple) -> str | int | float | bool | None:
        """Return a scalar as the library reads it by the core schema of YAML 1.2."""
        text = self.text(event)
        plain, _ = event.implicit
        tag = self.resolver.resolve(ScalarNode, text, event.implicit)
        if not plain or str(tag) not in TYPED:
            return text
        self.words[key] = text
        where = f"{dotted(key)}: " if key else ""
        if len(text) > MAX_NUMBER:
            problem = f"{where}a number of {len(text):,} characters; the limit is {MAX_NUMBER:,}"
            raise _Refused(problem, event.start_mark)
        try:
            return self.constructor.yaml_constructors[str(tag)](self.constructor, ScalarNode(tag, text))
        except ValueError:  # such as -_ and 0x_
            raise _Refused(f"{where}{text!r} is not a number", event.start_mark) from None
