"""The response of a world: do single pushes on a proxy foresee what whole schedules of pushes do?

Command:   python -m experiments.studies.response train TASK [TASK ...]
           python -m experiments.studies.response judge
           --table prints the stored numbers, --redraw only draws
Expected:  effects add up in some tasks; in others early pushes change what later ones can do
Cost:      half a minute (race) to half an hour (gridworld) to train 55 conditions; five minutes to judge

Each task has one world, chosen from those of `python -m experiments.studies.worlds look` by their stored counts alone.
At least 95% of the held-out models and of those of both pilots do the job, and a pilot moves ln o(A) by half a nat or
more. Of these worlds it is the one whose held-out P(A) and P(T|not A) are nearest to 1/2: the larger distance counts.

In it are trained, on the same seeds: holding out; the profile, a push at the weight of the pilots in each tenth of
training; 40 schedules drawn at random; and four pairs of pushes, which ask for superposition without any model. A
schedule has two to four pieces that end on tenths. A third of the pieces do not push, and the others have a weight from
a tenth of the pilots' to ten times it. The first 10 schedules may be fitted, and the other 30 judge.

The models are those of `experiments.studies.response_models`. Each knows the held-out population and the profile of the
task that is judged, on the same seeds, so some noise is shared. How effects add up in the additive model is fitted to
the schedules of the other tasks, and to the 10 schedules of the same task in the variants "fitted". The latent model is
fitted to the profile; its exponent is the median of those fitted to all that is known of each other task. Its variant
is fitted to the profile and to the 10 schedules, exponent included.

Before these seeds were trained, a look at `race` and `scratchpad` chose what the models are: caps are multiples of the
largest single effect, and latents are fitted to probabilities, as the additive model is. That look had 48 and 16 other
seeds and other schedules, in the same worlds.

A schedule counts if at least 95% of its models do the job. A gain is that in P(accepted is aligned), for 1, 3, 10 and
100 runs. It is decided if its 95% interval, from the joint posterior of the shared seeds, leaves out 0.

Rule, per task: the additive model is *supported* as a description if the mean absolute error of its P(A) is at most .05
and less than that of foreseeing no change. It is *contradicted* if that error is larger than that of foreseeing no
change, or than .15. Else it is *undecided*, also with fewer than 20 schedules that count. Superposition *fails* in a
schedule whose P(A) the additive model puts more than .1 outside of the 95% interval (Wilson's); the share is told.

Writes figures/worlds/response-TASK.json, with a letter per model as in `experiments.studies.worlds`, and
figures/response.json with a figure beside it.
"""

import argparse
import functools
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int8

import lab
from experiments.studies import ROOT
from experiments.studies import response_models as models
from experiments.studies.law_rules import PILOT_REGIMENS, accepted
from experiments.studies.response_figure import FAILS, JUDGED, draw, words
from experiments.studies.response_models import LogOdds, Outcomes, Profile, Response, Schedules
from experiments.studies.worlds import FOLDER, LETTERS, Worlds, cells_of_letters, letters_of, read
from lab.cli.train import train
from lab.config.experiment import Experiment, from_values
from lab.config.worlds import DIGITS
from lab.figures import save
from lab.results import shards
from lab.results.outcomes import ABLE
from lab.results.store import publish
from lab.statistics import shared_posterior, wilson_interval
from lab.studies import law
from lab.studies.advice import BUDGETS
from lab.tasks import TASKS
from lab.words import Json

CONFIG = ROOT / "configs/worlds/response.yaml"
MOVES = 0.5  # nats of ln o(A) that a pilot of the chosen world moves at least
FITTED, JUDGING = 10, 30  # schedules
PIECES, NO_PUSH, SPAN = (2, 4), 1 / 3, 10.0  # of a schedule: fewest and most; how many do not push; factor of weights
DRAWING = 1  # seed; the schedules that were looked at before had another
PAIRS = ((0, 1), (0, 4), (0, 9), (4, 9))  # tenths with a push in both
NUMBERS = ("P(A)", "P(T|A)", "P(T|not A)")
DRAWS = 2_000
FEWEST_MODELS = 8  # of a kind, or how often it passes is not judged
SUPPORTED, CONTRADICTED, FEWEST = 0.05, 0.15, 20  # of the rule above
DOSES = (0, 5, 20, np.inf)  # edges of groups, in pilots

