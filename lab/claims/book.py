"""Claims: a sentence, a rule written before its run, and a verdict computed from stored counts every time it is asked.

A claim is a module of `experiments/claims/` with its name. Its docstring holds the sentence (first paragraph) and the
rule (the paragraph that begins with "Rule"); its `judge` applies the rule to one task's `Stored` counts. What was
changed in a rule after its run stands there as "(After the run: ...)", and tables say that it was. Its config is
`configs/claims/NAME.yaml`, with a part for each task; what was counted lies in `figures/claims/NAME.json`. The overview
of all claims says it in the words of `experiments.claims.IN_SHORT`.

Where the outcomes of a task are graded, who is aligned hangs on the mark of alignment. `run` then makes the counts at
`MARKS` as well, and the same rule judges each of them. The JSON keeps these verdicts beside their counts (`marks`), so
that `table` only has to read them. A module may also have

    CONFIGS                            the name of another config, which several claims then share
    study(experiment, folder, train)   what to do with a config instead of training it and counting (`count_last`)
    shown(stored)                      the conditions that the figure shows; all by default
    COLUMNS                            the quantities of each condition that the figure shows; `rows.COLUMNS` by default
    WORDS                              regimen -> what its rows are called; its name by default
    heading(stored, name)              what conditions are grouped under; their place in the sweep by default
    plotted(stored)                    the numbers that the figure of a task draws; `condition_rows` by default
    draw(data)                         a figure of its own instead of `lab.figures.claim_figure`
    finding(tasks)                     what its title says was found, from what is stored by task; else the sentence
    CAPTION                            a `rules.Caption`: what the caption says beside claim, verdict and rule
"""

import copy
import functools
import importlib
import inspect
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import figures
from lab.claims import judged, latex
from lab.claims.judged import CONTRADICTED, FIGURES, NOT_RUN, ROOT, SUPPORTED, VERDICTS, ClaimError, Verdict, names
from lab.claims.rows import COLUMNS, Rows, condition_rows
from lab.claims.rules import Caption, Stored, count_conditions, moves, overall
from lab.config.source import read_file, read_yaml, tasks_in
from lab.results import outcomes, shards
from lab.results.store import Run, publish
from lab.words import Json

if TYPE_CHECKING:
    from lab.config.experiment import Experiment  # imports JAX

OVERVIEW = "overview"  # the figure of all claims
# marks of alignment at which graded outcomes are counted beside the task's own: from a half, below which a model does
# more often what was not intended, to the strictest mark of any task; in twentieths, because held-out models of digits
# all lie between .6 and .9 (figures/tasks.json), and a mark that all models reach, or none, tells nothing
MARKS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)

CHANGED = "(After the run: "  # how a rule says that it was changed

Train = Callable[["Experiment", Path], Run]
Study = Callable[["Experiment", Path, Train], Json]


@dataclass(frozen=True)
class Folders:
    """Where the files of claims go.

    Attributes:
        runs: what is trained.
        figures: what is counted and drawn.
    """

    runs: Path = Path("runs")
    figures: Path = FIGURES


HOME = Folders()  # of the project's own runs and figures


@dataclass(frozen=True)
class Claim:
    """A claim, as its module has it.

    Attributes:
        name: of the module.
        sentence: the claim in one line.
        rule: of its verdict, in one line.
        config: name of its config.
        judge: what applies the rule to one task.
        study: what is done with a config.
        shown: names of the conditions that the figure shows, or None where it shows all or draws something else.
        plotted: the numbers that the figure of a task draws, as plain JSON values.
        draw: the figure, from the claim's data.
        finding: what the title of the figure says was found, from task -> its counts and what is plotted.
        caption: what its caption says beside the rest.
    """

    name: str
    sentence: str
    rule: str
    config: str
    judge: Callable[[Stored], Verdict]
    study: Study
    shown: Callable[[Stored], list[str]] | None
    plotted: Callable[[Stored], Any]
    draw: Callable[[Json], figures.Figure]
    finding: Callable[[Mapping[str, Json]], str]
    caption: Caption

    @property
    def changed(self) -> bool:
        """Whether the rule was changed after the run that decides, as it says itself."""
        return CHANGED in self.rule


