"""What worlds give to a rule, and the rules: each foresees what a use of a proxy gains in every world of a task."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int8
from sklearn.ensemble import HistGradientBoostingRegressor

from experiments.studies import response_models
from experiments.studies.response_models import Outcomes
from experiments.studies.worlds import Worlds
from lab.decision import accepted_aligned
from lab.results.outcomes import ABLE, choosing_seeds, share_between
from lab.statistics import shared_posterior
from lab.studies import law
from lab.studies.advice import BUDGETS
from lab.studies.law import Pilots, Push

USES = ("early", "window", "late", "throughout", "against")
PILOT_REGIMENS = ("hold_out", "pilot_early", "pilot_late")
DRAWS = 1_000
FEW_STARTS = 2  # of a search for latents
USES_OF_CARD = {"early": Push(0, law.PILOT), "late": Push(law.LATE, law.LATE + law.PILOT)}
EDGE = 1e-9  # by which "throughout" is better than the one pilot that gains, if the other loses nothing
QUESTIONS = {  # of the card -> which numbers it asks for, in rows (held out, early, late) and columns (A, T|A, T|not A)
    "Is it easier to circumvent early or late?": [(1, 2), (2, 2)],
    "Where does a push on it lead at critical moments?": [(1, 0), (2, 0)],
    "How much is circumvention incentivised without it?": [(0, 2)],
    "Is it an approximation of alignment or a prerequisite?": [(0, 1), (1, 1), (2, 1)],
}


class Cells(NamedTuple):
    """What the worlds of a task give: a row per world.

    Attributes:
        task: its name.
        pilots: counts of the card.
        scores: of the models of the card.
        pushes: use -> the `Push` of each world, in weights of the pilots.
        counted: use -> whether enough models do the job.
        gains: (use, budget) -> gain in each world.
        decided: (use, budget) -> whether its sign is known.
        measured: (use, budget) -> the gain that the seeds of the card see.
        able: whether enough held-out models do the job.
    """

    task: str
    pilots: Pilots
    scores: law.Scores
    pushes: dict[str, list[Push]]
    counted: dict[str, Bool[np.ndarray, " world"]]
    gains: dict[tuple[str, int], Float[np.ndarray, " world"]]
    decided: dict[tuple[str, int], Bool[np.ndarray, " world"]]
    measured: dict[tuple[str, int], Float[np.ndarray, " world"]]
    able: Bool[np.ndarray, " world"]


Rule = Callable[[Cells, str, int], Float[np.ndarray, " world"]]  # foresees a gain


def accepted(shares: Float[np.ndarray, "... 4"], runs: int) -> Float[np.ndarray, "..."]:
    """Return P(accepted is aligned) of shares of the four cells."""
    return accepted_aligned(np.moveaxis(np.asarray(shares, float), -1, 0), runs)


def pilot_weight(worlds: Worlds) -> float:
    """Return the weight of the pilots of a task."""
    return worlds.phases["pilot_early"][0]["weights"]["test"]


def pushes(worlds: Worlds) -> dict[str, list[Push]]:
    """Return the push of every use in every world."""
    pilot = pilot_weight(worlds)
    drawn = {name: values.tolist() for name, values in worlds.drawn.items()}
    short, long, against = (np.array(drawn[name]) / pilot for name in ("push", "long", "against"))
    starts = np.array(drawn["onset"])
    return {
        "early": [Push(0, law.PILOT, weight) for weight in short],
        "window": [Push(start, start + law.PILOT, weight) for start, weight in zip(starts, short, strict=True)],
        "late": [Push(law.LATE, 1, weight) for weight in long],
        "throughout": [Push(0, 1, weight) for weight in long],
        "against": [Push(law.LATE, 1, weight) for weight in against],
    }


def scores(worlds: Worlds, chooses: Bool[np.ndarray, " seed"]) -> law.Scores:
    """Return how far above the marks the models of every card are."""
    of_regimens: list[law.Heights] = []
    for regimen in PILOT_REGIMENS:
        cells = worlds.cells[regimen][:, chooses]
        reached = {"alignment": cells < 2, "test": cells % 2 == 0}
        of_regimens.append(
            np.stack(
                [
                    law.heights(worlds.levels[score][regimen][:, chooses], worlds.marks[score], reached[score])
                    for score in ("alignment", "test")
                ],
                -1,
            )
        )
    alignments = np.concatenate([worlds.levels["alignment"][regimen][:, chooses] for regimen in PILOT_REGIMENS], 1)
    held_out, early, late = of_regimens
    return law.Scores(held_out, early, late, np.array([share_between(models) for models in alignments]))


def cells_of(worlds: Worlds) -> Cells:
    """Return what the worlds of a task give."""
    chooses = choosing_seeds(next(iter(worlds.cells.values())).shape[1])
    pilots = Pilots(*(law.counted(worlds.cells[regimen][:, chooses]) for regimen in PILOT_REGIMENS))
    share_able = {regimen: able.mean(1) for regimen, able in worlds.able.items()}
    able = share_able["hold_out"] >= ABLE
    gains, decided, measured = {}, {}, {}
    for use in USES:
        pair = np.stack([worlds.cells["hold_out"], worlds.cells[use]], 1)
        posterior = [shared_posterior(both[:, ~chooses], DRAWS) for both in pair]
        for runs in BUDGETS:
            judged = [accepted(law.counted(worlds.cells[name][:, ~chooses]), runs) for name in ("hold_out", use)]
            seen = [accepted(law.counted(worlds.cells[name][:, chooses]), runs) for name in ("hold_out", use)]
            limits = np.array(
                [np.quantile(np.diff(accepted(drawn, runs), axis=1)[:, 0], (0.025, 0.975)) for drawn in posterior]
            )
            gains[use, runs], measured[use, runs] = judged[1] - judged[0], seen[1] - seen[0]
            decided[use, runs] = (limits[:, 0] > 0) | (limits[:, 1] < 0)
    return Cells(
        worlds.task,
        pilots,
        scores(worlds, chooses),
        pushes(worlds),
        {use: able & (share_able[use] >= ABLE) for use in USES},
        gains,
        decided,
        measured,
        able,
    )


def of_law(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
    """Foresee by the law."""
    return _foreseen(cells, use, runs, with_scores=True)


def of_counts(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
    """Foresee by the law without the scores of the models."""
    return _foreseen(cells, use, runs, with_scores=False)


def _foreseen(cells: Cells, use: str, runs: int, with_scores: bool) -> Float[np.ndarray, " world"]:
    """Foresee by the law, with or without the scores of the models."""
    return np.array(
        [
            law.gain(
                Pilots(*(counts[index] for counts in cells.pilots)),
                push,
                runs,
                by_scores=law.counted(moved(cells, index, push)) if with_scores else None,
                graded=cells.scores.graded[index],
            )
            for index, push in enumerate(cells.pushes[use])
        ]
    )


def moved(cells: Cells, index: int, push: Push) -> Int8[np.ndarray, " model"]:
    """Return the cells of the models of a card after a push, by their scores."""
    return law.kinds(law.moved(law.Scores(*(values[index] for values in cells.scores)), push))


def of_pilots(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
    """Take the nearer pilot for the use; training against the proxy for its reverse."""
    held_out, early, late = (accepted(counts + law.HALF, runs) for counts in cells.pilots)
    if use == "against":
        return held_out - late
    return (early if use in ("early", "throughout") else late) - held_out


def by_hand(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
    """Foresee as a person would: where one pilot gains and the other loses, push there; where none gains, hold out.

    Where none loses and one gains, train throughout. The numbers are only there to be compared: what the pilots add up
    to for "throughout", half of the nearer pilot for a window.
    """
    held_out, early, late = (accepted(counts + law.HALF, runs) for counts in cells.pilots)
    gains = {"early": early - held_out, "late": late - held_out}
    if use == "against":
        return np.full(len(held_out), -1.0)
    if use == "window":
        near = np.array([law.lateness(push) >= 0.5 for push in cells.pushes[use]])
        return np.where(near, gains["late"], gains["early"]) / 2
    return gains[use] if use in gains else (gains["early"] + gains["late"]) * (1 + EDGE)


def always(chosen: str | None) -> Rule:
    """Return the rule that one use always gains, and no other."""

    def rule(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
        return np.full(len(cells.able), 1.0 if use == chosen else -1.0)

    return rule


def of_measuring(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
    """Take what as many seeds as the card's see of the use itself."""
    return cells.measured[use, runs]