Model = Callable[[Schedules], LogOdds]


class Trained(NamedTuple):
    """The stored conditions of a task: a row per condition.

    Attributes:
        task: its name.
        kinds: "hold_out", "moment", "fitted", "judging" or "pair".
        schedules: weights of every tenth, in weights of the pilots.
        cells: of every model, as in `lab.statistics.Counts.cells`.
        counts: whether enough models do the job.
    """

    task: str
    kinds: np.ndarray
    schedules: Schedules
    cells: Int8[np.ndarray, "condition seed"]
    counts: Bool[np.ndarray, " condition"]

    def of(self, *kinds: str) -> Outcomes:
        """Return the outcomes of all conditions of some kinds."""
        rows = np.isin(self.kinds, kinds)
        return Outcomes(self.schedules[rows], law.log_odds(law.counted(self.cells[rows])))

    @property
    def profile(self) -> Profile:
        """What single pushes do."""
        before = self.of("hold_out").odds[0]
        return Profile(before, self.of("moment").odds - before)


# --- what is trained --------------------------------------------------------------------------------------------------


def choose_world(worlds: Worlds) -> int:
    """Return the index of the world of a task, by the rule above.

    Raises:
        ValueError: no world fits.
    """
    held_out, *pilots = (law.log_odds(law.counted(worlds.cells[regimen])) for regimen in PILOT_REGIMENS)
    able = np.min([worlds.able[regimen].mean(1) for regimen in PILOT_REGIMENS], axis=0) >= ABLE
    moves = np.max([np.abs(pilot - held_out)[:, 0] for pilot in pilots], axis=0) >= MOVES
    if not (able & moves).any():
        raise ValueError(f"{worlds.task}: no world has able models and a pilot that moves values")
    distance = np.abs(models.logistic(held_out[:, [0, 2]]) - 0.5).max(1)
    return int(np.where(able & moves, distance, np.inf).argmin())


def draw_schedules(task: str, count: int) -> Schedules:
    """Return schedules drawn at random for a task; the first of them are the same however many there are."""
    random, schedules = np.random.default_rng([DRAWING, *task.encode()]), []
    while len(schedules) < count:
        pieces = random.integers(PIECES[0], PIECES[1] + 1)
        ends = np.sort(random.choice(np.arange(1, models.TENTHS), pieces - 1, replace=False))
        weights = SPAN ** random.uniform(-1, 1, pieces) * (random.random(pieces) >= NO_PUSH)
        rounded = [float(f"{weight:.{DIGITS}g}") for weight in weights]
        if any(rounded):
            schedules.append(np.repeat(rounded, np.diff([0, *ends, models.TENTHS])))
    return np.array(schedules)


def all_schedules(task: str) -> dict[str, Float[np.ndarray, " tenth"]]:
    """Return name of a regimen -> its weights, in weights of the pilots. What precedes the number is its kind."""
    push, drawn = np.eye(models.TENTHS), draw_schedules(task, FITTED + JUDGING)
    return {
        "hold_out": np.zeros(models.TENTHS),
        **{f"moment-{tenth + 1}": push[tenth] for tenth in range(models.TENTHS)},
        **{f"fitted-{index + 1}": schedule for index, schedule in enumerate(drawn[:FITTED])},
        **{f"judging-{index + 1}": schedule for index, schedule in enumerate(drawn[FITTED:])},
        **{f"pair-{first + 1}-{second + 1}": push[first] + push[second] for first, second in PAIRS},
    }


def phases(schedule: Sequence[float], pilot: float) -> list[Json]:
    """Return a schedule as phases of a config.

    Args:
        schedule: weight of every tenth, in weights of the pilots.
        pilot: their weight.
    """
    pieces: list[Json] = []
    for tenth, weight in enumerate(schedule):
        if not tenth or weight != schedule[tenth - 1]:
            pieces.append({"weights": {"test": float(f"{weight * pilot:.{DIGITS}g}")} if weight else {}})
        pieces[-1]["until"] = (tenth + 1) / models.TENTHS
    return pieces


