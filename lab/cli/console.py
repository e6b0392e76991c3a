"""What the commands share: where they print, how they are stopped, and what is wrong usage."""

import itertools
import signal
from collections.abc import Iterator
from typing import Annotated

import rich.console
import tyro
from rich.segment import Segment
from rich.text import Span, Text

from lab.words import printable


class Console(rich.console.Console):
    """A console whose terminal obeys no text: control characters in names and messages are written out.

    Strings pass `render_str` and all that is printed passes `render`, cells of tables and live displays included. Of
    rich's own texts five control characters are gone before; it would let through the one that begins colours, titles
    and movements of the cursor. What rich itself tells a terminal are segments that are marked as control.
    """

    def __init__(self, **options):
        super().__init__(highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options) -> Text:
        """Return a string as rich does, safe to print."""
        return super().render_str(printable(text), **options)

    def render(self, renderable, options: rich.console.ConsoleOptions | None = None) -> Iterator[Segment]:
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


console = Console()
errors = Console(stderr=True)


class Stopped(BaseException):
    """A signal asked the process to end."""


class Stop:
    """Turns SIGINT and SIGTERM into `Stopped`, between segments of training or at once if they come again.

    Python would raise at any instruction, also where nothing can be raised (in a finaliser, say), and lose it.
    """

    def __init__(self):
        self.number = None

    def __enter__(self):
        self.before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number, _frame):
        """Remember the signal."""
        if self.number is not None:
            raise Stopped(number)
        self.number = number

    def check(self):
        """Raise `Stopped` if a signal has come."""
        if self.number is not None:
            raise Stopped(self.number)


def _named(given: list[str]) -> str:
    if not given[0]:
        raise ValueError("must not be empty")
    return given[0]


# an option that names something, or is not given; tyro would take the name None for nothing
NameOrNone = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="STR",
        instance_from_str=_named,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    ),
]


class Failed(Exception):
    """Something that could not be done, though it was asked for rightly."""


class UsageError(Exception):
    """Something typed on the command line that does not fit."""
