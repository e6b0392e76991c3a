"""The tasks, by name. A new task is one file here and one line below."""

from lab.tasks.base import Knob, Proxy, Task, Training
from lab.tasks.race import Race
from lab.tasks.scratchpad import Scratchpad

TASKS = {task.name: task for task in (Scratchpad, Race)}

__all__ = ["TASKS", "Knob", "Proxy", "Race", "Scratchpad", "Task", "Training"]
