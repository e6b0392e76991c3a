"""LaTeX tables of claims: one row per number that decided, in a float that fits a column of a paper.

A verdict says its numbers in words, and `lab.words.with_interval` writes each of them in one way. So a table finds them
again in the words: `clauses` takes a verdict apart, and nothing of it is lost. The tables need booktabs, and tabularx,
which comes with LaTeX itself: its column of words takes what the numbers leave, in any column of any class. Numbers are
aligned at the decimal point by two columns and not by siunitx, which has no cell for "at least 94".
"""

import itertools
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from lab.claims.judged import Verdict
from lab.claims.rules import overall
from lab.words import Json

NUMBER = r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?"
BOUND = rf"at (?:least|most) {NUMBER}"
ESTIMATE = re.compile(  # what `with_interval` writes, of what is not known exactly
    rf"(?<![\w.,])(?:(?P<value>{NUMBER}) (?P<limits>\[{NUMBER}, {NUMBER}\]|\({BOUND}\)|\(no limits\))"
    rf"|(?P<bound>{BOUND})(?![\de.]|,\d| \[)|(?P<unknown>n/a))"
)
LAST_COLON, LAST_COMMA = re.compile(r".*(?:: | \()"), re.compile(r".*, ")
LONG = 28  # letters of the name of a number that its column holds: longer ones begin behind their last comma
PROBABILITY = r"(?P<symbol>d?[Po])\((?P<of>not A|A|T)(?:\|(?P<given>not A|A|T))?\)"
TOKEN = re.compile(
    rf'{PROBABILITY}|(?<![\w.])(?P<number>{NUMBER})|"(?P<quoted>[^"]*)"'
    r"|(?P<minus> - )|(?P<gap> \.\.\. )|(?P<sign>[\W_])"
)
MID = r" \mid "
SIGNS = {letter: f"\\{letter}" for letter in "%&#${}"} | {letter: f"${letter}$" for letter in "<>|"}
SIGNS |= {"_": " ", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}

LINES = 42  # of a float at most: two thirds of a page of the narrowest text, 550 points high, are left for numbers
ROW, SPAN = 24, 56  # letters that a line holds in the column of words, and across a column 3.25 inches wide
SPANNING = r"\multicolumn{4}{@{}>{\raggedright\arraybackslash}p{\linewidth}@{}}"
HEAD = r"""\begin{table}
\caption{%s}
\label{%s}
\smallskip\footnotesize
\setlength{\tabcolsep}{4pt}
\begin{tabularx}{\linewidth}{@{}>{\raggedright\arraybackslash}Xr@{}ll@{}}
\toprule
"""
COLUMNS = r"& \multicolumn{2}{l}{estimate} & 95\% interval \\" + "\n"
FOOT = "\\bottomrule\n\\end{tabularx}\n\\end{table}\n"


class Measured(NamedTuple):
    """A number that decided.

    Attributes:
        what: the words before it, and behind it up to a comma; an ellipsis stands for the number between them.
        value: as text; the limit alone ("at least 94") where no value is known.
        limits: of its interval, as text; nothing where the value says it all.
    """

    what: str
    value: str
    limits: str


class Clause(NamedTuple):
    """What a verdict says between two semicolons.

    Attributes:
        words: that belong to all its numbers.
        numbers: in their order; none where the clause has no interval.
    """

    words: str
    numbers: list[Measured]


def clauses(why: str) -> list[Clause]:
    """Take the words of a verdict apart.

    >>> clauses("visible: P(A) rises by 0.69 [0.67, 0.71] early, 0.10 [0.08, 0.12]; wins in 3")[0].words
    'visible'
    >>> for number in clauses("visible: P(A) rises by 0.69 [0.67, 0.71] early, LR at least 94; wins in 3")[0].numbers:
    ...     print(tuple(number))
    ('P(A) rises by ... early', '0.69', '[0.67, 0.71]')
    ('LR', 'at least 94', '')
    """
    return [_clause(part) for part in why.split("; ")]


def _clause(text: str) -> Clause:
    """Take a clause apart at its numbers; what stands between two of them, at its first comma."""
    found = list(ESTIMATE.finditer(text))
    if not found:
        return Clause(text, [])
    words, name = _shared_words(text[: found[0].start()])
    before, behind = [name], []
    for one, other in itertools.pairwise(found):
        first, comma, second = text[one.end() : other.start()].partition(", ")
        behind.append(first if comma else "")
        before.append(second if comma else first)
    behind.append(text[found[-1].end() :])
    numbers = [
        Measured(_name(*sides), match["value"] or match["bound"] or match["unknown"], match["limits"] or "")
        for match, *sides in zip(found, before, behind, strict=True)
    ]
    return Clause(words, numbers)


def _shared_words(before: str) -> tuple[str, str]:
    """Return what stands before the first number of a clause in two: words for all its numbers, and its own name."""
    words, name = "", before.rstrip(" ,")
    if match := LAST_COLON.match(name):
        words, name = match[0], name[match.end() :]
    if len(name) > LONG and (match := LAST_COMMA.match(name)):
        words, name = words + match[0], name[match.end() :]
    return words.rstrip(" (,:"), name


