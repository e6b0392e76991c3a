"""Numbers and names as people read them, and numbers as plain JSON values.

Every number that people read is written here: in tables, sentences, figures, the page and LaTeX. The digits of an
estimate follow its interval, and its limits are rounded outwards, so that nothing printed claims more than is known.
Every number that goes into JSON or comes out of it passes here too: JSON has no infinities and no nan.
"""

import decimal
import functools
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.statistics import Estimate

Json = dict[str, Any]  # what `json.loads` makes of an object: plain values, whatever they are
JsonNumber = float | str | None
World = tuple[tuple[str, float], ...]  # what conditions have in common: (axis of the sweep, value)

MANY_WORLDS = 8  # from so many on, a run is shown by regimen instead of world by world
WIDER = Decimal("0.1")  # of an interval may be added by rounding, and of a limit that is on one side of 0 be lost
MOST_DIGITS = 6  # of what is known exactly
MORE_AT_ONE = 1  # decimals that a limit may have more than its interval so as not to read as 1
SMALL, LOWEST_FIXED, FIRST_SCIENTIFIC = -3, -5, 6  # powers of ten: .001, .00001 and a million
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode categories: control, format, surrogate, line, paragraph
EXACT = decimal.Context(prec=700)  # the difference of 1e300 and 1e-300 has 600 digits
INFINITY = Decimal("Infinity")
UP, DOWN, NEAREST = decimal.ROUND_CEILING, decimal.ROUND_FLOOR, decimal.ROUND_HALF_EVEN


def number_json(value: float) -> JsonNumber:
    """Return a number as JSON can hold it: infinities become the strings "inf" and "-inf", nan becomes None.

    >>> number_json(0.5), number_json(math.inf), number_json(math.nan)
    (0.5, 'inf', None)
    """
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else value


def number_from_json(value: JsonNumber) -> float:
    """Return the number that `number_json` wrote.

    >>> number_from_json("-inf"), number_from_json(None)
    (-inf, nan)
    """
    return math.nan if value is None else float(value)


def estimate_json(estimate: "Estimate") -> Json:
    """Return an `Estimate` as {"value", "low", "high"}."""
    return {key: number_json(value) for key, value in estimate._asdict().items()}


def estimate_from_json(value: Mapping[str, JsonNumber]) -> "Estimate":
    """Return the `Estimate` that `estimate_json` wrote; further keys are ignored."""
    from lab.statistics import Estimate

    return Estimate(*(number_from_json(value[key]) for key in Estimate._fields))


def number(value: float, digits: int = 3) -> str:
    """Return a number that has no interval: so many significant digits, or more of a whole number below a million.

    >>> number(2.8287), number(12345.6), number(0.00001234), number(-0.0), number(math.inf), number(math.nan)
    ('2.83', '12,346', '1.23e-5', '0', 'inf', 'n/a')
    """
    if not math.isfinite(value):
        return _unbounded(value)
    exact = _exact(value)
    if not exact:
        return "0"
    decimals = digits - 1 - exact.adjusted()
    if exact.adjusted() < FIRST_SCIENTIFIC:
        decimals = max(0, decimals)
    return _text(exact, _rounded(exact, decimals, NEAREST), decimals, exact.adjusted() < SMALL)


def bound(value: float, upwards: bool, digits: int = 2) -> str:
    """Return a limit that stands alone, rounded upwards ("at most", "within") or downwards ("at least").

    >>> bound(6.85, upwards=False), bound(0.1849, upwards=True)
    ('6.8', '0.19')
    """
    if not math.isfinite(value):
        return _unbounded(value)
    exact = _exact(value)
    decimals = digits - 1 - exact.adjusted()
    return _text(exact, _rounded(exact, decimals, UP if upwards else DOWN), decimals, exact.adjusted() < SMALL)


