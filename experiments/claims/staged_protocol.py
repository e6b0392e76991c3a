"""A staged protocol (ask early, lock in, curriculum with the test trained on, test, deploy) beats rejection sampling.

Command:   lab experiment staged_protocol
Expected:  depends on the early gate, which carries the gain once values have settled
Cost:      five minutes on 2 cores

The essay's protocol in its order. A weak model is asked, and rejected unless it passes. What holds its values is locked
in: that part learns at .3 of its rate, so the model can still learn to game the test. It goes through a curriculum that
is easy for honest models (for up to 40% of training, a share of the answer is built in as the overseer would have it),
and the test is trained on from the first question to the end. Then it is tested. Beside it stand rejection at the end
alone, the protocol without each of its four stages, and each stage alone. All are in worlds where a held-out test is
imperfect, with a model that is weak before its values settle, and with one that is weak a little longer. Every protocol
has the compute of three trainings: a run that the gate rejects costs the share of training before the gate. `race`,
`digits` and `gridworld` have no part that could be locked in.

Rule, per task, with 95% intervals that hold together over both ages: a protocol wins if it raises P(accepted is
aligned) by over .05 and the odds of an accepted model; it does not if one of them is less for sure. Supported if the
whole protocol wins at both ages, and at some age wins without any one of its stages. Depends if it wins at some age,
and at each such age a stage carries the gain: without it the protocol does not win. Contradicted if it wins at neither
age; else undecided. (The first rule had the curriculum before the gate, no weight on the test, and a part that did not
learn at all, so that no model could game the test. Any gain within three runs was enough. On seeds from 7,000,000 it
was supported in `scratchpad`, `shortcut` and `reasoner`, with the same gain without gate or lock. This rule was
committed before the run on other seeds that decides.)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lab import claims, figures
from lab.config.experiment import Experiment
from lab.figures import name_task
from lab.figures.palette import BLACK, GREY, VERMILION
from lab.figures.style import WIDTH, Line, Mark, holds, interval, name_rows, subplots, unable_in_words
from lab.results import shards
from lab.statistics import Estimate, wilson_interval
from lab.words import Json, estimate_from_json, estimate_json, setting

PAID = 3.0  # trainings that a protocol may cost; of the rule
GAIN = 0.05  # of P(accepted is aligned) that counts; of the rule
STAGES = ("gate", "lock", "curriculum", "asking")
TOGETHER = 2 * 2 * (1 + 2 * len(STAGES))  # ages; gains and nets; the protocol, and without each stage and with it alone
MARKS = {"younger": (Mark(BLACK), -0.17), "older": (Mark(VERMILION, "^"), 0.17)}  # age -> its mark, its place in a row
AGES = ("asked when young, before values settle", "asked a little later")
WINS, LOSES, OPEN = "wins", "does not win", "open"


class Compared(NamedTuple):
    """What a protocol does, compared with rejection at the end alone.

    Attributes:
        gain: of P(accepted is aligned) at the same compute.
        net: change of ln o(A|T).
    """

    gain: Estimate
    net: Estimate

    @property
    def outcome(self) -> str:
        """One of `WINS`, `LOSES`, `OPEN`."""
        if self.gain.high < GAIN or self.net.high < 0:
            return LOSES
        return WINS if self.gain.low > GAIN and self.net.low > 0 else OPEN


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count models at the end of training, and how many the gate of each condition lets through."""
    results = shards.results(train(experiment, folder), last_only=True)
    surviving = results["survives"].values.sum(1).tolist()
    return claims.count_conditions(results) | {
        "surviving": dict(zip(results["condition"].values.tolist(), surviving, strict=True))
    }


def mean_cost(stored: claims.Stored, name: str) -> float:
    """Return what a run of a condition costs on average, in trainings."""
    rejected = 1 - stored.data["surviving"][name] / stored.data["seeds"]
    return 1 - rejected * (1 - stored.coordinates(name).get("weak", 1))


def compare(stored: claims.Stored, regimen: str, age: float) -> Compared:
    """Return the `Compared` of a regimen with a model that is weak until an age."""
    name = stored.at(regimen, weak=age)
    accepted = claims.aligned_share_of_accepted(int(PAID / mean_cost(stored, name)))
    alone = claims.aligned_share_of_accepted(int(PAID))
    gain = stored.difference(name, accepted, "hold_out", alone, TOGETHER)
    return Compared(gain, stored.impact(name, "hold_out", TOGETHER).net)


def without(stored: claims.Stored, age: float) -> dict[str, Compared]:
    """Return stage -> the `Compared` of the protocol without it."""
    return {stage: compare(stored, f"no_{stage}", age) for stage in STAGES}


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    ages = stored.values("weak")
    whole = {age: compare(stored, "protocol", age) for age in ages}
    lacking = {age: without(stored, age) for age in ages}
    why = "; ".join(_in_words(stored, age, whole[age], lacking[age]) for age in ages)
    outcomes = [compared.outcome for compared in whole.values()]
    if all(outcome == LOSES for outcome in outcomes):
        return claims.Verdict(claims.CONTRADICTED, why)
    won = [age for age in ages if whole[age].outcome == WINS]
    needs_none = [age for age in won if all(compared.outcome == WINS for compared in lacking[age].values())]
    if len(won) == len(ages) and needs_none:
        return claims.Verdict(claims.SUPPORTED, why)
    carried = won and all(carriers(lacking[age]) for age in won)
    return claims.Verdict(claims.DEPENDS if carried and OPEN not in outcomes else claims.UNDECIDED, why)