# --- finding claims -----------------------------------------------------------------------------------------------


def names_with_counts() -> list[str]:
    """Return the names of the claims whose counts are stored."""
    return [name for name in names() if (FIGURES / f"{name}.json").exists()] if (ROOT / "experiments").is_dir() else []


def module(name: str) -> Any:
    """Return the module of a claim. Raises `ClaimError`."""
    if name not in names():
        raise ClaimError(f"no claim {name!r}; known: {', '.join(names())}")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"experiments.claims.{name}")


def claim(name: str) -> Claim:
    """Return a claim by its name. Raises `ClaimError`."""
    source = module(name)
    paragraphs = (inspect.getdoc(source) or "").split("\n\n")
    shown, columns = getattr(source, "shown", None), getattr(source, "COLUMNS", COLUMNS)
    rows = Rows(columns, getattr(source, "WORDS", {}), getattr(source, "heading", None))
    sentence = _one_line(paragraphs[0])
    return Claim(
        name=name,
        sentence=sentence,
        rule=_one_line(next(paragraph for paragraph in paragraphs if paragraph.startswith("Rule"))),
        config=getattr(source, "CONFIGS", name),
        judge=source.judge,
        study=getattr(source, "study", count_last),
        shown=shown,
        plotted=getattr(source, "plotted", functools.partial(condition_rows, rows=rows, shown=shown)),
        draw=getattr(source, "draw", functools.partial(figures.claim_figure, quantities=columns)),
        finding=getattr(source, "finding", lambda _: sentence.removesuffix(".")),
        caption=getattr(source, "CAPTION", Caption()),
    )


def _one_line(paragraph: str) -> str:
    return " ".join(paragraph.split())


def configs(name: str) -> dict[str, Path]:
    """Return task -> path of the file that holds its config, in the order of that file."""
    path = ROOT / f"configs/claims/{claim(name).config}.yaml"
    return dict.fromkeys(tasks_in(read_yaml(read_file(path), str(path))), path)


# --- running ------------------------------------------------------------------------------------------------------


def count_last(experiment: "Experiment", folder: Path, train: Train) -> Json:
    """Train a config and count its models at the end of training: what most claims do."""
    return count_conditions(shards.results(train(experiment, folder), last_only=True))


def run(
    name: str,
    train: Train,
    seeds: int | None = None,
    first: int | None = None,
    folders: Folders = HOME,
    only: Sequence[str] | None = None,
    read: "Callable[[Path, str], Experiment] | None" = None,
) -> Json:
    """Train what a claim is counted on, judge it and draw its figure.

    Args:
        name: of the claim.
        train: function of an experiment and a folder that trains it and returns a `lab.results.store.Run`.
        seeds: per condition at most, instead of the configs'.
        first: the first seed instead of the configs', for a replication.
        folders: of runs and figures; the project's own by default.
        only: tasks to run; what is stored of the others is kept.
        read: function of a config's path and a task that returns the experiment; as `lab.config.experiment.load` does
            by default.

    Returns:
        The data of the figure, which lies in the folder of figures as NAME.png.
    """
    from lab.config.experiment import load

    chosen, paths = claim(name), configs(name)
    if unknown := [task for task in only or () if task not in paths]:
        raise ClaimError(f"{name} has no task {unknown[0]!r}; known: {', '.join(paths)}")
    stored = folders.figures / f"{name}.json"
    same_seeds = seeds is None and first is None  # what is stored of other tasks is then on the configs' seeds too
    kept = json.loads(stored.read_text())["tasks"] if only and same_seeds and stored.exists() else {}
    tasks = {}
    for task, path in paths.items():
        experiment = read(path, task) if read else load(path, task=task)
        if only and task not in only:
            tasks |= {task: kept[task]} if task in kept else {}
            continue
        most = len(experiment.seeds) if seeds is None else min(seeds, len(experiment.seeds))
        experiment = experiment.with_seeds(most, experiment.seeds[0] if first is None else first)
        counts = _count(chosen.study, experiment, folders.runs / experiment.folder_name, train)
        about = {"config": str(path.relative_to(ROOT)), "hash": experiment.hash, "first_seed": experiment.seeds[0]}
        tasks[task] = {**about, "baseline": experiment.baseline, **counts}
    return redraw(name, {"name": name, "claim": "", "rule": "", "tasks": tasks}, folders.figures)


