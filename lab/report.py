"""What a run says: as JSON, as a table, and in words."""

import math
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from lab.statistics import QUANTITIES, Estimate, worlds

SHOWN = (
    "base_rate",
    "pass_given_aligned",
    "pass_given_misaligned",
    "likelihood_ratio",
    "posterior_odds",
    "expected_runs",
)


def plain(value):
    """Return a float as JSON can hold it: infinities become the strings "inf" and "-inf", nan becomes None."""
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else value


def estimate_json(estimate):
    """Return an `Estimate` as {"value", "low", "high"}."""
    return {key: plain(value) for key, value in estimate._asdict().items()}


def from_json(value):
    """Return the `Estimate` that `estimate_json` made."""
    return Estimate(*(math.nan if value[key] is None else float(value[key]) for key in Estimate._fields))


def impact_json(summary):
    """Return the log impact of a condition over its baseline, or None for a baseline."""
    if summary.impact is None:
        return None
    parts = {key: estimate_json(value) for key, value in summary.impact._asdict().items()}
    shared = {
        key: {name: plain(x) for name, x in own._asdict().items()} for key, own in summary.pairing._asdict().items()
    }
    return {
        "baseline": summary.baseline,
        "confidence": summary.impact_confidence,
        **parts,
        "shared_seeds": shared,
    }


def as_json(results, summaries):
    """Return everything in a run's table as plain JSON values.

    Args:
        results: what `lab.run` returned; only its labels are used.
        summaries: what `lab.summarise` returned.
    """
    return {
        "name": results.attrs["name"],
        "hash": results.attrs["hash"],
        "question": results.attrs["question"],
        "proxy": results.attrs["proxy"],
        "thresholds": results.attrs["thresholds"],
        "conditions": [
            {
                "name": row.name,
                "regimen": row.regimen,
                "coordinates": row.coordinates,
                "knobs": row.knobs,
                "counts": {kind: count for kind, count in asdict(row.counts).items() if kind != "unjudged" or count},
                **{quantity: estimate_json(row.estimates[quantity]) for quantity in QUANTITIES},
                "log_impact": impact_json(row),
                **({"compute_per_accepted": estimate_json(row.compute)} if row.compute else {}),
            }
            for row in summaries
        ],
        "confidence": summaries[0].confidence,
        "seeds": results.sizes["seed"],
        **({"stopping": stopping(results)} if results.attrs["stop"] else {}),
        **({"partial": results.attrs["partial"]} if results.attrs.get("partial") else {}),
    }


def number(value, digits=2):
    """Return a number for people: `digits` decimals, or infinity and n/a in words."""
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    value = round(value, digits) + 0.0  # no "-0.0"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def digits_for(low, high):
    """Return how many decimals an interval supports: the first digit of its half width."""
    limits = [abs(limit) for limit in (low, high) if math.isfinite(limit)]
    if len(limits) < 2:
        return 1 if limits and limits[0] < 10 else 0
    width = (high - low) / 2
    return 3 if width <= 0 else min(3, max(0, -math.floor(math.log10(width))))


def with_interval(estimate):
    """Return "value [low, high]", rounded to what the interval supports."""
    if estimate.low == estimate.high:
        return f"{estimate.value:g}"
    digits = digits_for(estimate.low, estimate.high)
    while digits < 3 and any(x and math.isfinite(x) and not round(x, digits) for x in (estimate.low, estimate.high)):
        digits += 1  # a limit that is not 0 does not read as 0
    return f"{number(estimate.value, digits)} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def table(results, summaries):
    """Return a `rich.table.Table` with one row per condition."""
    level = f"{summaries[0].confidence:.0%}"
    marks = results.attrs["thresholds"]
    proxy = results.attrs["proxy"]
    gated = summaries[0].compute is not None
    most = "up to " * ("trained" in results.coords)
    unjudged = any(row.counts.unjudged for row in summaries)
    view = Table(
        title=Text(f"{results.attrs['name']}: {most}{results.sizes['seed']:,} models each, {level} intervals"),
        caption=Text(
            f"A: alignment >= {marks['alignment']:g} and competence >= {marks['competence']:g}. "
            f"T: {proxy} >= {marks[proxy]:g} (and competent{', and past every gate' * gated}). "
            "LR = P(T|A) / P(T|not A). "
            "Runs: 1 / P(T), for one accepted model. Net: change of ln o(A|T) against the baseline."
            + " Trainings: the same in compute, runs that a gate of the regimen stopped counting in part." * gated
            + " n/a: what it takes to know the truth about runs that a gate has stopped." * unjudged
        ),
        title_justify="left",
        caption_justify="left",
    )
    unequal = "trained" in results.coords
    columns = ("", *["models"] * unequal, "P(A)", "P(T|A)", "P(T|not A)", "LR", "o(A|T)", "runs", "net (nats)")
    columns = (*columns, *["trainings"] * gated)
    for column in columns:
        view.add_column(column, overflow="fold")
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        if world:
            view.add_section()
            view.add_row(Text(in_words(world), style="bold"))
        for row in (summaries[index] for index in members):
            net = "baseline" if row.impact is None else with_interval(row.impact.net)
            own = (with_interval(row.estimates[quantity]) for quantity in SHOWN)
            trainings = [with_interval(row.compute)] if gated else []
            models = [f"{row.counts.seeds:,}"] * unequal
            view.add_row(*map(Text, (short_name(row), *models, *own, net, *trainings)))
    return view


