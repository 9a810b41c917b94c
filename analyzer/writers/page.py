"""The page: a report as one HTML file that needs nothing else, to look at, keep and send around.

`render` gives the whole file. It is a table first, made here and readable without scripts, with
every object's holders and a static picture below; scripts add sorting, filters, and the graph,
drawn by cytoscape.js at the coordinates of `scene`. Nothing is loaded from anywhere: the page's own
policy forbids it, and allows only the very scripts and styles that are in it, by their hashes. So
it can be opened from a file, served, or be the `srcdoc` of a sandboxed frame.

No template engine makes it: `check --html` works on the core installation, and what escapes is one
function (`page_parts.text`), through which every name goes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Verdict
from analyzer.report.grouping import fitting
from analyzer.report.make import whole
from analyzer.report.wording import number, plural
from analyzer.scene.scene import MOST_DRAWN, parts, scenes
from analyzer.writers import page_data, page_parts, page_table, svg
from analyzer.writers.page_parts import text
from analyzer.writers.page_table import MOST_ROWS
from analyzer.writers.terminal import headline

if TYPE_CHECKING:
    from analyzer.report.value import Report, ReportObject

# What cytoscape.js would add to the page itself, were it not there already.
_CONTAINER: Final = ".__________cytoscape_container{position:relative}"
_EARLY: Final = 'document.documentElement.classList.add("js")'
_EMPTY: Final = '<p class="hint">Nothing to draw.</p>'
_DETAIL: Final = (
    '<section id="detail" aria-labelledby="detail-title" tabindex="0">'
    '<h2 id="detail-title">The chosen object</h2><div id="chosen"><p class="hint">'
    "Choose a row of the table or a node of the graph.</p></div></section>"
)
_MOST_PRINTED: Final = 240  # nodes and edges of the static picture


def render(report: Report) -> str:
    """Return the page as HTML, valid UTF-8; objects that the report leaves out are on it too."""
    report = whole(report)
    objects = _ordered(report)
    listed = fitting(objects, report.groups, MOST_ROWS)
    made = parts(report)
    drawn, still = scenes(made, (MOST_DRAWN, _MOST_PRINTED))
    answer = headline(report)
    style = svg.colours() + asset("page.css")
    pieces = {
        "title": text(f"{answer}: pid {report.subject.pid} on {report.subject.host}"),
        "subject": page_parts.subject_line(report),
        "headline": page_parts.status_mark(report) + text(answer),
        "dump": page_parts.dump(report),
        "next": page_parts.next_step(report),
        "findings": page_parts.findings(report),
        "numbers": page_parts.numbers(report),
        "crossings": page_parts.crossings(report),
        "criu": page_parts.preflight(report),
        "count": f"{number(len(listed))} {plural(len(listed), 'object')}",
        "filters": page_table.filters(listed, report.crossings),
        "table": page_table.table(listed),
        "cut": page_table.cut(report, listed),
        "picture": svg.render(still, f"Who holds what: {answer}") if still.nodes else _EMPTY,
        "legend": page_parts.legend(
            map(svg.look_of, drawn.nodes), folds=any(node.members for node in drawn.nodes)
        ),
        "detail": _DETAIL if listed else "",
        "details": page_table.details(listed),
        "unseen": page_parts.unseen(report),
        "reading": page_parts.reading(),
        "messages": page_parts.messages(listed),
        "facts": page_parts.facts(report),
        "made": page_parts.made(),
        "sprite": svg.sprite(),
        "data": page_data.island(drawn, made, listed),
        "style": style,
        "container": _CONTAINER,
        "early": _EARLY,
        "cytoscape": asset("cytoscape.min.js"),
        "script": asset("page.js"),
    }
    return Template(asset("page.html")).substitute(pieces, policy=policy(pieces))


def _ordered(report: Report) -> list[ReportObject]:
    """Return the objects worst first, those of one verdict as the report bundles them."""
    worst = list(Verdict)
    bundle = {e.objref: rank for rank, group in enumerate(report.groups) for e in group.objects}
    return sorted(report.objects, key=lambda e: (worst.index(e.verdict), bundle[e.objref]))


def policy(pieces: dict[str, str]) -> str:
    """Return the Content-Security-Policy: these scripts and styles, and nothing else."""
    scripts = " ".join(map(_hash, (pieces["early"], pieces["cytoscape"], pieces["script"])))
    styles = " ".join(map(_hash, (pieces["style"], pieces["container"])))
    return _policy(f"script-src {scripts}", f"style-src {styles}")


def static_policy(style: str) -> str:
    """Return that of a page without scripts: this style, and nothing else."""
    return _policy(f"style-src {_hash(style)}")


def _policy(*allowed: str) -> str:
    return "; ".join(("default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"))


@cache
def asset(name: str) -> str:
    """Return the text of a file of `analyzer/assets`."""
    return (files("analyzer") / "assets" / name).read_text("utf-8")


@cache
def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