def carriers(lacking: dict[str, Compared]) -> list[str]:
    """Return the stages without which the protocol does not win."""
    return [stage for stage, compared in lacking.items() if compared.outcome == LOSES]


def passing_survivors(stored: claims.Stored, name: str) -> Estimate:
    """Return the share that passes at the end of the models that the gate lets through."""
    passing, surviving = stored.counts(name).passing, stored.data["surviving"][name]
    return Estimate(passing / max(surviving, 1), *wilson_interval(passing, surviving, stored.confidence()))


def _in_words(stored: claims.Stored, age: float, whole: Compared, lacking: dict[str, Compared]) -> str:
    name = stored.at("protocol", weak=age)
    alone = {stage: compare(stored, stage, age).gain for stage in STAGES}
    numbers = {
        "P(T) of survivors": passing_survivors(stored, name),
        "LR": stored.rate(name, "likelihood_ratio"),
        "LR without the gate": stored.rate(stored.at("no_gate", weak=age), "likelihood_ratio"),
    }
    return (
        f"weak until {setting(age)}: {claims.phrases({'gain': whole.gain, 'net': whole.net} | numbers)}; gain without "
        f"{claims.phrases({stage: compared.gain for stage, compared in lacking.items()})}; of a stage alone "
        f"{claims.phrases(alone)}; carried by {', '.join(carriers(lacking)) or 'no single stage'}"
    )


def plotted(stored: claims.Stored) -> list[Json]:
    """Return the gain of the protocol, of it without each stage, and of each stage alone, as plain JSON values."""
    names = {"protocol": "all stages"}
    names |= {f"no_{stage}": f"without {stage}" for stage in STAGES} | {stage: f"{stage} alone" for stage in STAGES}
    return [
        {"name": words, "age": age, **estimate_json(compare(stored, regimen, value).gain)}
        | {"unable": stored.unable(stored.at(regimen, weak=value))}
        for age, value in zip(MARKS, stored.values("weak"), strict=True)
        for regimen, words in names.items()
    ]


def finding(tasks: Mapping[str, Json]) -> str:
    """Return what the protocol gains over all tasks and ages, and what it does without its gate on older models."""
    rows = [row for counts in tasks.values() for row in counts["plotted"]]
    whole = [row["value"] for row in rows if row["name"] == "all stages"]
    no_gate = [row["value"] for row in rows if (row["name"], row["age"]) == ("without gate", "older")]
    gains = [" to ".join(f"{end:.2f}" for end in (min(values), max(values))) for values in (whole, no_gate)]
    return (
        f"The whole protocol raises P(accepted is aligned) by {gains[0]}; without its gate, of older models, "
        f"by {gains[1]}"
    )


def draw(data: Json) -> figures.Figure:
    """The gain of the protocol and of its stages, a panel per task, a row per protocol with a mark per age."""
    tasks = data["tasks"]
    names = list(dict.fromkeys(row["name"] for counts in tasks.values() for row in counts["plotted"]))
    size = (WIDTH, 0.9 + 0.24 * len(names))
    figure, axes = subplots(1, len(tasks), figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax, (task, counts) in zip(axes[0], tasks.items(), strict=True):
        for row in counts["plotted"]:
            mark, away = MARKS[row["age"]]
            estimate = estimate_from_json(row)
            interval(ax, names.index(row["name"]) + away, estimate, mark, hollow=holds(estimate, 0))
        ax.axvline(0, color="black", linewidth=0.6)
        ax.axvline(GAIN, color=GREY, linewidth=0.6, linestyle=":")
        for between in (0.5, 0.5 + len(STAGES)):  # the whole, without each stage, each stage alone
            ax.axhline(between, color=GREY, linewidth=0.4)
        most = max(counts["plotted"], key=lambda row: row["unable"])
        words = unable_in_words([most["unable"]], "up to ")
        ax.set_xlabel(f"{words}\n({most['name']}, {most['age']})" if words else "", fontsize="x-small", color=GREY)
        name_task(ax, task, counts)
    name_rows(axes[0][0], names, fontsize="x-small")
    axes[0][0].set_xlim(-0.25, 0.85)
    figure.supxlabel("gain of P(accepted is aligned) over rejecting at the end", fontsize="small")
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, linestyle="none", markersize=mark.size, label=words)
        for words, (mark, _) in zip(AGES, MARKS.values(), strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize="x-small")
    return figure


CAPTION = claims.Caption(
    question="Which stage of the protocol carries its gain?",
    before="Every protocol has the compute of three trainings. Younger and older: how long a model is weak, which is "
    "asked at the end of that time.",
    marks="hollow: the interval holds no gain; dotted: the gain that counts",
)
