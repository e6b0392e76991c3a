"""From counts of outcomes to rates, likelihood ratios, odds, costs and log impacts, each with an interval.

`counts` holds `Counts`, `quantities` the registry of all quantities with their intervals, `score` the score intervals
under these, `draws` the intervals of whatever else is worked out from shares, `comparison` two regimens beside each
other, and `sequential` how many seeds a question needs. It imports nothing of the lab, and everything that counts
imports it.
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
from lab.statistics.counts import CELLS, Counts
from lab.statistics.draws import draw_shares, from_draws
from lab.statistics.quantities import (
    PARTS,
    QUANTITIES,
    Part,
    Quantity,
    estimate,
    interval,
    wilson_interval,
)
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

__all__ = [
    "CELLS",
    "PARTS",
    "QUANTITIES",
    "Comparison",
    "Counts",
    "Estimate",
    "Interval",
    "LogImpact",
    "Pairing",
    "Part",
    "Quantity",
    "Shared",
    "compare",
    "confidence_sequence",
    "contrast",
    "decided",
    "draw_pair",
    "draw_shares",
    "estimate",
    "family_wise",
    "from_draws",
    "influence",
    "interval",
    "ln_likelihood_ratio",
    "ln_odds",
    "narrow",
    "odds_ratio_interval",
    "pairing",
    "planned_confidence",
    "pocock",
    "ratio_confidence_sequence",
    "ratio_interval",
    "seeds_needed",
    "shared_posterior",
    "width",
    "wilson_interval",
]