def with_interval(estimate: "Estimate") -> str:
    """Return "value [low, high]", or the value alone if it is known exactly.

    An interval that is open on one side reads "at least" or "at most" its limit, alone where the value is infinite.

    >>> from lab.statistics import Estimate
    >>> with_interval(Estimate(0.354, 0.3253, 0.3838)), with_interval(Estimate(3e-4, 2.61e-4, 3.44e-4))
    ('0.354 [0.325, 0.384]', '3.0e-4 [2.6e-4, 3.5e-4]')
    >>> with_interval(Estimate(math.inf, 94.3, math.inf)), with_interval(Estimate(1.0, 1.0, 1.0))
    ('at least 94', '1')
    >>> with_interval(Estimate(156.0, 43.2, math.inf)), with_interval(Estimate(math.nan, -math.inf, math.inf))
    ('160 (at least 40)', 'n/a')
    """
    value, low, high = value_and_limits(*estimate)
    if value == low == high:
        return value
    if not math.isfinite(estimate.value) and estimate.low in (0, -math.inf) and math.isinf(estimate.high):
        return _unbounded(math.nan)  # nothing is known: 0 is where ratios begin
    interval = limits(estimate)
    return interval[1:-1] if math.isinf(estimate.value) else f"{value} {interval}"


def rounded(estimate: "Estimate") -> str:
    """Return the value of an estimate alone, with the digits that its interval supports.

    >>> from lab.statistics import Estimate
    >>> rounded(Estimate(10.894, 8.98, 13.27)), rounded(Estimate(2.8287, 2.6, 3.1))
    ('10.9', '2.8')
    """
    return value_and_limits(*estimate)[0]


def limits(estimate: "Estimate") -> str:
    """Return the interval of an estimate alone, as `with_interval` has it behind a value.

    >>> from lab.statistics import Estimate
    >>> limits(Estimate(0.354, 0.3253, 0.3838)), limits(Estimate(-1.5, -math.inf, -0.24))
    ('[0.325, 0.384]', '(at most -0.24)')
    """
    _, low, high = value_and_limits(*estimate)
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return "(no limits)"
    if math.isinf(estimate.high):
        return f"(at least {low})"
    return f"(at most {high})" if math.isinf(estimate.low) else f"[{low}, {high}]"


@functools.lru_cache(maxsize=2**16)  # a page writes as many, and most of them often
def value_and_limits(value: float, low: float, high: float) -> tuple[str, str, str]:
    """Return a value and the limits of its interval as text: the value in the interval, the limits rounded outwards.

    A limit gets further digits of its own where it would come to lie a tenth nearer to 0, where no effect and no chance
    are, or, if one is enough, at 1, where certainty is, and no effect of a ratio. So does a value that would leave its
    limits, or move by a twentieth where 0 is outside them.
    """
    x, bottom, top = (_exact(part) if math.isfinite(part) else None for part in (value, low, high))
    decimals = _digits(x, bottom, top)
    small = all(part is None or not part or part.adjusted() < SMALL for part in (x, bottom, top))
    low_end, low_text = _limit(bottom, decimals, DOWN, small) if bottom is not None else (-INFINITY, _unbounded(low))
    high_end, high_text = _limit(top, decimals, UP, small) if top is not None else (INFINITY, _unbounded(high))
    if x is None:
        return _unbounded(value), low_text, high_text
    near = _rounded(x, decimals, NEAREST)
    off = abs(x) * WIDER / 2 if low > 0 or high < 0 else INFINITY
    if low <= value <= high and not (low_end <= near <= high_end and abs(near - x) <= off):
        more = range(max(decimals, -x.adjusted()), 1 + _decimals(x))
        tried = ((count, _rounded(x, count, NEAREST)) for count in more)
        decimals, near = next(pair for pair in tried if low_end <= pair[1] <= high_end and abs(pair[1] - x) <= off)
    return _text(x, near, decimals, small), low_text, high_text


def _digits(x: Decimal | None, low: Decimal | None, high: Decimal | None) -> int:
    """Return to how many decimals an interval is rounded; below 0: to tens, hundreds and so on.

    These end at the first digit of the half width, or at the second where the first makes the interval more than a
    tenth wider. Of an interval with one limit, the distance from the value is the width, or else the limit itself.
    An end that is not finite is None.
    """
    if low is not None and high is not None:
        limit = high
        width = EXACT.subtract(high, low)
        first = -(width / 2).adjusted()
        wider = EXACT.subtract(_rounded(high, first, UP), _rounded(low, first, DOWN))
    else:
        limit = high if low is None else low
        if limit is None or x is None:
            alone = x if limit is None else limit
            return 0 if alone is None else 1 - alone.adjusted()
        width = abs(EXACT.subtract(x, limit))
        first = -width.adjusted()
        wider = EXACT.add(width, abs(EXACT.subtract(_rounded(limit, first, UP if low is None else DOWN), limit)))
    if not width:  # known exactly
        only = limit.normalize()
        return min(_decimals(only), MOST_DIGITS - 1 - only.adjusted())
    return first if EXACT.subtract(wider, width) <= WIDER * abs(width) else first + 1


