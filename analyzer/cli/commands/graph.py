"""cranalyze graph: the reference graph as a file for Gephi, yEd, Graphviz, networkx."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from analyzer.cli import options as opt
from analyzer.cli.arguments import newest_snapshot, parse_kinds
from analyzer.cli.desk import Desk, to_file
from analyzer.cli.output import note, speak_utf8
from analyzer.cli.parameters import Option
from analyzer.cli.target import Target
from analyzer.cli.work import write
from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from analyzer.graph.build import Plan

EXAMPLES: Final = (
    "cranalyze graph -o leak.graphml",
    "cranalyze graph leak.crz --format dot | dot -Tsvg > leak.svg",
    "cranalyze graph host.crz --scope host -o host.gexf",
)


class Scope(StrEnum):
    """How much of the snapshot is in the graph; the values of `analyzer.graph.build.Scope`."""

    BORDER = "border"
    SUBTREE = "subtree"
    HOST = "host"


class Form(StrEnum):
    """The formats, by their suffix; the keys of `analyzer.writers.graph_files.FORMATS`."""

    GRAPHML = "graphml"
    GEXF = "gexf"
    DOT = "dot"
    JSON = "json"


HowMuch = Annotated[
    Scope,
    Option(
        "--scope", help="What leaks and all that leads to it, the whole subtree, or everything."
    ),
]
Format = Annotated[
    Form | None,
    Option("--format", help="The format. [default: what -o ends in]", show_default=False),
]


def run(
    file: opt.SnapshotFile = None,
    *,
    pid: opt.OtherPid = None,
    rules: opt.Rules = opt.RuleSet.MODERN,
    scope: HowMuch = Scope.BORDER,
    ignore: opt.IgnoreKinds = None,
    form: Format = None,
    output: opt.Output = None,
    force: opt.Force = False,
) -> None:
    """Write the reference graph of a snapshot: who holds what.

    GraphML (yEd, Gephi, networkx), GEXF (Gephi), DOT (Graphviz) or node-link
    JSON. Tasks and objects are nodes, counted references edges; what crosses
    the border uncounted is an edge whose attribute counted is false. With
    --scope host a snapshot of the whole machine needs no --pid.
    """
    from analyzer.core import extras, files

    extras.need("graph", "networkx", "pyarrow")
    chosen = form or _form_of(output)
    if output not in {None, "-"}:
        files.refuse_target(str(output), force=force)
    target = Target.parse(pid, of_dump=True)
    ignored = parse_kinds(ignore, "--ignore")
    name = file or newest_snapshot()
    with Desk([name], to_file(output, force=force)) as desk:
        from analyzer.graph import build as network
        from analyzer.report.wording import many
        from analyzer.writers import graph_files

        snapshot = desk.load(name)
        if pid is not None or scope is not Scope.HOST:
            snapshot = target.of(snapshot)
        plan = network.plan(snapshot, scope=scope, rules=rules, ignore=ignored, relations=True)
        for line in _notes(plan):
            note(f"cranalyze: {line}")
        built = plan.build()
        speak_utf8()
        nodes, edges = built.number_of_nodes(), built.number_of_edges()
        told = f"a graph of {many(nodes, 'node')} and {many(edges, 'edge')}"
        write(graph_files.render(built, chosen), output, told, desk)


def _form_of(output: str | None) -> Form:
    """Return the format that a file's name asks for."""
    known = ", ".join(f".{form}" for form in Form)
    if output in {None, "-"}:
        raise BadInputError(f"say the --format, or name a file (-o) that ends in {known}")
    suffix = os.path.splitext(str(output))[1].removeprefix(".").lower()
    if suffix not in tuple(Form):
        raise BadInputError(f"{output}: a graph file ends in {known}; or say the --format")
    return Form(suffix)


def _notes(plan: Plan) -> list[str]:
    """Say what a reader of the file should know first: its cost, and why it is empty or crowded."""
    from analyzer.graph import build as network

    said = [f"{plan.cost}, and as much again to write it"] if plan.cost.high else []
    kept = plan.snapshot.meta["scope"]
    if plan.scope == network.Scope.HOST and kept != "host":
        said.append("the snapshot is a border: the graph has what it kept, not the whole host")
    if plan.scope == network.Scope.BORDER and not len(plan.objects):
        said.append("nothing leaks: the graph has the tasks of the subtree, and no object")
    hosts = network.hosts_own(plan)
    if hosts:
        said.append(
            f"the host's own {', '.join(hosts)}: what leads to them is in the graph too, "
            f"unless --ignore {','.join(hosts)}"
        )
    return said
