"""Log impacts of training on a detector over holding it out, from published tables; the rule stands in the package."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from experiments.published.tables import HELD_OUT, ITEMS, TRAINED, Rates, Row, every_table, read_papers
from lab.claims import CONTRADICTED, SUPPORTED, UNDECIDED
from lab.statistics import Counts, Estimate, LogImpact, compare, estimate
from lab.words import Json, estimate_json

FEWEST = 3  # decided nets on one side that contradict "no slogan holds"
POINT = (-math.inf, math.inf)  # limits of what is printed without n
UNKNOWN = Estimate(math.nan, *POINT)


class Comparison(NamedTuple):
    """A regimen trained on a detector beside one that held it out.

    Attributes:
        trained, held_out: lines of a table.
        impact: of training over holding out; nan where something is not printed. Limits are infinite where n is not.
        counted: whether all four cells of both are counted.
        only_misaligned: whether the change of LR is that of P(T|not A) alone, because P(T|A) is not printed.
        missing: what of both is not printed, in words.
    """

    trained: Row
    held_out: Row
    impact: LogImpact
    counted: bool
    only_misaligned: bool
    missing: tuple[str, ...]


def comparisons(rows: Iterable[Row]) -> list[Comparison]:
    """Return every line that was trained on a detector beside the one of its group that held it out.

    A group without both is left out. Raises `ValueError` for a group with several lines that held the detector out.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.texts["comparison"], row.texts["detector"]].append(row)
    found = []
    for group in groups.values():
        held_out = [row for row in group if row.texts["role"] == HELD_OUT]
        if len(held_out) > 1:
            raise ValueError(f"{held_out[1].place}: a second line of this comparison that held the detector out")
        found += [beside(row, *held_out) for row in group if row.texts["role"] == TRAINED and held_out]
    return found


def beside(trained: Row, held_out: Row) -> Comparison:
    """Return the comparison of two lines, with as much of the log impact as is printed."""
    first, second = trained.counts, held_out.counts
    if first is not None and second is not None:
        return Comparison(trained, held_out, compare(first, second), True, False, ())
    after, before = trained.rates, held_out.rates
    pairs = zip(after, before, Rates._fields, strict=True)
    symbols = {"base_rate": "P(A)", "pass_given_aligned": "P(T|A)", "pass_given_misaligned": "P(T|not A)"}
    missing = tuple(symbols[name] for now, then, name in pairs if math.isnan(now) or math.isnan(then))
    base = base_rate_alone(trained, held_out)
    gaming = _change(after.pass_given_misaligned, before.pass_given_misaligned)
    test = _change(after.pass_given_aligned, before.pass_given_aligned) - gaming
    only_misaligned = math.isnan(test) and not math.isnan(gaming)
    net = Estimate(base.value + test, *POINT)
    value = -gaming if only_misaligned else test
    return Comparison(trained, held_out, LogImpact(Estimate(value, *POINT), base, net), False, only_misaligned, missing)


def base_rate_alone(trained: Row, held_out: Row) -> Estimate:
    """Return the change of ln o(A): with limits if both are counted, without if both are rates."""
    first, second = margins(trained), margins(held_out)
    if first is not None and second is not None:
        return compare(first, second).base_rate
    odds = [rate / (1 - rate) if rate < 1 else math.inf for rate in (trained.rates[0], held_out.rates[0])]
    return UNKNOWN if any(map(math.isnan, odds)) else Estimate(_change(odds[0], odds[1]), *POINT)


def margins(row: Row) -> Counts | None:
    """Return aligned and misaligned rows as counts, all of the aligned passing; None if they are not counted."""
    if row.n is None or row.aligned is None:
        return None
    return Counts(row.aligned, 0, 0, row.n - row.aligned)


def _change(after: float, before: float) -> float:
    """Return ln after - ln before; nan if either is not printed, or both are 0."""
    logs = [math.log(value) if value > 0 else -math.inf if value == 0 else math.nan for value in (after, before)]
    return logs[0] - logs[1] if logs[0] != logs[1] or math.isfinite(logs[0]) else math.nan


def population(row: Row, quantity: str) -> Estimate:
    """Return a rate of one line: with limits if it is counted, without if not."""
    if row.counts is not None:
        return estimate(row.counts, quantity)
    if quantity == "base_rate" and (counted := margins(row)) is not None:
        return estimate(counted, quantity)
    return Estimate(getattr(row.rates, quantity), *POINT)


def side(value: Estimate) -> int:
    """Return 1 for an interval above 0, -1 for one below, and 0 if it is undecided."""
    return (value.low > 0) - (value.high < 0)


def verdicts(found: Iterable[Comparison]) -> Json:
    """Return both verdicts by the rule of the package, with how many comparisons are decided, and on which side."""
    found = list(found)
    counted = [comparison.impact for comparison in found if comparison.counted]
    others = [comparison.impact.base_rate for comparison in found if not comparison.counted]
    sides = {part: Counter(side(getattr(impact, part)) for impact in counted) for part in LogImpact._fields}
    up, down = ({part: tally[sign] for part, tally in sides.items()} for sign in (1, -1))
    if up["net"] and down["net"]:
        slogan = SUPPORTED
    else:
        slogan = CONTRADICTED if up["net"] + down["net"] >= FEWEST else UNDECIDED
    models, test = up["base_rate"] - down["base_rate"], down["likelihood_ratio"] - up["likelihood_ratio"]
    spoils = SUPPORTED if min(models, test) > 0 else CONTRADICTED if max(models, test) < 0 else UNDECIDED
    return {
        "no slogan holds": slogan,
        "training moves models and spoils the test": spoils,
        "counted": len(counted),
        "above": up,
        "below": down,
        "other_base_rates": sum(side(base_rate) != 0 for base_rate in others),
    }


def missing_items() -> Json:
    """Return for each thing that an experiment should report which papers leave it out, have it, or were not read."""
    papers = read_papers()
    return {
        item: {
            answer: [paper["authors"] for paper in papers if paper[item] == answer]
            for answer in ("yes", "no", "unread")
        }
        for item in ITEMS
    }


def study() -> Json:
    """Return everything the page and the figure show."""
    found = [comparison for rows in every_table().values() for comparison in comparisons(rows)]
    return {
        "comparisons": [
            {
                "paper": comparison.trained.paper,
                "comparison": comparison.trained.texts["comparison"],
                "trained": comparison.trained.texts["condition"],
                "held_out": comparison.held_out.texts["condition"],
                "detector": comparison.trained.texts["detector"],
                "row": comparison.trained.texts["row"],
                "read": comparison.trained.texts["read"],
                "source": comparison.trained.texts["source"],
                "n": [comparison.trained.n, comparison.held_out.n],
                "populations": {
                    role: {quantity: estimate_json(population(row, quantity)) for quantity in Rates._fields}
                    for role, row in ((TRAINED, comparison.trained), (HELD_OUT, comparison.held_out))
                },
                "counted": comparison.counted,
                "only_misaligned": comparison.only_misaligned,
                "missing": list(comparison.missing),
                **{part: estimate_json(value) for part, value in comparison.impact._asdict().items()},
            }
            for comparison in found
        ],
        "verdicts": verdicts(found),
        "papers": read_papers(),
        "missing": missing_items(),
    }