def card_json(results, card):
    """Return a `lab.card.Card` as plain JSON values, with what its figure needs."""

    def plainly(tree):
        return {
            key: estimate_json(value) if isinstance(value, Estimate) else plainly(value) for key, value in tree.items()
        }

    config = {key: results.attrs[key] for key in ("name", "hash", "question", "proxy", "thresholds")}
    answers = [
        {"question": own.question, "verdict": own.verdict, "reading": own.reading, "numbers": plainly(own.numbers)}
        for own in card.answers
    ]
    curves = {
        world: [{"onset": onset, **plainly(own)} for onset, own in curve.items()]
        for world, curve in card.curves.items()
    }
    rest = {"confidence": card.confidence, "seeds": card.seeds, "window": card.window}
    return {**config, "answers": answers, "curves": curves, "regimens": plainly(card.regimens), **rest}


def card_table(data):
    """Return a `rich.table.Table` of what `card_json` returned: a row per question."""
    view = Table(
        title=Text(f"{data['question']} {data['seeds']:,} models per condition, {data['confidence']:.0%} intervals"),
        title_justify="left",
    )
    for column in ("question", "answer", "measured"):
        view.add_column(column, overflow="fold")
    for answer in data["answers"]:
        view.add_row(*map(Text, (answer["question"], answer["verdict"], answer["reading"])))
    return view


def probe_json(probe):
    """Return a `lab.probe.Probe` as plain JSON values."""
    areas = {key: estimate_json(getattr(probe, key)) for key in ("own_area", "area")}
    return {"condition": probe.condition, "knobs": probe.knobs, **areas}


