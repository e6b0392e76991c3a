"""A run of many worlds in a few rows: how each regimen does over all of them, beside holding out in the same world."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from lab.config.schema import WORLD
from lab.report.layout import table_of
from lab.results.outcomes import ABLE, Results
from lab.results.summary import Summary
from lab.statistics import QUANTITIES
from lab.words import MANY_WORLDS, number, percent

RATES = ("base_rate", "pass_given_aligned", "pass_given_misaligned")
QUARTILES = (25, 50, 75)  # percentiles that are shown


class Spread(NamedTuple):
    """How a rate spreads over worlds: its quartiles; nan where it is defined in none."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class OverWorlds:
    """A regimen, at one point of the sweep if there is one, over some worlds.

    Attributes:
        name: of the regimen and the point.
        rates: `RATES` -> how they spread.
        better, worse, undecided: numbers of worlds in which its net is above 0, below 0 or neither; none of a baseline.
        worlds: how many there are.
    """

    name: str
    rates: dict[str, Spread]
    better: int
    worse: int
    undecided: int
    worlds: int


def many_worlds(summaries: Sequence[Summary]) -> bool:
    """Return whether a run has so many worlds that it is shown by regimen."""
    return len({row.coordinates.get(WORLD) for row in summaries} - {None}) >= MANY_WORLDS


def over_worlds(summaries: Sequence[Summary]) -> dict[bool, list[OverWorlds]]:
    """Return the rows of a run of many worlds: those where models do the job when held out, and the others.

    Args:
        summaries: what `lab.summarise` returned.
    """
    unable: dict[str, float] = {}
    for row in summaries:
        unable[row.name] = (row.counts.incompetent + row.counts.diverged) / max(1, row.counts.seeds)
    groups: dict[bool, dict[str, list[Summary]]] = {True: {}, False: {}}
    for row in summaries:
        able = unable[row.baseline or row.name] <= 1 - ABLE
        name = " ".join(part for part in row.name.split() if not part.startswith(f"{WORLD}="))
        groups[able].setdefault(name, []).append(row)
    return {able: [_row(name, rows) for name, rows in of_group.items()] for able, of_group in groups.items()}


def _row(name: str, rows: Sequence[Summary]) -> OverWorlds:
    """Return one regimen over its worlds."""
    nets = [row.impact.net for row in rows if row.impact is not None]
    better, worse = sum(net.low > 0 for net in nets), sum(net.high < 0 for net in nets)
    rates = {}
    for rate in RATES:
        values = np.array([row.estimates[rate].value for row in rows])
        known = values[np.isfinite(values)]
        rates[rate] = Spread(*(np.percentile(known, QUARTILES) if known.size else [np.nan] * 3))
    return OverWorlds(name, rates, better, worse, len(nets) - better - worse, len(rows))


def table(results: Results, summaries: Sequence[Summary]) -> Table:
    """Return a `rich.table.Table` with one row per regimen, and apart the worlds where models cannot do the job."""
    groups, seeds = over_worlds(summaries), max(row.counts.seeds for row in summaries)
    count = len({row.coordinates.get(WORLD) for row in summaries})
    view = table_of(
        f"{results.attrs['name']}: {count:,} worlds of {seeds:,} models per regimen",
        ["", "worlds", *(QUANTITIES[rate].heading for rate in RATES), "better", "worse", "undecided"],
        f"Median over worlds, and quartiles. Better, worse: worlds whose net against {results.attrs['baseline']} is "
        f"above or below 0 with all of its {percent(summaries[0].confidence)} interval. Where no misaligned model "
        "passes under either, the net has no value and is undecided.",
    )
    for able, rows in groups.items():
        if not rows:
            continue
        view.add_section()
        many = "at least" if able else "fewer than"
        view.add_row(Text(f"{many} {percent(ABLE)} do the job held out", style="bold"))
        for row in rows:
            spread = [
                f"{number(rate.median, 2)} [{number(rate.low, 2)}, {number(rate.high, 2)}]"
                for rate in row.rates.values()
            ]
            counts = [f"{kind:,}" for kind in (row.better, row.worse, row.undecided)]
            baseline = row.better + row.worse + row.undecided == 0
            nets = ["baseline", "", ""] if baseline else counts
            view.add_row(*map(Text, (row.name, f"{row.worlds:,}", *spread, *nets)))
    return view