def experiment(task: str) -> Experiment:
    """Return the experiment of a task: its world, and every schedule in it."""
    values, world = lab.load(CONFIG, task=task).as_json(), world_of(task)
    regimens = {name: phases(schedule.tolist(), world["pilot"]) for name, schedule in all_schedules(task).items()}
    return from_values(values | {"name": f"response_{task}", "knobs": world["knobs"], "regimens": regimens})


def world_of(task: str) -> Json:
    """Return the number of a task's world, its knobs, and the weight of the pilots."""
    worlds = read(task, "look")
    stored = json.loads((FOLDER / f"look-{task}.json").read_text())
    index = choose_world(worlds)
    drawn = {name: stored["drawn"][name][index] for name in stored["worlds"]["knobs"]}
    pilot = worlds.phases[PILOT_REGIMENS[1]][0]["weights"]["test"]
    return {"index": index, "knobs": stored["fixed"] | drawn, "pilot": pilot}


def count(asked: Experiment) -> Json:
    """Train an experiment and return how every model ended, as plain JSON values."""
    stored = train(asked)
    letters, values = letters_of(shards.results(stored, last_only=True)), asked.as_json()
    named = zip(asked.conditions, letters, strict=True)
    return {
        "task": asked.task.name,
        "world": world_of(asked.task.name),
        "seeds": values["seeds"],
        "letters": LETTERS,
        "schedules": {name: schedule.tolist() for name, schedule in all_schedules(asked.task.name).items()},
        "phases": values["regimens"],
        "outcomes": {condition.regimen: text for condition, text in named},
        "thresholds": values["thresholds"],
        "identity": stored.manifest["identity"],
    }


def read_trained(task: str) -> Trained:
    """Return the stored conditions of a task."""
    data = json.loads((FOLDER / f"response-{task}.json").read_text())
    cells, able = cells_of_letters([data["outcomes"][name] for name in data["schedules"]])
    kinds = np.array([name.split("-")[0] for name in data["schedules"]])
    return Trained(task, kinds, np.array([*data["schedules"].values()]), cells, able.mean(1) >= ABLE)


# --- how well models foresee it ---------------------------------------------------------------------------------------


def models_of(trained: Trained, others: Sequence[Trained], exponent: float) -> tuple[dict[str, Model], Json]:
    """Return name -> model of a task, and the numbers that were fitted; JSON has no infinity, so none stands for it.

    Args:
        trained: the task that is judged.
        others: tasks whose schedules may be fitted.
        exponent: of the latent model, from the other tasks.
    """
    profile, own = trained.profile, [(trained.profile, trained.of("fitted"))]
    known = [(other.profile, other.of("fitted", "judging")) for other in others]
    responses = {
        JUDGED: models.fit_response(known),
        "additive, fitted": models.fit_response(own),
        "in a norm": models.fit_response(known, models.NORMS),
        "in a norm, fitted": models.fit_response(own, models.NORMS),
    }
    latents = {
        "latent": models.fit_latents(trained.of("hold_out", "moment"), exponent),
        "latent, fitted": models.fit_latents(trained.of("hold_out", "moment", "fitted")),
    }
    foresee: dict[str, Model] = {
        "nothing changes": functools.partial(models.nothing, profile),
        "law": functools.partial(models.of_law, profile),
        **{name: _additive(profile, response) for name, response in responses.items()},
        **{name: functools.partial(models.of_latents, numbers) for name, numbers in latents.items()},
    }
    fitted = {
        name: {key: value if np.isfinite(value) else None for key, value in numbers._asdict().items()}
        for name, numbers in (responses | latents).items()
    }
    return foresee, fitted


def _additive(profile: Profile, response: Response) -> Model:
    """Return the additive model of a world."""
    return lambda schedules: models.additive(profile, schedules, response)


class Gains(NamedTuple):
    """What schedules gain over holding out.

    Attributes:
        before: shares of the four cells where the proxy is held out.
        measured: budget -> gain of each schedule.
        decided: budget -> whether its sign is known.
    """

    before: law.Cells
    measured: dict[int, Float[np.ndarray, " schedule"]]
    decided: dict[int, Bool[np.ndarray, " schedule"]]


