"""What the commands share: where they print, what they take, how they are stopped, and what is wrong usage."""

import contextlib
import itertools
import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeVar

import rich.console
import tyro
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Span, Text
from tyro.conf import Positional, arg

from lab.config.source import read_yaml, shortened
from lab.report.layout import INDENT, Sheet, wrapped
from lab.results.outcomes import UnknownName
from lab.results.store import Run
from lab.words import printable


class UsageError(Exception):
    """Something typed on the command line that does not fit."""


class Failed(Exception):
    """Something that could not be done, though it was asked for rightly."""


class Stopped(BaseException):
    """A signal asked the process to end."""


@contextlib.contextmanager
def usage(folder: Path | str | None = None) -> Iterator[None]:
    """Take a `ValueError` for wrong usage, with the folder that it is about; names that are unknown say enough."""
    try:
        yield
    except UnknownName:
        raise
    except ValueError as error:
        raise UsageError(f"{folder}: {error}" if folder else str(error)) from None


# --- where commands print -----------------------------------------------------------------------------------------


class Console(rich.console.Console):
    """A console whose terminal obeys no text: control characters in names and messages are written out.

    Strings pass `render_str` and all that is printed passes `render`, cells of tables and live displays included. Of
    rich's own texts five control characters are gone before; it would let through the one that begins colours, titles
    and movements of the cursor. What rich itself tells a terminal are segments that are marked as control.
    """

    def __init__(self, **options: Any):
        super().__init__(highlight=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, once no bar of `waiting` is in the way."""
        if not self.stderr:
            for bar in filter(_is_shown, BARS):
                bar.stop()
        super().print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as rich does, safe to print."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Return segments as rich does, safe to print; rich calls this for every part of a part."""
        if isinstance(renderable, Text):
            renderable = _printable(renderable)
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def _printable(text: Text) -> Text:
    """Return a `Text` that is safe to print, its styles where they were."""
    if printable(text.plain) == text.plain:
        return text
    parts = [printable(letter) for letter in text.plain]
    ends = [0, *itertools.accumulate(map(len, parts))]
    safe = text.blank_copy("".join(parts))
    safe.spans = [Span(ends[span.start], ends[min(span.end, len(parts))], span.style) for span in text.spans]
    return safe


BARS: list[Progress] = []  # that wait now
console = Console()
errors = Console(stderr=True)
WIDE = 200  # columns of a table where there is no terminal
PATIENCE = 2.0  # s in which nothing need be said
DRAWING = "drawing the figure"


def print_line(line: str, where: Console = console) -> None:
    """Print a line as it is, however long: a command or a path, which somebody may copy."""
    where.print(line, markup=False, soft_wrap=True)


def print_text(text: str, where: Console = console, hanging: str = INDENT) -> None:
    """Print sentences: on a terminal in lines that end between words, elsewhere as they are.

    Args:
        text: to print.
        where: it is printed.
        hanging: how much further a line is indented that continues another.
    """
    if where.is_terminal:
        start = text[: len(text) - len(text.lstrip(" "))]
        text = "\n".join(wrapped(text, where.width, start + hanging))
    print_line(text, where)


def print_table(view: Sheet) -> None:
    """Print a table as it fits the terminal, or wide where there is none."""
    (console if console.is_terminal else Console(width=WIDE)).print(view)


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of text."""
    view = Sheet(title, columns)
    for row in rows:
        view.add_row(*row)
    print_table(view)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Say on stderr what takes long: a bar on a terminal, which vanishes at the end, and a line elsewhere.

    Gives what may be called with the number of steps done and that of all.

    Args:
        what: is being done.
    """
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=errors, transient=True)
    task = bar.add_task(what, total=None)
    say = threading.Timer(PATIENCE, bar.start if errors.is_terminal else lambda: print_text(f"{what} ...", errors))
    say.daemon = True
    say.start()
    BARS.append(bar)
    try:
        yield lambda done, total: bar.update(task, completed=done, total=total)
    finally:
        say.cancel()
        say.join()
        BARS.remove(bar)
        if _is_shown(bar):
            bar.stop()


def _is_shown(bar: Progress) -> bool:
    return bar.live.is_started


def print_json(data: Any) -> None:
    """Print plain JSON values."""
    print(json.dumps(data, indent=1))


def print_figures(path: Path, end: str = ".png, .pdf, .json", label: str = "figures: ") -> None:
    """Say where a figure was written."""
    print_line(f"{label}{path.with_suffix('')}{end}")


# --- what commands take -------------------------------------------------------------------------------------------


