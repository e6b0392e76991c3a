"""The tasks, by name. A new task is one file here and one line below.

The lowest wing that needs JAX; `config` and `training` import it, and what only reads results does not.
"""

from lab.tasks.base import ContextTask, Knob, Proxy, Task, Training
from lab.tasks.digits import Digits
from lab.tasks.gridworld import Gridworld
from lab.tasks.race import Race
from lab.tasks.reasoner import Reasoner
from lab.tasks.scratchpad import Scratchpad
from lab.tasks.shortcut import Shortcut

TASKS = {task.name: task for task in (Scratchpad, Race, Shortcut, Reasoner, Digits, Gridworld)}

__all__ = [
    "TASKS",
    "ContextTask",
    "Digits",
    "Knob",
    "Proxy",
    "Race",
    "Reasoner",
    "Scratchpad",
    "Shortcut",
    "Task",
    "Training",
]
