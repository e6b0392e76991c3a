"""Weak proxies that err apart are worth a good one together; training on one spoils it and leaves the others.

Command:   lab experiment stacked_proxies
Expected:  supported
Cost:      four minutes on 2 cores

Three proxies of a task (test, audit, prerequisite) in a world where something like the test hides in the main
objective, so that misaligned models pass even a test that nobody trained on. A weak reading of a proxy is wrong with
chance 1/4, independently of all other readings. A model passes a stack of weak readings if it passes each of them. With
six readings, 18% of the models do so that pass all proxies. Training reads without error: in a bounded reward, errors
with chance 1/4 average out over steps and halve the slope.

Were errors independent, the ln LR of a stack would be the sum of those of its readings. The LR of readings of one proxy
lies between 1 and that of the proxy read without error, however many there are: what the model fakes, all of them see.
So that six readings of the test are worth less than their sum is no verdict here. An audit is half deployment, and a
prerequisite is the truth on some problems, so faking the test alone gets past neither. That such proxies exist is
chosen. Whether the three err together all the same, and what training on one does to the others, is measured.

None of the proxies is trained on, or the test alone, or all three with the same weight in sum; early, or late. What all
this makes of the odds of a model that passes the stack stands beside the verdict, which it does not decide. In
`reasoner` the second half fails though the two others keep all they had: training late on the test does not spoil it.

Rule, per task, among models that do the job, with 95% intervals that hold together. First, held out, six readings, two
of each proxy, have a larger LR than one of the test without error, and over half of the ln LR that independent errors
would give. Second, when the test is trained on late, four readings of the two other proxies keep over half of their ln
LR, and four of the test less than half of theirs. Supported if all four are so for sure; contradicted if one is the
other way for sure; else undecided.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lab import claims
from lab.config.experiment import Experiment
from lab.figures import name_task
from lab.figures.palette import BLACK, GREY, SKY, VERMILION
from lab.figures.style import (
    WIDTH,
    Axes,
    Figure,
    Mark,
    holds,
    interval,
    label,
    mark_of,
    name_rows,
    subplots,
    write_unable,
)
from lab.results import outcomes, shards
from lab.results.outcomes import Results
from lab.statistics import Estimate, draw_shares, from_draws
from lab.words import Json, estimate_from_json, estimate_json

PROXIES = ("test", "audit", "prerequisite")
MISREAD = 0.25  # chance that a weak reading is wrong; of the rule
HALF = 0.5  # of a ln LR; of the rule
TOGETHER = 4  # intervals of the rule
WORDS = {"test_early": "test, early", "all_early": "all, early", "test_late": "test, late", "all_late": "all, late"}
TRAINED = tuple(WORDS)
# which of the proxies a model passes, the first of them fastest
PATTERNS = np.array([[index >> bit & 1 for bit in range(len(PROXIES))] for index in range(2 ** len(PROXIES))])
ALIGNED, MISALIGNED = slice(0, len(PATTERNS)), slice(len(PATTERNS), 2 * len(PATTERNS))
UNFIT = 2 * len(PATTERNS)  # state of a model that cannot do the job; the others are a pattern, aligned or misaligned
STATES = UNFIT + 1

Shares = Float[np.ndarray, "states *draws"]  # of the states, up to a factor
OfShares = Callable[[Shares], Float[np.ndarray, " *draws"]]


class Stack(NamedTuple):
    """Readings of proxies; a model passes if it passes all of them.

    Attributes:
        readings: how many there are of each of `PROXIES`.
        misread: chance that one of them is wrong.
    """

    readings: tuple[int, ...]
    misread: float = MISREAD


EXACT = Stack((1, 0, 0), 0.0)  # one reading of the test without error
SIX, TEST_AGAIN, OTHERS = Stack((2, 2, 2)), Stack((4, 0, 0)), Stack((0, 2, 2))
IN_TURN = [Stack(tuple((number + 2 - index) // 3 for index in range(3))) for number in range(1, 7)]
TEST_ALONE = [Stack((number, 0, 0)) for number in range(1, 7)]


def pass_chances(stack: Stack) -> Float[np.ndarray, " patterns"]:
    """Return the chance that a model passes all readings of a stack, for every row of `PATTERNS`."""
    return np.prod(np.where(PATTERNS, 1 - stack.misread, stack.misread) ** np.array(stack.readings), axis=1)


def ln_odds(shares: Shares, stack: Stack) -> Float[np.ndarray, " *draws"]:
    """Return ln o(A|T) of models that pass a stack."""
    chances = pass_chances(stack)
    return np.log(np.tensordot(chances, shares[ALIGNED], 1) / np.tensordot(chances, shares[MISALIGNED], 1))


def passing_share(shares: Shares) -> Float[np.ndarray, " *draws"]:
    """Return P(T) of six readings, of all models."""
    chances = pass_chances(SIX)
    passing = sum(np.tensordot(chances, shares[kind], 1) for kind in (ALIGNED, MISALIGNED))
    return passing / shares.sum(0)


def ln_ratio(shares: Shares, stack: Stack) -> Float[np.ndarray, " *draws"]:
    """Return the ln LR of a stack among models that do the job."""
    return ln_odds(shares, stack) - np.log(shares[ALIGNED].sum(0) / shares[MISALIGNED].sum(0))


def ln_ratio_by_law(shares: Shares, stack: Stack) -> Float[np.ndarray, " *draws"]:
    """Return what the ln LR of a stack would be if its readings erred independently: the sum of theirs."""
    singles = np.eye(len(PROXIES), dtype=int).tolist()
    parts = [
        count * ln_ratio(shares, Stack(tuple(single), stack.misread))
        for count, single in zip(stack.readings, singles, strict=True)
        if count
    ]
    return np.sum(parts, axis=0)


# --- counting -----------------------------------------------------------------------------------------------------


def model_states(results: Results) -> Int[np.ndarray, "condition seed"]:
    """Return the state of every model: which proxies it passes and whether it is aligned, or that it is unfit."""
    by_proxy = [outcomes.classify(results, proxy) for proxy in PROXIES]
    unfit = np.any([by_proxy[0][name].values for name in ("incompetent", "diverged")], axis=0)
    pattern = np.sum([ended["passes"].values << bit for bit, ended in enumerate(by_proxy)], axis=0)
    return np.where(unfit, UNFIT, pattern + len(PATTERNS) * ~by_proxy[0]["aligned"].values)


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count the states of models in every condition, and jointly with holding out on shared seeds."""
    results = outcomes.common(shards.results(train(experiment, folder), last_only=True))
    states = model_states(results)
    first = states[results.condition.values.tolist().index("hold_out")]
    joints = {str(name): count_pairs(first, row) for name, row in zip(results.condition.values, states, strict=True)}
    return claims.count_conditions(results, []) | {"states": joints}


