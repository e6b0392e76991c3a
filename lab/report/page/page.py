"""The page of a run, or of two: one HTML file with everything in it, for somebody who was not there.

Nothing is loaded from anywhere: the scripts of Vega are part of the file. Whatever a config holds is shown as text. The
bytes depend on the runs and on the versions of these libraries alone.
"""

import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata

import altair
import jinja2
import xarray as xr
from markupsafe import Markup

from lab import decision
from lab.decision import Plan
from lab.machine import programs
from lab.report.observed import COST_WORDS, observed_json, unit, warnings
from lab.report.page import budgets, charts, courses, explorer, regimens, sweeps, verdict
from lab.report.page.comparison import comparison
from lab.report.page.grid import Grid, grid
from lab.report.page.names import place_words, words
from lab.report.page.table import tables
from lab.report.page.told import Told, told
from lab.report.readings import readings
from lab.report.tables import as_json, graded, stopping
from lab.results.outcomes import is_observed, models_each
from lab.results.store import StoreError
from lab.words import Json, percent, setting


def page(results: xr.Dataset, manifest: Json, other: tuple[xr.Dataset, Json] | None = None) -> str:
    """Return the page as HTML.

    Args:
        results: what `lab.results.shards.results` returned, with all checkpoints.
        manifest: of the run.
        other: the same of a run that is compared with it.

    Raises:
        ValueError: the two runs have nothing in common that could be compared.
    """
    with ThreadPoolExecutor(1) as pool:
        vega = pool.submit(_vega)
        return _rendered([told(results, manifest), *([told(*other, suffix="-2")] if other else [])], vega)


def _rendered(runs: Sequence[Told], vega: Future[str]) -> str:
    """Return the page of a run, or of two."""
    compared = comparison(*runs) if len(runs) == 2 else None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab.report.page", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        runs=[_section(run, called) for run, called in zip(runs, compared["names"] if compared else [""], strict=True)],
        compared=compared,
        setting=setting,
        style=Markup(_source("page.css")),
        script=Markup(_source("page.js")),
        vega=Markup(vega.result()),
    )


def _source(name: str) -> str:
    """Return a file beside this one: what it says is the lab's own, so nothing in it is escaped."""
    text, _, _ = jinja2.PackageLoader("lab.report.page", ".").get_source(jinja2.Environment(), name)
    return text


def _section(run: Told, called: str) -> Json:
    """Return what the page says of one run; it is called by its name where there are two."""
    tail = f" ({called})" if called else ""
    results, rows = run.results, run.rows
    plans, unplanned = _plans(run)
    verdicts = verdict.verdicts(plans, rows, run.names) if plans else []
    about = observed_json(results) if is_observed(results) else None
    most, differ = models_each(results)
    drawn = [*_chosen_charts(run, plans), *_charts(run)]
    # the explorer moves marks from 0 to 1 and counts every row as a run; tables have scales of their own
    table = Grid((), (), (), (), ()) if about else grid(results, rows)
    if table.conditions:
        drawn.append(_explorer(run, table, verdicts))
    return {
        **({"manifest": run.manifest} if about else _origin(run.manifest)),
        "suffix": run.suffix,
        "called": called,
        "tail": tail,
        "about": about,
        "cost_words": COST_WORDS,
        "warnings": warnings(rows),
        "run": results.attrs,
        "checkpoints": results.sizes["checkpoint"],
        "seeds": most,
        "unequal": differ,
        "unit": unit(results),
        "conditions": len(rows),
        "has_cost": rows[0].cost is not None,
        "level": percent(rows[0].confidence),
        "finding": verdict.finding(plans, rows, run.names) if plans else [],
        "swept": sweeps.sweep_words(rows, axes, _place_of_best(run, plans)) if (axes := sweeps.axes_of(rows)) else [],
        "verdicts": verdicts,
        "unplanned": unplanned,
        "regimens": regimens.regimen_rows(rows),
        "baseline": words(results.attrs["baseline"]),
        "readings": readings(rows),
        "stopping": stopping(results),
        "graded": graded(results),
        "left_out": [run.names.full[name] for name in table.left_out],
        "charts": {
            chart["kind"]: {**chart, "place": chart["kind"] + run.suffix, "label": chart["label"] + tail}
            for chart in drawn
        },
        "tables": tables(rows, run.names),
        "data": as_json(run.last, rows),
        "changes": run.manifest.get("changes", []),
    }


def _origin(manifest: Json) -> Json:
    """Return what the page says of how a run was trained here."""
    config = manifest["config"]
    return {
        "source": manifest["source"],
        "task": regimens.task_words(config),
        "config": json.dumps(config, indent=1, ensure_ascii=False),
        "identity": manifest["identity"],
        "block_width": manifest["block_width"],
        "first_seed": manifest["seeds"]["first"],
        "trusts_code": "file" in config["task"] if isinstance(config["task"], dict) else False,
    }


def _plans(run: Told) -> tuple[list[Plan], str]:
    """Return the plan of each world, and why there is none where there cannot be."""
    try:
        return decision.plan(run.last, budgets.runs_looked_at(len(run.rows))), ""
    except ValueError as error:
        return [], str(error)


def _chart(
    kind: str, label: str, specification: Json, lists: Sequence[Json] = (), responsive: Sequence[Json] = ()
) -> Json:
    """Return a chart as the template has it.

    Args:
        kind: what it is named by on the page.
        label: what it shows, for a reader who does not see it.
        specification: in Vega-Lite.
        lists: that a reader chooses by, each with a key, a name and options.
        responsive: changes to the specification in Vega.
    """
    return {"kind": kind, "label": label, "specification": specification, "lists": lists, "patch": list(responsive)}