def _exact(value: float) -> Decimal:
    """Return a finite number as it is written: .1 is a tenth, and there is no negative zero."""
    return Decimal(repr(float(value) + 0.0))


def _decimals(x: Decimal) -> int:
    """Return how many decimals a finite number is written with; below 0 if it ends in zeros."""
    return -int(x.as_tuple().exponent)


def _rounded(x: Decimal, decimals: int, mode: str) -> Decimal:
    """Round to a number of decimals, which may be below 0; more than there are change nothing."""
    return x.quantize(Decimal((0, (1,), -decimals)), mode, EXACT) if decimals < _decimals(x) else x


def _limit(x: Decimal, decimals: int, mode: str, small: bool) -> tuple[Decimal, str]:
    """Return a limit rounded, with the further decimals that keep it from misleading, and as text."""
    end = _rounded(x, decimals, mode)
    if abs(end) < (1 - WIDER) * abs(x):
        more = (count for count in (-x.adjusted(), 1 - x.adjusted()) if count > decimals)
        decimals = next(count for count in more if abs(_rounded(x, count, mode)) >= (1 - WIDER) * abs(x))
    elif end <= 1 < x or x < 1 <= end:
        needed = -EXACT.subtract(x, 1).adjusted()
        decimals = needed if needed <= decimals + MORE_AT_ONE else decimals
    end = _rounded(x, decimals, mode)
    return end, _text(x, end, decimals, small)


def _unbounded(value: float) -> str:
    return "n/a" if math.isnan(value) else str(float(value))


def _text(x: Decimal, rounded: Decimal, decimals: int, small: bool) -> str:
    """Return a number that was rounded to so many decimals; 0 and 1 have none if they are exact.

    Very large ones are in powers of ten, and so are small ones if all beside them are (`small`).
    """
    if x in (0, 1):
        return f"{x:.0f}"
    if not rounded:  # but x is not 0
        return f"{0:.{decimals}f}" if 0 < decimals <= -LOWEST_FIXED else "0"
    power = rounded.adjusted()
    if small or not LOWEST_FIXED <= power < FIRST_SCIENTIFIC:
        return f"{rounded:.{max(0, power + decimals)}e}".replace("e+", "e")
    return f"{rounded:,.{max(0, decimals)}f}"


def setting(value: float) -> str:
    """Return a number that somebody chose, such as a pass mark, with all its digits.

    >>> setting(0.9999999), setting(1.0), setting(-0.05)
    ('0.9999999', '1', '-0.05')
    """
    return f"{value:.12g}"


def percent(share: float) -> str:
    """Return a share that somebody chose, such as a confidence level: .999 is not 100%.

    >>> percent(0.95), percent(0.999), percent(0.07)
    ('95%', '99.9%', '7%')
    """
    return f"{setting(100 * share)}%"


def span(shares: Iterable[float]) -> str:
    """Return from which to which whole percent some shares go.

    >>> span([0.404, 0.8]), span([0.5, 0.501])
    ('40% to 80%', '50%')
    """
    ends = sorted(round(100 * share) for share in shares)
    return f"{ends[0]}%" if ends[0] == ends[-1] else f"{ends[0]}% to {ends[-1]}%"


def chance(probability: float) -> str:
    """Return a probability that was counted in random draws: rounded towards one half, and never 0% or 100%.

    >>> chance(0.9496), chance(0.004), chance(1.0), chance(0.321)
    ('94%', '<1%', '>99%', '33%')
    """
    share = 100 * _exact(probability)
    if not 1 <= share <= 99:
        return "<1%" if share < 1 else ">99%"
    return f"{share.to_integral_value(DOWN if share > 50 else UP)}%"


