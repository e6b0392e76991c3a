"""Log impacts over a baseline as a table, with what shared seeds do for their precision."""

import math
from collections.abc import Sequence

from lab.report.layout import Sheet
from lab.report.readings import short_name
from lab.results.summary import Summary, worlds
from lab.words import in_words, name_in_words, number, percent, with_interval


def impact_table(rows: Sequence[Summary], together: bool = False) -> Sheet:
    """Return a `Sheet` of log impacts and of what shared seeds do for their precision.

    Args:
        rows: `Summary`s that have an impact.
        together: whether their intervals hold all together.
    """
    shared_seeds = any(row.pairing for row in rows)
    columns = ("", "base rate", "test (LR)", "net")
    view = Sheet(
        impact_intervals(rows, together),
        (*columns, "correlation", "saved") if shared_seeds else columns,
        "Correlation of the two estimates of the net on what both share, and the share of variance that this saves."
        if shared_seeds
        else "",
    )
    for world, members in worlds([(row.regimen, row.coordinates) for row in rows]).items():
        if world:
            view.add_heading(in_words(world))
        for row in (rows[index] for index in members):
            if row.impact is not None:  # no baseline
                parts = (row.impact.base_rate, row.impact.likelihood_ratio, row.impact.net)
                view.add_row(short_name(row), *map(with_interval, parts), *(_saved(row) if shared_seeds else ()))
    return view


def impact_intervals(rows: Sequence[Summary], together: bool = False) -> str:
    """Return the title of log impacts: over what they are, and how sure their intervals are.

    Args:
        rows: `Summary`s that have an impact.
        together: whether their intervals hold all together.
    """
    level = percent(rows[0].confidence)
    baselines = dict.fromkeys(name_in_words(str(row.baseline).split(" ")[0]) for row in rows)
    intervals = f"{level} intervals"
    if together:
        intervals = f"each column's {len(rows)} intervals hold together at {level} (Bonferroni)"
    return f"log impact over {', '.join(baselines)} in nats, {intervals}"


def _saved(row: Summary) -> tuple[str, str]:
    """Return what shared seeds do for the net of a comparison, in words."""
    if row.pairing is None:
        return "n/a", "n/a"
    shared = row.pairing.net
    saved = "n/a" if math.isnan(shared.variance_saved) else f"{number(100 * shared.variance_saved, 2)}%"
    return number(shared.correlation), saved
