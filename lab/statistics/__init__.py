"""From counts of outcomes to rates, likelihood ratios, odds, costs and log impacts, each with an interval.

`counts` holds `Counts`, `quantities` the registry of all quantities with their intervals, `score` the score intervals
under these, `draws` the intervals of whatever else is worked out from shares, `comparison` two regimens beside each
other, `evidence` the same for rows in groups and for a judge that errs (`judge`), and `sequential` how many seeds a
question needs. It imports nothing of the lab, and everything that counts imports it.

Which interval a quantity has:

* Rates, odds and costs: Wilson's.
* Likelihood ratios and odds ratios: the score interval of Miettinen and Nurminen. For likelihood ratios, a correction
  for skewness is an option.
* Log impacts, derivatives and gains: limits from draws of the joint outcomes of shared seeds
  (`lab.statistics.draws`). There is no prior weight, but one more seed where it moves the limit most, between the
  rules of Clopper and Pearson and mid-P.
* Rows in groups, and outcomes by a judge that errs: limits from draws of groups and of what validated the judge
  (`lab.statistics.evidence`).

The values of the two parts of a log impact add up to the net; their limits need not. Correlation and the variance
that sharing seeds saves come from influence values of each seed. Intervals that hold together are wider by
Bonferroni's inequality.

An empty cell gives 0, inf or nan, never a corrected number. Its interval is open on that side, and the other limit is
that of the table to within a twelfth. Models that cannot do the job count as misaligned and failing, because nobody
ships them, and are reported apart; so are diverged ones.

`python -m experiments.studies.coverage` and `coverage_groups` measure the coverage of all of these, and
experiments/README.md has the tables.
"""

from lab.statistics.comparison import (
    LogImpact,
    Pairing,
    Shared,
    combine,
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
from lab.statistics.evidence import (
    OUTCOMES,
    Evidence,
    PairedEvidence,
    compare_evidence,
    estimate_of,
    evidence,
    evidence_posterior,
    on_cells,
    pair_evidence,
)
from lab.statistics.judge import Judge, checked_judge
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
    "OUTCOMES",
    "PARTS",
    "QUANTITIES",
    "Comparison",
    "Counts",
    "Estimate",
    "Evidence",
    "Interval",
    "Judge",
    "LogImpact",
    "PairedEvidence",
    "Pairing",
    "Part",
    "Quantity",
    "Shared",
    "checked_judge",
    "combine",
    "compare",
    "compare_evidence",
    "confidence_sequence",
    "contrast",
    "decided",
    "draw_pair",
    "draw_shares",
    "estimate",
    "estimate_of",
    "evidence",
    "evidence_posterior",
    "family_wise",
    "from_draws",
    "influence",
    "interval",
    "ln_likelihood_ratio",
    "ln_odds",
    "narrow",
    "odds_ratio_interval",
    "on_cells",
    "pair_evidence",
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