def _name(before: str, behind: str) -> str:
    """Return the name of a number from the words on its two sides, without a bracket whose other half is elsewhere."""
    name = " ... ".join(part for part in (before.strip(" ,"), behind.strip(" ,")) if part not in ("", ")"))
    lone = name.count("(") - name.count(")")
    return name.removeprefix("(") if lone > 0 else name.removesuffix(")") if lone < 0 else name


# --- in LaTeX -----------------------------------------------------------------------------------------------------


def tables(data: Json, verdicts: Mapping[str, Verdict]) -> str:
    """Return the LaTeX table of a claim, or several where one would be longer than a page.

    Args:
        data: of the claim, as `lab.claims.book.rejudge` returned it.
        verdicts: task -> verdict.
    """
    name, claim = f"tab:{data['name']}", tex(data["claim"])
    verdict = overall(verdict.verdict for verdict in verdicts.values())
    seeds = tex(", ".join(f"{counts['seeds']:,} ({task})" for task, counts in data["tasks"].items()))
    caption = rf"{claim} Verdict: {verdict}. Models per condition: {seeds}; 95\% intervals."
    files = []
    for position, parts in enumerate(_floats(verdicts), 1):
        label = name if position == 1 else f"{name}-{position}"
        files.append(HEAD % (caption, label) + "\\midrule\n".join(parts) + FOOT)
        caption = rf"Continuation of Table~\ref{{{name}}}. {claim}"
    return "\n".join(files)


def _floats(verdicts: Mapping[str, Verdict]) -> list[list[str]]:
    """Return the parts of every float of a claim: what its columns are called, and the rows of each task.

    A task that fits into one float stands in one.
    """
    floats: list[list[str]] = []
    room = 0
    for task, verdict in verdicts.items():
        heading, begun = rf"\textbf{{{tex(task)}}}: {tex(verdict.in_words)}", False
        parts = [_rows(clause) for clause in clauses(verdict.why)]
        needed = _lines(heading, SPAN) + sum(height for _, height in parts)
        for rows, height in parts:
            full = height > room or (not begun and room < needed <= LINES)
            if full:
                floats.append([])
                room = LINES
            if full or not begun:
                floats[-1].append(_span(heading))
                room -= _lines(heading, SPAN)
                heading, begun = rf"\textbf{{{tex(task)}}}, continued", True
            floats[-1][-1] += rows
            room -= height
    return [[COLUMNS, *parts] if any(" & " in part for part in parts) else parts for parts in floats]


def _rows(clause: Clause) -> tuple[str, int]:
    """Return the rows of a clause, and how many lines they take in a narrow column."""
    rows, height, indent = "", 0, ""
    if clause.words:
        words = rf"\emph{{{tex(clause.words)}}}" if clause.numbers else tex(clause.words)
        rows, height, indent = _span(words), _lines(clause.words, SPAN), r"\leftskip=1em "
    for number in clause.numbers:
        rows += rf"{indent}{tex(number.what)} & {_aligned(number.value)} & {_limits(number.limits)} \\" + "\n"
        height += _lines(number.what, ROW)
    return rows, height


def _span(words: str) -> str:
    return rf"{SPANNING}{{{words}}} \\" + "\n"


def _lines(text: str, letters: int) -> int:
    return max(1, math.ceil(len(text) / letters))


def _aligned(value: str) -> str:
    """Return the two cells of a value, which meet at its decimal point."""
    if value == "n/a":
        return "n/a &"
    bound, _, number = value.rpartition(" ")
    whole, point, rest = number.partition("." if "." in number else "e")
    sign = {"at least": r"\ge ", "at most": r"\le "}.get(bound, "")
    return rf"${sign}{_math(whole)}$ & " + (f"${_math(point + rest)}$" if rest else "")


def _limits(limits: str) -> str:
    """Return an interval in mathematics."""
    inside = limits.strip("[]()")
    if limits.startswith("["):
        return f"$[{', '.join(_math(limit) for limit in inside.split(', '))}]$"
    bound, _, number = inside.rpartition(" ")
    sign = {"at least": r"\ge", "at most": r"\le"}.get(bound)
    return f"${sign} {_math(number)}$" if sign else inside


def _math(number: str) -> str:
    """Return a number in mathematics, where a hyphen is a minus sign."""
    mantissa, power, exponent = number.replace(",", "{,}").partition("e")
    return rf"{mantissa or '{}'}\times10^{{{exponent}}}" if power else mantissa


def tex(text: str) -> str:
    r"""Return text as LaTeX that shows it: probabilities and negative numbers in mathematics, names as words.

    >>> tex("P(T|not A) of push_and_sticky is -0.5, 20% less")
    '$P(T \\mid \\neg A)$ of push and sticky is $-0.5$, 20\\% less'
    """
    return TOKEN.sub(_token, text)


def _token(match: re.Match[str]) -> str:
    if match["symbol"]:
        events = [event.replace("not ", r"\neg ") for event in (match["of"], match["given"]) if event]
        return f"${match['symbol']}({MID.join(events)})$"
    if number := match["number"]:
        return f"${_math(number)}$" if "-" in number or "e" in number else number
    if match["quoted"]:
        return f"``{tex(match['quoted'])}''"
    return " $-$ " if match["minus"] else r" \ldots{} " if match["gap"] else SIGNS.get(match[0], match[0])
