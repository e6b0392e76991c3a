"""Numbers and names as people read them: no number claims more than is known, and no name is obeyed by a terminal."""

import doctest
import math
import re
from decimal import Decimal

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lab import words
from lab.statistics import Counts, Estimate, estimate
from lab.words import bound, name_in_world, number, printable, rounded, with_interval

NUMBER = r"-?(?:inf|[\d,]+(?:\.\d+)?(?:e-?\d+)?)"
FINITE = st.floats(allow_nan=False, allow_infinity=False)
RATES = st.floats(0, 1) | st.floats(0, 1e-6) | st.floats(1e-9, 1e-3).map(lambda below: 1 - below)
ENDS = FINITE | RATES | st.floats(-20, 20) | st.integers(0, 10**9).map(float)
ENDS |= st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e300])


def read(text):
    """Return the numbers in a text as decimals: 1e300 is no float with few digits."""
    found = re.fullmatch(rf"({NUMBER})(?: \[({NUMBER}), ({NUMBER})\])?", text)
    return [Decimal(part.replace(",", "")) for part in found.groups() if part]


def exact(value):
    return Decimal(repr(value)) if math.isfinite(value) else Decimal(str(value))


def test_examples_in_the_docstrings():
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.32812, 0.3002, 0.3575, "0.33 [0.30, 0.36]"),
        (0.354, 0.3253, 0.3838, "0.354 [0.325, 0.384]"),  # .32 to .39 were a fifth wider
        (12.19, 10.01, 15.03, "12.2 [10.0, 15.1]"),
        (2.8, 1.2, 40.3, "2.8 [1.2, 41]"),
        (156, 43.2, 569.3, "160 [40, 570]"),
        (12_345, 11_234, 13_456, "12,300 [11,200, 13,500]"),
        (1e9, 0.96e9, 1.04e9, "1.00e9 [9.6e8, 1.04e9]"),
        (3e-4, 2.61e-4, 3.44e-4, "3.0e-4 [2.6e-4, 3.5e-4]"),
        (0.9997, 0.99965, 0.99974, "0.99970 [0.99965, 0.99974]"),
        (0.99, 0.95, 0.9986, "0.99 [0.95, 0.999]"),
        (0.99995, 0.974, 0.99996, "1.000 [0.974, 1.000]"),
        (686, 122, 3889, "700 [120, 4,000]"),
        (0.0004, 0.00002, 0.02, "0.0004 [0.00002, 0.020]"),
        (0.5, 0.0, 1.0, "0.5 [0, 1]"),
        (0.0, 0.0, 0.00373, "0 [0, 0.004]"),
        (-0.0001, -0.02, 0.01, "0.00 [-0.02, 0.01]"),
        (1.0, 1.0, 1.0, "1"),
        (1e9, 1e9, 1e9, "1e9"),
        (-0.0, -0.0, 0.0, "0"),
        (1 / 3, 1 / 3, 1 / 3, "0.333333 [0.333333, 0.333334]"),
        (1.0, 1e-300, 1e300, "1 [1e-300, 1.0e300]"),
        (math.inf, 173.2, math.inf, "at least 170"),
        (-math.inf, -math.inf, -5.44, "at most -5.4"),
        (-math.inf, -math.inf, 1.17, "at most 1.2"),
        (156.0, 43.2, math.inf, "160 (at least 40)"),
        (-1.3, -math.inf, -0.24, "-1.3 (at most -0.24)"),
        (1.3, -math.inf, math.inf, "1.3 (no limits)"),
        (math.nan, 0.04, math.inf, "n/a (at least 0.040)"),
        (math.nan, 0.0, 1.0, "n/a [0, 1]"),
        (math.nan, 0.0, math.inf, "n/a"),
        (math.nan, -math.inf, math.inf, "n/a"),
        (math.inf, -math.inf, math.inf, "n/a"),
    ],
)
def test_digits_follow_the_interval(value, low, high, text):
    assert with_interval(Estimate(value, low, high)) == text


