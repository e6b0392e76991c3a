"""The command line: the only place that prints. It imports everything, and nothing imports it."""

import io
import itertools
import os
import signal
import sys

import tyro

from lab.cli.about import check_task, claims, schema, tasks
from lab.cli.console import Failed, Stopped, UsageError, errors
from lab.cli.doctor import doctor
from lab.cli.read import compare, export, figures, gates, ideas, page, plan, probe, show
from lab.cli.train import card, experiment, optimise, run, seeds, sensitivity, worker
from lab.cli.watching import watch
from lab.machine import surroundings
from lab.results import outcomes
from lab.results.store import StoreError

COMMANDS = {
    "run": run,
    "worker": worker,
    "seeds": seeds,
    "watch": watch,
    "show": show,
    "compare": compare,
    "plan": plan,
    "gates": gates,
    "ideas": ideas,
    "probe": probe,
    "figures": figures,
    "export": export,
    "report": page,
    "card": card,
    "sensitivity": sensitivity,
    "optimise": optimise,
    "experiment": experiment,
    "claims": claims,
    "tasks": tasks,
    "check-task": check_task,
    "doctor": doctor,
    "schema": schema,
}


def main(args=None):
    """Run the command line and return its exit code: 0, 2 for a wrong config or usage, 1 for anything else."""
    args = [_at_home(arg) for arg in (sys.argv[1:] if args is None else args)]
    try:
        _check_places(args)
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="lab", args=args, description=sys.modules["lab"].__doc__)
    except UsageError as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 2
    except outcomes.UnknownName as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        errors.print(
            f"{error.filename}: {error.strerror}" if error.filename else str(error), markup=False, soft_wrap=True
        )
        return 1
    except (Failed, StoreError, surroundings.Unusable) as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 1
    except Stopped as stopped:
        errors.print("stopped; what is finished is kept, and the same command goes on from here", markup=False)
        return 128 + stopped.args[0]
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception:
        if not (variable := surroundings.unusable()):
            raise
        errors.print(str(variable), markup=False, soft_wrap=True)
        return 1
    return 0


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


def entry():
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
