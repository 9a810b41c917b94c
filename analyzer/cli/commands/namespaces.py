"""cranalyze namespaces: all namespaces of the machine, and what keeps those without a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.cli import listed
from analyzer.cli import options as opt
from analyzer.cli.output import coloured, columns, emit
from analyzer.cli.selection import encoding
from analyzer.cli.work import machine

if TYPE_CHECKING:
    from analyzer.lookup.namespaces import Namespace

EXAMPLES: Final = (
    "sudo cranalyze namespaces",
    "sudo cranalyze namespaces -t net,user --tree",
    "sudo cranalyze namespaces -Q 'NPROCS == 0' -o NS,TYPE,KEPT",
    "sudo cranalyze namespaces --json",
)


def run(  # noqa: PLR0913 - an option each
    *,
    types: opt.NamespaceTypes = None,
    tree: opt.OwnerTree = False,
    parents: opt.ParentTree = False,
    columns_: opt.NamespaceColumns = None,
    noheadings: opt.NoHeadings = False,
    list_columns: opt.ColumnsOfNamespaces = False,
    filter_: opt.FilterThings = None,
    json: opt.AsJson = False,
    from_: opt.FromFile = None,
    proc: opt.ProcRoot = None,
) -> None:
    """List all namespaces of the machine, and what keeps each.

    As lsns(8) does, and beyond: also those that no process leads to, with what holds each: a bind
    mount (in which mount namespace), a descriptor (of whom), a child, a socket, a message in
    flight. An initial namespace is the host's own.
    """
    del list_columns
    from analyzer.lookup import namespaces as asking
    from analyzer.lookup.recorded import told_of
    from analyzer.report.make import gaps_of
    from analyzer.sources.request import Request
    from analyzer.writers import namespaces as writer

    view = listed.chosen(
        asking.FIELDS, asking.USUAL, columns_, filter_, noheadings=noheadings, tree=tree or parents
    )
    wanted = listed.namespace_types(types)
    request = Request(None, wanted=asking.wanted, detailed=True, related=(), enough=asking.settled)
    snapshot = machine(from_, proc, request, quiet=json)
    spaces: tuple[Namespace, ...] = asking.every(snapshot)
    spaces = tuple(one for one in spaces if not wanted or one.type in wanted)
    spaces = view.kept(spaces)
    if view.columns:
        emit(view.table(spaces, "namespaces", json=json))
        return
    gaps = gaps_of(snapshot)
    if json:
        emit(writer.to_json(spaces, gaps))
        return
    branches = asking.tree(spaces, by_parent=parents) if tree or parents else asking.flat(spaces)
    text = writer.to_text(
        branches,
        gaps,
        columns(),
        colour=coloured(),
        about=told_of(snapshot),
        encoding=encoding(stdout=True),
    )
    emit(text)