def printable(text: str, keep: str = "\n") -> str:
    r"""Return text in which what a terminal would obey, or nobody would see, is written out.

    These are control characters, those that turn the direction of writing, and others without a shape.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in INVISIBLE and letter not in keep
        else letter
        for letter in text
    )


def markdown(text: str) -> str:
    r"""Return text as Markdown that shows it and nothing else: no markup of its own, and no cell of a table ends in it.

    >>> markdown("<b>a|b</b>\n[c](d) *e*")
    '&lt;b>a\\|b&lt;/b>\\n\\[c\\](d) \\*e\\*'
    """
    escaped = printable(re.sub(r"[\\`*\[\]|#~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text), keep="")
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def code(text: str, keep: str = "") -> str:
    r"""Return text as code in Markdown, also in a table, whatever quotes it holds; `keep` as for `printable`.

    >>> code("score_test"), code("a`b|c")
    ('`score_test`', '``a`b\\|c``')
    """
    shown = printable(text, keep)
    quotes = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{quotes}{space}{shown}{space}{quotes}".replace("|", "\\|")


LETTERS = 8  # of a sparkline
LEVELS = "▂▃▄▅▆▇█"  # of weights above 0
AT_NOTHING, AGAINST = "▁", "▔▀"  # no weight; weights below 0, weak and strong


def sparkline(schedule: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return a drawing of the weights of a regimen through training, the largest of each eighth, in letters.

    Args:
        schedule: loss term -> (share of training where it ends, weight) of each stretch.

    >>> sparkline({"test": [(0.1, 0.005), (1.0, 0.0)]}), sparkline({"test": [(1.0, -0.01)]}), sparkline({})
    ('█▁▁▁▁▁▁▁', '▀▀▀▀▀▀▀▀', '▁▁▁▁▁▁▁▁')
    """
    largest = [0.0] * LETTERS
    for course in schedule.values():
        start = 0.0
        for end, weight in course:
            for eighth in range(math.floor(start * LETTERS), math.ceil(end * LETTERS)):
                largest[eighth] = max(largest[eighth], weight, key=abs)
            start = end
    most = max(map(abs, largest)) or 1.0
    return "".join(_letter(weight / most) for weight in largest)


def _letter(share: float) -> str:
    """Return the letter of a sparkline for a weight as a share of the largest one."""
    if share == 0:
        return AT_NOTHING
    levels = LEVELS if share > 0 else AGAINST
    return levels[math.ceil(abs(share) * len(levels)) - 1]


def in_words(coordinates: Iterable[tuple[str, float]]) -> str:
    """Return (axis, value) pairs as "axis = value, ..."."""
    return ", ".join(f"{axis} = {setting(value)}" for axis, value in coordinates)


def name_in_world(world: World, name: str) -> str:
    """Return a condition's name without the coordinates of its world.

    >>> name_in_world((("preference", 0.1),), "late preference=0.1 onset=0.5")
    'late onset=0.5'
    """
    shared = {f"{axis}={setting(value)}" for axis, value in world}
    return " ".join(part for part in name.split() if part not in shared)


def name_in_words(name: str) -> str:
    """Return the name of a condition as words: that of its regimen, and its place on the axes of the sweep.

    >>> name_in_words("train_early"), name_in_words("push weight=3 onset=0.1")
    ('train early', 'push, weight 3, onset 0.1')
    """
    regimen, *places = re.split(r" (?=[^\s=]+=[^\s=]+(?: |$))", name)
    return ", ".join([regimen, *(place.replace("=", " ") for place in places)]).replace("_", " ")


def plural(noun: str, number: float) -> str:
    """Return a noun as it stands behind a number.

    >>> plural("run", 1), plural("run", 1.5)
    ('run', 'runs')
    """
    return noun if number == 1 else f"{noun}s"


def quantity_words(quantity: str) -> str:
    """Return what a quantity is called, with its symbol where that is one of a probability or of odds.

    >>> quantity_words("base_rate"), quantity_words("expected_runs")
    ('base rate, P(A)', 'runs per accepted model')
    """
    from lab.statistics import QUANTITIES

    described = QUANTITIES[quantity]
    with_symbol = described.unit in ("probability", "odds")
    return f"{described.words}, {described.symbol}" if with_symbol else described.words


def part_words(part: str) -> str:
    """Return what a part of a log impact is called where it stands beside the others.

    >>> part_words("base_rate"), part_words("likelihood_ratio")
    ('base rate', 'test (LR)')
    """
    from lab.statistics import PARTS, QUANTITIES

    words = PARTS[part].words
    return f"{words} ({QUANTITIES[part].symbol})" if part == "likelihood_ratio" else words
