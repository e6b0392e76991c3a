"""The table of a run while it is trained: below `lab run`, and by `lab watch` from elsewhere."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segments
from rich.text import Text

from lab import report
from lab.cli.console import WIDE, Console, Stop, console, errors, print_line, print_text
from lab.cli.options import OWN_MARKS, OneWorld, OtherMarks, RunFolder
from lab.cli.read import print_run
from lab.results.store import StoreError
from lab.results.tally import Tally

if TYPE_CHECKING:
    from lab.report.trackers import Mirror

SHARE = 0.03  # of one core that the table of a run may take
SHORTEST = 1.0  # s between two tables of it
READING = 0.2  # s of it at a time for shards
EVERY = 2  # s between two looks of `lab watch`
MARGIN = 3  # lines of a terminal that the table leaves free


class Board:
    """The table of a run that is being trained here, made again now and then so that it costs a small share of time."""

    def __init__(self, path: Path, window: Console, mirror: "Mirror | None" = None):
        """Show nothing yet.

        Args:
            path: folder of the run.
            window: where the table is shown.
            mirror: follows the run.
        """
        self.path, self.window, self.mirror = path, window, mirror
        self.tally: Tally | None = None
        self.view: RenderableType = Text("")
        self.due = time.monotonic() + SHORTEST

    def refresh(self) -> None:
        """Make the table again if it is time to; a folder that cannot be read is the engine's to complain about."""
        if time.monotonic() < self.due:
            return
        started = time.thread_time()  # while others compute, it waits more than it works
        with contextlib.suppress(StoreError, OSError):
            self.tally = self.tally or Tally(self.path)
            new = self.tally.update(READING)
            if self.mirror:
                self.mirror.follow(self.tally, READING)
            if new and self.window.is_terminal:
                made = table(self.tally, "the rest is being trained", self.window)
                self.view = Segments(list(self.window.render(made)))  # laid out once, shown every second
        took = time.thread_time() - started
        self.due = time.monotonic() + max(SHORTEST, took / SHARE)

    def __rich__(self) -> RenderableType:
        return self.view


class Pace:
    """The rate of a training since it was first heard of: when all is compiled, and when a run goes on to a look."""

    def __init__(self):
        self.first, self.started, self.done = 0, 0.0, math.inf

    def left(self, done: int, total: int, now: float) -> float | None:
        """Return about how many seconds are left, or None before anything was trained.

        Args:
            done: lane-steps so far.
            total: lane-steps in all.
            now: on any clock, in seconds.
        """
        if done < self.done:
            self.first, self.started = done, now
        self.done = done
        return (now - self.started) * (total - done) / (done - self.first) if done > self.first else None


class Watch(NamedTuple):
    """What follows a training.

    Attributes:
        progress: called with the lane-steps done and all of them, as `lab.training.engine.run` does.
        say: called with a line of text for a person.
        stop: raised by `progress` after a signal.
    """

    progress: Callable[[int, int], None]
    say: Callable[[str], None]
    stop: Stop


@contextlib.contextmanager
def watched(path: Path | None = None, mirror: "Mirror | None" = None) -> Iterator[Watch]:
    """Give the `Watch` of a training, which shows a bar or prints a line per tenth.

    Args:
        path: folder of the run whose table is shown above the bar, if stderr is a terminal.
        mirror: a `lab.report.trackers.Mirror` that follows the run.
    """
    live = errors.is_terminal
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[left]}"),
        console=errors,
    )
    task = bar.add_task("compiling and training", total=None, left="")
    board = Board(path, errors, mirror) if path is not None and (live or mirror) else None
    screen = Live(Group(board, bar) if board else bar, console=errors, refresh_per_second=1) if live else None
    pace, tenths = Pace(), 0  # tenths of the work told

    def say(line: str) -> None:
        print_text(line, errors)

    def progress(done: int, total: int) -> None:
        nonlocal tenths
        stop.check()
        left = pace.left(done, total, time.monotonic())
        bar.update(task, completed=done, total=total, description="training", left="left")
        if board:
            board.refresh()
        told, tenths = tenths, done * 10 // total
        if not live and tenths > told:
            about = "" if left is None else f", about {left:.0f} s left"
            errors.print(f"trained {tenths * 10}%{about}", markup=False)

    with Stop() as stop, screen or contextlib.nullcontext():
        yield Watch(progress, say, stop)
        if screen:  # the table that comes next is whole; if it was stopped, this is what is known
            screen.update(bar)


def table(tally: Tally, state: str, window: Console, world: int | None = None) -> RenderableType:
    """Return the table of a run, or of one of the worlds that it has drawn, as it fits a terminal."""
    height = window.size.height - MARGIN if window.is_terminal else 10_000
    width = window.size.width if window.is_terminal else WIDE
    return report.progress_table(tally, report.progress_rows(tally, height, world), state, width, height)


def watch(
    folder: RunFolder,
    /,
    marks: OtherMarks = OWN_MARKS,
    once: bool = False,
    world: OneWorld = None,
) -> None:
    """Show the table of a run while others train it, until it is complete.

    Args:
        folder: the run's folder.
        marks: other pass marks or another proxy than the run's own.
        once: print it once.
        world: show one of the worlds that the run has drawn, by its number.
    """
    stored = marks.open(folder)
    if stored.observed:
        print_line(f"{folder} was trained elsewhere, and is complete:")
        print_run(stored, world=world)
        return
    tally = Tally(folder, marks.open)
    tally.update()
    if once or tally.whole:
        _print(tally, world)
        return
    if not console.is_terminal:
        _follow(tally, world)
        return

    def view() -> RenderableType:
        return table(tally, report.progress_state(tally), console, world)

    with Live(view(), console=console, auto_refresh=False) as screen:
        while not report.finished(tally):
            time.sleep(EVERY)
            tally.update()
            screen.update(view(), refresh=True)


def _follow(tally: Tally, world: int | None) -> None:
    """Print a line per tenth of a run, and the table once it is complete."""
    last = None
    while not report.finished(tally):
        tenth = 10 * len(tally.counted) // len(tally.expected)
        if tenth != last:
            last = tenth
            print_text(f"{tenth * 10}%, {report.progress_state(tally)}")
        time.sleep(EVERY)
        tally.update()
    _print(tally, world)


def _print(tally: Tally, world: int | None) -> None:
    """Print the table once, as wide as it needs where there is no terminal."""
    where = console if console.is_terminal else Console(width=WIDE)
    where.print(table(tally, report.progress_state(tally), console, world))
