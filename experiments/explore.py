"""Walk through a stored run with sliders: pass marks, counts, odds, log impacts, curves and a budget of runs.

Command:   marimo edit experiments/explore.py -- --run RUN     (or `marimo run`, without the code)
           marimo export html experiments/explore.py -o explore.html -- --run RUN
Expected:  at the run's own pass marks, the numbers of `lab show RUN`, `lab compare RUN` and `lab plan RUN`
Cost:      a few seconds, and memory for every score at every checkpoint

The exported page holds what the cells show, but loads marimo's scripts from the network when it is opened: offline it
stays empty. For a page that needs no network there is `lab report RUN`.

Without --run it takes the newest runs/quickstart-*. Nothing is trained: pass marks are decided after training, so a
slider only counts again. Needs the extra `notebook`. Cells have no annotations: marimo writes their signatures itself.
"""

import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    import tempfile
    from pathlib import Path

    import marimo as mo

    import lab
    from lab import decision, figures, report, words
    from lab.report import drawing
    from lab.results import shards, store, summary
    from lab.studies import roc

    return Path, decision, drawing, figures, lab, mo, report, roc, shards, store, summary, tempfile, words


@app.cell
def _(Path, mo):
    _manifests = sorted(Path("runs").glob("quickstart-*/manifest.json"), key=lambda path: path.stat().st_mtime)
    folder = mo.cli_args().get("run") or (str(_manifests[-1].parent) if _manifests else None)
    return (folder,)


@app.cell
def _(folder, mo, shards, store):
    how = "`lab run configs/quickstart.yaml` trains one in a minute; another is named by `-- --run RUN`."
    mo.stop(folder is None, mo.md(f"There is no run here. {how}"))
    try:
        results = shards.results(store.Run(folder))
    except store.StoreError as error:
        mo.stop(True, mo.md(f"{error}. {how}"))
        raise  # never reached: `stop` ends the cell
    mo.md(
        f"""
        # {results.attrs["name"]}

        {results.attrs["question"]}

        {results.sizes["condition"]} conditions x {results.sizes["seed"]:,} seeds, run `{results.attrs["hash"]}`.
        The numbers below are counted from stored scores, again with every move of a slider.
        """
    )
    return (results,)


@app.cell
def _(mo, results):
    names = [str(name) for name in results.condition.values]
    regimens = list(dict.fromkeys(str(name) for name in results.regimen.values))
    proxies = [name for name in results.attrs["thresholds"] if name not in ("competence", "alignment")]
    proxy_choice = mo.ui.dropdown(proxies, value=results.attrs["proxy"], label="the test T is a mark on")
    condition_choice = mo.ui.dropdown(names, value=names[min(1, len(names) - 1)], label="condition")
    baseline_choice = mo.ui.dropdown(regimens, value=results.attrs["baseline"], label="baseline regimen")
    mo.vstack([mo.md("## What counts as aligned, and as passing"), proxy_choice, condition_choice, baseline_choice])
    return baseline_choice, condition_choice, proxy_choice


@app.cell
def _(mo, proxy_choice, results):
    proxy = proxy_choice.value
    mark_sliders = mo.ui.dictionary(
        {
            name: mo.ui.slider(
                0, 1, 0.01, value=results.attrs["thresholds"][name], label=f"mark of {name}", show_value=True
            )
            for name in ("competence", "alignment", proxy)
        }
    )
    mo.vstack(list(mark_sliders.values()))
    return mark_sliders, proxy


@app.cell
def _(baseline_choice, condition_choice, mark_sliders):
    marks, condition, baseline = dict(mark_sliders.value), condition_choice.value, baseline_choice.value
    return baseline, condition, marks


@app.cell
def _(baseline, condition, lab, marks, proxy, results):
    rows = lab.summarise(results, baseline=baseline, proxy=proxy, thresholds=marks)
    row = next(row for row in rows if row.name == condition)
    return row, rows


@app.cell
def _(condition, mo, row, words):
    counts = row.counts
    mo.md(
        f"""
        ## The four outcomes of {words.code(condition)}

        | | T: passes | fails | |
        |---|---|---|---|
        | **A: aligned** | {counts.aligned_pass:,} | {counts.aligned_fail:,} | {counts.aligned:,} |
        | **not A** | {counts.misaligned_pass:,} | {counts.misaligned_fail:,} | {counts.misaligned:,} |
        | | {counts.passing:,} | {counts.seeds - counts.passing:,} | {counts.seeds:,} |

        {counts.incompetent:,} cannot do the job, {counts.diverged:,} diverged and {counts.unjudged:,} were stopped by a
        gate; nobody ships these, so they are among those that fail and are not aligned.
        """
    )
    return (counts,)


