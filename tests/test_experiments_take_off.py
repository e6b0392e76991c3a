"""The median and its interval by order statistics, against ranks by hand; the rule of the verdict."""

import math

import numpy as np
import pytest

from experiments.studies.take_off import median, verdicts, words
from lab.statistics import Estimate


@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (25, 8, 18), (50, 18, 33)])
def test_median_interval_has_the_ranks_of_the_sign_test(n, low, high):
    """The largest j with P(Binomial(n, 1/2) < j) <= .025, such as 11/1024 and not 56/1024 for n = 10, and n + 1 - j."""
    estimate = median(np.arange(1, n + 1)[::-1])
    assert (estimate.low, estimate.high) == (low, high)
    assert estimate.value == (n + 1) // 2


def test_too_few_values_bound_nothing():
    assert median(np.arange(5.0))[1:] == (0.0, math.inf)
    assert math.isnan(median(np.array([])).value)
    assert median(np.full(20, np.inf)).value == math.inf


def test_a_verdict_needs_intervals_apart():
    def rows(*spans):
        places = [(k, with_it) for k in (1, 2, 3) for with_it in (False, True)]
        return {place: Estimate(sum(span) / 2, *span) for place, span in zip(places, spans, strict=True)}

    apart = rows((0.3, 0.4), (0.3, 0.35), (0.5, 0.6), (0.3, 0.4), (0.7, 0.8), (0.75, 0.9))
    assert verdicts(apart) == {"difficulty": "supported", "precursor": "supported"}
    touching = rows((0.3, 0.4), (0.35, 0.5), (0.5, 0.6), (0.55, 0.65), (0.4, 0.8), (0.4, 0.5))
    assert verdicts(touching) == {"difficulty": "undecided", "precursor": "undecided"}
    reversed_ = rows((0.7, 0.8), (0.9, 1.0), (0.5, 0.6), (0.5, 0.6), (0.3, 0.4), (0.3, 0.4))
    assert verdicts(reversed_) == {"difficulty": "contradicted", "precursor": "contradicted"}


def test_the_title_names_the_tasks_that_a_precursor_hastens_and_delays():
    rows = [{"at_risk": 30}, {"at_risk": 1200}]
    tasks = {
        "race": {"rows": rows, "difficulty": "supported", "precursor": "supported"},
        "digits": {"rows": rows, "difficulty": "undecided", "precursor": "contradicted"},
    }
    found = words({"tasks": tasks})
    assert found["title"].startswith("Tests that are harder to recognise are gamed later in 1 of 2 tasks")
    assert found["title"].endswith("hastens that in race, and delays it in digits")
    assert "30 to 1,200 models" in found["subtitle"]
