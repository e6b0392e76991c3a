"""Pilots, cards, probes, profiles and schedules as JSON and tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from lab.report.layout import Sheet
from lab.statistics import CELLS, Estimate
from lab.studies.advice import LEAST, Advice
from lab.studies.card import Card
from lab.studies.pilot import Pilot
from lab.studies.probe import Probe
from lab.studies.schedules import Optimised
from lab.studies.search import GOALS
from lab.studies.sensitivity import Profile, per_percent
from lab.words import (
    Json,
    bound,
    estimate_from_json,
    estimate_json,
    name_in_words,
    number,
    number_json,
    percent,
    plural,
    setting,
    with_interval,
)

ESTIMATORS = {  # what the caption of a profile says of how its derivatives were found
    "counted": "Central differences on shared seeds, a small step up and down, ratios and odds in natural logs; "
    "last, P(A) by a whole push.",
    "evolution": "Evolution strategies, ratios and odds in natural logs, limits from standard errors.",
    "pathwise": "Slopes through training, checked against differences; limits from standard errors.",
    "surrogate": "Slopes of a margin at the end of each segment. That margin need not decide: count to be sure.",
}


def _tree_json(tree: Mapping[str, Estimate | Mapping]) -> Json:
    """Return a tree of `Estimate`s as plain JSON values."""
    return {
        key: estimate_json(value) if isinstance(value, Estimate) else _tree_json(value) for key, value in tree.items()
    }


def card_json(card: Card) -> Json:
    """Return a card as plain JSON values, with what its figure needs."""
    about = card.about._asdict()
    return {
        **{key: about[key] for key in ("name", "hash", "question", "proxy", "thresholds")},
        "answers": [
            {
                "question": answer.question,
                "verdict": answer.verdict,
                "reading": answer.reading,
                "numbers": _tree_json(answer.numbers),
            }
            for answer in card.answers
        ],
        "curves": {
            world: [{"onset": onset, **_tree_json(numbers)} for onset, numbers in curve.items()]
            for world, curve in card.curves.items()
        },
        "regimens": _tree_json(card.regimens),
        "confidence": card.about.confidence,
        "seeds": card.about.seeds,
        "window": card.window,
    }


def card_table(data: Json) -> Sheet:
    """Return a `Sheet` of what `card_json` returned: a row per question."""
    view = Sheet(
        f"{data['question']} {data['seeds']:,} models per condition, {percent(data['confidence'])} intervals",
        ("question", "answer", "measured"),
    )
    for answer in data["answers"]:
        view.add_row(answer["question"], answer["verdict"], answer["reading"])
    return view


def advice_json(advice: Advice) -> Json:
    """Return an advice as plain JSON values."""
    return {
        "budgets": {
            str(runs): {
                "use": choice.use,
                "probability": choice.probability,
                "gain": estimate_json(choice.gain),
                "because": choice.because,
                "would_change": None if choice.turn is None else asdict(choice.turn),
            }
            for runs, choice in advice.choices.items()
        },
        "card": {name: asdict(counts) for name, counts in advice.card.items()},
        "inside": advice.inside,
        "outside": list(advice.outside),
        "not_asked": list(advice.not_asked),
        "weight": advice.weight,
    }


MOST_SURE = 0.99  # probability beyond which an advice says no digits: the law itself is taken as exact
USE_WORDS = {
    "hold_out": "hold it out",
    "early": "push at the start, for a tenth",
    "late": "train on it from 40% on",
    "throughout": "train on it throughout",
}


def advice_table(data: Json) -> Sheet:
    """Return a `Sheet` of what `advice_json` returned: a row per budget."""
    seeds = {name: sum(counts[cell] for cell in CELLS) for name, counts in data["card"].items()}
    least, most = min(seeds.values()), max(seeds.values())
    models = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    pushed = "" if data["weight"] is None else f", at weight {setting(data['weight'])}"
    view = Sheet(
        f"what the proxy is best used for{pushed}; {models} models in each of three populations",
        ("runs", "best use", "probability", "gain", "because"),
        "Gain: in P(accepted is aligned) over holding out, with its 95% interval; where holding out is best, that of "
        "the best way to train on it. The probability is that of a gain; where holding out is best, that no way to "
        f"train gains {LEAST:g}.",
    )
    for runs, choice in data["budgets"].items():
        gain = with_interval(estimate_from_json(choice["gain"]))
        probability = f"{choice['probability']:.2f}" if choice["probability"] < MOST_SURE else f"> {MOST_SURE}"
        row = (runs, USE_WORDS[choice["use"]], probability, gain, choice["because"])
        view.add_row(*row)
    return view


def advice_warnings(data: Json) -> list[str]:
    """Return why an advice may be trusted less than it says, line by line."""
    lines = [f"outside what was studied: {words}" for words in data["outside"]]
    return [*lines, "so nobody has measured how often such an advice is right"] if lines else []


def advice_readings(data: Json) -> list[str]:
    """Return what would change an advice, and which questions it does not rest on, line by line."""
    lines = []
    for runs, choice in data["budgets"].items():
        turn = choice["would_change"]
        where = f"{runs} {plural('run', int(runs))}"
        if turn is None:
            lines.append(f"{where}: no change of a single held-out number changes the advice")
        else:
            lines.append(
                f"{where}: with {turn['number']} at {turn['then']:.2g} instead of {turn['now']:.2g} the best use "
                f"would be: {USE_WORDS[turn['use']]}"
            )
    lines += [f"not asked: {question} The advice does not rest on the answer." for question in data["not_asked"]]
    return lines


def probe_json(probe: Probe) -> Json:
    """Return what a probe tells as plain JSON values."""
    areas = {key: estimate_json(getattr(probe, key)) for key in ("own_area", "area")}
    return {"condition": probe.condition, "knobs": probe.knobs, **areas}


def probe_readings(probes: Sequence[Probe]) -> list[str]:
    """Return a line per condition: the knobs that hold the weights of its new probe."""
    lines = []
    for probe in probes:
        knobs = ", ".join(f"{name}: {value:.4g}" for name, value in (probe.knobs or {}).items())
        words = f"knobs: {{{knobs}}}" if knobs else "cannot be fitted: the even seeds are all of one kind"
        lines.append(f"{name_in_words(probe.condition)}: {words}")
    return lines


def probe_table(probes: Sequence[Probe], confidence: float) -> Sheet:
    """Return a `Sheet` with what the run's own probe and a new one tell, a row per condition."""
    view = Sheet(
        f"area under the ROC curve about alignment, {percent(confidence)} intervals",
        ("condition", "the run's own probe", "refitted"),
        "refitted: fitted to even seeds of that condition; both judged on the odd ones. 0.5 tells nothing.",
    )
    for probe in probes:
        view.add_row(name_in_words(probe.condition), with_interval(probe.own_area), with_interval(probe.area))
    return view