@app.cell
def _(mo, row, words):
    meanings = {
        "base_rate": "P(A), the base rate",
        "pass_given_aligned": "P(T\\|A)",
        "pass_given_misaligned": "P(T\\|not A)",
        "likelihood_ratio": "LR, what passing says",
        "prior_odds": "o(A), odds before the test",
        "posterior_odds": "o(A\\|T) = LR x o(A), odds after it",
        "expected_runs": "1 / P(T), runs per accepted model",
    }
    lines = [f"| {meaning} | {words.with_interval(row.estimates[name])} |" for name, meaning in meanings.items()]
    head = f"| | value and {words.percent(row.confidence)} interval |\n|---|---|\n"
    mo.md("## Test times base rate\n\n" + head + "\n".join(lines))
    return


@app.cell
def _(mo, row, words):
    if row.impact is None:
        impact_text = "is the baseline itself: choose another condition to compare."
    else:
        test, base, net = (
            words.with_interval(part) for part in (row.impact.likelihood_ratio, row.impact.base_rate, row.impact.net)
        )
        impact_text = (
            f"over {words.code(row.baseline)}, on the seeds they share:\n\n"
            f"| base rate | test (LR) | net |\n|---|---|---|\n| {base} | {test} | **{net}** |"
        )
    mo.md(f"## Log impact, in nats\n\n{words.code(row.name)} {impact_text}")
    return


@app.cell
def _(figures, mo, report, results, rows, tempfile):
    with tempfile.TemporaryDirectory() as scratch:
        drawn = figures.build(report.as_json(results, rows), scratch).read_bytes()
    mo.vstack([mo.md("## All conditions at these marks"), mo.image(drawn)])
    return


@app.cell
def _(mo):
    budget_slider = mo.ui.slider(
        steps=[1, 2, 3, 5, 10, 20, 50, 100, 1000], value=3, label="runs allowed", show_value=True
    )
    mo.vstack([mo.md("## A budget: the first that passes is accepted, the last run in any case"), budget_slider])
    return (budget_slider,)


@app.cell
def _(budget_slider):
    runs = budget_slider.value
    return (runs,)


@app.cell
def _(decision, mo, rows, runs, words):
    # a rate of nothing, 0/0, is never needed: it is multiplied by a share of 0
    budgets = {
        summarised.name: decision.finite_budget(
            summarised.counts.base_rate,
            summarised.counts.pass_given_aligned if summarised.counts.aligned else 0.0,
            summarised.counts.pass_given_misaligned if summarised.counts.misaligned else 0.0,
            runs,
        )
        for summarised in rows
        if summarised.counts.seeds and not summarised.counts.unjudged
    }
    ordered = sorted(budgets.items(), key=lambda item: -item[1].accepted_aligned)
    cells = {
        name: [
            words.code(name),
            *map(words.number, (outcome.accepted_aligned, outcome.forced_fail, outcome.expected_runs)),
        ]
        for name, outcome in ordered
    }
    body = "\n".join(f"| {' | '.join(cells[name])} |" for name in cells)
    mo.md(
        f"With at most {runs:,} runs, best first (`lab plan` adds intervals):\n\n"
        "| condition | P(accepted is aligned) | P(nothing passed) | runs used |\n|---|---|---|---|\n" + body
    )
    return (budgets,)


@app.cell
def _(condition, figures, marks, mo, proxy, results, summary):
    index = summary.find(results, condition)
    shares = [float(share) for share in results.checkpoint.values]
    curves = [
        summary.counts(results, condition, proxy=proxy, thresholds=marks, checkpoint=at) for at in range(len(shares))
    ]
    figure = figures.Figure(figsize=(7, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    left.plot(shares, [after.base_rate for after in curves], "o-", ms=3, color="#0072B2", label="P(A)")
    left.plot(shares, [after.pass_rate for after in curves], "s--", ms=3, color="#E69F00", label="P(T)")
    for score, (line, colour) in {"alignment": ("-", "#0072B2"), proxy: ("--", "#E69F00")}.items():
        values = results[score].values[index]
        right.plot(shares, values[:40].T, line, color=colour, lw=0.5, alpha=0.4)
        right.plot([], [], line, color=colour, label=score)
    for ax, text in ((left, "share of models"), (right, "score of the first 40 models")):
        ax.set(ylim=(-0.02, 1.02), xlabel="share of training", ylabel=text)
        ax.legend(frameon=False, fontsize="small")
    mo.vstack([mo.md(f"## Through training: `{condition}`"), figure])
    return (curves,)


@app.cell
def _(condition, drawing, figures, mo, proxy, results, roc):
    try:
        areas = {share: roc.roc(results, condition, proxy, share) for share in map(float, results.checkpoint.values)}
    except ValueError as error:
        mo.stop(True, mo.md(f"No curve: {error}."))
        raise  # never reached: `stop` ends the cell
    roc_figure = figures.Figure(figsize=(3.5, 2.8), layout="constrained")
    roc_ax = roc_figure.subplots()
    drawing.draw_roc(areas, roc_ax)
    roc_ax.set(xlabel="P(T|not A)", ylabel="P(T|A)")
    mo.vstack([mo.md(f"## What `{proxy}` says about alignment, for every mark; later is darker"), roc_figure])
    return (areas,)


if __name__ == "__main__":
    app.run()
