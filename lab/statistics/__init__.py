"""From counts of outcomes to rates, likelihood ratios, odds, costs and log impacts, each with an interval.

`quantities` holds `Counts` and the interval of every quantity, `score` the score intervals under it, `draws` the
intervals of whatever else is worked out from shares, `comparison` two regimens beside each other, `sequential` how many
seeds a question needs, `summary` the way from recorded scores.
"""

from lab.statistics.comparison import (
    LogImpact,
    Pairing,
    Shared,
    compare,
    contrast,
    draw_pair,
    family_wise,
    influence,
    ln_likelihood_ratio,
    ln_odds,
    pairing,
    shared_posterior,
)
from lab.statistics.draws import draw_shares, from_draws
from lab.statistics.quantities import CELLS, QUANTITIES, Counts, estimate, interval, wilson_interval
from lab.statistics.score import Estimate, Interval, odds_ratio_interval, ratio_interval
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
    "contrast",
    "counts",
    "decided",
    "draw_pair",
    "draw_shares",
    "estimate",
    "family_wise",
    "find",
    "from_draws",
    "influence",
    "interval",
    "ln_likelihood_ratio",
    "ln_odds",
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
    "shared_posterior",
    "still_open",
    "summaries",
    "summarise",
    "width",
    "wilson_interval",
    "worlds",
]
