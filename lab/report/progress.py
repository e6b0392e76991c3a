"""The table of a run that is in progress."""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, Group
from rich.text import Text

from lab.config.schema import WORLD
from lab.report.layout import Sheet, wrapped
from lab.report.readings import unable_share
from lab.report.tables import DENOMINATORS, NOT_ABLE
from lab.report.worlds import RATES as OVER_WORLDS
from lab.report.worlds import many_worlds, regimen_and_point, spread, with_quartiles
from lab.results.summary import in_world, places, still_open
from lab.results.tally import Tally
from lab.statistics import PARTS, QUANTITIES, estimate
from lab.words import name_in_words, percent, with_interval

QUANTITIES_SHOWN = ("base_rate", "pass_given_aligned", "pass_given_misaligned", "likelihood_ratio")
RATES = {QUANTITIES[quantity].heading: quantity for quantity in QUANTITIES_SHOWN}
NET = PARTS["net"].heading
MEDIANS = "Median over the worlds that have models so far, and quartiles. `--world N` shows world N alone."
LONGEST = 100  # columns of a line of text
LETTERS = "A: aligned. T: passes the test."
RATIO = "LR = P(T|A) / P(T|not A)."
CHANGE = "Net: change of ln o(A|T) against the baseline, on the seeds that both have so far."


class Row(NamedTuple):
    """A row of the table of a run in progress.

    Attributes:
        name: of the condition.
        seeds: how many it has, and of how many where conditions differ in that.
        cells: heading of a column -> "value [low, high]".
        conditions: indices of those that it stands for.
        unable: whether more than a few models cannot do the job.
    """

    name: str
    seeds: str
    cells: dict[str, str]
    conditions: Sequence[int]
    unable: bool = False


