"""What is wrong with a config, in words: every problem with its line, its full key and the nearest right name."""

import difflib
from collections.abc import Callable, Iterable
from functools import partial

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lab.config.schema import KINDS, Axis, Config, Draw, DrawnKey, Phase, Seeds, Stop, TrainingConfig, Worlds
from lab.config.source import ConfigError, Key, Written, dotted, shortened

Message = str | Callable[[], str]  # a function if the words take time: of very many problems most are never read

MAX_LISTED = 50  # problems that are shown: what fits on a screen, and more than anybody mends at once
MAX_NAME = 64  # characters of the longest name that a config may give to anything
SIMILAR = 0.6  # the likeness from which difflib takes two names for one misspelt, its own default
NO_NAME = f"is not a name: use letters, digits, '-' and '_' (at most {MAX_NAME})"
MODELS: dict[str, type[BaseModel]] = {
    "phase": Phase,
    "training": TrainingConfig,
    "seeds": Seeds,
    "stop": Stop,
    "axis": Axis,
    "worlds": Worlds,
    "draw": Draw,
    "drawn_key": DrawnKey,
    "config": Config,
}


class Problems:
    """Everything that is wrong with one config; whoever finds something adds it under its key."""

    def __init__(self, file: str, written: Written) -> None:
        self._file, self._written = file, written
        self._entries: list[tuple[Key, Message]] = list(written.problems)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: Key, message: Message) -> None:
        """Add one."""
        self._entries.append((key, message))

    def add_invalid(self, error: ValidationError, above: Key = ()) -> None:
        """Add what pydantic found, which looked at the value of the key `above`."""
        for detail in error.errors(include_url=False):
            self.add((*above, *key_of(detail)), partial(words_of, detail))

    def concern(self, section: str) -> bool:
        """Whether any of them lies in a section of the config."""
        return any(key[:1] == (section,) for key, _ in self._entries)

    def check(self) -> None:
        """Raise `ConfigError` if there are any: the first ones by line, and how many more there are."""
        if not self._entries:
            return
        located = dict.fromkeys((*self._place(key), message) for key, message in self._entries)
        by_line = sorted(located, key=lambda problem: problem[:2])
        listed = [
            f"{self._file}:{line}: {key + ': ' if key else ''}{message() if callable(message) else message}"
            for line, key, message in by_line[:MAX_LISTED]
        ]
        if len(by_line) > MAX_LISTED:
            listed.append(f"{self._file}: and {len(by_line) - MAX_LISTED:,} more")
        raise ConfigError(listed)

    def _place(self, key: Key) -> tuple[int, str]:
        """Return the line of a key and the key in words."""
        line, in_file = self._written.place(key)
        return line, dotted(in_file)


# --- names ------------------------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """Return a value as it is shown in a message."""
    return shortened(repr(value), 60)


def nearest(name: object, allowed: Iterable[object]) -> str | None:
    """Return the allowed name that somebody may have meant, or None if none is near."""
    names, wrong = [str(item) for item in allowed], str(name)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=SIMILAR) if len(wrong) <= MAX_NAME else []
    return near[0] if near else None


def suggestion(name: object, allowed: Iterable[object]) -> str:
    """Return the allowed name that somebody may have meant, or all of them, in words."""
    names = [str(item) for item in allowed]
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near else f"known: {shortened(', '.join(sorted(names)), 1_000)}"


def unknown(owner: str, what: str, name: str, allowed: Iterable[str]) -> str:
    """Say that a task has no knob, loss term, ... of a name."""
    return f"{owner} has no {what} {shown(name)}; {suggestion(name, allowed)}"


# --- what pydantic says -----------------------------------------------------------------------------------------------


def explained(error: ValidationError) -> list[tuple[Key, str]]:
    """Return key and words of everything that pydantic found."""
    return [(key_of(detail), words_of(detail)) for detail in error.errors(include_url=False)]


def key_of(detail: ErrorDetails) -> Key:
    """Return the key of one error of pydantic, without the kind that it puts behind that of a choice by kind."""
    key: Key = ()
    chosen: Key | None = None
    for part in detail["loc"]:
        swept = key[:1] == ("sweep",) and (len(key) == 2 or key[2:] == ("key",))
        drawn = (key[:2] == ("worlds", "knobs") and len(key) == 3) or (
            key[:2] == ("worlds", "keys") and key[3:] == ("key",)
        )
        either = swept or drawn or key in (("task",), ("seeds",), ("training", "segments"))
        if part in KINDS and key != chosen and either:
            chosen = key
        else:
            key = (*key, part)
    of_name = detail["type"] in ("string_pattern_mismatch", "string_too_long")
    return key[:-1] if of_name and key[-1:] == ("[key]",) else key


def words_of(detail: ErrorDetails) -> str:
    """Return in words what one error of pydantic says."""
    key, kind, limits = key_of(detail), detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {suggestion(key[-1], MODELS[_model_of(key)].model_fields)}"
    if kind in ("string_pattern_mismatch", "string_too_long") and detail["loc"][-1] == "[key]":
        return NO_NAME
    if kind == "string_pattern_mismatch" or (kind == "string_too_long" and key == ("name",)):
        return f"{shown(detail['input'])} {NO_NAME}"
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "is required"
    if kind in ("too_long", "too_short"):
        most = "most" if kind == "too_long" else "least"
        return f"must hold at {most} {limits.get('max_length', limits.get('min_length')):,} entries"
    message = detail["msg"].removeprefix("Input ").removeprefix("String ").replace("should", "must")
    return f"{message}, not {shown(detail['input'])}"


def _model_of(key: Key) -> str:
    """Return which of `MODELS` the last name of a key belongs to."""
    if len(key) >= 4 and key[0] == "regimens":
        return "phase"
    if len(key) >= 4 and key[0] == "worlds":
        return "drawn_key" if key[1] == "keys" else "draw"
    if len(key) >= 2 and key[0] in ("training", "seeds", "stop", "worlds"):
        return str(key[0])
    return "axis" if len(key) >= 3 and key[0] == "sweep" else "config"