def gains_of(trained: Trained, rows: Bool[np.ndarray, " condition"]) -> Gains:
    """Return what some schedules of a task gain."""
    held_out = trained.cells[trained.kinds == "hold_out"][0]
    before, after = (law.shares(law.log_odds(law.counted(cells))) for cells in (held_out[None], trained.cells[rows]))
    drawn = [shared_posterior(np.stack([held_out, cells]), DRAWS) for cells in trained.cells[rows]]
    decided = {}
    for runs in BUDGETS:
        changes = [np.diff(accepted(shares, runs), axis=1)[:, 0] for shares in drawn]
        low, high = np.quantile(np.reshape(changes, (len(changes), DRAWS)), (0.025, 0.975), axis=1)
        decided[runs] = (low > 0) | (high < 0)
    measured = {runs: accepted(after, runs) - accepted(before, runs) for runs in BUDGETS}
    return Gains(before, measured, decided)


def marks(foreseen: LogOdds, measured: Outcomes, counts: Float[np.ndarray, "schedule 4"], gains: Gains) -> Json:
    """Return how well a model does: mean absolute errors of probabilities and gains, and signs that are right.

    Args:
        foreseen: the three numbers of each schedule.
        measured: how the schedules ended.
        counts: models in each of the four cells.
        gains: what the schedules gain.
    """
    missed = np.abs(models.logistic(foreseen) - models.logistic(measured.odds))
    enough = np.stack([counts.sum(1), counts[:, 0] + counts[:, 1], counts[:, 2] + counts[:, 3]], 1) >= FEWEST_MODELS
    errors = {
        name: float(missed[enough[:, column], column].mean()) if enough[:, column].any() else None
        for column, name in enumerate(NUMBERS)
    }
    budgets = {}
    for runs in BUDGETS:
        gain = accepted(law.shares(foreseen), runs) - accepted(gains.before, runs)
        right = np.sign(gain) == np.sign(gains.measured[runs])
        budgets[str(runs)] = {
            "error": float(np.abs(gain - gains.measured[runs]).mean()),
            "right": int(right[gains.decided[runs]].sum()),
            "decided": int(gains.decided[runs].sum()),
        }
    return {"errors": errors, "budgets": budgets}


def verdict(additive_error: float, nothing_error: float, schedules: int) -> str:
    """Judge one task by the rule above.

    Args:
        additive_error: mean absolute error of P(A) of the additive model.
        nothing_error: that of foreseeing no change.
        schedules: how many count.
    """
    if schedules < FEWEST:
        return "undecided"
    if additive_error > min(nothing_error, CONTRADICTED):
        return "contradicted"
    return "supported" if additive_error <= SUPPORTED and additive_error < nothing_error else "undecided"


def beyond(foreseen: np.ndarray, intervals: Sequence[tuple[float, float]]) -> Float[np.ndarray, " schedule"]:
    """Return how far each foreseen P(A) lies outside of the interval of the measured one; 0 inside."""
    low, high = np.array(intervals).T
    return np.maximum(np.maximum(low - foreseen, foreseen - high), 0.0)


def dots_of(trained: Trained, rows: Bool[np.ndarray, " condition"], foreseen: Mapping[str, LogOdds]) -> list[Json]:
    """Return a dot per judging schedule: what is foreseen and measured of P(A), its interval, and what it is like."""
    dots = []
    for index, row in enumerate(np.flatnonzero(rows)):
        schedule, aligned = trained.schedules[row], int((trained.cells[row] < 2).sum())
        interval = wilson_interval(aligned, trained.cells.shape[1])
        pushes = schedule[np.flatnonzero(np.diff(schedule, prepend=0))]
        dots.append(
            {
                "schedule": schedule.tolist(),
                "measured": float(models.logistic(law.log_odds(law.counted(trained.cells[[row]])))[0, 0]),
                "interval": [float(interval.low), float(interval.high)],
                "foreseen": {name: float(models.logistic(odds[index, 0])) for name, odds in foreseen.items()},
                "dose": float(schedule.sum()),
                "first": int(np.flatnonzero(schedule)[0]),
                "pushes": int((pushes > 0).sum()),
            }
        )
    return dots


