"""What the commands share: where they print, how they are stopped, and what is wrong usage.

It imports little, for `lab --help` waits for it.
"""

import contextlib
import itertools
import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import rich.console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Span, Text

from lab.report.layout import INDENT, Sheet, wrapped
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
    except ValueError as error:
        from lab.results.outcomes import UnknownName

        if isinstance(error, UnknownName):
            raise
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
