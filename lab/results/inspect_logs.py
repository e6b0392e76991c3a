"""Logs of evaluations that Inspect (the package `inspect-ai`) has written, as the columns of one table.

Inspect itself reads them: the header of a log, and the summaries that it keeps beside the samples, so that gigabytes of
messages are never read. A summary has every score as it is, and every number and boolean of the metadata. Text of the
metadata it shortens to 1,024 characters, with single spaces, and of a longer list it only says that there is one.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.machine.extras import MissingExtra

if TYPE_CHECKING:  # it takes more than a second to import
    from inspect_ai.log import EvalLog, EvalSampleSummary

Value = str | int | float | bool | None


class LogError(ValueError):
    """Logs that cannot be read as they are; the message names the file."""


def read_logs(paths: Sequence[Path]) -> tuple[dict[str, list[Value]], list[str]]:
    """Return a row per scored sample and epoch, as column -> values, and a sentence for whatever is left out.

    The columns are `log` (the name of the file without its end), `task`, `model`, `run`, `sample`, `epoch`, and one for
    each `arg.NAME` of the task, `eval.NAME` of the evaluation's metadata, `metadata.NAME` of the sample and
    `score.NAME`, or `score.NAME.KEY` where a scorer gives several values by name. Values are what Inspect holds, such
    as "C", 0.5 or True; lists are text, as JSON. None is what a sample lacks, or a scorer could not say.

    Evaluations that did not end well are left out, and so are samples that ended in an error or have no score.

    Args:
        paths: of the logs, which end in .eval or .json.

    Raises:
        LogError: a file is no log, or two have the same sample.
        MissingExtra: the package is not installed.
    """
    rows: list[dict[str, Value]] = []
    notes: list[str] = []
    sources: dict[str, Path] = {}  # by Inspect's own name of a sample
    for path in paths:
        log, samples = _read(path)
        if fault := _fault(log):
            notes.append(f"{path.name} is left out: {fault}")
            continue
        whole = [sample for sample in samples if sample.error is None]
        scored = [sample for sample in whole if sample.scores]
        notes += _left_out(path, len(samples) - len(whole), "ended in an error")
        notes += _left_out(path, len(whole) - len(scored), "had no score")
        _check_new(scored, path, sources)
        about = _about_log(log, path)
        rows += [about | _about_sample(sample) for sample in scored]
    columns = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in columns}, notes


def _read(path: Path) -> "tuple[EvalLog, list[EvalSampleSummary]]":
    """Return the header of a log and the summaries of its samples. Raises as `read_logs` does."""
    try:
        from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries
    except ImportError:
        raise MissingExtra("Logs of Inspect need inspect-ai: pip install 'proxy-lab[inspect]'") from None
    if not path.is_file():
        raise LogError(f"{path} is not a file")
    place = str(path.absolute())  # never an address, from which Inspect would fetch it
    try:
        return read_eval_log(place, header_only=True), read_eval_log_sample_summaries(place)
    except Exception as error:  # which one depends on the format and on the version of Inspect
        reason = str(error).partition("\n")[0]
        raise LogError(f"{path}: Inspect cannot read it as a log ({reason})") from None


def _fault(log: "EvalLog") -> str | None:
    """Return why nothing of a log is used; None if all is well."""
    if log.status != "success":
        return f"its evaluation did not finish, its status is {log.status!r}"
    if log.invalidated:
        return "samples of it were declared invalid"
    return None


def _left_out(path: Path, count: int, reason: str) -> Iterator[str]:
    """Yield the sentence about samples of a log that are left out, if there are any."""
    if count:
        samples, are = ("sample", "is") if count == 1 else ("samples", "are")
        yield f"{count:,} {samples} of {path.name} {reason} and {are} left out"


def _check_new(samples: "Sequence[EvalSampleSummary]", path: Path, sources: dict[str, Path]) -> None:
    """Remember where samples are from. Raises a LogError if one was there before, such as in a copy of its log."""
    for sample in samples:
        name = sample.uuid
        if name is None:  # the log is older than such names
            continue
        if name in sources:
            raise LogError(f"{path} and {sources[name]} have the same sample {sample.id}: give one of them alone")
        sources[name] = path


def _about_log(log: "EvalLog", path: Path) -> dict[str, Value]:
    """Return what all samples of a log share."""
    spec = log.eval
    named = {"log": path.stem, "task": spec.task, "model": spec.model, "run": spec.run_id}
    return {**named, **_columns("arg", spec.task_args), **_columns("eval", log.metadata)}


def _about_sample(sample: "EvalSampleSummary") -> dict[str, Value]:
    """Return what is a sample's own."""
    values: dict[str, Value] = {"sample": sample.id, "epoch": sample.epoch, **_columns("metadata", sample.metadata)}
    for scorer, score in (sample.scores or {}).items():
        if isinstance(score.value, Mapping):
            values |= _columns(f"score.{scorer}", score.value)
        else:
            values |= _columns("score", {scorer: score.value})
    return values


def _columns(kind: str, values: Mapping[str, Any]) -> dict[str, Value]:
    return {f"{kind}.{name}": _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Value:
    """Return a value as a cell can hold it."""
    if isinstance(value, float) and math.isnan(value):  # Inspect's sign that a scorer could not say
        return None
    return json.dumps(value) if isinstance(value, list | dict) else value