def profile_json(profile: Profile) -> Json:
    """Return what weights do at every moment as plain JSON values, with what its figure needs."""
    terms = {
        term: {
            **profile.changes[term]._asdict(),
            "moments": [
                {
                    "start": moment.start,
                    "end": moment.end,
                    "derivative": _tree_json(moment.derivative),
                    "pushed": _tree_json(moment.pushed),
                }
                for moment in moments
            ],
        }
        for term, moments in profile.moments.items()
    }
    return {
        **profile.about._asdict(),
        "condition": profile.condition,
        "estimator": profile.estimator,
        "quantities": profile.quantities,
        "terms": terms,
    }


def profile_table(data: Json) -> Sheet:
    """Return a `Sheet` of what `profile_json` returned: a row per term and segment."""
    quantities, counted = data["quantities"], data["estimator"] == "counted"
    steps = "Steps and pushes" if counted else "Steps"
    sizes = ", ".join(
        f"{setting(measured['step'])}{' and ' + setting(measured['push']) if counted else ''} ({term})"
        for term, measured in data["terms"].items()
    )
    columns = ["training", *quantities.values()]
    view = Sheet(
        f"{name_in_words(data['condition'])}: change of outcomes per unit of weight held for 1% of training, "
        f"{data['seeds']:,} seeds, {percent(data['confidence'])} intervals",
        [*columns, "P(A) by a push"] if counted else columns,
        f"{ESTIMATORS[data['estimator']]} {steps}: {sizes}.",
    )
    for term, measured in data["terms"].items():
        view.add_heading(f"weight of {name_in_words(term)}")
        for moment in measured["moments"]:
            span = f"{percent(moment['start'])} to {percent(moment['end'])}"
            changes = [moment["derivative"][name] for name in quantities]
            changes += [moment["pushed"]["base_rate"]] if counted else []
            cells = (
                with_interval(per_percent(estimate_from_json(change), moment["start"], moment["end"]))
                for change in changes
            )
            view.add_row(span, *cells)
    return view


