"""What a snapshot from a file must fulfil before anything is computed from it.

The check indexes by what the tables say of each other; a file in which they contradict each other
is refused here, with one line, rather than met there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.errors import BadInputError
from analyzer.kinds import associations, registry
from analyzer.model import TASK
from analyzer.snapshot import META_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.tables import Array, Table


def check_meta(meta: Mapping[str, Any], name: str) -> None:
    """Raise BadInputError when a key of the meta is missing or of another type."""
    for key, types in META_KEYS.items():
        if type(meta.get(key)) not in types:
            raise BadInputError(f"{name}: meta.{key} is missing or wrong: damaged, collect again")
    pid = meta["subject"].get("pid")
    if pid is not None and type(pid) is not int:
        raise BadInputError(f"{name}: meta.subject.pid is no number: damaged, collect again")
    if type(meta["source"].get("name")) is not str:
        raise BadInputError(f"{name}: meta.source.name is missing: damaged, collect again")
    notes = meta["source"].get("notes", [])
    if type(notes) is not list or not all(type(note) is str for note in notes):
        raise BadInputError(f"{name}: meta.source.notes is no list of texts: damaged")


def check_references(tables: Mapping[str, Table], name: str) -> None:
    """Raise BadInputError when the tables name something that is not in them, or twice."""
    tasks, objects, references = (tables[key] for key in ("tasks", "objects", "references"))
    _unique(tasks["tid"], f"{name}: tasks.tid")
    _unique(objects["objref"], f"{name}: objects.objref")
    by_task = references["holder_kind"] == references.code("holder_kind", TASK)
    holders = references["holder"]
    _within(holders[by_task], tasks["tid"], f"{name}: references.holder (of tasks)")
    _within(holders[~by_task], objects["objref"], f"{name}: references.holder")
    _within(references["target"], objects["objref"], f"{name}: references.target")
    _known(objects.vocabulary["kind"], registry(), f"{name}: kind of object")
    _known(references.vocabulary["holder_kind"], registry(), f"{name}: kind of holder")
    _known(references.vocabulary["association"], associations(), f"{name}: association")
    _present(objects["kind"], f"{name}: objects.kind")
    for column in ("holder_kind", "association"):
        _present(references[column], f"{name}: references.{column}")
    if len(references) and int(references["weight"].min()) < 0:
        raise BadInputError(f"{name}: references.weight is negative: damaged, collect again")


def _unique(values: Array, where: str) -> None:
    if len(np.unique(values)) != len(values):
        raise BadInputError(f"{where} has the same value twice: damaged, collect again")


def _within(values: Array, known: Array, where: str) -> None:
    lost = values[~np.isin(values, known)]
    if len(lost):
        raise BadInputError(f"{where} names {lost[0]}, which is not in the snapshot: damaged")


def _known(words: Iterable[str], known: Mapping[str, object], where: str) -> None:
    for word in words:
        if word not in known:
            shown = word.encode("ascii", "backslashreplace").decode()
            raise BadInputError(f"{where} {shown!r} is unknown to this version: upgrade cranalyze")


def _present(codes: Array, where: str) -> None:
    if len(codes) and int(codes.min()) < 0:
        raise BadInputError(f"{where} lacks a value: damaged, collect again")
