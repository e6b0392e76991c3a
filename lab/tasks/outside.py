"""Tasks in files outside the package. Loading one runs its code, so only do it where a person asked for it."""

import hashlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

from lab.tasks.base import Task


class TaskFileError(Exception):
    """A file that does not define a task; the message says why."""


def task_class(path):
    """Run a Python file and return the one `Task` that it defines.

    Raises:
        TaskFileError: the file cannot be read or run, or defines no task or several.
    """
    path = Path(path)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise TaskFileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name that no file can have
        raise TaskFileError(f"{str(path)!r}: cannot be read: {error}") from None
    # the name tells versions of a file apart; dataclasses look their module up in sys.modules
    name = f"lab_task_{path.stem}_{hashlib.sha256(source).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None:
            raise TaskFileError(f"{path}: not a Python file")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
            line = getattr(error, "lineno", None) or (own[-1] if own else 1)
            raise TaskFileError(f"{path}:{line}: {type(error).__name__}: {error}") from None
    defined = [
        thing
        for thing in vars(sys.modules[name]).values()
        if inspect.isclass(thing) and issubclass(thing, Task) and thing.__module__ == name
    ]
    unfinished = {thing.__name__: sorted(thing.__abstractmethods__) for thing in defined if inspect.isabstract(thing)}
    whole = [thing for thing in defined if not inspect.isabstract(thing)]
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise TaskFileError(f"{path}: defines several tasks: {', '.join(thing.__name__ for thing in whole)}")
    if unfinished:
        said = "; ".join(f"{owner} lacks {', '.join(methods)}" for owner, methods in unfinished.items())
        raise TaskFileError(f"{path}: defines no whole task: {said}")
    raise TaskFileError(f"{path}: defines no task: it needs a frozen dataclass derived from lab.tasks.Task")