def count_pairs(one: Int[np.ndarray, " seed"], other: Int[np.ndarray, " seed"]) -> dict[str, int]:
    """Return of how many seeds one model is in each state and the other in each, as far as there are any."""
    pairs, counts = np.unique(np.stack([one, other]), axis=1, return_counts=True)
    return {f"{first},{second}": int(count) for (first, second), count in zip(pairs.T, counts, strict=True)}


def joint_table(stored: claims.Stored, name: str) -> Int[np.ndarray, "states states"]:
    """Return the joint counts of states: held out, and in another condition."""
    table = np.zeros((STATES, STATES), int)
    for states, count in stored.data["states"][name].items():
        table[tuple(map(int, states.split(",")))] = count
    return table


def held_out(stored: claims.Stored, function: OfShares, of: int = 1) -> Estimate:
    """Return the `Estimate` of a function of the shares of states where nothing is trained on."""
    counts = np.diag(joint_table(stored, "hold_out"))
    return from_draws(function, draw_shares(counts), stored.confidence(of))


def trained(
    stored: claims.Stored, name: str, function: Callable[[Shares, Shares], Float[np.ndarray, " *draws"]], of: int = 1
) -> Estimate:
    """Return the `Estimate` of a function of the shares of states held out and of those in another condition."""
    draws = draw_shares(joint_table(stored, name))
    return from_draws(lambda table: function(table.sum(1), table.sum(0)), draws, stored.confidence(of))


