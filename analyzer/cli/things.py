"""`cranalyze who --kind`, `--deleted`: all things of a sort, and the limits beside them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.cli import listed
from analyzer.cli.output import coloured, columns, emit
from analyzer.cli.work import machine, strangers
from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.core.text import SIZES
from analyzer.core.values import NamedTuple, replace

if TYPE_CHECKING:
    from analyzer.lookup.things import Question
    from analyzer.sources.request import Request

_SIZE: Final = pattern(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)\s*(|[KMGT](?:i?B)?)", re.IGNORECASE)


class Wish(NamedTuple):
    """What is listed and how, as the options say it."""

    columns: str | None
    filter: str | None
    noheadings: bool
    json: bool


def asked(
    kind: str | None,
    larger: str | None,
    columns_: str | None,
    filter_: str | None,
    *,
    deleted: bool,
    named: bool,
) -> bool:
    """Tell whether a list is asked for; BadInputError for what does not go together."""
    if kind is not None and deleted:
        raise BadInputError("--kind and --deleted: say one")
    if larger is not None and not deleted:
        raise BadInputError("--larger SIZE goes with --deleted")
    wanted = kind is not None or deleted
    if wanted and named:
        raise BadInputError("--kind and --deleted list things: name no object beside them")
    if not wanted and (columns_ is not None or filter_ is not None):
        raise BadInputError("-o and -Q go with --kind KIND or --deleted")
    if not wanted and not named:
        raise BadInputError("name an object, or list with --kind KIND or --deleted")
    return wanted


def size(text: str) -> int:
    """Return a number of bytes that was written as 10M, 1.5G, 4096; BadInputError for no size."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise BadInputError(f"--larger {text}: no size; write 4096, 10M, 1.5G")
    return int(float(found[1]) * SIZES.get(found[2].upper().replace("I", "i"), 1))


def tell(
    kind: str | None, larger: str | None, wish: Wish, file: str | None, proc: str | None
) -> None:
    """List the things of a kind (None: deleted files) of the whole machine, or of a file of it."""
    from analyzer.lookup import limits, things, unopened
    from analyzer.lookup.recorded import told_of
    from analyzer.lookup.sorts import DELETED, sort_of
    from analyzer.report.make import gaps_of
    from analyzer.writers import things as writer

    shown = listed.chosen(
        things.FIELDS, things.USUAL, wish.columns, wish.filter, noheadings=wish.noheadings
    )
    sort = DELETED if kind is None else sort_of(kind)
    every = wish.json or bool(shown.columns) or shown.filter is not None
    question = things.Question(
        sort,
        deleted=kind is None,
        larger=0 if larger is None else size(larger),
        most=None if every else writer.MOST_FOLDED,
    )
    now = not strangers(proc, file)
    if now:
        unopened.learn(sort)
    snapshot = machine(file, proc, _request(question), quiet=wish.json)
    found = question.answer(snapshot)
    found = found.only(shown.kept(found.things)) if shown.filter is not None else found
    if now:
        found = replace(found, notes=tuple(unopened.unopened(sort, question.numbers)))
    if shown.columns:
        emit(shown.table(found.things, "who", json=wish.json))
        return
    pids = frozenset(pid for total in found.processes for pid in total.pids)
    beside = limits.beside(sort.limits, snapshot, sort.kind, pids) if now else ()
    gaps = gaps_of(snapshot)
    if wish.json:
        emit(writer.to_json(found, beside, gaps))
    else:
        about = told_of(snapshot)
        emit(writer.to_text(found, beside, gaps, columns(), colour=coloured(), about=about))


def _request(question: Question) -> Request:
    from analyzer.relations import leading_to
    from analyzer.sources.request import Request

    return Request(
        None,
        wanted=question.wanted,
        detailed=True,
        stated=question.stated,
        related=leading_to(question.sort.kind),
        limits=True,
    )
