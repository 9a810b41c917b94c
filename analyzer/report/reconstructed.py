"""Refcounts where the source has none: as many references as a whole reading shows.

It is the rule of OpenVZ, which counted the tasks of the system that have an address space. Each
term has to be exact. What may hold an object and does not tell leaves it without a count; so does
what is known to hold it, but not how often:

- files that are mapped as well, where the mapping may be of the same open file;
- files that are only mapped, but for one mapping, of a file that nobody else has: two of one file
  may be of one opening, or of two;
- unix sockets that anybody may be about to talk to, as they hold what they wait for;
- files of a table that a system call may hold while it lasts, or a request that is under way;
- namespaces of tasks that may have one set of namespaces (nsproxy), or one each;
- namespaces of processes and of users: credentials and numbers of processes hold them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Basis, Conclusion, Counted
from analyzer.core.pattern import pattern
from analyzer.core.values import NamedTuple
from analyzer.kinds import _sock, file, namespace_set, nsfs, pipe, registry, shm, socket, tty
from analyzer.kinds.base import Judged
from analyzer.kinds.file_table import FD
from analyzer.memory.distinct import unique
from analyzer.report.facts import of_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from analyzer.report.holders import Holder
    from analyzer.report.value import ReportObject
    from analyzer.snapshot.value import Snapshot

_UNMAPPABLE: Final = frozenset({"write", "path"})  # do_mmap() wants FMODE_READ, and so does execve
# What nobody but mappings holds; of devices, and of what the kernel makes itself (/[aio], "/drm mm
# object"), that is not known.
_PLAIN: Final = pattern(r"/(?:memfd:|SYSV|dev/shm/|(?!dev/|[^/]* \(deleted\)$))")


class _Known(NamedTuple):
    """What terms are made of: by namespace (objref) how many sets have it, where that is certain.

    `lone` are tasks (tids) of which nobody else has the same namespaces.
    `lent` are files (objrefs) that may have more references than descriptors, `busy` the sockets
    that they are; `mapped` are files that are mapped, by name. `once` are the inodes, and names, of
    which there is one file.
    """

    sets: Mapping[int, int]
    lone: AbstractSet[int]
    lent: AbstractSet[int]
    busy: AbstractSet[int]
    mapped: Mapping[str, AbstractSet[int]]
    once: AbstractSet[object]


def counted(snapshot: Snapshot, objects: Sequence[ReportObject]) -> list[ReportObject]:
    """Return objects with their refcount reconstructed, where each term of it is exact."""
    mapped: dict[str, set[int]] = {}
    for one in objects:
        if any(by.mapped for by in one.holders):
            mapped.setdefault(one.name or "", set()).add(one.objref)
    spaces = _spaces(snapshot)
    lent = _lent(snapshot)
    known = _Known(
        _sets(spaces), _lone(spaces), lent, _sockets(snapshot, lent), mapped, _once(objects)
    )
    return [_with_count(one, _count(one, known)) for one in objects]


def _with_count(one: ReportObject, count: int | None) -> ReportObject:
    if count is None:
        return one
    return one._replace(
        refcount=count,
        refcount_source=Counted.RECONSTRUCTED,
        basis=Basis.RECONSTRUCTED,
        unnamed=count - one.users - one.outside - one.observer,
    )


def _count(one: ReportObject, known: _Known) -> int | None:
    told = one.conclusion in {Conclusion.WITNESSED, Conclusion.CONSISTENT} and not any(one.doubt)
    if not told or one.initial:
        return None
    kind = registry()[one.kind]
    if kind.set_of_namespaces:
        return _of_set(one, known.lone)
    if kind.namespace:
        return _of_namespace(one, known.sets)
    return one.users + one.outside + one.observer if _is_exact(one, known) else None


def _is_exact(one: ReportObject, known: _Known) -> bool:
    """Tell whether all its holders are known, and how often each holds it."""
    if one.kind == socket.KIND.name:
        return _is_quiet(one, known.busy)
    if all(by.mapped for by in one.holders):
        return _is_mapped_once(one, known.once)
    exact = one.objref not in known.lent and not _is_mapped(one, known.mapped)
    return exact and all(_is_known(one, holder, known.lent) for holder in one.holders)


def _is_quiet(one: ReportObject, busy: AbstractSet[int]) -> bool:
    """Tell whether nobody waits for a unix socket, and holds it meanwhile.

    (unix_stream_connect(), unix_dgram_sendmsg() of net/unix/af_unix.c.) So may who is connected to
    it; and anybody, where it listens or takes datagrams by its name.
    """
    named = one.facts.get("socket.type") == "dgram" and "local" in one.facts
    if named or one.facts.get("socket.state") in {None, "listening"}:
        return False
    return not any(by.kind == one.kind and by.objref in busy for by in one.holders)


def _is_mapped_once(one: ReportObject, once: AbstractSet[object]) -> bool:
    """Tell whether one mapping, which is not that of a program, is all there is of a file."""
    alone = len(one.holders) == 1 and one.holders[0].slot is not None
    plain = _PLAIN.match(one.name or "") is not None
    return alone and plain and all(name in once for name in _called(one))


def _called(one: ReportObject) -> tuple[object, ...]:
    return one.name, (one.dev, one.ino)


def _once(objects: Sequence[ReportObject]) -> set[object]:
    """Return by what one file alone is called: names, inodes."""
    called = Counter(name for one in objects if one.kind == file.KIND.name for name in _called(one))
    return {name for name, count in called.items() if count == 1}


def _is_mapped(one: ReportObject, mapped: Mapping[str, AbstractSet[int]]) -> bool:
    """Tell whether another object that is mapped may be the same open file."""
    others = mapped.get(one.name or "", frozenset()) - {one.objref}
    return bool(others) and one.facts.get("open.mode") not in _UNMAPPABLE


def _is_known(one: ReportObject, holder: Holder, lent: AbstractSet[int]) -> bool:
    """Tell whether such holders are all that are known: of files, if they are open as well.

    A terminal counts how often it was opened, and its other end.
    """
    if holder.mapped:
        return any(by.descriptor is not None for by in one.holders)
    if one.kind == pipe.KIND.name:
        return holder.objref not in lent
    if one.kind == tty.KIND.name:
        return True
    return holder.kind == TASK or holder.descriptor is not None


def _of_set(one: ReportObject, lone: AbstractSet[int]) -> int | None:
    return len(one.holders) if all(by.tid in lone for by in one.holders) else None


def _of_namespace(one: ReportObject, sets: Mapping[int, int]) -> int | None:
    """Return the sets that have a namespace, its file (one, however often it is open), sockets."""
    by_set = _of_sets()
    if not all(by.kind != TASK or by.association in by_set for by in one.holders):
        return None
    if any(by.association == shm.WITHIN.name for by in one.holders):
        return None  # how many attaches there are mappings do not tell
    sockets = one.facts.get("netns.sockets")
    structural = registry()[one.kind].judged is Judged.STRUCTURAL
    if structural and not isinstance(sockets, int):
        return None
    nsfile = sum(by.weight for by in one.holders if by.kind == nsfs.KIND.name)
    has = sets.get(one.objref)
    return None if has is None else has + nsfile + (int(sockets or 0) if structural else 0)


def _of_sets() -> frozenset[str]:
    pointers = registry()[namespace_set()].pointers
    return frozenset(pointer.association.name for pointer in pointers)


def _spaces(snapshot: Snapshot) -> Mapping[int, frozenset[tuple[int, int]]]:
    """Return by task (tid) where in its set which namespaces (objrefs) are."""
    references = snapshot.tables["references"]
    codes = [references.code("association", name) for name in _of_sets()]
    by_task = references["holder_kind"] == references.code("holder_kind", TASK)
    rows = np.flatnonzero(by_task & np.isin(references["association"], codes))
    found: dict[int, list[tuple[int, int]]] = {}
    for row in rows.tolist():
        place = int(references["association"][row]), int(references["target"][row])
        found.setdefault(int(references["holder"][row]), []).append(place)
    return {tid: frozenset(places) for tid, places in found.items()}


def _lone(spaces: Mapping[int, frozenset[tuple[int, int]]]) -> set[int]:
    """Return the tasks of which nobody else has the same namespaces.

    Of others nobody knows whether they have one set, as fork(2) leaves it, or each its own
    (setns(2), unshare(2)).
    """
    tasks = Counter(spaces.values())
    return {tid for tid, places in spaces.items() if tasks[places] == 1}


def _sets(spaces: Mapping[int, frozenset[tuple[int, int]]]) -> Mapping[int, int]:
    """Return by namespace how many sets have it, twice if it is twice in one; where it is known."""
    lone = _lone(spaces)
    unsure = {target for tid in spaces.keys() - lone for _, target in spaces[tid]}
    found = Counter(target for tid in lone for _, target in spaces[tid])
    return {target: count for target, count in found.items() if target not in unsure}


def _lent(snapshot: Snapshot) -> set[int]:
    """Return the files of tables that somebody may use, or of which that is not known."""
    references = snapshot.tables["references"]
    rows = np.flatnonzero(references["association"] == references.code("association", FD.name))
    tables = unique(references["holder"][rows])
    known = of_objects(snapshot, tables.tolist())
    used = [table for table in tables.tolist() if known.get(table, {}).get("files.in_use") != 0]
    lent = np.isin(references["holder"][rows], used)
    return set(references["target"][rows[lent]].tolist())


def _sockets(snapshot: Snapshot, files: AbstractSet[int]) -> set[int]:
    """Return the sockets that some files are open on."""
    references = snapshot.tables["references"]
    opened = references["association"] == references.code("association", _sock.SOCK.name)
    rows = opened & np.isin(references["holder"], np.array(sorted(files), np.int64))
    return set(references["target"][rows].tolist())
