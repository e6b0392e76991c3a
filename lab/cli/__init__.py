"""The command line: the only place that prints. It imports everything, and nothing imports it.

`train` has the commands that train, `read` those that read a stored run, `ask` those that are a study of `lab.studies`
or `lab.decision`, `about` those that say what there is. They parse, call and print; `console` is what they share.
"""

import contextlib
import io
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import tyro
from rich.cells import cell_len
from rich.text import Text

from lab.cli.about import check_task, claims, doctor, schema, tasks
from lab.cli.ask import advise, card, mix, optimise, seeds, sensitivity
from lab.cli.console import Failed, Stopped, UsageError, errors, print_rows, print_text
from lab.cli.decide import gates, ideas, plan, probe
from lab.cli.observe import import_table
from lab.cli.read import compare, export, figures, page, show
from lab.cli.train import experiment, new, run, worker
from lab.cli.watching import watch
from lab.config.problems import shown, suggestion
from lab.config.source import ConfigError
from lab.machine import surroundings
from lab.report.layout import INDENT, wrapped
from lab.results.outcomes import UnknownName
from lab.results.store import StoreError
from lab.studies.study import StudyError

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "train": {"new": new, "run": run, "worker": worker, "experiment": experiment},
    "read": {"import": import_table, "show": show, "watch": watch, "compare": compare, "export": export},
    "ask": {
        "plan": plan,
        "seeds": seeds,
        "mix": mix,
        "gates": gates,
        "ideas": ideas,
        "probe": probe,
        "card": card,
        "advise": advise,
        "sensitivity": sensitivity,
        "optimise": optimise,
    },
    "pictures": {"figures": figures, "report": page},
    "about": {"claims": claims, "tasks": tasks, "check-task": check_task, "doctor": doctor, "schema": schema},
}
COMMANDS = {name: command for commands in GROUPS.values() for name, command in commands.items()}


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
                tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="lab", args=args, description=_description())
    except (UsageError, UnknownName, ConfigError, StudyError) as error:
        print_text(str(error), errors)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print_text(f"{error.filename}: {error.strerror}" if error.filename else str(error), errors)
        return 1
    except (Failed, StoreError, surroundings.Unusable) as error:
        print_text(str(error), errors)
        return 1
    except Stopped as stopped:
        print_text("stopped; what is finished is kept, and the same command goes on from here", errors)
        return 128 + stopped.args[0]
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception:
        if not (variable := surroundings.unusable()):
            raise
        print_text(str(variable), errors)
        return 1
    return 0


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
    return " ".join((sys.modules["lab"].__doc__ or "").split("\n\n")[0].split())


def print_help() -> None:
    """Print all commands in their groups, with the first sentence of what each does."""
    print_text("usage: lab COMMAND [options]   (lab COMMAND --help says more)\n")
    print_text(f"{_description()}\n", hanging="")
    for group, commands in GROUPS.items():
        rows = [(name, (command.__doc__ or "").splitlines()[0]) for name, command in commands.items()]
        print_rows(group, ("", ""), rows)


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
    if args and not args[0].startswith("-") and args[0].replace("_", "-") not in COMMANDS:
        raise UsageError(f"no command {shown(args[0])}; {suggestion(args[0], COMMANDS)}; lab --help lists them")


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