def _count(study: Study, experiment: "Experiment", folder: Path, train: Train) -> Json:
    """Return what a study counts at the task's own mark and, where outcomes are graded, its counts at `MARKS`.

    Whether they are graded is asked of the first run that the study trains, over all its conditions. Nothing is trained
    twice: other marks are those of the same runs.
    """
    runs: dict[Path, Run] = {}

    def train_once(trained: "Experiment", place: Path) -> Run:
        if place not in runs:
            runs[place] = train(trained, place)
        return runs[place]

    counts = study(experiment, folder, train_once)
    if not outcomes.are_graded(shards.results(next(iter(runs.values())), last_only=True)):
        return counts
    own = experiment.thresholds["alignment"]
    marks: list[Json] = []
    for mark in sorted({*MARKS, own}):
        marks.append({"mark": mark, "verdict": NOT_RUN, "why": ""})  # `rejudge` fills these in
        if mark != own:  # whose counts stand beside the marks
            marks[-1]["counts"] = study(
                experiment, folder, lambda *given, mark=mark: _at_mark(train_once(*given), mark)
            )
    return counts | {"marks": marks}


def _at_mark(run: Run, mark: float) -> Run:
    """Return a run as it is read with another mark of alignment; its folder stays as it is."""
    other = copy.copy(run)
    other.manifest = run.manifest | {"thresholds": run.manifest["thresholds"] | {"alignment": mark}}
    return other


# --- redrawing ----------------------------------------------------------------------------------------------------


def redraw(
    name: str, data: Json | None = None, to: Path | str | None = None, edition: figures.Edition = figures.PAPER
) -> Json:
    """Judge what is stored again and draw the figure of a claim, its caption and a LaTeX table. Returns its data."""
    to = Path(to or FIGURES)
    data, by_task = rejudge(name, data)
    figures.save(claim(name).draw, data, to, name, edition)
    publish(to / f"{name}.txt", (data["caption"] + "\n").encode())
    publish(to / f"{name}.tex", latex.tables(data, by_task).encode())
    return data


def redraw_overview(
    judged: Mapping[str, Json] | None = None, to: Path | str | None = None, edition: figures.Edition = figures.PAPER
) -> Json:
    """Draw which claim is supported in which task. Returns the data of the figure.

    Args:
        judged: name -> data of a claim, as `redraw` returned it; all that are stored, judged again, by default.
        to: where to write; figures/claims by default.
        edition: of the figure.
    """
    data = overview(judged or {name: rejudge(name)[0] for name in names_with_counts()})
    figures.save(figures.overview_figure, data, to or FIGURES, OVERVIEW, edition)
    return data


