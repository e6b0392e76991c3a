"""The page of a run: one HTML file with everything in it, for somebody who was not there.

Nothing is loaded from anywhere: the scripts of Vega and DataTables are part of the file. Whatever a config holds is
shown as text. The bytes depend on the run and on the versions of these libraries alone.
"""

import json
import math
import resource
import subprocess
import sys
from collections.abc import Sequence

import altair
import itables
import jinja2
import pandas as pd
import vl_convert
import xarray as xr
from itables.javascript import generate_init_offline_itables_html
from markupsafe import Markup

from lab import decision
from lab.report.observed import COST_WORDS, observed_json, unit, warnings
from lab.report.page import charts, courses, explorer, verdict
from lab.report.page.grid import Grid, grid
from lab.report.tables import graded, readings, stopping
from lab.results import summary
from lab.results.outcomes import is_observed, models_each
from lab.results.store import StoreError
from lab.results.summary import Summary
from lab.statistics import PARTS, QUANTITIES, Estimate
from lab.words import Json, percent, setting, with_interval

COLUMNS = (
    "base_rate",
    "pass_given_aligned",
    "pass_given_misaligned",
    "likelihood_ratio",
    "prior_odds",
    "posterior_odds",
    "expected_runs",
)
IMPACTS = ("base_rate", "likelihood_ratio", "net")
UNABLE = ("incompetent", "diverged", "unjudged")


def page(results: xr.Dataset, manifest: Json) -> str:
    """Return the page as HTML.

    Args:
        results: what `lab.results.shards.results` returned, with all checkpoints.
        manifest: of the run.
    """
    last = results.isel(checkpoint=slice(-1, None))
    rows = summary.summarise(last)
    verdicts, unplanned = _verdicts(last, rows)
    about = observed_json(results) if is_observed(results) else None
    # the explorer moves marks from 0 to 1 and counts every row as a run; tables have scales of their own
    table = Grid((), (), (), (), ()) if about else grid(results, rows)
    specifications = {"outcomes": charts.outcomes_chart(rows)}
    if impacts := charts.impacts(rows):
        specifications["impacts"] = charts.impact_chart(impacts, results.sizes["seed"])
    if table.conditions:
        specifications["explore"] = _explorer(results, rows, table, verdicts)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab.report.page", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    origin = {"manifest": manifest} if about else _origin(manifest)
    most, differ = models_each(results)
    return environment.get_template("page.html").render(
        **origin,
        about=about,
        cost_words=COST_WORDS,
        warnings=warnings(rows),
        run=results.attrs,
        checkpoints=results.sizes["checkpoint"],
        seeds=most,
        unequal=differ,
        unit=unit(results),
        rows=rows,
        level=percent(rows[0].confidence),
        setting=setting,
        verdicts=verdicts,
        unplanned=unplanned,
        readings=readings(rows),
        stopping=stopping(results),
        graded=graded(results),
        left_out=table.left_out,
        specifications=specifications,
        options={"renderer": "svg", "actions": False},
        responsive={"explore": explorer.RESPONSIVE},
        vega=Markup(_vega()),
        datatables=Markup(generate_init_offline_itables_html(itables.options.dt_bundle)),
        table=Markup(_table(rows)),
        changes=manifest.get("changes", []),
    )


def _origin(manifest: Json) -> Json:
    """Return what the page says of how a run was trained here."""
    config = manifest["config"]
    return {
        "source": manifest["source"],
        "config": json.dumps(config, indent=1, ensure_ascii=False),
        "identity": manifest["identity"],
        "block_width": manifest["block_width"],
        "first_seed": manifest["seeds"]["first"],
        "trusts_code": "file" in config["task"] if isinstance(config["task"], dict) else False,
    }


def _verdicts(last: xr.Dataset, rows: Sequence[Summary]) -> tuple[list[Json], str]:
    """Return the verdict of each world, and why there is none where there cannot be."""
    try:
        return verdict.verdicts(decision.plan(last, verdict.BUDGETS), rows), ""
    except ValueError as error:
        return [], str(error)


