"""What the commands share: where they print, how they are stopped, and what is wrong usage."""

import signal

from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class Stopped(BaseException):
    """A signal asked the process to end."""


class Stop:
    """Turns SIGINT and SIGTERM into `Stopped`, between segments of training or at once if they come again.

    Python would raise at any instruction, also where nothing can be raised (in a finaliser, say), and lose it.
    """

    def __init__(self):
        self.number = None

    def __enter__(self):
        self.before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number, _frame):
        """Remember the signal."""
        if self.number is not None:
            raise Stopped(number)
        self.number = number

    def check(self):
        """Raise `Stopped` if a signal has come."""
        if self.number is not None:
            raise Stopped(self.number)


class Failed(Exception):
    """Something that could not be done, though it was asked for rightly."""


class UsageError(Exception):
    """Something typed on the command line that does not fit."""