def duration(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _at_last_look(tally: Tally) -> bool:
    """Return whether a run has no further look: one that stops by a rule may have."""
    manifest = tally.run.manifest
    return manifest["seeds"]["count"] == manifest["looks"][-1]


def finished(tally: Tally) -> bool:
    """Return whether nothing more will come: all is there, and nobody goes on to a further look."""
    return tally.whole and (_at_last_look(tally) or not any(tally.trainers()))


def progress_state(tally: Tally) -> str:
    """Return in words how a run stands."""
    here, elsewhere = tally.trainers()
    if finished(tally) and (_at_last_look(tally) or not still_open()(tally.run)):
        return "complete"
    if here:
        left = tally.left()
        return f"{', '.join(here)} trains it" + ("" if left is None else f", about {duration(left)} left")
    if elsewhere:
        return f"whether {', '.join(elsewhere)} still trains it cannot be told from here"
    return "no process seems to train it: `lab run` with its config goes on"


def progress_rows(tally: Tally, most: int, world: int | None = None) -> list[Row]:
    """Return the rows of the first conditions; of a run of many worlds, a row per regimen.

    Args:
        tally: of the run.
        most: how many of them.
        world: only this one of the worlds that the run has drawn.
    """
    if world is None and many_worlds(tally.labels):
        return _rows_over_worlds(tally)
    members = range(len(tally.names)) if world is None else in_world(tally.labels, world)
    shown, seeds = members[:most], tally.seeds
    rows, plans = [], {planned for _, planned in seeds}
    for index, row in zip(shown, tally.summaries(shown), strict=True):
        done, planned = seeds[index]
        cells = dict.fromkeys((*RATES, NET, NOT_ABLE), "")
        if done:
            cells = {
                heading: with_interval(estimate(row.counts, quantity, row.confidence))
                for heading, quantity in RATES.items()
            }
            cells[NET] = "baseline" if row.impact is None else with_interval(row.impact.net)
            cells[NOT_ABLE] = unable_share(row.counts)
        of_all = f"{done:,}" if len(plans) == 1 else f"{done:,} of {planned:,}"
        rows.append(Row(name_in_words(row.name), of_all, cells, [index], row.counts.unable_is_shown))
    return rows


def _rows_over_worlds(tally: Tally) -> list[Row]:
    """Return a row per regimen, at each point of the sweep: how many models it has, and how rates spread so far."""
    groups: dict[str, list[int]] = {}
    for index, (_, coordinates) in enumerate(places(tally.labels)):
        groups.setdefault(regimen_and_point(tally.names[index], coordinates[WORLD]), []).append(index)
    counts, seeds, rows = tally.counts(), tally.seeds, []
    for name, members in groups.items():
        done, planned = (sum(numbers) for numbers in zip(*(seeds[index] for index in members), strict=True))
        rates = {rate: spread([getattr(counts[index], rate) for index in members]) for rate in OVER_WORLDS}
        cells = {QUANTITIES[rate].heading: with_quartiles(of_rate) if done else "" for rate, of_rate in rates.items()}
        rows.append(Row(name_in_words(name), f"{done:,} of {planned:,}", cells, members))
    return rows


def progress_table(tally: Tally, rows: Sequence[Row], state: str, width: int, height: int) -> Group:
    """Return what to print of a run in progress: a heading, a table and notes, as they fit a terminal.

    Intervals stand below their values where there is no room beside them; then LR goes, then P(T|A).
    Conditions beyond the height become one line.

    Args:
        tally: of the run.
        rows: what `progress_rows` returned.
        state: a line on how the run stands.
        width: columns of the terminal.
        height: lines of it.
    """
    rates, last = list(RATES), [*[NOT_ABLE] * any(row.unable for row in rows), NET]
    layouts = [
        [name for name in (*columns, *last) if name in rows[0].cells]
        for columns in (rates, rates[:3], [rates[0], rates[2]])
    ]
    fitting = (names for names in layouts if len(_cells(tally, rows, names).blocks(width)) == 1)
    names = next(fitting, layouts[-1])
    console = Console(width=width, file=io.StringIO())
    while True:
        view = _table(tally, rows, state, names, width)
        lines = len(console.render_lines(view))
        if lines <= height or len(rows) <= 1:
            return view
        of_row = math.ceil(lines / len(rows))  # at most, so that no row is left out that fits
        rows = rows[: len(rows) - max(1, (lines - height) // of_row)]


def _table(tally: Tally, rows: Sequence[Row], state: str, names: Sequence[str], width: int) -> Group:
    """Return a heading, the table with the columns of these names, and notes."""
    done = sum(seeds for seeds, _ in tally.seeds)
    planned = sum(seeds for _, seeds in tally.seeds)
    level = f"{percent(tally.run.manifest['confidence'])} intervals"
    notes = []
    shown = {index for row in rows for index in row.conditions}
    if rest := [seeds for index, seeds in enumerate(tally.seeds) if index not in shown]:
        fewest, most = min(seeds for seeds, _ in rest), max(seeds for seeds, _ in rest)
        seeds = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        notes.append(f"... and {len(rest)} more conditions with {seeds} seeds each")
    if tally.behind:
        notes.append(f"{tally.behind:,} stored shards not counted yet")
    if tally.damaged:
        notes.append(f"{len(tally.damaged):,} damaged shards, which `lab run` computes again")
    view = _cells(tally, rows, names)
    sentences = [LETTERS, *[DENOMINATORS] * (NOT_ABLE in names), *[RATIO] * ("LR" in names)]
    caption = " ".join([*sentences, CHANGE if NET in names else MEDIANS])
    about = f", {level}" if NET in names else ""
    title = f"{tally.run.manifest['name']}: {done:,} of {planned:,} models so far{about}; {state}"
    lines = [Text("\n".join(wrapped(line, min(width, LONGEST)))) for line in (title, *notes, caption)]
    lines[0].stylize("bold")
    return Group(lines[0], view, *lines[1:])


def _cells(tally: Tally, rows: Sequence[Row], names: Sequence[str]) -> Sheet:
    """Return the table alone, with the columns of these names."""
    plans = {planned for _, planned in tally.seeds} if NET in names else set()
    seeds = f"seeds\nof {plans.pop():,}" if len(plans) == 1 else "seeds"
    view = Sheet("", ["condition", seeds, *names])
    for row in rows:
        view.add_row(row.name, row.seeds, *(row.cells[name] for name in names))
    return view
