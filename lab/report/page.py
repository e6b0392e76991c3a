"""The page of a run: one HTML file with everything in it, for somebody who was not there.

Nothing is loaded from anywhere: the scripts of Vega and DataTables are part of the file. Whatever a config holds is
shown as text. The bytes depend on the run and on the versions of these libraries alone.
"""

import json
import math
import resource
import subprocess
import sys

import altair
import itables
import jinja2
import pandas as pd
import vl_convert
from itables.javascript import generate_init_offline_itables_html
from markupsafe import Markup

from lab import decision
from lab.report import charts, courses, explorer, verdict
from lab.report.grid import grid
from lab.report.run import readings, stopping
from lab.results import summary
from lab.results.store import StoreError
from lab.words import percent, setting, with_interval

COLUMNS = {
    "P(A)": "base_rate",
    "P(T|A)": "pass_given_aligned",
    "P(T|not A)": "pass_given_misaligned",
    "LR": "likelihood_ratio",
    "o(A)": "prior_odds",
    "o(A|T)": "posterior_odds",
    "runs": "expected_runs",
}
IMPACTS = {"base rate (nats)": "base_rate", "test (nats)": "likelihood_ratio", "net (nats)": "net"}
UNABLE = ("incompetent", "diverged", "unjudged")


def page(results, manifest):
    """Return the page as HTML.

    Args:
        results: what `lab.results.shards.results` returned, with all checkpoints.
        manifest: of the run.
    """
    last = results.isel(checkpoint=slice(-1, None))
    rows = summary.summarise(last)
    verdicts, unplanned = _verdicts(last, rows)
    table = grid(results, rows)
    specifications = {"outcomes": charts.outcomes_chart(rows)}
    if impacts := verdict.impacts(rows):
        specifications["impacts"] = charts.impact_chart(impacts, results.sizes["seed"])
    if table.conditions:
        specifications["explore"] = _explorer(results, rows, table, verdicts)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    config = manifest["config"]
    return environment.get_template("page.html").render(
        run=results.attrs,
        checkpoints=results.sizes["checkpoint"],
        seeds=results.sizes["seed"],
        unequal="trained" in results.coords,
        rows=rows,
        level=percent(rows[0].confidence),
        setting=setting,
        verdicts=verdicts,
        unplanned=unplanned,
        readings=readings(rows),
        stopping=stopping(results),
        left_out=table.left_out,
        specifications=specifications,
        options={"renderer": "svg", "actions": False},
        responsive={"explore": explorer.RESPONSIVE},
        vega=Markup(_vega()),
        datatables=Markup(generate_init_offline_itables_html(itables.options.dt_bundle)),
        table=Markup(_table(rows)),
        source=manifest["source"],
        config=json.dumps(config, indent=1, ensure_ascii=False),
        identity=manifest["identity"],
        block_width=manifest["block_width"],
        first_seed=manifest["seeds"]["first"],
        changes=manifest["changes"],
        trusts_code="file" in config["task"] if isinstance(config["task"], dict) else False,
    )


def _verdicts(last, rows):
    """Return the verdict of each world, and why there is none where there cannot be."""
    try:
        return verdict.verdicts(decision.plan(last, verdict.BUDGETS), rows), ""
    except ValueError as error:
        return [], str(error)


def _explorer(results, rows, table, verdicts):
    """Return the explorable chart; at first it shows the best condition for ten runs beside its baseline."""
    by_name = {row.name: row for row in rows}
    budgets = verdicts[0]["budgets"] if verdicts else []
    wanted = budgets[-2]["condition"] if budgets else None
    first = next(name for name in (wanted, *table.conditions) if name in table.conditions)
    if by_name[first].baseline is None:  # the best is the baseline itself: show what comes next beside it
        first = next((name for name in table.conditions if by_name[name].baseline == first), first)
    second = by_name[first].baseline
    chosen = [table.conditions.index(name) if name in table.conditions else 0 for name in (first, second)]
    proxy = results.attrs["proxy"]
    scores = dict.fromkeys(("alignment", proxy))
    through = {score: (courses.bands(results, score), courses.histograms(results, score)) for score in scores}
    own = table.marks.index(results.attrs["thresholds"][proxy])
    return explorer.explorer(table, rows, through, chosen, own, "#choose")


def _vega():
    """Return one script with Vega, Vega-Lite and what shows them, of the version that altair writes."""
    version = ".".join(altair.VEGALITE_VERSION.split(".")[:2])
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    script = vl_convert.javascript_bundle(vl_version=version) if limit == resource.RLIM_INFINITY else _bundle(version)
    return script.replace("</script", "<\\/script")


def _bundle(version: str) -> str:
    """Return the script from a process of its own: V8 reserves address space, and dies where it cannot have it."""
    code = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle(vl_version=sys.argv[1]))"
    ended = subprocess.run([sys.executable, "-c", code, version], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StoreError("the page takes more address space than this process may have: raise its limit (ulimit -v)")
    return ended.stdout


def _table(rows):
    """Return the sortable table of all conditions; columns of words are sorted by hidden ones of numbers."""
    unable = [kind for kind in UNABLE if any(getattr(row.counts, kind) for row in rows)]
    shown = {"condition": [row.name for row in rows]}
    shown |= {text: [getattr(row.counts, cell) for row in rows] for cell, text in explorer.CELLS.items()}
    shown |= {kind: [getattr(row.counts, kind) for row in rows] for kind in unable}
    estimates = {text: [row.estimates[quantity] for row in rows] for text, quantity in COLUMNS.items()}
    if any(row.impact for row in rows):
        estimates |= {
            text: [getattr(row.impact, part) if row.impact else None for row in rows] for text, part in IMPACTS.items()
        }
    if any(row.compute for row in rows):
        estimates["trainings"] = [row.compute for row in rows]
    words = {
        text: ["baseline" if own is None else with_interval(own) for own in column]
        for text, column in estimates.items()
    }
    keys = {f"{text} sorted": [_key(own) for own in column] for text, column in estimates.items()}
    first, hidden = len(shown), len(shown) + len(words)
    definitions = [{"targets": first + index, "orderData": hidden + index} for index in range(len(words))]
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


def _key(estimate):
    """Return the number to sort by: an undefined value comes below all others, the baseline's net of 0 is 0."""
    if estimate is None:
        return 0.0
    return -math.inf if math.isnan(estimate.value) else float(estimate.value)