def _not_empty(words: list[str]) -> str:
    if not words[0]:
        raise ValueError("must not be empty")
    return words[0]


# an option that names something, or is not given; tyro would take the name None for nothing
NameOrNone = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="STR",
        instance_from_str=_not_empty,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    ),
]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
ConfigFile = Annotated[Positional[str], arg(metavar="CONFIG")]


@dataclass(frozen=True)
class Marks:
    """How a stored run is read; nothing is trained again."""

    mark: str = ""
    """other pass marks, as score=number with commas between"""
    proxy: NameOrNone = None
    """score that decides who passes, instead of the run's own"""

    def open(self, folder: Path) -> Run:
        """Return a stored run that is read with these marks."""
        marks = split_settings("--mark", self.mark)
        if wrong := [name for name, mark in marks.items() if type(mark) not in (int, float)]:
            raise UsageError(f"--mark {wrong[0]}: must be a number, not {shortened(repr(marks[wrong[0]]))}")
        with usage(folder):
            run = Run(folder, marks, self.proxy)
        decides = {"competence", "alignment", run.manifest["proxy"]}
        if idle := [name for name in marks if name not in decides]:
            raise UsageError(f"--mark {idle[0]}: decides nothing, for {run.manifest['proxy']} decides who passes")
        return run

    def check_place(self, out: Path | None) -> None:
        """Refuse to replace what was made with the run's own marks, which stands in its folder.

        Raises:
            UsageError: there are other marks, and no other place.
        """
        if out is None and self != type(self)():
            raise UsageError("other marks than the run's own: give --out, so that what was made with its own stays")


@dataclass(frozen=True)
class AgedMarks(Marks):
    """How a stored run is read, and how old its models are then."""

    checkpoint: float | None = None
    """share of training at which models are looked at, of those recorded, instead of its end"""


def refuse_observed(run: Run, why: str) -> Run:
    """Return a run that was trained here. Raises a UsageError with the reason why a table of runs does not do."""
    if run.observed:
        raise UsageError(f"{run.path}: its runs were trained elsewhere: {why}")
    return run


OtherMarks = Annotated[Marks, arg(name="")]
OtherAgedMarks = Annotated[AgedMarks, arg(name="")]
OWN_MARKS, OWN_AGED_MARKS = Marks(), AgedMarks()
OneWorld = Annotated[int | None, arg(metavar="N")]
AsJson = Annotated[bool, arg(name="json")]
Number = TypeVar("Number", int, float)
MOST_NUMBERS = 100  # that an option takes
MOST_RUNS = 10**9  # of a budget
LONGEST_KEY = 64  # characters of a knob's name


def split_names(text: str | None) -> list[str] | None:
    """Return names that have commas between them, each once; None for None."""
    return None if text is None else list(dict.fromkeys(name.strip() for name in text.split(",")))


def split_numbers(option: str, text: str, kind: type[Number], most: float, least: float = 1) -> list[Number]:
    """Return numbers that have commas between them.

    Args:
        option: that they are given to.
        text: of the numbers.
        kind: whole numbers, or any.
        most: the largest.
        least: the smallest.
    """
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= MOST_NUMBERS or not all(least <= number <= most for number in numbers):
        words = "whole numbers" if kind is int else "numbers"
        raise UsageError(
            f"{option}: {words} from {least:g} to {most:,} with commas between, at most {MOST_NUMBERS} of them, "
            f"not {shortened(repr(text))}"
        )
    return numbers


def split_settings(option: str, text: str) -> dict[str, Any]:
    """Return name -> value from name=value with commas between; values are read as those of a config are.

    Args:
        option: that they are given to.
        text: of the settings.
    """
    values: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not 1 <= len(name) <= LONGEST_KEY:
            raise UsageError(f"{option}: name=value, with commas between, not {shortened(repr(part))}")
        if name in values:
            raise UsageError(f"{option}: {name} is given twice")
        values[name] = read_yaml(value, f"{option} {name}").data
    return values


# --- how they are stopped -----------------------------------------------------------------------------------------


class Stop:
    """Turns SIGINT and SIGTERM into `Stopped`, between segments of training or at once if they come again.

    Python would raise at any instruction, also where nothing can be raised (in a finaliser, say), and lose it.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> "Stop":
        self.before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal."""
        if self.number is not None:
            raise Stopped(number)
        self.number = number

    def check(self, *_: object) -> None:
        """Raise `Stopped` if a signal has come; whatever tells of progress may call it."""
        if self.number is not None:
            raise Stopped(self.number)