def overview(judged: Mapping[str, Json]) -> Json:
    """Return the data of the overview: the verdicts on every claim by task, in the groups of `experiments.claims`.

    Args:
        judged: name -> data of a claim, as `rejudge` returned it.
    """
    of_claims = {
        name: {task: counts["verdict"] for task, counts in data["tasks"].items()} for name, data in judged.items()
    }
    asked = Counter(task for by_task in of_claims.values() for task in by_task)
    every = [verdict for by_task in of_claims.values() for verdict in by_task.values()]
    support, contradict = every.count(SUPPORTED), every.count(CONTRADICTED)
    whole = sum(set(by_task.values()) == {SUPPORTED} for by_task in of_claims.values())
    title = (
        f"Of {len(every)} verdicts {support} support a claim and {contradict} contradict it; {whole} of "
        f"{len(of_claims)} claims hold in every task they were asked in"
    )
    marks = (
        "filled circle: supported; half filled: depends on the setting; cross: contradicted; hollow circle: undecided; "
        "nothing: not asked"
    )
    return {
        "name": OVERVIEW,
        "title": title,
        "subtitle": "Which claim of the essay holds in which task?",
        "caption": f"{title}. Each line is a claim, each column a task; {marks}.",
        "tasks": [task for task, _ in asked.most_common()],
        "groups": _groups(of_claims),
    }


def _groups(of_claims: Mapping[str, Mapping[str, str]]) -> list[Json]:
    """Return the claims under their headings, in short; one that has no place there comes last, in its own words."""
    module(next(iter(of_claims)))  # so that experiments can be imported
    in_short: dict[str, dict[str, str]] = importlib.import_module("experiments.claims").IN_SHORT
    known = {name for sentences in in_short.values() for name in sentences}
    others = {name: claim(name).sentence for name in of_claims if name not in known}
    groups = []
    for heading, sentences in {**in_short, "Others": others}.items():
        rows = [
            {"name": name, "claim": sentence, "verdicts": dict(of_claims[name])}
            for name, sentence in sentences.items()
            if name in of_claims
        ]
        groups += [{"heading": heading, "claims": rows}] if rows else []
    return groups


def rejudge(name: str, data: Json | None = None) -> tuple[Json, dict[str, Verdict]]:
    """Return the data of a claim's figure, with all that follows from its counts worked out again, and its verdicts.

    Args:
        name: of the claim.
        data: the counts by task; what is stored by default.
    """
    chosen = claim(name)
    stored: Json = data or json.loads((FIGURES / f"{name}.json").read_text())
    data = stored | {"claim": chosen.sentence, "rule": chosen.rule}
    by_task = {}
    for task, counts in data["tasks"].items():
        of_task = Stored(task, counts)
        by_task[task] = chosen.judge(of_task)
        if "marks" in counts:
            counts["marks"] = [_judge_mark(chosen, task, counts, entry) for entry in counts["marks"]]
            by_task[task] = _with_marks(by_task[task], counts)
        if chosen.shown:
            counts["shown"] = chosen.shown(of_task)
        counts["verdict"] = by_task[task].verdict
        counts["plotted"] = chosen.plotted(of_task)
    words = {
        "title": _title(chosen, data["tasks"], by_task),
        "subtitle": f"{chosen.caption.question} {_models(data)}".strip(),
        "caption": caption(data, by_task, chosen.caption),
    }
    return data | words, by_task


def _title(chosen: Claim, tasks: Json, verdicts: Mapping[str, Verdict]) -> str:
    """Return what was found; a claim that does not hold everywhere stands in quotes behind its verdicts."""
    finding, found = chosen.finding(tasks), verdicts_in_words(verdicts)
    holds = all(verdict.verdict == SUPPORTED for verdict in verdicts.values())
    if holds or finding != chosen.sentence.removesuffix("."):
        return f"{finding}: {found}"
    return f'{found[:1].upper()}{found[1:]}: "{finding}"'


def verdicts_in_words(verdicts: Mapping[str, Verdict]) -> str:
    """Return in which tasks a claim was found to have which verdict, for a title.

    >>> verdicts_in_words({"race": Verdict("supported", ""), "digits": Verdict("undecided", "")})
    'supported in race, undecided in digits'
    """
    tasks = {kind: [task for task, judged in verdicts.items() if judged.verdict == kind] for kind in VERDICTS}
    parts = [f"{kind} in {', '.join(members)}" for kind, members in tasks.items() if members]
    if len(parts) == 1 < len(verdicts):
        every = "both" if len(verdicts) == 2 else f"all {len(verdicts)}"
        return f"{overall(judged.verdict for judged in verdicts.values())} in {every} tasks"
    return ", ".join(parts)


