from .base import ContextTask, Knob, Proxy, Task, Training
from .digits import Digits
from .gridworld import Gridworld
from .race import Race
from .reasoner import Reasoner
from .registry import TASKS
from .scratchpad import Scratchpad
from .shortcut import Shortcut

__all__ = [
    "TASKS",
    "ContextTask",
    "Digits",
    "Gridworld",
    "Knob",
    "Proxy",
    "Race",
    "Reasoner",
    "Scratchpad",
    "Shortcut",
    "Task",
    "Training",
]