def _charts(run: Told) -> list[Json]:
    """Return the charts of all conditions."""
    drawn = [
        _chart(
            "outcomes",
            "Outcomes of each condition as shares of its models.",
            charts.outcomes_chart(run.rows, run.names),
        )
    ]
    if changes := charts.impact_chart(run.rows, run.names):
        drawn.append(_chart("impacts", "Log impact of each condition over its baseline.", changes))
    return drawn


def _chosen_charts(run: Told, plans: Sequence[Plan]) -> list[Json]:
    """Return the charts of budgets and of the sweep, which show at first what the best condition is."""
    drawn, rows = [], run.rows
    if plans and len({row.name for row in rows}) > 1:
        worlds = [
            {"value": index, "text": place_words(plan.world), "chosen": index == 0} for index, plan in enumerate(plans)
        ]
        lists = [{"key": "world", "name": "world", "options": worlds}] if len(plans) > 1 else []
        drawn.append(
            _chart(
                "budget",
                "How often an accepted model is aligned, over the number of training runs allowed.",
                budgets.budget_chart(plans, rows, run.names),
                lists,
            )
        )
    axes, at = sweeps.axes_of(rows), _place_of_best(run, plans)
    if not axes:
        return drawn
    options = sweeps.axis_options(axes, at)
    along = {"key": "x_axis", "name": "along", "options": _axis_names(axes, 0)}
    lists = [along, *options] if len(axes) > 1 else []
    for quantity, (title, meaning) in sweeps.PANELS.items():
        if any(sweeps.estimate_of(row, quantity) for row in rows):
            chart = sweeps.sweep_chart(rows, quantity, axes, at)
            drawn.append(_chart(f"sweep-{quantity}", f"{title}, {meaning}, along an axis of the sweep.", chart, lists))
            lists = []
    if mapped := sweeps.mapped(rows, axes):
        regimen = {"key": "regimen", "name": "regimen", "options": _options({name: words(name) for name in mapped})}
        lists = [
            *([regimen] if len(mapped) > 1 else []),
            {"key": "quantity", "name": "show", "options": _options(sweeps.MAPPED)},
            {"key": "x_axis", "name": "across", "options": _axis_names(axes, 0)},
            {"key": "y_axis", "name": "up", "options": _axis_names(axes, 1)},
            *(options if len(axes) > 2 else []),
        ]
        drawn.append(
            _chart(
                "map",
                "Map of a quantity over two axes of the sweep.",
                sweeps.map_chart(rows, axes, at, mapped[0]),
                lists,
                sweeps.map_height(axes),
            )
        )
    return drawn


def _place_of_best(run: Told, plans: Sequence[Plan]) -> dict[str, float]:
    """Return where in the sweep the condition is that is best for one run, or the last one where nobody knows."""
    best = next((name for plan in plans for name in plan.changes[0][1]), run.rows[-1].name)
    return next(row for row in run.rows if row.name == best).coordinates


def _options(texts: Json) -> list[Json]:
    """Return value -> text as options of a list, the first one chosen."""
    return [{"value": value, "text": text, "chosen": index == 0} for index, (value, text) in enumerate(texts.items())]


def _axis_names(axes: Json, chosen: int) -> list[Json]:
    """Return the axes of the sweep as options of a list."""
    return [{"value": f"c{index}", "text": words(axis), "chosen": index == chosen} for index, axis in enumerate(axes)]


def _explorer(run: Told, table: Grid, verdicts: Sequence[Json]) -> Json:
    """Return the explorable chart; at first it shows the best condition for ten runs beside its baseline."""
    results, names = run.results, run.names.full
    by_name = {row.name: row for row in run.rows}
    budgets = verdicts[0]["budgets"] if verdicts else []
    wanted = budgets[-2]["condition"] if budgets else None
    first = next(name for name in (wanted, *table.conditions) if name in table.conditions)
    if by_name[first].baseline is None:  # the best is the baseline itself: show what comes next beside it
        first = next((name for name in table.conditions if by_name[name].baseline == first), first)
    second = by_name[first].baseline
    beside = table.conditions.index(second) if second in table.conditions else 0
    mark = table.marks.index(results.attrs["thresholds"][results.attrs["proxy"]])
    chosen = explorer.Choice(table.conditions.index(first), beside, len(table.checkpoints) - 1, mark)
    shares = courses.shares(results)
    through = {score: (shares[score], courses.seeds(results, score)) for score in shares}
    return _chart(
        "explore",
        "Counts and rates of two chosen conditions at a chosen checkpoint and pass mark.",
        explorer.explorer(table, run.rows, names, through, chosen),
        explorer.lists(table, names, chosen, mark),
        explorer.RESPONSIVE,
    )


@functools.cache
def _vega() -> str:
    """Return one script with Vega, Vega-Lite and what shows them, of the version that altair writes.

    A process of its own bundles it, while this one goes on, and what it made is kept (`lab.machine.programs`). V8
    reserves address space too, and dies where it cannot have it.

    Raises:
        StoreError: there is too little address space.
    """
    version = ".".join(altair.VEGALITE_VERSION.split(".")[:2])
    key = f"scripts of Vega-Lite {version}, bundled by vl-convert {metadata.version('vl-convert-python')}"
    if (kept := programs.load(key)) is not None:
        return kept.decode()
    code = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle(vl_version=sys.argv[1]))"
    ended = subprocess.run([sys.executable, "-c", code, version], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StoreError("the page takes more address space than this process may have: raise its limit (ulimit -v)")
    script = ended.stdout.replace("</script", "<\\/script")
    programs.save(key, script.encode())
    return script
