"""What a snapshot from a file must fulfil before anything is computed from it.

The check indexes by what the tables say of each other; a file in which they contradict each other
is refused here, with one line, rather than met there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.model import SCHEMAS, TASK, TASKS, Impact
from analyzer.kinds import slotted
from analyzer.kinds.base import Slot
from analyzer.memory.distinct import unique
from analyzer.snapshot.value import META_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from analyzer.snapshot.tables import Array, Table

_I64: Final = 1 << 63
_MOST_SECONDS: Final = 1e9
_STATE: Final = re.compile(r"[A-Za-z?]")
_DESCRIPTORS: Final = (0, (1 << 31) - 1)


def _is_number(value: object, least: float, most: float) -> bool:
    """Tell whether a value from JSON is a number (not true, not NaN) from `least` to `most`."""
    fits = type(value) in {int, float} and least <= value <= most  # type: ignore[operator]
    return bool(fits)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _I64


def _is_pid(value: object) -> bool:
    return value is None or (type(value) is int and TASKS.column("tid").holds(value))


def _are_pids(value: object) -> bool:
    return type(value) is list and None not in value and all(map(_is_pid, value))


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_start(value: object) -> bool:
    return value is None or _is_count(value)


def _is_notes(value: object) -> bool:
    return type(value) is list and all(type(note) is str for note in value)


def _is_texts(value: object) -> bool:
    return type(value) is dict and all(type(text) is str for pair in value.items() for text in pair)


def _is_flags(value: object) -> bool:
    return type(value) is dict and all(type(flag) is bool for flag in value.values())


# What a value of the meta must be beyond its type, and what is said of one that is not. The last
# is whether it may be left out.
_META: Final[tuple[tuple[str, Callable[[Any], bool], str, bool], ...]] = (
    ("format", _is_count, "is no version", False),
    ("monotonic_ns", _is_count, "is no time", False),
    ("passes", _is_count, "is no number", False),
    ("subject.pid", _is_pid, "is no number of a process", False),
    ("subject.local_pid", _is_pid, "is no number of a process", True),
    ("subject.start_time", _is_start, "is no time", True),
    ("subject.selector", _is_text, "is no text", True),
    ("subject.roots", _are_pids, "is no list of processes", True),
    ("subject.starts", _are_pids, "is no list of processes", True),
    ("subject.name", _is_text, "is no text", True),
    ("subject.runtime", _is_text, "is no text", True),
    ("subject.container", _is_text, "is no text", True),
    ("source.name", lambda value: type(value) is str, "is no text", False),
    ("source.notes", _is_notes, "is no list of texts", True),
    ("source.capabilities", _is_flags, "are not all true or false", True),
    ("frozen_seconds", lambda value: _is_number(value, 0, _MOST_SECONDS), "is no time", True),
    ("incomplete", lambda value: type(value) is bool, "is not true or false", True),
    ("images", _is_texts, "are not all texts", True),
    ("address_key", lambda value: type(value) is str, "is no text", True),
)


def check_meta(meta: Mapping[str, Any], name: str) -> None:
    """Raise BadInputError when a value of the meta is missing, or is not what it must be."""
    for key, types in META_KEYS.items():
        if type(meta.get(key)) not in types:
            raise BadInputError(f"{name}: meta.{key} is missing or wrong: damaged, collect again")
    for path, fits, said, optional in _META:
        place: Any = meta
        *folders, last = path.split(".")
        for folder in folders:
            place = place[folder]
        if last not in place:
            if not optional:
                raise BadInputError(f"{name}: meta.{path} is missing: damaged, collect again")
        elif not fits(place[last]):
            raise BadInputError(f"{name}: meta.{path} {said}: damaged, collect again")


def check_ranges(tables: Mapping[str, Table], name: str) -> None:
    """Raise BadInputError for a number that its column cannot hold (see `model.SCHEMAS`)."""
    for schema in SCHEMAS.values():
        for spec in schema.columns:
            if schema.name in tables and spec.type in {"i64", "u64"}:
                values = tables[schema.name][spec.name]
                known = tables[schema.name].known(spec.name)
                _in_range(values[known], spec.limits, f"{name}: {schema.name}.{spec.name}")
    references = tables["references"]
    for association in slotted(Slot.DESCRIPTOR):
        rows = references["association"] == references.code("association", association)
        slots = references["slot"][rows & references.known("slot")]
        _in_range(slots, _DESCRIPTORS, f"{name}: references.slot (of {association})")
    for state in tables["tasks"].vocabulary["state"]:
        if not _STATE.fullmatch(state):
            raise BadInputError(f"{name}: tasks.state {state[:20]!a} is no letter: damaged")


def _in_range(values: Array, limits: tuple[int, int], where: str) -> None:
    if len(values):
        least, most = int(values.min()), int(values.max())
        wrong = least if least < limits[0] else most
        if least < limits[0] or most > limits[1]:
            raise BadInputError(
                f"{where} is {wrong}; it can be {limits[0]} to {limits[1]}: damaged, collect again"
            )


def check_references(tables: Mapping[str, Table], name: str) -> None:
    """Raise BadInputError when the tables name something that is not in them, or twice."""
    tasks, objects, references = (tables[key] for key in ("tasks", "objects", "references"))
    _unique(tasks["tid"], f"{name}: tasks.tid")
    _numbered(objects["objref"], f"{name}: objects.objref")
    by_task = references["holder_kind"] == references.code("holder_kind", TASK)
    holders = references["holder"]
    _within(holders[by_task], tasks["tid"], f"{name}: references.holder (of tasks)")
    _within(holders[~by_task], objects["objref"], f"{name}: references.holder")
    _within(references["target"], objects["objref"], f"{name}: references.target")
    _present(objects["kind"], f"{name}: objects.kind")
    for column in ("holder_kind", "association"):
        _present(references[column], f"{name}: references.{column}")


def check_ends(tables: Mapping[str, Table], name: str) -> None:
    """Raise BadInputError when a relation or a fact is of something that is not in the tables."""
    ends = (("relations", "left"), ("relations", "right"), ("facts", "ref"))
    for table_name, column in ends:
        table = tables[table_name]
        kind = "kind" if column == "ref" else f"{column}_kind"
        by_task = table[kind] == table.code(kind, TASK)
        where = f"{name}: {table_name}.{column}"
        _within(table[column][by_task], tables["tasks"]["tid"], f"{where} (of tasks)")
        _within(table[column][~by_task], tables["objects"]["objref"], where)
        _present(table[kind], f"{name}: {table_name}.{kind}")
    _known(tables["relations"].vocabulary["impact"], [*Impact], f"{name}: impact of a relation")


def _unique(values: Array, where: str) -> None:
    if len(unique(values)) != len(values):
        raise BadInputError(f"{where} has the same value twice: damaged, collect again")


def _numbered(values: Array, where: str) -> None:
    """Refuse what does not number the objects by row, from 1: everything that reads them does."""
    wrong = np.flatnonzero(values != np.arange(1, len(values) + 1))
    if len(wrong):
        row = int(wrong[0])
        raise BadInputError(f"{where} is {values[row]} in row {row + 1}: damaged, collect again")


def _within(values: Array, known: Array, where: str) -> None:
    lost = values[~np.isin(values, known)]
    if len(lost):
        raise BadInputError(f"{where} names {lost[0]}, which is not in the snapshot: damaged")


def _known(words: Iterable[str], known: Container[str], where: str) -> None:
    for word in words:
        if word not in known:
            shown = word.encode("ascii", "backslashreplace").decode()
            raise BadInputError(f"{where} {shown!r} is unknown to this version: upgrade cranalyze")


def _present(codes: Array, where: str) -> None:
    if len(codes) and int(codes.min()) < 0:
        raise BadInputError(f"{where} lacks a value: damaged, collect again")