def features(cells: Cells, use: str, runs: int) -> Float[np.ndarray, "world feature"]:
    """Return what gradient boosting knows: the card, the push and the budget."""
    before, early, late = map(law.log_odds, cells.pilots)
    of_push = [
        (np.log(abs(push.weight)), push.start, push.end, law.lateness(push), push.weight < 0)
        for push in cells.pushes[use]
    ]
    held_out = accepted(law.held_out(cells.pilots), runs)
    budget = np.full(len(before), np.log(runs))
    return np.column_stack([before, early - before, late - before, of_push, held_out, budget])


def boosted(others: Sequence[Cells]) -> Rule:
    """Return the rule that gradient boosting finds in other tasks."""
    known = [
        (features(cells, use, runs)[cells.counted[use]], cells.gains[use, runs][cells.counted[use]])
        for cells in others
        for use in USES
        for runs in BUDGETS
    ]
    model = HistGradientBoostingRegressor(max_iter=200, learning_rate=0.05, random_state=0)
    model.fit(np.concatenate([row for row, _ in known]), np.concatenate([gain for _, gain in known]))
    return lambda cells, use, runs: model.predict(features(cells, use, runs))


def latent(of_task: Cells) -> Rule:
    """Return the rule of two latents, fitted in each world to the three populations of its card.

    They are those of `experiments.studies.response_models`, with the exponent of the law. They know nothing of training
    against the proxy, and foresee that it changes nothing.
    """
    schedules = in_tenths([Push(0, 0, 0), USES_OF_CARD["early"], USES_OF_CARD["late"]])
    odds = np.stack([law.log_odds(counts) for counts in of_task.pilots], 1)
    fitted = {
        int(world): response_models.fit_latents(Outcomes(schedules, odds[world]), law.EXPONENT, FEW_STARTS)
        for world in np.flatnonzero(of_task.able)
    }

    def rule(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
        gains = np.zeros(len(cells.able))
        for world, latents in fitted.items():
            both = response_models.of_latents(latents, in_tenths([Push(0, 0, 0), cells.pushes[use][world]]))
            before, after = accepted(law.shares(both), runs)
            gains[world] = after - before
        return gains

    return rule


def in_tenths(pushes: Sequence[Push]) -> Float[np.ndarray, "push tenth"]:
    """Return the weight of each push in every tenth of training; of one against the proxy none."""
    starts = np.arange(response_models.TENTHS) / response_models.TENTHS
    return np.array(
        [max(push.weight, 0) * ((starts >= push.start - EDGE) & (starts < push.end - EDGE)) for push in pushes]
    )


def without(question: str, others: Sequence[Cells]) -> Rule:
    """Return the law on counts where one question of the card is not asked: its numbers are medians of other tasks."""
    usual = np.median(np.concatenate([numbers_of(cells)[cells.able] for cells in others]), axis=0)

    def rule(cells: Cells, use: str, runs: int) -> Float[np.ndarray, " world"]:
        numbers = numbers_of(cells)
        for row, column in QUESTIONS[question]:
            numbers[:, row, column] = usual[row, column]
        before = numbers[:, 0]
        pilots = Pilots(*(law.shares(before + effect) for effect in (0 * before, numbers[:, 1], numbers[:, 2])))
        return np.array(
            [
                law.gain(Pilots(*(shares[index] for shares in pilots)), push, runs, added=0.0)
                for index, push in enumerate(cells.pushes[use])
            ]
        )

    return rule


def numbers_of(cells: Cells) -> Float[np.ndarray, "world 3 3"]:
    """Return the numbers of each card: held out, and what the early and the late pilot add."""
    before, early, late = map(law.log_odds, cells.pilots)
    return np.stack([before, early - before, late - before], 1)
