"""The command line: the only place that prints. It imports everything, and nothing imports it.

`train` has the commands that train, `read` those that read a stored run, `decide` what follows from one, `ask` those
that are a study of `lab.studies`, `about` those that say what there is. They parse, call and print; `console` and
`options` are what they share. A command's file is imported when it is called, so that nobody waits for the others.
"""

import ast
import contextlib
import importlib
import io
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

import lab
from lab.cli.console import Failed, Stopped, UsageError, errors, print_rows, print_text
from lab.report.layout import INDENT, wrapped

# group -> command -> file of this folder that has it
GROUPS: dict[str, dict[str, str]] = {
    "train": {"new": "train", "run": "train", "worker": "train", "experiment": "train"},
    "read": {"import": "observe", "show": "read", "watch": "watching", "compare": "read", "export": "read"},
    "ask": {
        "plan": "decide",
        "seeds": "ask",
        "mix": "ask",
        "gates": "decide",
        "ideas": "decide",
        "probe": "decide",
        "card": "ask",
        "advise": "ask",
        "sensitivity": "ask",
        "optimise": "ask",
    },
    "pictures": {"figures": "read", "report": "read"},
    "about": {"claims": "about", "tasks": "about", "check-task": "about", "doctor": "about", "schema": "about"},
}
FILES = {command: file for commands in GROUPS.values() for command, file in commands.items()}
CALLED = {"import": "import_table", "report": "page", "check-task": "check_task"}  # functions with other names


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for a wrong config or usage, 1 for anything else."""
    args = [_at_home(arg) for arg in (sys.argv[1:] if args is None else args)]
    try:
        _check_places(args)
        _check_command(args)
        if args in (["--help"], ["-h"]):
            print_help()
        else:
            with _fitting() if {"--help", "-h"} & set(args) else contextlib.nullcontext():
                _call(args)
    except BrokenPipeError:
        raise
    except Stopped as stopped:
        print_text("stopped; what is finished is kept, and the same command goes on from here", errors)
        return 128 + stopped.args[0]
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        if (said := _said(error)) is None:
            raise
        words, code = said
        print_text(words, errors)
        return code
    return 0


def command(name: str) -> Callable[..., None]:
    """Return the function of a command.

    Args:
        name: of the command, such as "check-task".
    """
    return getattr(importlib.import_module(f"lab.cli.{FILES[name]}"), CALLED.get(name, name))


def _call(args: Sequence[str]) -> None:
    """Parse and call a command; the parser of all commands says what is wrong where none is named."""
    import tyro

    if args and (name := args[0].replace("_", "-")) in FILES:
        tyro.cli(command(name), prog=f"lab {name}", args=args[1:])
    else:
        tyro.extras.subcommand_cli_from_dict(
            {name: command(name) for name in FILES}, prog="lab", args=args, description=_description()
        )


def _said(error: Exception) -> tuple[str, int] | None:
    """Return what is said of an error and the exit code, or None for one that nobody foresaw."""
    # nobody waits for these where all is well
    from lab.config.source import ConfigError
    from lab.machine import surroundings
    from lab.results.outcomes import UnknownName
    from lab.results.store import StoreError
    from lab.studies.study import StudyError

    if isinstance(error, (UsageError, UnknownName, ConfigError, StudyError)):
        return str(error), 2
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error), 1
    if isinstance(error, (Failed, StoreError, surroundings.Unusable)):
        return str(error), 1
    if variable := surroundings.unusable():
        return str(variable), 1
    return None


class _Kept(io.TextIOWrapper):
    """What is printed, kept with the colours and the letters of where it goes on to."""

    def __init__(self, out: TextIO):
        super().__init__(io.BytesIO(), encoding=out.encoding, errors="backslashreplace", newline="\n")
        self.out = out

    def isatty(self) -> bool:
        return self.out.isatty()

    def lines(self) -> list[str]:
        """Return what was printed."""
        self.seek(0)
        return self.read().splitlines()


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    """Wrap the lines that tyro leaves wider than the terminal: the usage of a command and what it does."""
    kept = _Kept(sys.stdout)
    try:
        with contextlib.redirect_stdout(kept):
            yield
    finally:
        width = shutil.get_terminal_size().columns
        for line in kept.lines():
            plain = Text.from_ansi(line).plain
            print(line if cell_len(plain) <= width else "\n".join(wrapped(plain, width, INDENT)))


def _description() -> str:
    """Return the first paragraph of what the package says of itself."""
    return " ".join((lab.__doc__ or "").split("\n\n")[0].split())


def print_help() -> None:
    """Print all commands in their groups, with the first sentence of what each does."""
    print_text("usage: lab COMMAND [options]   (lab COMMAND --help says more)\n")
    print_text(f"{_description()}\n", hanging="")
    for group, commands in GROUPS.items():
        print_rows(
            group, ("", ""), [(name, _sentences(file)[CALLED.get(name, name)]) for name, file in commands.items()]
        )


@cache
def _sentences(file: str) -> dict[str, str]:
    """Return function -> first line of its docstring, of a file of this folder that need not be imported for it."""
    tree = ast.parse(Path(__file__).with_name(f"{file}.py").read_bytes())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {function.name: (ast.get_docstring(function) or "").partition("\n")[0] for function in functions}


def _at_home(arg: str) -> str:
    """Return an argument with ~ written out, which shells leave as it is behind `--out=` and in quotes."""
    option, equals, path = arg.partition("=") if arg.startswith("--") else ("", "", arg)
    return option + equals + os.path.expanduser(path)


def _check_places(args: list[str]) -> None:
    """Refuse a folder or file without a name, which would be the current folder, and a current folder that is gone."""
    for option in ("--out", "--figures"):
        if f"{option}=" in args or (option, "") in itertools.pairwise(args):
            raise UsageError(f"{option}: an empty name; leave the option away for the default")
    try:
        os.getcwd()
    except FileNotFoundError:
        raise Failed("the current folder is gone: go to another") from None


def _check_command(args: list[str]) -> None:
    """Refuse a command that there is not, and name the nearest one."""
    if args and not args[0].startswith("-") and args[0].replace("_", "-") not in FILES:
        from lab.config.problems import shown, suggestion

        raise UsageError(f"no command {shown(args[0])}; {suggestion(args[0], FILES)}; lab --help lists them")


def entry() -> None:
    """Run the command line as a program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a letter that it cannot write is no reason to stop
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `lab claims --json | head`: nobody reads on, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python says so at its end
        code = 128 + signal.SIGPIPE
    sys.exit(code)
