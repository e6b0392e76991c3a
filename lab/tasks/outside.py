"""Tasks in files outside the package. Loading one runs its code, so only do it where a person asked for it."""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType

from lab.tasks.base import Task

INSTALLED = {"site-packages", "dist-packages"}  # folders of packages, whose versions say what they do
_loaded: dict[str, bytes] = {}  # name of a module -> its source when this process first looked at it


class TaskFileError(Exception):
    """A file that does not define a task, or is not what it was; the message says why."""


def find_task(name: str, trust_code: bool = False) -> type[Task]:
    """Return the class of a task by its name, or the one that a Python file defines.

    Args:
        name: of a task of the lab, or of a file that ends in .py.
        trust_code: run that file.

    Raises:
        TaskFileError: there is no such task, the file may not be run, or it does not define a task.
    """
    from lab.tasks import TASKS

    if name.endswith(".py"):
        if not trust_code:
            raise TaskFileError(f"{name} is code: read it, then add --trust-code")
        return task_class(Path(name))
    if name not in TASKS:
        raise TaskFileError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]


def task_class(path: Path | str) -> type[Task]:
    """Run a Python file and return the one `Task` that it defines.

    What is run are the bytes that are read here, never what Python has kept of an earlier version, which it takes for
    the same as long as size and second of the last change agree.

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
    # the name tells versions of a file apart, and places, from which it may read; dataclasses look it up in sys.modules
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape") + b"\0" + source)
    name = f"lab_task_{path.stem}_{digest.hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None:
            raise TaskFileError(f"{path}: not a Python file")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        _loaded[name] = source
        try:
            exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
            code_of(module)  # as it is now, with what it imports
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == str(path)]
            line = getattr(error, "lineno", None) or (lines[-1] if lines else 1)
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
        lacking = "; ".join(f"{owner} lacks {', '.join(methods)}" for owner, methods in unfinished.items())
        raise TaskFileError(f"{path}: defines no whole task: {lacking}")
    raise TaskFileError(f"{path}: defines no task: it needs a frozen dataclass derived from lab.tasks.Task")


def source_of(module: ModuleType) -> bytes:
    """Return the source of a module as this process loaded it, as far as it has been looked at since then.

    Raises:
        TaskFileError: the file holds something else now, so nobody could say later what was run.
    """
    try:
        source = Path(str(module.__file__)).read_bytes()
    except OSError as error:
        raise TaskFileError(f"{module.__file__}: cannot be read any more: {error.strerror}") from None
    if _loaded.setdefault(module.__name__, source) != source:
        raise TaskFileError(f"{module.__file__} has changed since this process loaded it: start again")
    return source


def code_of(module: ModuleType) -> dict[str, bytes]:
    """Return name -> source of a module and of the modules that it imports, directly or not.

    Installed packages and Python's own are left out, and so are the lab's packages, which import all that they hold.

    Raises:
        TaskFileError: a file holds something else than what was loaded.
    """
    sources, waiting = {}, [module]
    while waiting:
        module = waiting.pop()
        if module.__name__ not in sources:
            sources[module.__name__] = source_of(module)
            names = _imported(module.__package__, sources[module.__name__])
            waiting += [imported for imported in map(_own_module, names) if imported is not None]
    return sources


@functools.cache  # a source is parsed once, however many runs a process begins
def _imported(package: str | None, source: bytes) -> tuple[str, ...]:
    """Return the names that a module of a package imports anywhere in its source; some may be no modules."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names += [above, *(f"{above}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _own_module(name: str) -> ModuleType | None:
    """Return a module that is a file of somebody's own, or of the lab; imported, if a task would do so only later."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    with contextlib.suppress(ImportError, ValueError):  # there is none; or only its own code knows where it is
        spec = importlib.util.find_spec(top)
        places = [spec.origin or "", *(spec.submodule_search_locations or [])] if spec else [""]
        if top == "lab" or not any(INSTALLED & set(Path(place).parts) for place in places):
            module = importlib.import_module(name)
            all_of_it = top == "lab" and hasattr(module, "__path__")
            return module if not all_of_it and (getattr(module, "__file__", None) or "").endswith(".py") else None
    return None
