"""The table of a run while it is trained: below `lab run`, and by `lab watch` from elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segments
from rich.text import Text
from tyro.conf import Positional, arg

from lab import report
from lab.cli.console import Console, Stop, console, errors
from lab.results import summary
from lab.results.store import PathLike, StoreError
from lab.results.tally import Tally

SHARE = 0.03  # of one core that the table of a run may take
SHORTEST = 1.0  # s between two tables of it
READING = 0.2  # s of it at a time for shards
EVERY = 2  # s between two looks of `lab watch`
WIDE = 170  # columns where there is no terminal
MARGIN = 3  # lines of a terminal that the table leaves free

if TYPE_CHECKING:
    from lab.cli.tracking import Mirror


class Board:
    """The table of a run that is being trained here, made again now and then so that it costs a small share of time."""

    def __init__(self, path: PathLike, window: Console, mirror: "Mirror | None" = None):
        """Begin with nothing to show.

        Args:
            path: the run's folder.
            window: what the table is shown on.
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


@contextlib.contextmanager
def watched(
    path: PathLike | None = None, mirror: "Mirror | None" = None
) -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None], Stop]]:
    """Give `progress` and `say` for `lab.training.engine.run`, and the `Stop` that `progress` raises after a signal.

    Args:
        path: folder of the run whose table is shown above the bar, if stderr is a terminal.
        mirror: a `lab.cli.tracking.Mirror` that follows the run.
    """
    live = errors.is_terminal
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=errors,
    )
    task = bar.add_task("compiling and training", total=None)
    board = Board(path, errors, mirror) if path is not None and (live or mirror) else None
    screen = Live(Group(board, bar) if board else bar, console=errors, refresh_per_second=1) if live else None
    started, tenths = time.monotonic(), 0

    def say(line: str) -> None:
        errors.print(line, markup=False)

    def progress(done: int, total: int) -> None:
        nonlocal tenths, started
        stop.check()
        if done * 10 // total < tenths:  # the next look
            tenths, started = 0, time.monotonic()
        bar.update(task, completed=done, total=total, description="training")
        if board:
            board.refresh()
        if not live and done * 10 // total > tenths:
            tenths = done * 10 // total
            left = (time.monotonic() - started) * (total - done) / done
            errors.print(f"trained {tenths * 10}%, about {left:.0f} s left", markup=False)

    with Stop() as stop, screen or contextlib.nullcontext():
        yield progress, say, stop
        if screen:  # the table that comes next is whole; if it was stopped, this is what is known
            screen.update(bar)


def table(tally: Tally, state: str, window: Console) -> Group:
    """Return the table of a run as it fits a terminal.

    Args:
        tally: of the run.
        state: how the run stands, in words.
        window: what the table is shown on.
    """
    height = window.size.height - MARGIN if window.is_terminal else 10_000
    width = window.size.width if window.is_terminal else WIDE
    return report.progress_table(tally, report.progress_rows(tally, height), state, width, height)


def watch(folder: Annotated[Positional[Path], arg(metavar="RUN")], /, once: bool = False) -> None:
    """Show the table of a run while others train it, until it is complete; reads only, and disturbs nothing.

    Args:
        folder: the run's folder.
        once: print it once.
    """
    tally = Tally(folder)
    tally.update()
    if once or tally.whole:
        _print(tally)
        return
    if not console.is_terminal:
        _follow(tally)
        return
    with Live(table(tally, state(tally), console), console=console, auto_refresh=False) as screen:
        while not finished(tally):
            time.sleep(EVERY)
            tally.update()
            screen.update(table(tally, state(tally), console), refresh=True)


def _follow(tally: Tally) -> None:
    """Print a line per tenth of a run, and the table once it is complete."""
    printed = None
    while not finished(tally):
        tenth = 10 * len(tally.counted) // len(tally.expected)
        if tenth != printed:
            printed = tenth
            console.print(f"{tenth * 10}%, {state(tally)}", markup=False, soft_wrap=True)
        time.sleep(EVERY)
        tally.update()
    _print(tally)


def _print(tally: Tally) -> None:
    """Print the table once, as wide as it needs where there is no terminal."""
    window = console if console.is_terminal else Console(width=WIDE)
    window.print(table(tally, state(tally), console))


def at_last_look(tally: Tally) -> bool:
    """Return whether a run has no further look: one that stops by a rule may have.

    Args:
        tally: of the run.
    """
    manifest = tally.run.manifest
    return manifest["seeds"]["count"] == manifest["looks"][-1]


def finished(tally: Tally) -> bool:
    """Return whether nothing more will come: all is there, and nobody goes on to a further look.

    Args:
        tally: of the run.
    """
    return tally.whole and (at_last_look(tally) or not any(tally.trainers()))


def state(tally: Tally) -> str:
    """Return in words how a run stands.

    Args:
        tally: of the run.
    """
    trainers, elsewhere = tally.trainers()
    if finished(tally) and (at_last_look(tally) or not summary.still_open()(tally.run)):
        return "complete"
    if trainers:
        left = tally.left()
        return f"{', '.join(trainers)} trains it" + ("" if left is None else f", about {report.duration(left)} left")
    if elsewhere:
        return f"whether {', '.join(elsewhere)} still trains it cannot be told from here"
    return "no process seems to train it: `lab run` with its config goes on"