def _explorer(results: xr.Dataset, rows: Sequence[Summary], table: Grid, verdicts: Sequence[Json]) -> Json:
    """Return the explorable chart; at first it shows the best condition for ten runs beside its baseline."""
    by_name = {row.name: row for row in rows}
    budgets = verdicts[0]["budgets"] if verdicts else []
    wanted = budgets[-2]["condition"] if budgets else None
    first = next(name for name in (wanted, *table.conditions) if name in table.conditions)
    if by_name[first].baseline is None:  # the best is the baseline itself: show what comes next beside it
        first = next((name for name in table.conditions if by_name[name].baseline == first), first)
    second = by_name[first].baseline
    chosen = table.conditions.index(first), table.conditions.index(second) if second in table.conditions else 0
    proxy = results.attrs["proxy"]
    scores = dict.fromkeys(("alignment", proxy))
    through = {score: (courses.bands(results, score), courses.histograms(results, score)) for score in scores}
    mark = table.marks.index(results.attrs["thresholds"][proxy])
    return explorer.explorer(table, rows, through, chosen, mark, "#choose")


def _vega() -> str:
    """Return one script with Vega, Vega-Lite and what shows them, of the version that altair writes."""
    version = ".".join(altair.VEGALITE_VERSION.split(".")[:2])
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        return _bundle(version).replace("</script", "<\\/script")
    # its stub lacks the default of what comes first
    script = vl_convert.javascript_bundle(vl_version=version)  # pyright: ignore[reportCallIssue]
    return script.replace("</script", "<\\/script")


def _bundle(version: str) -> str:
    """Return the script from a process of its own: V8 reserves address space, and dies where it cannot have it."""
    code = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle(vl_version=sys.argv[1]))"
    ended = subprocess.run([sys.executable, "-c", code, version], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StoreError("the page takes more address space than this process may have: raise its limit (ulimit -v)")
    return ended.stdout


def _estimates(rows: Sequence[Summary]) -> dict[str, list[Estimate | None]]:
    """Return the estimates of every condition by the heading of their column; a baseline has no impacts."""
    columns: dict[str, list[Estimate | None]] = {
        QUANTITIES[quantity].heading: [row.estimates[quantity] for row in rows] for quantity in COLUMNS
    }
    if any(row.impact for row in rows):
        columns |= {PARTS[part].heading: [row.impact and getattr(row.impact, part) for row in rows] for part in IMPACTS}
    if any(row.compute for row in rows):
        columns["trainings"] = [row.compute for row in rows]
    if any(row.cost for row in rows):
        columns["cost"] = [row.cost for row in rows]
    return columns


def _table(rows: Sequence[Summary]) -> str:
    """Return the sortable table of all conditions; columns of words are sorted by hidden ones of numbers."""
    unable = [kind for kind in UNABLE if any(getattr(row.counts, kind) for row in rows)]
    shown = {"condition": [row.name for row in rows]}
    shown |= {text: [getattr(row.counts, cell) for row in rows] for cell, text in explorer.CELLS.items()}
    shown |= {kind: [getattr(row.counts, kind) for row in rows] for kind in unable}
    estimates = _estimates(rows)
    words = {
        text: ["baseline" if estimate is None else with_interval(estimate) for estimate in column]
        for text, column in estimates.items()
    }
    keys = {f"{text} sorted": [_key(estimate) for estimate in column] for text, column in estimates.items()}
    first, hidden = len(shown), len(shown) + len(words)
    definitions: list[Json] = [{"targets": first + index, "orderData": hidden + index} for index in range(len(words))]
    definitions.append({"targets": list(range(hidden, hidden + len(keys))), "visible": False})
    return itables.to_html_datatable(
        pd.DataFrame({**shown, **words, **keys}),
        connected=False,
        table_id="conditions",
        columnDefs=definitions,
        showIndex=False,
        allow_html=False,
        display_logo_when_loading=False,
        format_floats_in_python=False,
        maxBytes=0,
        maxColumns=0,
        paging=False,
        scrollX=True,
        scrollY="32em",
        scrollCollapse=True,
        layout={"topStart": "search", "topEnd": None, "bottomStart": "info", "bottomEnd": None},
        text_in_header_can_be_selected=False,
    )


def _key(estimate: Estimate | None) -> float:
    """Return the number to sort by: an undefined value comes below all others, the baseline's net of 0 is 0."""
    if estimate is None:
        return 0.0
    return -math.inf if math.isnan(estimate.value) else float(estimate.value)
