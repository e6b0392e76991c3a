"""An optional mirror of a sweep to wandb, trackio or mlflow: one tracker run per sweep, never per seed.

The tracker lives in a process of its own, which imports it, and gets lines of JSON through a pipe that a thread fills.
So nothing it does, from a slow import to a server that never answers, can delay, change or end a run; what fails there
is said once. It gets the config and what `lab run` prints, and no scores.
"""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import IO, Any, Self

from lab.report.tables import numbers, text_table
from lab.results.store import Run
from lab.results.summary import Summary
from lab.results.tally import Tally
from lab.words import Json

PROJECT = "proxy-lab"
TRACKERS = ("wandb", "trackio", "mlflow")
PATIENCE, PATIENCE_IF_STOPPED = 30, 5  # s that the end of a sweep waits for it at most
# a server that does not answer is given up soon, unless the user wants otherwise
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "WANDB_SILENT": "true"}


class Tracker:
    """A tracker's process: `send` never waits, and the end at most PATIENCE seconds."""

    def __init__(self, kind: str, say: Callable[[str], None]):
        """Start it.

        Args:
            kind: one of TRACKERS.
            say: called from a thread with a line of text, such as where the mirror is, or once what failed.

        Raises:
            ModuleNotFoundError: it is not installed; the message says what to install.
        """
        if find_spec(kind) is None:
            raise ModuleNotFoundError(f"--tracker: {kind} is not installed: pip install 'proxy-lab[{kind}]'")
        self.kind, self.say = kind, say
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab.report.trackers", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**IMPATIENT, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl+C is for the run
        )
        assert self.process.stdin is not None and self.process.stdout is not None  # both are pipes
        self.threads = [
            threading.Thread(target=self._write, args=(self.process.stdin,), daemon=True),
            threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def send(self, **message: Any) -> None:
        """Hand over a message: `begin`, `condition` or `end`, as `mirror` takes them."""
        self.lines.put(json.dumps(message))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait until all has been taken, less long if the sweep was stopped, or end it."""
        self.lines.put(None)
        patience = PATIENCE if kind is None else PATIENCE_IF_STOPPED
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.say(f"{self.kind} did not finish within {patience} s and was left; the run is not concerned")
        for thread in self.threads:
            thread.join(1)

    def _write(self, stdin: IO[str]) -> None:
        """Hand lines to the process as they come, until there is none."""
        with contextlib.suppress(OSError), stdin:  # it may have ended
            while line := self.lines.get():
                stdin.write(line + "\n")
                stdin.flush()

    def _listen(self, stdout: IO[str]) -> None:
        """Say what the process says."""
        with stdout:
            for line in stdout:
                self.say(line.strip())


class Mirror:
    """Follows one sweep and tells a `Tracker`."""

    def __init__(self, tracker: Tracker):
        """Have told nothing yet."""
        self.tracker, self.begun = tracker, False
        self.told: set[tuple[str, int]] = set()  # names of conditions with their numbers of seeds

    def _begin(self, stored: Run) -> None:
        if not self.begun:
            self.begun = True
            keys = ("name", "hash", "question", "proxy", "baseline", "confidence", "block_width")
            config = {key: stored.manifest[key] for key in keys}
            # versions on top, where a tracker can filter by them; and how to find the models behind the numbers
            config |= stored.manifest["identity"] | {"folder": stored.path.resolve().name}
            config["config"] = stored.manifest["config"]
            self.tracker.send(begin={"project": PROJECT, "name": stored.path.resolve().name, "config": config})

    def _tell(self, row: Summary) -> None:
        self.told.add((row.name, row.counts.seeds))
        self.tracker.send(condition=row.name, numbers=numbers(row))

    def follow(self, tally: Tally, limit: float) -> None:
        """Tell of conditions whose seeds are complete; about `limit` seconds of this thread at most."""
        self._begin(tally.run)
        end = time.thread_time() + limit
        for index, (name, (done, planned)) in enumerate(zip(tally.names, tally.seeds, strict=True)):
            if done == planned and (name, done) not in self.told and time.thread_time() < end:
                self._tell(*tally.summaries([index]))

    def end(self, stored: Run, rows: Sequence[Summary]) -> None:
        """Tell of all that is left, and the table."""
        self._begin(stored)
        for row in rows:
            if (row.name, row.counts.seeds) not in self.told:
                self._tell(row)
        self.tracker.send(end=text_table(rows))


def mirror(kind: str, lines: Iterable[str]) -> Iterator[str]:
    """In the tracker's process: take messages and yield lines to say.

    Args:
        kind: one of TRACKERS.
        lines: JSON objects: first {"begin": {"project", "name", "config"}}, then {"condition": name, "numbers"} of each
            condition that is complete, at last {"end": {"columns", "rows"}}.
    """
    module, whole = __import__(kind), False
    for message in map(json.loads, lines):
        if "begin" in message:
            yield f"{kind}: {_begin(kind, module, **message['begin'])}"
        elif "condition" in message:
            numbers = {f"{message['condition']}/{key}": value for key, value in message["numbers"].items()}
            if kind == "mlflow":  # it takes no other characters
                module.log_metrics({re.sub(r"[^\w./ -]", "_", key): value for key, value in numbers.items()})
            else:
                module.log(numbers)
        elif kind == "mlflow":
            module.log_dict(message["end"], "summary.json")
            whole = True
        else:
            module.log({"summary": module.Table(columns=message["end"]["columns"], data=message["end"]["rows"])})
            whole = True
    if kind == "mlflow":
        module.end_run("FINISHED" if whole else "KILLED")
    elif kind == "wandb":
        module.finish(exit_code=0 if whole else 1)
    else:
        module.finish()


def _begin(kind: str, module: ModuleType, project: str, name: str, config: Json) -> str:
    """Begin the tracker's run; return where it is."""
    if kind == "mlflow":
        module.set_experiment(project)
        run = module.start_run(run_name=name)
        module.log_dict(config, "config.json")
        module.log_params({key: value for key, value in config.items() if isinstance(value, str | int | float)})
        return f"run {run.info.run_id} at {module.get_tracking_uri()}"
    run = module.init(project=project, name=name, config=config)
    return getattr(run, "url", None) or f"run {name} of project {project}"


def _main(kind: str) -> None:
    """Mirror what stdin says. What a tracker itself prints goes nowhere."""
    with os.fdopen(os.dup(1), "w") as stdout:
        os.dup2(2, 1)
        try:
            for line in mirror(kind, sys.stdin):
                print(line, file=stdout, flush=True)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            failure = f"{kind} failed ({type(error).__name__}: {reason}); the run is not concerned"
            print(failure, file=stdout, flush=True)
            os._exit(1)  # its own threads may not end


if __name__ == "__main__":
    _main(sys.argv[1])
