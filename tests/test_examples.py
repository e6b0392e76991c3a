"""The examples in the docstrings of functions that a person would try by hand."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "statistics.comparison",
        "statistics.counts",
        "statistics.draws",
        "statistics.quantities",
        "statistics.score",
        "statistics.sequential",
        "ideas.policies",
        "decision",
    ],
)
def test_examples_of_docstrings_give_what_they_say(name):
    tried = doctest.testmod(importlib.import_module(f"lab.{name}"))
    assert tried.attempted > 0
    assert tried.failed == 0