def pilot_table(pilot: Pilot, of: str, width: float, seeds: int) -> Sheet:
    """Return a `Sheet` of what a pilot foresees.

    Args:
        pilot: what `lab.studies.pilot.run` returned.
        of: the quantity.
        width: that its intervals are to have.
        seeds: of the pilot.
    """
    level = percent(pilot.confidence)
    view = Sheet(
        f"{of}: {level} intervals of width {setting(width)}, foreseen from {seeds:,} seeds",
        ("condition", "width now", "seeds needed"),
    )
    for need in pilot.needs:
        count = f"{need.seeds:,}" if math.isfinite(need.seeds) else "cannot be told: an empty cell in the pilot"
        view.add_row(name_in_words(need.name), number(need.width), count)
    return view


def optimised_json(optimised: Optimised) -> Json:
    """Return a search for a schedule as plain JSON values, with what its figure needs."""
    problem, subject = optimised.problem, optimised.problem.subject
    experiment = subject.experiment
    return {
        **optimised.about._asdict(),
        "goal": problem.goal._asdict(),
        "cap": problem.bounds.cap,
        "budget": problem.bounds.budget,
        "terms": list(subject.terms),
        "condition": subject.condition.name,
        "ends": [end / experiment.training.steps for end in experiment.ends],
        "searches": [
            {
                "weights": optimum.weights.tolist(),
                "slopes": optimum.slopes.tolist(),
                "errors": optimum.errors.tolist(),
                "value": number_json(optimum.value),
            }
            for optimum in optimised.optima
        ],
        "schedules": {name: schedule.tolist() for name, schedule in optimised.schedules.items()},
        "rivals": [
            {
                "name": row.name,
                "value": estimate_json(row.value),
                "gain": row.gain and estimate_json(row.gain),
                "able": row.able,
                "allowed": row.allowed,
            }
            for row in optimised.standings
        ],
        "verdict": optimised.verdict,
    }


def goal_text(data: Json) -> str:
    """Return the goal of a search in words."""
    goal = data["goal"]
    text = GOALS[goal["name"]]
    text += f" within {goal['runs']:,} runs" if goal["name"] == "accepted_aligned" else ""
    return text + (f", at least {percent(goal['floor'])} competent" if goal["floor"] else "")


def optimised_table(data: Json) -> Sheet:
    """Return a `Sheet` of what `optimised_json` returned: a row per schedule, best first."""
    level = percent(data["confidence"])
    view = Sheet(
        f"{goal_text(data)}, {data['seeds']:,} seeds that the search did not see",
        ("schedule", "goal", "gain of learned over it", "competent"),
        f"Cap {setting(data['cap'])}, budget {setting(data['budget'])} (|weight| times share of training). Values: "
        f"{level} intervals; gains on shared seeds, all together at {level}.",
    )
    for row in data["rivals"]:
        gain = with_interval(estimate_from_json(row["gain"])) if row["gain"] else ""
        able = bound(row["able"], upwards=False, digits=3) + ("" if row["allowed"] else ", below the floor")
        view.add_row(name_in_words(row["name"]), with_interval(estimate_from_json(row["value"])), gain, able)
    return view


def optimised_reading(data: Json) -> str:
    """Return in a sentence or two who wins, and where the optimum is flat."""
    gains = {row["name"]: estimate_from_json(row["gain"]) for row in data["rivals"] if row["gain"] and row["allowed"]}
    if not all(row["allowed"] for row in data["rivals"] if not row["gain"]):
        return "The schedule found does not meet the floor on competence."
    hand = {name: gain for name, gain in gains.items() if not name.startswith("learned")}
    close = [name for name, gain in hand.items() if gain.low <= 0 <= gain.high]
    better = [name for name, gain in hand.items() if gain.high < 0]
    reading = {
        "wins": "The schedule found beats every one made by hand.",
        "loses": f"The schedule found loses to {', '.join(better)}.",
        "flat": f"The schedule found is not told apart from {', '.join(close)}, and beats the others made by hand.",
    }[data["verdict"]]
    best = data["searches"][0]
    apart = [
        abs(slope) > 2 * error
        for row, errors in zip(best["slopes"], best["errors"], strict=True)
        for slope, error in zip(row, errors, strict=True)
    ]
    if any(row["value"]["value"] in ("inf", None) for row in data["rivals"]):
        reading += " Where no misaligned model passed, odds tell nothing apart: take more seeds, or accepted_aligned."
    return (
        f"{reading} At its end {sum(apart)} of {len(apart)} weights have a slope of the goal that is not within noise."
    )
