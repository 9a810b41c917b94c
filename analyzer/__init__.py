"""cranalyze: which kernel objects of a process subtree are referenced from outside it.

    import analyzer

    snapshot = analyzer.collect(4711)       # read it (root, for the kernel's own refcounts)
    snapshot.save("4711.crz")
    snapshot = analyzer.load("4711.crz")
    report = analyzer.check(snapshot)       # users versus refcount
    report.status, report.summary.usage_leak
    snapshot.objects                        # pandas; so .tasks, .references, .relations, ...
    answer = analyzer.who("4711:3")         # who still holds this, on the whole machine?
    print(answer); answer.holders           # as the command says it; a pandas frame
    print(analyzer.diff(snapshot, later))   # what is new, gone and changed between two
    graph = analyzer.graph(snapshot)        # networkx: who holds what (see analyzer.questions)
    analyzer.plot(report, "dumbbell")       # matplotlib: pictures (see analyzer.plots)

Importing this imports neither numpy nor pandas; the first call does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from analyzer.core.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import networkx as nx
    from matplotlib.axes import Axes

    from analyzer.changes.between import Changes
    from analyzer.core.model import Drawn, Kept, PlotName, RulesName, SourceName
    from analyzer.lookup.value import Answer
    from analyzer.report.value import Report
    from analyzer.snapshot.value import Snapshot

__all__ = [
    "Answer", "Changes", "Report", "Snapshot", "__version__", "check", "collect", "diff", "graph",
    "load", "plot", "who",
]  # fmt: skip

# The packages of these names come first, so that importing them later hides no function.
for _room in ("check", "graph"):
    importlib.import_module(f"analyzer.{_room}")


def collect(
    pid: int | str | None,
    *,
    source: SourceName = "auto",
    scope: Kept = "border",
    proc: str | os.PathLike[str] | None = None,
    freeze: bool = False,
    raw_addresses: bool = False,
) -> Snapshot:
    """Take a snapshot of the subtree of process `pid`; None is the whole machine.

    It may be named as on the command line ("podman:web", docs/subjects.md) in the place of a pid.
    `source` is "auto" (the kernel's memory where it can be read, else /proc), "kernel" or
    "procfs"; `proc` is a dumped /proc to read instead; `scope` is "border" (the subtree's objects
    and all that holds them) or "host" (everything). `freeze` stops the subtree while it is read.
    Kernel addresses are hashed unless `raw_addresses`.
    Raises BadInputError, NotPermittedError, TargetVanishedError.
    """
    from pathlib import Path

    from analyzer import sources
    from analyzer.cli.target import Target
    from analyzer.sources.request import Request

    target = Target.parse(None if pid is None else str(pid), of_dump=proc is not None)
    request = Request(target.pid, scope, freeze=freeze, label=target.label)
    return sources.collect(
        target.requested(request) if proc is None else target.in_dump(request),
        source=source,
        proc=None if proc is None else Path(proc),
        raw_addresses=raw_addresses,
    )


def load(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot file (``*.crz``); "-" is stdin. Raises BadInputError if it is not one."""
    from analyzer.snapshot import crz

    return crz.load(path)


def check(
    snapshot: Snapshot,
    pid: int | None = None,
    *,
    rules: RulesName = "modern",
    everything: bool = False,
    subtree: bool = False,
    strict: bool = False,
    references_only: bool = False,
) -> Report:
    """Check the subtree of `pid`, by default the one that the snapshot was taken of.

    `rules` is "modern", "linux-cr" or "seed". The report's `objects` are those that are not
    contained, or with `everything` all that were judged; with `subtree` leaks are advisory, with
    `strict` a container may have no namespace of the host's at all. With `references_only` nothing
    is said of what crosses the border without being counted (docs/relations.md).
    Raises BadInputError (for other rules too), TargetVanishedError; TypeError for no snapshot.
    """
    from analyzer.check.leaks import check as judge
    from analyzer.core.model import Rules
    from analyzer.report.make import checked_pid, make
    from analyzer.report.value import ReportOptions

    _require_snapshot(snapshot)
    verdicts = judge(snapshot, checked_pid(snapshot, pid), Rules(rules))
    options = ReportOptions(
        "check",
        everything,
        subtree=subtree,
        gate=True,
        strict=strict,
        references_only=references_only,
    )
    return make(snapshot, verdicts, options)


def diff(before: Snapshot | Report, after: Snapshot | Report) -> Changes:
    """Tell what is new, gone and changed from one snapshot to another (docs/changes.md).

    Of reports what they were checked with is kept, so that rules and policies are their own.
    `Changes.objects`, `.crossings` and `.growth` have all; in a notebook it shows itself.
    Raises BadInputError, TargetVanishedError.
    """
    from analyzer.changes.between import between
    from analyzer.report.make import whole
    from analyzer.snapshot.value import Snapshot as Taken

    made = [
        check(one, everything=True) if isinstance(one, Taken) else one for one in (before, after)
    ]
    return between(*map(whole, made))


def who(word: str, snapshot: Snapshot | None = None) -> Answer:
    """Tell who still holds a thing, named as `cranalyze who` names it (docs/who.md).

    This machine is asked, as it is now; or a `snapshot`, which knows only what it has (`unseen`).
    Raises BadInputError for what is no word, NotPermittedError where the kernel's memory cannot be
    read.
    """
    from analyzer.lookup import who as asking
    from analyzer.lookup.ask import machine

    query = asking.parse(word, recorded=snapshot is not None)
    return asking.answers(machine([query]) if snapshot is None else snapshot, [query])[0]


def graph(
    snapshot: Snapshot,
    pid: int | None = None,
    *,
    scope: Drawn = "border",
    rules: RulesName = "modern",
    ignore: Iterable[str] = (),
    relations: bool = False,
) -> nx.MultiDiGraph[str]:
    """Return the reference graph (see `analyzer.graph.build`): an edge a reference.

    `scope` is "border" (what is not contained, and all that leads to it), "subtree" (all that the
    subtree of `pid` holds, and all that leads to it) or "host" (the whole snapshot, for which a
    `pid` is not needed). Kinds to `ignore` bring nothing into the border. With `relations`, what is
    no counted reference is an edge too, its attribute `counted` False.
    A large graph warns first (`analyzer.graph.build.CostWarning`).
    Raises BadInputError, TargetVanishedError; TypeError for no snapshot.
    """
    import warnings

    from analyzer.graph.build import CostWarning, plan

    _require_snapshot(snapshot)
    planned = plan(snapshot, pid, scope=scope, rules=rules, ignore=ignore, relations=relations)
    if planned.cost.high:
        warnings.warn(str(planned.cost), CostWarning, stacklevel=2)
    return planned.build()


def plot(
    what: Report | Snapshot | Sequence[Report | Snapshot],
    kind: PlotName = "border",
    ax: Axes | None = None,
) -> Axes:
    """Draw a report, or a snapshot of which one is made (see `analyzer.plots`), with matplotlib.

    `kind` is "border", "dumbbell", "heatmap", "namespaces", "sets", or one that takes several:
    "life", and "diff" (two).
    Without `ax`, a new pyplot figure of the right size is made.
    Raises BadInputError, which lists the kinds, for another one; TargetVanishedError.
    """
    from collections.abc import Sequence as Several

    from analyzer import plots

    given = list(what) if isinstance(what, Several) else [what]
    return plots.draw(kind, given, ax)


def _require_snapshot(given: object) -> None:
    from analyzer.snapshot.value import Snapshot as Taken

    if not isinstance(given, Taken):  # a pid, or a file, as the command line takes them
        raise TypeError(f"{given!r} is no snapshot: take one by analyzer.collect() or load()")


if not TYPE_CHECKING:  # a type checker would take every misspelt name for one that is there

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
        homes = {
            "Answer": "lookup.value", "Changes": "changes.between", "Report": "report.value",
            "Snapshot": "snapshot.value",
        }  # fmt: skip
        if name in homes:
            return getattr(importlib.import_module(f"analyzer.{homes[name]}"), name)
        if name in {"containing", "questions"}:  # modules that people call by these short names
            return importlib.import_module(f"analyzer.graph.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