def _models(data: Json) -> str:
    """Return how many models the claim was counted on, for a subtitle."""
    seeds = {counts["seeds"] for counts in data["tasks"].values()}
    many = f"{min(seeds):,}" if len(seeds) == 1 else f"{min(seeds):,} to {max(seeds):,}"
    return f"{many} models per condition, 95% intervals."


def _judge_mark(chosen: Claim, task: str, counts: Json, entry: Json) -> Json:
    """Return what is stored of a mark of alignment with the verdict that the rule gives there."""
    judged = chosen.judge(Stored(task, counts | entry.get("counts", {})))
    return entry | {"verdict": judged.verdict, "why": judged.why}


def _with_marks(verdict: Verdict, counts: Json) -> Verdict:
    """Return a verdict that says how it moves with the mark of alignment, if counts of other marks are stored."""
    marks = {entry["mark"]: entry["verdict"] for entry in counts.get("marks", ())}
    return verdict._replace(by_mark=moves(marks)) if marks else verdict


def caption(data: Json, verdicts: Mapping[str, Verdict], words: Caption) -> str:
    """Return the claim, the verdict and what decided it, with every number, and what the figure shows."""
    verdict = overall(verdict.verdict for verdict in verdicts.values())
    by_task = " ".join(f"{task}: {verdict.verdict} ({verdict.measured})." for task, verdict in verdicts.items())
    seeds = ", ".join(f"{counts['seeds']:,} ({task})" for task, counts in data["tasks"].items())
    claimed = f"Claim: {data['claim']} Verdict: {verdict}. {by_task} {data['rule']}"
    marks = "; ".join(["95% intervals", *([words.marks] if words.marks else [])])
    parts = (words.before, claimed, f"Models per condition: {seeds}; {marks}.", words.after)
    return " ".join(part for part in parts if part)


# --- the table ----------------------------------------------------------------------------------------------------


def verdicts(name: str, data: Json) -> dict[str, Verdict]:
    """Return task -> `Verdict` from stored data; how it moves with the mark of alignment is read, not judged again."""
    judge = claim(name).judge
    return {task: _with_marks(judge(Stored(task, counts)), counts) for task, counts in data["tasks"].items()}


def table(to: Path | str | None = None, progress: Callable[[int, int], None] | None = None) -> list[Json]:
    """Return a row for every claim: name, claim, rule, verdict, task -> `Verdict`, from stored counts alone.

    A verdict is read where it is kept and nothing that it follows from has changed (`lab.claims.judged`).

    Args:
        to: folder of the counts; the project's own by default.
        progress: called with the number of claims that are judged, and that of all.

    Raises:
        ClaimError: there is no such folder, or there are no claims.
    """
    folder, rows = judged.checked_folder(to), []
    kept = judged.read(folder)
    for done, name in enumerate(names()):
        if progress:
            progress(done, len(names()))
        rows.append(kept[name] if name in kept else judge_again(folder, name))
    return rows


def judge_again(folder: Path, name: str) -> Json:
    """Return the row of a claim, judged from its stored counts.

    Args:
        folder: of the counts.
        name: of the claim.
    """
    path = folder / f"{name}.json"
    by_task = verdicts(name, json.loads(path.read_text())) if path.exists() else {}
    return {
        "name": name,
        "claim": claim(name).sentence,
        "rule": claim(name).rule,
        "changed": claim(name).changed,
        "verdict": overall(verdict.verdict for verdict in by_task.values()),
        "tasks": {task: verdict._asdict() for task, verdict in by_task.items()},
    }


def keep_verdicts() -> None:
    """Judge what is not kept of the project's own claims, and keep it beside their counts."""
    judged.write(FIGURES, table())