# --- the rule -----------------------------------------------------------------------------------------------------


def share_of_law(shares: Shares) -> Float[np.ndarray, " *draws"]:
    """Return the ln LR of six readings as a share of what independent errors would give."""
    return ln_ratio(shares, SIX) / ln_ratio_by_law(shares, SIX)


def over_exact(shares: Shares) -> Float[np.ndarray, " *draws"]:
    """Return the ln LR of six readings less that of the test read without error."""
    return ln_ratio(shares, SIX) - ln_ratio(shares, EXACT)


def kept(stored: claims.Stored, stack: Stack, of: int) -> Estimate:
    """Return which share of the ln LR of a stack is left when the test was trained on late."""
    return trained(stored, "test_late", lambda before, after: ln_ratio(after, stack) / ln_ratio(before, stack), of)


def nets(stored: claims.Stored) -> dict[str, Estimate]:
    """Return by how much each way to train raises ln o(A|T) of models that pass six readings."""
    return {
        name: trained(stored, name, lambda before, after: ln_odds(after, SIX) - ln_odds(before, SIX), len(TRAINED))
        for name in TRAINED
    }


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    over, share = (held_out(stored, function, TOGETHER) for function in (over_exact, share_of_law))
    others, again = (kept(stored, stack, TOGETHER) for stack in (OTHERS, TEST_AGAIN))
    passing = held_out(stored, passing_share)
    why = (
        f"held out, six weak readings of three proxies: {claims.phrase('ln LR over that of one exact test', over)}, "
        f"{claims.phrase('share of what independent errors would give', share)}, {claims.phrase('P(T)', passing)}; "
        f"trained late on the test, {claims.phrase('the two others keep', others)}, "
        f"{claims.phrase('readings of the test', again)} of their ln LR; net of all six "
        f"{claims.phrases({label(name): net for name, net in nets(stored).items()})}"
    )
    above = [(over, 0.0), (share, HALF), (others, HALF)]
    if any(estimate.high < mark for estimate, mark in above) or again.low > HALF:
        return claims.Verdict(claims.CONTRADICTED, why)
    holds_for_sure = all(estimate.low > mark for estimate, mark in above) and again.high < HALF
    return claims.Verdict(claims.SUPPORTED if holds_for_sure else claims.UNDECIDED, why)


# --- the figure ---------------------------------------------------------------------------------------------------

SEVERAL, ALONE = "different proxies in turn", "the test again and again"
MARKS = {SEVERAL: Mark(BLACK), ALONE: Mark(VERMILION, "X")}
STACKS = {SEVERAL: IN_TURN, ALONE: TEST_ALONE}  # of 1 to 6 readings
LEFT = {SEVERAL: OTHERS, ALONE: TEST_AGAIN}  # what is held out while the test is trained on
RATIO_SHOWN, NET_SHOWN = (0.7, 1000.0), (-4.0, 8.0)  # where axes of LRs and of nets end


def exponential(estimate: Estimate) -> Estimate:
    """Return the `Estimate` of exp of what was estimated."""
    return Estimate(*np.exp(estimate).tolist())


def plotted(stored: claims.Stored) -> Json:
    """Return what the figure shows of a task, as plain JSON values: LRs, and nets."""

    def ratio(stack: Stack) -> Json:
        return estimate_json(exponential(held_out(stored, lambda shares: ln_ratio(shares, stack))))

    def after(stack: Stack) -> Json:
        late = trained(stored, "test_late", lambda _, shares: ln_ratio(shares, stack))
        return estimate_json(exponential(late))

    by_law = [
        exponential(held_out(stored, lambda shares, own=stack: ln_ratio_by_law(shares, own))) for stack in IN_TURN
    ]
    return {
        "curves": {words: [ratio(stack) for stack in stacks] for words, stacks in STACKS.items()},
        "law": [estimate.value for estimate in by_law],
        "exact": ratio(EXACT),
        "left": {words: [ratio(stack), after(stack)] for words, stack in LEFT.items()},
        "nets": {name: {**estimate_json(net), "unable": stored.unable(name)} for name, net in nets(stored).items()},
    }


