"""The tasks, by name. One is imported, and JAX with it, when it is first asked for."""

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.tasks.base import Task

CLASSES = {  # file of this folder -> its class, in the order of lists and figures
    "scratchpad": "Scratchpad",
    "race": "Race",
    "shortcut": "Shortcut",
    "reasoner": "Reasoner",
    "digits": "Digits",
    "gridworld": "Gridworld",
}


class Tasks(Mapping[str, "type[Task]"]):
    """The classes of all tasks by the name of their file."""

    def __getitem__(self, name: str) -> "type[Task]":
        if name not in CLASSES:
            raise KeyError(name)
        return getattr(importlib.import_module(f"lab.tasks.{name}"), CLASSES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(CLASSES)

    def __len__(self) -> int:
        return len(CLASSES)

    def __contains__(self, name: object) -> bool:
        return name in CLASSES


TASKS = Tasks()
