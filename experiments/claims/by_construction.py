"""Ensuring a property by construction beats rejecting on it, though it makes the proxy worthless as a test.

Command:   lab experiment by_construction
Expected:  supported
Cost:      two minutes on 2 cores

The intended solution built in, beside holding the test out and rejecting on it with as many runs as it takes, in a
world where a held-out test is imperfect. What is built in is worthless as a test if no model that does the job fails
it.

Rule, per task, with 95% intervals that hold together: supported if P(A) built in is above P(A|T) held out, the LR held
out is above 1, and built in less than .02 of the models that do the job fail the test; contradicted if P(A) built in is
below P(A|T) held out, or more than .02 of those models fail; else undecided. (After the first run: the rule asked for
P(A) alone, which is half of the sentence. On seeds from 7,000,000 it was supported in `scratchpad`, `race`, `shortcut`
and `reasoner`. The new rule was committed before the run on other seeds that decides.)
"""

from lab import claims
from lab.statistics import Estimate, wilson_interval

WORTHLESS = 0.02  # share of models that do the job and fail, below which the test tells nothing; of the rule
TOGETHER = 3  # intervals of the rule


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    without, with_it = (stored.at("hold_out", built_in=value) for value in stored.values("built_in"))
    gain = stored.difference(with_it, claims.aligned_share, without, claims.aligned_share_of_passing, TOGETHER)
    built_in, held_out = stored.rate(with_it, "base_rate"), stored.rate(without, "aligned_given_pass")
    ratio = stored.rate(without, "likelihood_ratio", TOGETHER)
    fails = failing(stored, with_it)
    why = (
        f"{claims.phrase('P(A) built in', built_in)}, {claims.phrase('P(A|T) held out', held_out)}, "
        f"{claims.phrase('difference', gain)}; {claims.phrase('LR held out', ratio)}; built in, of the models that do "
        f"the job {claims.phrase('fail the test', fails)}"
    )
    if gain.high < 0 or fails.low > WORTHLESS:
        return claims.Verdict(claims.CONTRADICTED, why)
    both = gain.low > 0 and ratio.low > 1 and fails.high < WORTHLESS
    return claims.Verdict(claims.SUPPORTED if both else claims.UNDECIDED, why)


def failing(stored: claims.Stored, name: str) -> Estimate:
    """Return the share that fails the test of the models of a condition that do the job."""
    counts = stored.counts(name)
    able = counts.seeds - stored.conditions[name].get("incompetent", 0)
    failures = able - counts.passing
    return Estimate(failures / able, *wilson_interval(failures, able, stored.confidence(TOGETHER)))