COLUMNS = (
    "LR by number of weak\nreadings, none trained on",
    "LR of four of them, by when\nthe test is trained on",
    "net (nats) of all six,\nby what is trained on",
)


def draw(data: Json) -> Figure:
    """A row per task: LRs by the number of readings, those of held-out readings before and after, and nets."""
    tasks = data["tasks"]
    figure, axes = subplots(len(tasks), 3, figsize=(WIDTH, 0.6 + 1.0 * len(tasks)), squeeze=False, sharex="col")
    for (left, middle, right), (task, counts) in zip(axes, tasks.items(), strict=True):
        rows = counts["plotted"]
        draw_curves(left, rows)
        for words, pair in rows["left"].items():
            draw_steps(middle, [0, 1], pair, MARKS[words])
        for ax in (left, middle):
            ax.set_yscale("log")
            ax.set(ylim=RATIO_SHOWN, yticks=[1, 10, 100])
            ax.axhline(1, color=BLACK, linewidth=0.6, linestyle=":")
        draw_nets(right, rows["nets"])
        name_task(left, task, counts)
    axes[0][0].set_xticks(range(1, 7))
    axes[0][1].set(xticks=[0, 1], xticklabels=["never", "late"], xlim=(-0.5, 1.5))
    for ax, words in zip(axes[-1], COLUMNS, strict=True):
        ax.set_xlabel(words, fontsize="small")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def draw_curves(ax: Axes, rows: Json) -> None:
    """Draw LRs by the number of readings, with what independent errors would give, and the test without error."""
    numbers = list(range(1, len(rows["law"]) + 1))
    for words, ratios in rows["curves"].items():
        ax.plot([], [], color=MARKS[words].colour, marker=MARKS[words].marker, markersize=3, label=words)
        draw_steps(ax, numbers, ratios, MARKS[words])
    independent = "different ones, if their errors were independent"
    ax.plot(numbers, rows["law"], color=SKY, linewidth=1.2, linestyle=":", label=independent)
    exact = {"linewidth": 0.8, "linestyle": "--", "label": "one reading of the test without error"}
    ax.axhline(rows["exact"]["value"], color=GREY, **exact)


def draw_nets(ax: Axes, nets: Json) -> None:
    """Draw the net of every way to train, and who cannot do the job after it."""
    for place, (name, net) in enumerate(nets.items()):
        estimate, mark = estimate_from_json(net), mark_of(name)
        interval(ax, place, estimate, mark, NET_SHOWN, hollow=holds(estimate, 0))
    write_unable(ax, [net["unable"] for net in nets.values()])
    name_rows(ax, [WORDS[name] for name in nets], fontsize="x-small")
    ax.axvline(0, color=BLACK, linewidth=0.6, linestyle=":")
    ax.set_xlim(*NET_SHOWN)


def draw_steps(ax: Axes, places: list[int], ratios: list[Json], mark: Mark) -> None:
    """Draw LRs with their intervals and a line from one to the next."""
    estimates = [estimate_from_json(ratio) for ratio in ratios]
    ax.plot(places, [estimate.value for estimate in estimates], color=mark.colour, linewidth=0.8)
    for place, estimate in zip(places, estimates, strict=True):
        interval(ax, place, estimate, mark, RATIO_SHOWN, upright=True)


CAPTION = claims.Caption(
    question="Are weak readings of several proxies worth more than one of the test, and do they stay so when the test "
    "is trained on?",
    before="Left: LR by the number of weak readings, of three proxies in turn and of the test alone. Middle: four "
    "readings that are held out while the test is trained on late, of the two other proxies and of the test. Right: "
    "what training does to the odds of models that pass six readings of three proxies. LRs are among models that do "
    "the job.",
)