def test_a_rate_of_a_million_models_has_its_digits():
    """Wilson, z = 1.96, of 300 in 10^6: (301.92 -+ 1.96 sqrt(300.87)) / 1,000,004 = 2.679e-4 and 3.359e-4.

    Of 700,000 they are .6999992 -+ 8.98e-4; and 1 / P is 3,333 [2,977, 3,732] and 1.4286 [1.4267, 1.4304].
    """
    rare, often = (Counts(count, 0, 0, 10**6 - count) for count in (300, 700_000))
    assert with_interval(estimate(rare, "base_rate")) == "3.00e-4 [2.67e-4, 3.36e-4]"
    assert with_interval(estimate(often, "base_rate")) == "0.7000 [0.6991, 0.7009]"
    assert [rounded(estimate(counts, "expected_runs")) for counts in (rare, often)] == ["3,330", "1.4286"]


@settings(deadline=None, max_examples=500)
@given(ends=st.tuples(ENDS, ENDS), share=st.floats(0, 1))
@example(ends=(0.1 + 0.2, 0.3), share=0.5)
@example(ends=(-5e-324, 1.7e308), share=0.3)
def test_what_is_printed_holds_the_interval_and_is_little_wider(ends, share):
    low, high = (end + 0.0 for end in sorted(ends))
    value = min(max(low * (1 - share) + high * share, low), high)
    text = with_interval(Estimate(value, low, high))
    assert "-0 " not in text
    if low == high and "[" not in text:
        assert read(text) == [exact(value)]
        return
    printed, bottom, top = read(text)
    value, low, high = map(exact, (value, low, high))
    assert bottom <= low <= high <= top
    assert bottom <= printed <= top
    if low < high:
        assert top - bottom <= Decimal("1.1000001") * (high - low)
    assert low <= 0 <= high or abs(printed - value) <= Decimal("0.0500001") * abs(value)
    for end, limit in ((low, bottom), (high, top)):
        assert abs(limit) >= Decimal("0.8999999") * abs(end)  # a limit that is not 0 is not taken for 0


@settings(deadline=None, max_examples=300)
@given(limit=ENDS, value=ENDS, above=st.booleans(), known=st.booleans())
def test_an_open_interval_keeps_its_limit(limit, value, above, known):
    low, high = (limit, math.inf) if above else (-math.inf, limit)
    assume(not known or low <= value <= high)
    text = with_interval(Estimate(value if known else high if above else low, low, high))
    if not known and above and limit == 0:
        assert text == "n/a"  # a ratio of at least 0 may be anything
        return
    side = "at least" if above else "at most"
    found = re.fullmatch(rf"({NUMBER}) \({side} ({NUMBER})\)" if known else rf"()?{side} ({NUMBER})", text)
    end = Decimal(found[2].replace(",", ""))
    assert end <= exact(limit) if above else end >= exact(limit)
    if known:
        printed = Decimal(found[1].replace(",", ""))
        assert printed >= end if above else printed <= end


@settings(deadline=None, max_examples=200)
@given(value=FINITE.filter(bool), digits=st.integers(2, 5))
def test_a_number_or_bound_alone_has_its_digits(value, digits):
    unit = Decimal(10) ** (exact(value).adjusted() - digits + 1)
    (printed,) = read(number(value, digits))
    assert abs(printed - exact(value)) <= unit / 2
    (up,), (down,) = read(bound(value, True, digits)), read(bound(value, False, digits))
    assert down <= exact(value) <= up
    assert up - down <= unit


def test_nothing_that_a_terminal_obeys_is_printed():
    hostile = "a\x1b[31m\x07\x9b2J\u202e\u2066\u200b\ud800\x7f\r\tü\n"
    said = printable(hostile)
    assert said == r"a\x1b[31m\x07\x9b2J\u202e\u2066\u200b\ud800\x7f\r\tü" + "\n"
    assert printable("日本 é ß") == "日本 é ß"


def test_a_name_without_its_world():
    assert name_in_world((("x", 0.1), ("y", 2.0)), "late x=0.1 y=2 onset=0.5") == "late onset=0.5"
