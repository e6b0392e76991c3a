"""From counts of outcomes to rates, likelihood ratios, odds, costs and log impacts, each with an interval.

`quantities` holds `Counts` and the interval of every quantity, `score` the score intervals under it, `comparison` two
regimens beside each other, `sequential` how many seeds a question needs, `summary` the way from recorded scores.
"""

from lab.statistics.comparison import (
    LogImpact,
    Pairing,
    Shared,
    compare,
    family_wise,
    impact_draws,
    influence,
    pairing,
    share_draws,
    shared_posterior,
)
from lab.statistics.quantities import CELLS, QUANTITIES, Counts, Estimate, estimate, interval, wilson_interval
from lab.statistics.score import Interval, odds_ratio_interval, ratio_interval
from lab.statistics.sequential import (
    Comparison,
    confidence_sequence,
    decided,
    narrow,
    planned_confidence,
    pocock,
    ratio_confidence_sequence,
    seeds_needed,
    width,
)
from lab.statistics.summary import (
    Summary,
    cells,
    compare_conditions,
    comparisons,
    counts,
    find,
    paired_counts,
    places,
    still_open,
    summaries,
    summarise,
    worlds,
)

__all__ = [
    "CELLS",
    "QUANTITIES",
    "Comparison",
    "Counts",
    "Estimate",
    "Interval",
    "LogImpact",
    "Pairing",
    "Shared",
    "Summary",
    "cells",
    "compare",
    "compare_conditions",
    "comparisons",
    "confidence_sequence",
    "counts",
    "decided",
    "estimate",
    "family_wise",
    "find",
    "impact_draws",
    "influence",
    "interval",
    "narrow",
    "odds_ratio_interval",
    "paired_counts",
    "pairing",
    "places",
    "planned_confidence",
    "pocock",
    "ratio_confidence_sequence",
    "ratio_interval",
    "seeds_needed",
    "share_draws",
    "shared_posterior",
    "still_open",
    "summaries",
    "summarise",
    "width",
    "wilson_interval",
    "worlds",
]