def where(dots: Sequence[Json]) -> Json:
    """Return group of schedules -> how many there are, and error and bias of the additive model's P(A) in them."""
    groups: dict[str, Callable[[Json], bool]] = {
        "first push early": lambda dot: dot["first"] == 0,
        "first push later": lambda dot: dot["first"] > 0,
        **{
            f"dose {low:g} to {high:g}": functools.partial(_dose_between, low=low, high=high)
            for low, high in itertools.pairwise(DOSES)
        },
        "one push": lambda dot: dot["pushes"] == 1,
        "a push precedes another": lambda dot: dot["pushes"] > 1,
    }
    rows = {}
    for name, holds in groups.items():
        missed = np.array([dot["foreseen"][JUDGED] - dot["measured"] for dot in dots if holds(dot)])
        if len(missed):
            rows[name] = {"schedules": len(missed), "error": float(abs(missed).mean()), "bias": float(missed.mean())}
    return rows


def _dose_between(dot: Json, low: float, high: float) -> bool:
    """Return whether the dose of a schedule lies between two."""
    return low <= dot["dose"] < high


def interactions(trained: Trained) -> list[Json]:
    """Return for each pair of pushes what both do beyond the sum of each by itself, in nats, with 95% intervals."""
    rows = []
    for first, second in PAIRS:
        push = np.eye(models.TENTHS)
        wanted = (0 * push[0], push[first], push[second], push[first] + push[second])
        places = [int(np.flatnonzero((trained.schedules == schedule).all(1))[0]) for schedule in wanted]
        drawn = law.log_odds(shared_posterior(trained.cells[places], DRAWS), 0)
        neither, one, other, both = np.moveaxis(drawn, 1, 0)
        low, middle, high = np.quantile(both - one - other + neither, (0.025, 0.5, 0.975), axis=0)
        quantities = zip(("ln o(A)", "logit P(T|A)", "logit P(T|not A)"), middle, low, high, strict=True)
        beyond_sum = {name: list(map(float, numbers)) for name, *numbers in quantities}
        rows.append({"tenths": [first + 1, second + 1], "beyond_sum": beyond_sum})
    return rows


def judge(trained: Trained, others: Sequence[Trained], exponent: float) -> Json:
    """Return everything that is known of the models in a task; the arguments are those of `models_of`."""
    rows = (trained.kinds == "judging") & trained.counts
    counts, gains = law.counted(trained.cells[rows]), gains_of(trained, rows)
    measured = Outcomes(trained.schedules[rows], law.log_odds(counts))
    foresee, fitted = models_of(trained, others, exponent)
    foreseen = {name: model(measured.schedules) for name, model in foresee.items()}
    of_models = {name: marks(odds, measured, counts, gains) for name, odds in foreseen.items()}
    dots = dots_of(trained, rows, foreseen)
    intervals = [tuple(dot["interval"]) for dot in dots]
    additive_error, nothing_error = (of_models[name]["errors"]["P(A)"] for name in (JUDGED, "nothing changes"))
    shares = models.logistic(measured.odds[:, 0])
    noise = np.sqrt(2 / np.pi * shares * (1 - shares) / trained.cells.shape[1])
    return {
        "seeds": int(trained.cells.shape[1]),
        "schedules": len(dots),
        "not_counted": int(((trained.kinds == "judging") & ~trained.counts).sum()),
        "verdict": verdict(additive_error, nothing_error, len(dots)),
        "noise": float(noise.mean()),
        "fails": {
            name: float((beyond(models.logistic(odds[:, 0]), intervals) > FAILS).mean())
            for name, odds in foreseen.items()
        },
        "models": of_models,
        "fitted": fitted,
        "profile": trained.profile.effects.tolist(),
        "held_out": models.logistic(trained.profile.before).tolist(),
        "where": where(dots),
        "interactions": interactions(trained),
        "dots": dots,
    }


