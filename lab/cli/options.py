"""What the commands take: options that many share, and how text becomes names, numbers and settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro
from tyro.conf import Positional, arg

from lab.cli.console import UsageError, usage
from lab.config.source import read_yaml, shortened

if TYPE_CHECKING:  # a command that reads no run does not wait for what opens one
    from lab.results.store import Run


def _not_empty(words: list[str]) -> str:
    if not words[0]:
        raise ValueError("must not be empty")
    return words[0]


# an option that names something, or is not given; tyro would take the name None for nothing
NameOrNone = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="STR",
        instance_from_str=_not_empty,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    ),
]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
ConfigFile = Annotated[Positional[str], arg(metavar="CONFIG")]


@dataclass(frozen=True)
class Marks:
    """How a stored run is read; nothing is trained again."""

    mark: str = ""
    """other pass marks, as score=number with commas between"""
    proxy: NameOrNone = None
    """score that decides who passes, instead of the run's own"""

    def open(self, folder: Path) -> "Run":
        """Return a stored run that is read with these marks."""
        from lab.results.store import Run

        marks = split_settings("--mark", self.mark)
        if wrong := [name for name, mark in marks.items() if type(mark) not in (int, float)]:
            raise UsageError(f"--mark {wrong[0]}: must be a number, not {shortened(repr(marks[wrong[0]]))}")
        with usage(folder):
            run = Run(folder, marks, self.proxy)
        decides = {"competence", "alignment", run.manifest["proxy"]}
        if idle := [name for name in marks if name not in decides]:
            raise UsageError(f"--mark {idle[0]}: decides nothing, for {run.manifest['proxy']} decides who passes")
        return run

    def check_place(self, out: Path | None) -> None:
        """Refuse to replace what was made with the run's own marks, which stands in its folder.

        Raises:
            UsageError: there are other marks, and no other place.
        """
        if out is None and self != type(self)():
            raise UsageError("other marks than the run's own: give --out, so that what was made with its own stays")


@dataclass(frozen=True)
class AgedMarks(Marks):
    """How a stored run is read, and how old its models are then."""

    checkpoint: float | None = None
    """share of training at which models are looked at, of those recorded, instead of its end"""


def refuse_observed(run: "Run", why: str) -> "Run":
    """Return a run that was trained here. Raises a UsageError with the reason why a table of runs does not do."""
    if run.observed:
        raise UsageError(f"{run.path}: its runs were trained elsewhere: {why}")
    return run


OtherMarks = Annotated[Marks, arg(name="")]
OtherAgedMarks = Annotated[AgedMarks, arg(name="")]
OWN_MARKS, OWN_AGED_MARKS = Marks(), AgedMarks()
OneWorld = Annotated[int | None, arg(metavar="N")]
AsJson = Annotated[bool, arg(name="json")]
Number = TypeVar("Number", int, float)
MOST_NUMBERS = 100  # that an option takes
MOST_RUNS = 10**9  # of a budget
LONGEST_KEY = 64  # characters of a knob's name


def split_names(text: str | None) -> list[str] | None:
    """Return names that have commas between them, each once; None for None."""
    return None if text is None else list(dict.fromkeys(name.strip() for name in text.split(",")))


def split_numbers(option: str, text: str, kind: type[Number], most: float, least: float = 1) -> list[Number]:
    """Return numbers that have commas between them.

    Args:
        option: that they are given to.
        text: of the numbers.
        kind: whole numbers, or any.
        most: the largest.
        least: the smallest.
    """
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= MOST_NUMBERS or not all(least <= number <= most for number in numbers):
        words = "whole numbers" if kind is int else "numbers"
        raise UsageError(
            f"{option}: {words} from {least:g} to {most:,} with commas between, at most {MOST_NUMBERS} of them, "
            f"not {shortened(repr(text))}"
        )
    return numbers


def split_settings(option: str, text: str) -> dict[str, Any]:
    """Return name -> value from name=value with commas between; values are read as those of a config are.

    Args:
        option: that they are given to.
        text: of the settings.
    """
    values: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not 1 <= len(name) <= LONGEST_KEY:
            raise UsageError(f"{option}: name=value, with commas between, not {shortened(repr(part))}")
        if name in values:
            raise UsageError(f"{option}: {name} is given twice")
        values[name] = read_yaml(value, f"{option} {name}").data
    return values
