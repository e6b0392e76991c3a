"""The exact fractions of tests/reference/ideas_examples.json, and how to read them."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import settings

from lab.ideas import (
    POLICIES,
    Beta,
    Discrete,
)

FOLDER = Path(__file__).parent / "reference"
REFERENCE = json.loads((FOLDER / "ideas_examples.json").read_text())


def exact(text):
    return float(Fraction(text["exact"] if isinstance(text, dict) else text))


def near(text):
    return pytest.approx(exact(text), rel=1e-12, abs=1e-15)


def prior_of(text):
    if "beta" in text:
        return Beta(*map(exact, text["beta"]))
    return Discrete(*zip(*([exact(value), exact(weight)] for value, weight in text["discrete"]), strict=True))


def rates(row):
    return exact(row["s"]), exact(row["f"])


STOCHASTIC = [name for name in POLICIES if not name.startswith("optimal")]
EXAMPLES = settings(deadline=None, max_examples=40, derandomize=True)