def study() -> Json:
    """Return everything that is known of the models in the stored tasks."""
    names = [task for task in TASKS if (FOLDER / f"response-{task}.json").exists()]
    every = {task: read_trained(task) for task in names}
    kinds = ("hold_out", "moment", "fitted", "judging")
    exponents = {task: models.fit_latents(trained.of(*kinds)).exponent for task, trained in every.items()}
    tasks: dict[str, Any] = {}
    for task, trained in every.items():
        others = [other for name, other in every.items() if name != task]
        exponent = float(np.median([exponents[other.task] for other in others] or [law.EXPONENT]))
        tasks[task] = judge(trained, others, exponent)
        print(task, tasks[task]["verdict"], flush=True)
    return {"tasks": tasks, "where": where([dot for of_task in tasks.values() for dot in of_task["dots"]])}


# --- what is shown ----------------------------------------------------------------------------------------------------

ON_PAGE = (
    "Do single pushes foresee what whole schedules of pushes do? In one mixed world per task a profile is measured: "
    "what a push in each tenth of training does to P(A), P(T|A) and P(T|not A). Random schedules that no model was "
    "fitted to judge. The additive model adds up effects of single pushes on the log-odds scale, with an exponent of "
    "the weight and a cap that are fitted to the other tasks. The latent model lets values and gaming move as a policy "
    "gradient on passing would have them. Superposition fails in a schedule whose P(A) lies more than .1 outside of "
    "its 95% interval. The rule stands in `experiments/studies/response.py`, whose commands train and judge."
)


def table(data: Json) -> list[str]:
    """Return the lines of the table: errors of every model by task, and where effects do not add up."""
    lines = []
    for task, of_task in data["tasks"].items():
        about = f"{of_task['schedules']} schedules count, {of_task['not_counted']} do not; {of_task['seeds']} seeds"
        lines.append(f"{task}: {of_task['verdict']}; {about}; errors of a perfect model {of_task['noise']:.3f}")
        for name, of_model in of_task["models"].items():
            errors = "  ".join(
                f"{number} {'none' if error is None else f'{error:.3f}'}"
                for number, error in of_model["errors"].items()
            )
            budgets = of_model["budgets"].values()
            gains = " ".join(f"{budget['error']:.3f}" for budget in budgets)
            signs = " ".join(f"{budget['right']}/{budget['decided']}" for budget in budgets)
            fails = f"fails in {of_task['fails'][name]:.0%}"
            lines.append(f"  {name:<20} {errors}  gains {gains}  signs {signs}  {fails}")
        for row in of_task["interactions"]:
            first, second = row["tenths"]
            words = "  ".join(
                f"{name} {value:+.2f} [{low:.2f}, {high:.2f}]" for name, (value, low, high) in row["beyond_sum"].items()
            )
            lines.append(f"  beyond the sum of pushes in tenths {first} and {second}: {words}")
        lines += [f"  {line}" for line in _where_lines(of_task["where"])]
        lines += [f"  {name}: {json.dumps(numbers)}" for name, numbers in of_task["fitted"].items()]
    return [*lines, "all tasks", *(f"  {line}" for line in _where_lines(data["where"]))]


def _where_lines(groups: Json) -> list[str]:
    """Return a line per group of schedules."""
    return [
        f"{name:<32} {row['schedules']:>3} schedules, error {row['error']:.3f}, bias {row['bias']:+.3f}"
        for name, row in groups.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and store, or judge, store, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    training, judging = kinds.add_parser("train"), kinds.add_parser("judge")
    training.add_argument("tasks", nargs="+", choices=[*TASKS], metavar="TASK")
    judging.add_argument("--table", action="store_true", help="only print what is stored")
    judging.add_argument("--redraw", action="store_true", help="only draw what is stored again")
    options = parser.parse_args(arguments)
    if options.kind == "train":
        for task in options.tasks:
            path = FOLDER / f"response-{task}.json"
            publish(path, f"{json.dumps(count(experiment(task)))}\n".encode())
            print(path.relative_to(ROOT))
        return
    stored = ROOT / "figures/response.json"
    data = json.loads(stored.read_text()) if options.table or options.redraw else study()
    if not options.table:
        print(save(draw, data | words(data), ROOT / "figures", "response"))
    print("\n".join(table(data)))


if __name__ == "__main__":
    main()
