"""The table of a run that is in progress."""

import io

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from lab.statistics import estimate
from lab.words import percent, with_interval

RATES = {
    "P(A)": "base_rate",
    "P(T|A)": "pass_given_aligned",
    "P(T|not A)": "pass_given_misaligned",
    "LR": "likelihood_ratio",
}
NET = "net (nats)"
LETTERS = "A: aligned. T: passes the test."
RATIO = "LR = P(T|A) / P(T|not A)."
CHANGE = "Net: change of ln o(A|T) against the baseline, on the seeds that both have so far."


def duration(seconds):
    """Return a time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def progress_rows(tally, most):
    """Return the cells of the first conditions: (name, seeds, column -> "value [low, high]") each.

    Args:
        tally: a `lab.results.tally.Tally`.
        most: how many of them.
    """
    shown = range(min(most, len(tally.names)))
    rows, plans = [], {planned for _, planned in tally.seeds}
    for (done, planned), row in zip(tally.seeds, tally.summaries(shown), strict=False):
        cells = dict.fromkeys((*RATES, NET), "")
        if done:
            cells = {title: with_interval(estimate(row.counts, own, row.confidence)) for title, own in RATES.items()}
            cells[NET] = "baseline" if row.impact is None else with_interval(row.impact.net)
        rows.append((row.name, f"{done:,}" if len(plans) == 1 else f"{done:,} of {planned:,}", cells))
    return rows


def progress_table(tally, rows, state, width, height):
    """Return what to print of a run in progress: a heading, a table and notes, as they fit a terminal.

    Intervals stand below their values where there is no room beside them; then LR goes, then P(T|A).
    Conditions beyond the height become one line.

    Args:
        tally: a `lab.results.tally.Tally`.
        rows: what `progress_rows` returned.
        state: a line on how the run stands.
        width: columns of the terminal.
        height: lines of it.
    """
    columns, measure = [*RATES, NET], Console(width=10_000, file=io.StringIO())
    layouts = [(columns, " "), (columns, "\n"), ([*columns[:3], NET], "\n"), ([columns[0], columns[2], NET], "\n")]
    for names, between in layouts:
        if measure.measure(_cells(tally, rows, names, between)).maximum <= width:
            break
    console = Console(width=width, file=io.StringIO())
    while True:
        view = _table(tally, rows, state, names, between)
        excess = len(console.render_lines(view)) - height
        if excess <= 0 or len(rows) <= 1:
            return view
        rows = rows[: max(1, len(rows) - max(1, excess // (1 if between == " " else 2)))]


def _table(tally, rows, state, names, between):
    done = sum(own for own, _ in tally.seeds)
    planned = sum(own for _, own in tally.seeds)
    level = f"{percent(tally.run.manifest['confidence'])} intervals"
    notes = []
    if rest := tally.seeds[len(rows) :]:
        fewest, most = min(own for own, _ in rest), max(own for own, _ in rest)
        seeds = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        notes.append(f"... and {len(rest)} more conditions with {seeds} seeds each")
    if tally.behind:
        notes.append(f"{tally.behind:,} stored shards not counted yet")
    if tally.damaged:
        notes.append(f"{len(tally.damaged):,} damaged shards, which `lab run` computes again")
    view = _cells(tally, rows, names, between)
    caption = " ".join([LETTERS, *[RATIO] * ("LR" in names), CHANGE])
    title = f"{tally.run.manifest['name']}: {done:,} of {planned:,} models so far, {level}; {state}"
    return Group(Text(title, style="bold"), view, *map(Text, [*notes, caption]))


def _cells(tally, rows, names, between):
    view, plans = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True), {own for _, own in tally.seeds}
    view.add_column("condition", overflow="fold", min_width=12)
    for name in (f"seeds\nof {plans.pop():,}" if len(plans) == 1 else "seeds", *names):
        view.add_column(name, no_wrap=True)
    for name, seeds, cells in rows:
        view.add_row(*map(Text, (name, seeds, *(cells[own].replace(" ", between, 1) for own in names))))
    return view