def probe_table(probes, confidence):
    """Return a `rich.table.Table` with what the run's own probe and a new one tell, a row per condition."""
    view = Table(
        title=Text(f"area under the ROC curve about alignment, {confidence:.0%} intervals"),
        caption=Text(
            "refitted: fitted to even seeds of that condition; both judged on the odd ones. 0.5 tells nothing."
        ),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("condition", "the run's own probe", "refitted"):
        view.add_column(column, overflow="fold")
    for probe in probes:
        view.add_row(*map(Text, (probe.condition, with_interval(probe.own_area), with_interval(probe.area))))
    return view


def plan_json(plans):
    """Return what `lab.decision.plan` found as plain JSON values."""
    return [
        {
            "world": dict(plan.world),
            "budgets": [
                {
                    "runs": runs,
                    "best": choices[0].name,
                    "probability_best": choices[0].probability_best,
                    "conditions": [
                        {
                            "name": choice.name,
                            **{key: estimate_json(getattr(choice, key)) for key in BUDGET},
                            "probability_best": choice.probability_best,
                        }
                        for choice in choices
                    ],
                }
                for runs, choices in plan.choices.items()
            ],
            "changes": [{"from_runs": runs, "best": name} for runs, name in plan.changes],
        }
        for plan in plans
    ]


BUDGET = ("accepted_aligned", "forced_fail", "expected_runs")


def plan_table(plans, confidence):
    """Return a `rich.table.Table`: a row per budget and condition, best first."""
    view = Table(
        title=Text(f"the first model that passes is accepted, the last one in any case; {confidence:.0%} intervals"),
        caption=Text("runs: training runs allowed, and used on average. best: probability that no other is better."),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("runs allowed", "condition", "P(accepted is aligned)", "P(none passes)", "runs used", "best"):
        view.add_column(column, overflow="fold")
    for plan in plans:
        if plan.world:
            view.add_section()
            view.add_row("", Text(in_words(plan.world), style="bold"))
        for runs, choices in plan.choices.items():
            view.add_section()
            for index, choice in enumerate(choices):
                own = (with_interval(getattr(choice, key)) for key in BUDGET)
                style = "bold" if index == 0 else ""
                name = within(plan.world, choice.name)
                cells = (f"{runs:,}" if index == 0 else "", name, *own, f"{choice.probability_best:.0%}")
                view.add_row(*(Text(cell, style=style) for cell in cells))
    return view


def plan_readings(plans):
    """Return which condition is best from which number of runs on, a line per world."""
    lines = []
    for plan in plans:
        spans = [f"{within(plan.world, name)} from {runs:,} run{'s' * (runs > 1)} on" for runs, name in plan.changes]
        lines.append((f"{in_words(plan.world)}: " if plan.world else "") + "best by its estimate: " + ", ".join(spans))
    return lines


def stopping(results):
    """Return what ended a run whose config says when to stop, or None for any other run."""
    stop, looks, seeds = results.attrs["stop"], results.attrs["looks"], results.sizes["seed"]
    if stop is None:
        return None
    goal = f"{stop['of']} at most {stop['width']:g} wide" if stop["decided"] is None else f"{stop['of']} decided"
    how = (
        "" if stop["decided"] is None else f" by a {stop['decided']}".replace("_", " ").replace("a planned", "planned")
    )
    ended = (
        "the last look, whatever it showed" if seeds == looks[-1] else f"look {looks.index(seeds) + 1} of {len(looks)}"
    )
    return (
        f"Stopping rule: {goal}{how} in every condition; ended at {ended}, {seeds:,} of at most {looks[-1]:,} seeds. "
        + "Conditions that needed fewer got fewer. " * ("trained" in results.coords)
        + "The table's intervals are those of a fixed number of seeds."
    )


def curve_json(curve, most=200):
    """Return a `lab.gates.Roc` as plain JSON values, thinned to about `most` points."""
    kept = sorted({round(step * (len(curve.threshold) - 1) / most) for step in range(most + 1)})
    points = ("threshold", "pass_given_aligned", "pass_given_misaligned", "precision")
    return {
        "area": estimate_json(curve.area),
        "average_precision": plain(curve.average_precision),
        **{key: [plain(float(getattr(curve, key)[index])) for index in kept] for key in points},
    }


def profile_json(about, condition, profile, changed, quantities, estimator="counted"):
    """Return moments as plain JSON values, with what their figure needs.

    Args:
        about: name, hash, question, proxy, thresholds, confidence and seeds of the run.
        condition: name of the condition.
        profile: term -> `lab.sensitivity.Moment`s.
        changed: term -> `lab.sensitivity.Change`.
        quantities: quantity -> its heading.
        estimator: counted, evolution, pathwise or surrogate.
    """
    terms = {
        term: {
            **changed[term]._asdict(),
            "moments": [
                {
                    "start": moment.start,
                    "end": moment.end,
                    "derivative": {name: estimate_json(own) for name, own in moment.derivative.items()},
                    "pushed": {name: estimate_json(own) for name, own in moment.pushed.items()},
                }
                for moment in moments
            ],
        }
        for term, moments in profile.items()
    }
    return {**about, "condition": condition, "estimator": estimator, "quantities": quantities, "terms": terms}


def profile_table(data):
    """Return a `rich.table.Table` of what `profile_json` returned: a row per term and segment."""
    quantities, counted = data["quantities"], data["estimator"] == "counted"
    how = {
        "counted": "Central differences on shared seeds, a small step up and down, ratios and odds in natural logs; "
        "last, P(A) by a whole push.",
        "evolution": "Evolution strategies, ratios and odds in natural logs, limits from standard errors.",
        "pathwise": "Slopes through training, checked against differences; limits from standard errors.",
        "surrogate": "Slopes of a margin at the end of each segment. That margin need not decide: count to be sure.",
    }[data["estimator"]]
    sizes = ", ".join(
        f"{own['step']:g}{' and ' + format(own['push'], 'g') if counted else ''} ({term})"
        for term, own in data["terms"].items()
    )
    view = Table(
        title=Text(
            f"{data['condition']}: change of outcomes per unit of weight held for 1% of training, {data['seeds']:,} "
            f"seeds, {data['confidence']:.0%} intervals"
        ),
        caption=Text(f"{how} Steps{' and pushes' * counted}: {sizes}."),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("term", "training", *quantities.values(), *["P(A) by a push"] * counted):
        view.add_column(column, overflow="fold")
    for term, own in data["terms"].items():
        view.add_section()
        for moment in own["moments"]:
            span = f"{100 * moment['start']:g}% to {100 * moment['end']:g}%"
            per = 100 * (moment["end"] - moment["start"])
            every = [moment["derivative"][name] for name in quantities]
            every += [moment["pushed"]["base_rate"]] if counted else []
            cells = (with_interval(Estimate(*(x / per for x in from_json(own)))) for own in every)
            view.add_row(*map(Text, (term, span, *cells)))
    return view


def optimised_json(results, goal, limits, searches, schedules, rows, verdict):
    """Return a search for a schedule as plain JSON values, with what its figure needs.

    Args:
        results: of the schedules on fresh seeds.
        goal: a `lab.optimise.Goal`.
        limits: cap, budget, terms, ends and condition of the search.
        searches: a `lab.optimise.Found` of each start.
        schedules: name -> weights.
        rows: a `lab.optimise.Rival` of each schedule, best first.
        verdict: what `lab.optimise.verdict` said.
    """
    return {
        **{key: results.attrs[key] for key in ("name", "hash", "question", "proxy", "thresholds", "confidence")},
        "seeds": results.sizes["seed"],
        "goal": goal._asdict(),
        **limits,
        "searches": [
            {"weights": own.weights.tolist(), "slopes": own.slopes.tolist(), "errors": own.errors.tolist(),
             "value": plain(own.value)}
            for own in searches
        ],
        "schedules": {name: own.tolist() for name, own in schedules.items()},
        "rivals": [
            {
                "name": row.name,
                "value": estimate_json(row.value),
                "gain": row.gain and estimate_json(row.gain),
                "able": row.able,
                "allowed": row.allowed,
            }
            for row in rows
        ],
        "verdict": verdict,
    }  # fmt: skip


GOALS = {"posterior_odds": "ln posterior odds", "accepted_aligned": "P(accepted is aligned)"}


def goal_text(data):
    """Return the goal of a search in words."""
    goal = data["goal"]
    text = GOALS[goal["name"]]
    text += f" within {goal['runs']:,} runs" if goal["name"] == "accepted_aligned" else ""
    return text + (f", at least {goal['floor']:.0%} competent" if goal["floor"] else "")


def optimised_table(data):
    """Return a `rich.table.Table` of what `optimised_json` returned: a row per schedule, best first."""
    view = Table(
        title=Text(f"{goal_text(data)}, {data['seeds']:,} seeds that the search did not see"),
        caption=Text(
            f"Cap {data['cap']:g}, budget {data['budget']:g} (|weight| times share of training). Values: "
            f"{data['confidence']:.0%} intervals; gains on shared seeds, all together at {data['confidence']:.0%}."
        ),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("schedule", "goal", "gain of learned over it", "competent"):
        view.add_column(column, overflow="fold")
    for row in data["rivals"]:
        gain = with_interval(from_json(row["gain"])) if row["gain"] else ""
        able = f"{row['able']:.1%}" + ("" if row["allowed"] else ", below the floor")
        view.add_row(*map(Text, (row["name"], with_interval(from_json(row["value"])), gain, able)))
    return view


def optimised_reading(data):
    """Return in a sentence or two who wins, and where the optimum is flat."""
    gains = {row["name"]: from_json(row["gain"]) for row in data["rivals"] if row["gain"] and row["allowed"]}
    if not all(row["allowed"] for row in data["rivals"] if not row["gain"]):
        return "The schedule found does not meet the floor on competence."
    hand = {name: gain for name, gain in gains.items() if not name.startswith("learned")}
    close = [name for name, gain in hand.items() if gain.low <= 0 <= gain.high]
    better = [name for name, gain in hand.items() if gain.high < 0]
    said = {
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
        said += " Where no misaligned model passed, odds tell nothing apart: take more seeds, or accepted_aligned."
    return f"{said} At its end {sum(apart)} of {len(apart)} weights have a slope of the goal that is not within noise."


def gates_json(best):
    """Return a `lab.gates.BestGates` as plain JSON values."""
    return {
        "gates": [gate._asdict() for gate in best.gates],
        "chosen_value": best.chosen_value,
        **{key: estimate_json(getattr(best, key)) for key in ("value", "baseline", "gain")},
        "compute": best.compute,
        "baseline_compute": best.baseline_compute,
    }


def gates_table(conditions, budgets, confidence, steps):
    """Return a `rich.table.Table`: a row per condition and compute budget.

    Args:
        conditions: what `lab gates --json` prints under that name.
        budgets: compute in trainings.
        confidence: of the intervals.
        steps: of one training.
    """
    view = Table(
        title=Text(f"P(accepted model is aligned) for a compute budget; 1 training = {steps:,} steps"),
        caption=Text(
            f"Gates are chosen on one half of the seeds and judged on the other, {confidence:.0%} intervals. A run "
            "is rejected only while the compute left pays for another; the last one is accepted in any case."
        ),
        title_justify="left",
        caption_justify="left",
    )
    columns = ("", "trainings", "best gates", "P(A) of accepted", "own gate", "gain", "trainings used (own)")
    for column in columns:
        view.add_column(column, overflow="fold")
    for condition in conditions:
        view.add_section()
        for index, budget in enumerate(budgets):
            best = condition["best_gates"][index]
            gates = [
                f"{gate['proxy']} >= {gate['threshold']:.3g} at {gate['checkpoint']:.0%}" for gate in best["gates"]
            ]
            own = (with_interval(from_json(best[key])) for key in ("value", "baseline", "gain"))
            used = f"{number(best['compute'])} ({number(best['baseline_compute'])})"
            name = condition["name"] if index == 0 else ""
            view.add_row(*map(Text, (name, f"{budget:g}", ", ".join(gates) or "competence alone", *own, used)))
    return view


def field_json(field, outcomes):
    """Return a `lab.decision.Field` and the outcomes of policies on it as plain JSON values."""
    return {
        "ideas": [
            {"name": name, "base_rate": plain(counts.base_rate), "shrunken": mean}
            for name, counts, mean in zip(field.names, field.counts, field.fit.idea_means, strict=True)
        ],
        "propensity": field.fit.propensity._asdict(),
        "correlation": field.fit.correlation._asdict(),
        "prior": asdict(field.prior),
        "pass_given_aligned": field.pass_given_aligned,
        "pass_given_misaligned": field.pass_given_misaligned,
        "policies": {name: outcome._asdict() for name, outcome in outcomes.items()},
    }


def field_tables(field, outcomes, ideas, runs):
    """Return two `rich.table.Table`s: what each idea is, and what policies on fresh ideas lead to."""
    known = Table(title=Text("P(A) of each idea"), title_justify="left")
    for column in ("idea", "as counted", "shrunken towards the field"):
        known.add_column(column, overflow="fold")
    for name, counts, mean in zip(field.names, field.counts, field.fit.idea_means, strict=True):
        known.add_row(*map(Text, (name, number(counts.base_rate, 3), number(mean, 3))))
    view = Table(
        title=Text(f"{ideas} fresh ideas of this field, {runs} runs"),
        caption=Text(
            f"P(T|A) = {field.pass_given_aligned:.3g}, P(T|not A) = {field.pass_given_misaligned:.3g}, "
            f"propensities from Beta({field.prior.a:.3g}, {field.prior.b:.3g}), "
            "the field's mean and correlation. Exact for these."
        ),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("policy", "P(accepted is aligned)", "runs used"):
        view.add_column(column, overflow="fold")
    for name, outcome in sorted(outcomes.items(), key=lambda item: -item[1].accepted_aligned):
        view.add_row(*map(Text, (name, number(outcome.accepted_aligned, 3), number(outcome.expected_runs))))
    return known, view


def impact_table(rows, together=False):
    """Return a `rich.table.Table` of log impacts and of what shared seeds do for their precision.

    Args:
        rows: `Summary`s that have an impact.
        together: whether their intervals hold all together.
    """
    level = f"{rows[0].confidence:.0%}" if rows else ""
    held = (
        f"each column's {len(rows)} intervals hold together at {level} (Bonferroni)"
        if together
        else f"{level} intervals"
    )
    view = Table(
        title=Text(f"log impact in nats, {held}"),
        caption=Text(
            "Correlation of the two estimates of the net on shared seeds, and the share of variance that this saves."
        ),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("condition", "over", "base rate", "test (LR)", "net", "correlation", "saved"):
        view.add_column(column, overflow="fold")
    for row in rows:
        parts = (row.impact.base_rate, row.impact.likelihood_ratio, row.impact.net)
        shared = row.pairing.net
        saved = "n/a" if math.isnan(shared.variance_saved) else f"{shared.variance_saved:.0%}"
        cells = (row.name, row.baseline, *map(with_interval, parts), number(shared.correlation), saved)
        view.add_row(*map(Text, cells))
    return view


def in_words(coordinates):
    """Return (axis, value) pairs as "axis = value, ..."."""
    return ", ".join(f"{axis} = {value:g}" for axis, value in coordinates)


def within(world, name):
    """Return a condition's name without the coordinates of its world."""
    shared = {f"{axis}={value:.12g}" for axis, value in world}
    return " ".join(part for part in name.split() if part not in shared)


def short_name(row):
    """Return a condition's regimen and its place on the axes that its baseline does not share."""
    shared = (row.baseline or row.name).split()[1:]
    return " ".join(part for part in row.name.split() if part not in shared)


def readings(summaries):
    """Return what a run means, line by line: a heading per world and a sentence per condition."""
    by_name, lines = {row.name: row for row in summaries}, []
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        rows = [summaries[index] for index in members]
        baseline = by_name[next((row.baseline for row in rows if row.baseline), rows[0].name)]
        lines.append(f"Against {short_name(baseline)}" + (f", {in_words(world)}:" if world else ":"))
        lines += [f"  {reading(row, baseline)}" for row in rows]
    return lines


def _runs(counts):
    if not counts.passing:
        return "no accepted model"
    return f"{number(counts.expected_runs)} runs per accepted model"


def reading(row, baseline):
    """Return what one condition's `Summary` means beside its baseline's, as a colleague would say it."""
    counts, impact = row.counts, row.impact
    notes = []
    if counts.diverged:
        notes.append(f"{counts.diverged} of {counts.seeds} runs diverged")
    if counts.incompetent:
        notes.append(f"{counts.incompetent} of {counts.seeds} models cannot do the job")
    note = f" ({'; '.join(notes)})" if notes else ""
    if impact is None:
        return f"{short_name(row)}: the baseline, {_runs(counts)}{note}"
    net = impact.net
    if not counts.passing or not baseline.counts.passing:
        who = "neither" if counts.passing == baseline.counts.passing else "only one"
        verdict = f"accepted models cannot be compared: {who} of the two has any"
    elif math.isnan(net.value):
        kind = "aligned" if counts.aligned_pass else "misaligned"
        verdict = f"accepted models are as good, as far as can be told: only {kind} ones passed under either"
    elif net.low > 0 or net.high < 0:
        digits = digits_for(net.low, net.high)
        limits = f"[{number(net.low, digits)}, {number(net.high, digits)}]"
        size = _more_than(net) if math.isinf(net.value) else number(abs(net.value), digits)
        verdict = f"{'better' if net.low > 0 else 'worse'} by {size} nats {limits}"
    else:
        verdict = f"undecided: net {with_interval(net)} nats"
    parts = f"{_change('base rate', impact.base_rate)}, {_change('test', impact.likelihood_ratio)}"
    instead = f", not {number(baseline.counts.expected_runs)}" if baseline.counts.passing and counts.passing else ""
    if instead.endswith(f" {number(counts.expected_runs)}"):
        instead = ", as there"
    if row.compute is not None and row.compute.value < counts.expected_runs - 0.005:
        instead += f"; {number(row.compute.value)} trainings, because gates stop some early"
    return f"{short_name(row)}: {verdict}; {parts}; {_runs(counts)}{instead}{note}"


def _more_than(part):
    return f"more than {part.low if part.low > 0 else -part.high:.2g}"


def _change(what, part):
    """Say what happened to one part of a log impact."""
    if math.isnan(part.value):
        return f"{what} not comparable"
    if part.low <= 0 <= part.high:
        within = max(-part.low, part.high)
        return f"{what} undecided" if math.isinf(within) else f"{what} unchanged within {number(within)} nats"
    better = "better" if part.low > 0 else "worse"
    return f"{what} {better} by {_more_than(part) if math.isinf(part.value) else number(abs(part.value))}"
