"""What /proc shows of a machine: the one reading that a live /proc and a dump have in common.

`read` makes the tables of a snapshot. Whose descriptors, mappings and namespaces are read in full
is decided by the scope: those of the subtree, or ("host") everybody's. Of the others only what they
share with these is of interest. Every task is in the table of tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.subtree import INSIDE, UNPLACED, task_sides
from analyzer.core.errors import TargetVanishedError
from analyzer.core.values import dataclass, replace
from analyzer.procfs import (
    alike,
    ends,
    files,
    in_use,
    mappings,
    may_hold,
    mounts,
    moved,
    namespaces,
    nslink,
    relate,
    state,
    tasks,
    things,
    world,
)
from analyzer.procfs.build import Mappings, Tables
from analyzer.procfs.facts import COMPLETE
from analyzer.procfs.gaps import Failure, GapLog
from analyzer.procfs.kcmp import What
from analyzer.procfs.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.procfs.facts import Facts
    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.identity import Identity
    from analyzer.procfs.namespaces import Membership
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.procfs.sharing import Groups
    from analyzer.procfs.tasks import Task as Read
    from analyzer.relations.shown import File, Key, Shown, Sock, Task, Tied
    from analyzer.snapshot.tables import Table

Progress = Callable[[str], None]

_UNPLACED: Final = Failure(
    "whom it descends from, which was not read",
    "",
    None,
    "whether it is inside is not known: it is no witness of a leak",
)


@dataclass(frozen=True)
class Seen:
    """One reading of `fs`.

    `subtree` are the processes of the subject, `certain` whether identity was told and not
    presumed, `talkers` the tasks of others that can hand something over, None
    where nobody is inside, `tables` all but that of the gaps, which `log` makes.
    """

    fs: ProcFs
    facts: Facts
    log: GapLog
    tasks: Sequence[Read]
    subtree: frozenset[int]
    certain: bool
    talkers: frozenset[int] | None
    tables: Mapping[str, Table]

    def start_time(self, pid: int) -> int:
        """Return when process `pid` started, in nanoseconds since boot."""
        return self.facts.nanoseconds(self.leader(pid).stat.start_ticks)

    def leader(self, pid: int) -> Read:
        """Return the first thread of process `pid`."""
        return next(task for task in self.tasks if task.tid == pid)


@dataclass(frozen=True)
class _Reading:
    """What the steps share; `full` are the tasks (by tid) that are read in full."""

    fs: ProcFs
    tasks: Sequence[Read]
    identity: Identity
    full: frozenset[int]
    log: GapLog
    subtree: frozenset[int]
    observer: int
    whole: bool
    ticks: int
    machine: str

    def concerns(self, group: Sequence[Read]) -> bool:
        return any(task.tid in self.full for task in group)


def read(
    fs: ProcFs,
    facts: Facts,
    identity: Identity,
    pid: int | None,
    *,
    host: bool,
    progress: Progress,
    others: Sequence[int] = (),
) -> Seen:
    """Read the subtree of `pid` (None: all) and what it shares; `identity` tells what is one.

    `others` are more roots of the subtree.

    Raises BadInputError and TargetVanishedError as `check.subtree.task_sides` does.
    """
    log = GapLog()
    progress("tasks")
    found = tasks.read(fs, log)
    table = tasks.table(found, facts)
    inside = _inside(table, pid, others)
    _note_unplaced(table, pid, others, log)
    full = frozenset(table["tid"].tolist()) if host else frozenset(inside["tid"].tolist())
    subtree = frozenset(inside["tgid"].tolist())
    # One of which no more than its number was read may be anybody's leader.
    whole = (fs.is_live() or _is_whole(fs)) and not len(log.table())
    own = frozenset() if host else subtree  # in a reading of all nobody is inside
    reading = _Reading(
        fs, found, identity, full, log, own, facts.observer, whole, facts.clk_tck, facts.machine
    )
    out, made, talkers = _graph(reading, progress)
    made |= {"tasks": table, **out.tables()}
    return Seen(fs, facts, log, found, subtree, identity.certain, talkers, made)


def _inside(table: Table, pid: int | None, others: Sequence[int]) -> Table:
    if pid is None:
        return table
    if pid not in table["tid"]:
        raise TargetVanishedError(f"there is no process {pid}")
    return table.take(task_sides(table, pid, others) == INSIDE)


def _is_whole(fs: ProcFs) -> bool:
    try:
        fs.read(COMPLETE)
    except OSError:
        return False
    return True


def _note_unplaced(table: Table, pid: int | None, others: Sequence[int], log: GapLog) -> None:
    """Note what descends from a process that was not read; for `pid`, what may be of its own."""
    if pid is None:
        processes = table["tgid"]
        rows = np.flatnonzero((table["ppid"] != 0) & ~np.isin(table["ppid"], processes))
    else:
        rows = np.flatnonzero(task_sides(table, pid, others) == UNPLACED)
    for process in sorted(set(table["tgid"][rows].tolist())):
        log.add(_UNPLACED, process)


def _graph(
    reading: _Reading, progress: Progress
) -> tuple[Tables, dict[str, Table], frozenset[int] | None]:
    fs, log = reading.fs, reading.log
    progress("what tasks share")
    groups = _groups(reading)
    members = namespaces.read(fs, reading.tasks, log)
    of_interest = {m.namespace for m in members if m.tid in reading.full}
    one_each = [group[0] for group in groups[What.FILES]]
    progress("mappings")
    near = _near(reading, groups, members)
    mapped = _mapped(reading, groups[What.VM], near)
    progress("open files")
    forks = _forks(reading, groups[What.VM])
    by_tid = world.tasks(reading.tasks, members, reading.subtree)
    first = namespaces.initial(reading.tasks, members)
    host = world.initial(first, members).get("net")
    slots, socks = _slots(reading, groups[What.FILES], of_interest, by_tid, host, _paths(mapped))
    of_interest |= _namespaces_of(slots)
    files.details(fs, slots, slots.kept(), one_each, log)
    seen = mounts.read(fs, reading.tasks, members, log)
    progress("relations")
    shown = world.shown(reading, groups, members, slots, seen, mapped, first, by_tid, socks)
    backing = fs.backing_files()
    loops = list(alike.of_loops(shown.files, backing, host=shown.host))
    sets = namespaces.sets(reading.tasks, members)
    known = [*shown.files, *alike.only_mapped(forks)]
    holding = [
        *may_hold.find(fs, shown, seen, slots.keepers, partial(moved.ran, fs, reading.tasks)),
        *may_hold.of_kin(fs, _kin(reading, groups[What.VM], mapped | forks)),
    ]
    fs.forget(("fdinfo", "maps"))  # what is made of a dump takes as much as that itself
    shown = replace(
        shown,
        alike=[
            *_alike(reading, groups, near, slots, mapped | forks, known),
            *loops,
            *alike.of_sets(sets, reading.concerns, host=shown.host),
        ],
        may_hold=holding,
        in_use=_in_use(reading, groups[What.FILES], slots, shown),
    )
    found = relate.find(shown)
    slots.drop(relate.files(found), world.whoever)
    texts = [*(key[1] for key in relate.ends(found)), *_net_spaces(shown)]
    of_interest |= {link for link in map(_space, texts) if link is not None}
    binds = things.binds(shown, None if shown.host else of_interest)
    of_interest |= {link for one in binds if (link := nslink.parse(one.space)) is not None}
    out = Tables(groups, reading.concerns)
    out.add_shared(slots, relate.ends(found))
    out.add_sets([one.tasks for one in sets], relate.ends(found))
    opened = out.add_files(slots, mounts.devices(seen))
    slots.told.clear()
    out.add_mapped(mapped | forks)
    del mapped, forks
    out.add_namespaces([m for m in members if m.namespace in of_interest], opened, first)
    things.add(out, shown)
    things.add_binds(out, binds)
    if shown.host:
        things.add_mounts(out, shown)
    related = {row.left for row in loops}
    things.add_loops(
        out,
        {at: p for at, p in backing.items() if shown.host or alike.loop_file(at) in related},
    )
    ends.add(out, relate.ends(found), shown)
    made = {
        "relations": relate.table(found, out.number),
        "facts": state.table(shown, out.number, _standing(fs, groups[What.FS], out.number)),
    }
    return out, made, None if shown.host else _talkers(groups[What.FILES], slots, by_tid)


def _talkers(groups: Groups, slots: files.Slots, by_tid: Mapping[int, Task]) -> frozenset[int]:
    """Return the tasks of others that can be given what somebody has: by a socket, an io_uring."""
    tids = (task.tid for table in slots.keepers for task in groups[table])
    return frozenset(tid for tid in tids if not by_tid[tid].inside)


def _in_use(
    reading: _Reading, groups: Groups, slots: files.Slots, shown: Shown
) -> Mapping[int, int]:
    """Return how many may hold files of the tables of interest by more than their descriptors."""
    tables = sorted({slots.table[row] for row in slots.kept()})
    return in_use.of_tables(reading.fs, reading.machine, groups, tables, shown)


def _space(text: object) -> NamespaceLink | None:
    return nslink.parse(text) if isinstance(text, str) else None


def _net_spaces(shown: Shown) -> set[str]:
    """Return the network namespaces that sockets of the subtree are in."""
    found = (shown.sock_of(file) for file in shown.files if file.inside)
    return {sock.space for sock in found if sock is not None}


def _groups(reading: _Reading) -> dict[What, Groups]:
    told = reading.identity.certain
    sharing = Sharing(reading.fs, reading.identity, reading.full, reading.log)
    return {
        what: sharing.groups(what, reading.tasks, everybody=what is What.FILES or not told)
        for what in What
        if what is not What.FILE
    }


def _slots(
    reading: _Reading,
    groups: Groups,
    of_interest: set[NamespaceLink],
    by_tid: Mapping[int, Task],
    host: str | None,
    mapped: set[str],
) -> tuple[files.Slots, list[Sock]]:
    one_each = [group[0] for group in groups]
    concerned = [reading.concerns(group) for group in groups]
    spaces = {nslink.text(namespace) for namespace in of_interest}
    matters: list[Callable[[str], bool]] = []
    socks: list[Sock] = []

    def wanted(links: Sequence[str]) -> Callable[[str], bool]:
        socks.extend(world.sockets(reading.fs, by_tid, links))
        wanted = world.others(socks, by_tid, links, host)
        matters.append(world.Interest(links, wanted))
        return lambda link: link in spaces or link in mapped or matters[0](link)

    slots = files.walk(reading.fs, one_each, concerned, wanted, reading.log)
    files.identify(
        reading.fs,
        slots,
        one_each,
        reading.identity,
        lambda link: world.whoever(link) or link in mapped or matters[0](link),
        reading.log,
    )
    return slots, socks


def _standing(
    fs: ProcFs, groups: Groups, number: Mapping[Key, int]
) -> Iterator[tuple[Key, str, str]]:
    """Yield where the tasks of the graph stand: the key, working directory and root, as links."""
    for at, group in enumerate(groups):
        key: Key = ("FS", at)
        if key in number and not group[0].stat.kthread:
            folder = group[0].folder
            yield key, _led(fs, f"{folder}/cwd"), _led(fs, f"{folder}/root")


def _led(fs: ProcFs, path: str) -> str:
    try:
        return fs.link(path)
    except OSError:
        return ""  # a process that may not be looked at is a gap already


def _namespaces_of(slots: files.Slots) -> set[NamespaceLink]:
    found = (nslink.parse(link) for link in set(slots.link))
    return {namespace for namespace in found if namespace is not None}


def _near(
    reading: _Reading, groups: Mapping[What, Groups], members: Sequence[Membership]
) -> dict[What, list[Tied]]:
    """Return what tasks have that may be one, where nobody could tell."""
    if reading.identity.certain:
        return {}
    spaces: dict[int, dict[str, str]] = {}
    for member in members:
        spaces.setdefault(member.tid, {})[member.link] = nslink.text(member.namespace)
    host = not reading.subtree
    return alike.of_tasks(reading.fs, groups, reading.concerns, spaces, host=host)


def _mapped(reading: _Reading, groups: Groups, near: Mapping[What, Sequence[Tied]]) -> Mappings:
    """Return the mapped files of address spaces of interest, and of those that may be one."""
    also = {row.left[1] for row in near.get(What.VM, ())}
    mapped = {
        at: mappings.read(reading.fs, group[0], reading.log)
        for at, group in enumerate(groups)
        if reading.concerns(group) or at in also
    }
    if not reading.subtree:
        reading.fs.forget(("maps",))  # everybody's were read
    return mapped


def _forks(reading: _Reading, groups: Groups) -> Mappings:
    """Return what processes outside map whose memory is laid out as some of interest is.

    They are added to `groups`: kcmp(2) tells that they have an mm of their own, but not which files
    are still the ones that were mapped when they were forked.
    """
    if not reading.identity.certain or not reading.subtree:
        return {}
    layouts = {group[0].stat.layout for group in groups} - {None}
    known = {task.tgid for group in groups for task in group}
    first = len(groups)
    groups += [
        [task]
        for task in reading.tasks
        if task.leader and task.tgid not in known and task.stat.layout in layouts
    ]
    some = enumerate(groups[first:], first)
    return {at: mappings.read(reading.fs, group[0], reading.log) for at, group in some}


def _kin(reading: _Reading, groups: Groups, mapped: Mappings) -> list[tuple[int, str]]:
    """Return who outside was forked with a process of interest, and where it is."""
    first = (groups[at][0] for at in mapped if not reading.concerns(groups[at]))
    return [(task.tid, task.folder) for task in first]


def _paths(mapped: Mappings) -> set[str]:
    return {one.path for files, _ in mapped.values() for one in files}


def _alike(
    reading: _Reading,
    groups: Mapping[What, Groups],
    near: Mapping[What, Sequence[Tied]],
    slots: files.Slots,
    mapped: Mappings,
    opened: Sequence[File],
) -> list[Tied]:
    host = not reading.subtree
    if reading.identity.certain:
        near_by = alike.forked(groups[What.VM], mapped)
        forks = alike.of_mapped(groups[What.VM], near_by, mapped, reading.concerns, host=host)
        return [*forks, *alike.of_both(opened, host=host)]
    found = [row for rows in near.values() for row in rows] + slots.alike
    found += alike.of_mapped(groups[What.VM], near[What.VM], mapped, reading.concerns, host=host)
    return [*found, *alike.of_both(opened, host=host)]
