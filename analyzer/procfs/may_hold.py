"""Who may hold an object, as far as /proc tells of holders without telling of what.

Each rule is a function of what was shown. Its rows (`relations.may_hold`) do not depend on sides: a
holder inside is no doubt, and what side one is on is said when a subtree is checked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.text import printable
from analyzer.kinds import namespace_kinds
from analyzer.procfs import keeping, maps, nslink, segments
from analyzer.relations.shown import OWN_TERMINAL, Tied, sockets_used

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.keeping import Kept
    from analyzer.procfs.mountinfo import Mount as Line
    from analyzer.relations.shown import File, Key, Shown, Task

    Ran = Callable[[Collection[int]], set[int]]  # which of some tasks (by tid) ran, or may have

_PROC: Final = re.compile(r"/proc/([0-9]+)(?:/task/[0-9]+)?(?:/(.*))?")
_MOUNTS: Final = frozenset({"mounts", "mountinfo", "mountstats"})
_PIPE: Final = re.compile(r"(?:^|,)pipe_ino=([0-9]{1,19})(?:,|$)")
_DAEMON: Final = re.compile(r"(?:^|,)pgrp=([1-9][0-9]{0,9})(?:,|$)")
_KERNELS: Final = "0"  # the number of a netlink socket of the kernel, or of one without
_PIPE_LINK: Final = re.compile(r"pipe:\[([0-9]{1,19})\]")
# Not /dev/null, terminals: they have no mmap().
_MAPPABLE: Final = re.compile(r"/(?!dev/(?:null$|tty$|ptmx$|pts/))|socket:|anon_inode:")
_CONNECTED: Final = 1
_GENERATIONS: Final = 1024  # a dump may have a circle
_TIME_WAIT, _SYN_RECEIVED = 6, 3  # no struct sock, or none that is whole (include/net/tcp_states.h)
_DIRECTORY: Final = 0o200000
PATH: Final = "cranalyze/held"
"""Where a dump says of what others have, or may have, it: ``PID/fd/N WHY``, ``net:[N] WHY``."""

_UNTOLD: Final = "which files are mapped by others that may have it is not told"
_REMEMBERED: Final = "who remembers their numbers is not told (F_SETOWN, SO_PEERCRED)"
_PINNED: Final = ("FILE", "PIPE", "TTY")  # what an open file that nobody shows may be, or keeps


def find(
    fs: ProcFs,
    shown: Shown,
    seen: Mapping[int, Sequence[Line]],
    keepers: Mapping[int, Sequence[tuple[str, str]]],
    ran: Ran,
) -> list[Tied]:
    """Return the rows of all rules, of a border those that may matter to it.

    `seen` are the mounts that a process of each mount namespace sees, `keepers` the descriptors of
    each table that may keep open files, and `ran` tells which of some tasks ran meanwhile.
    """
    rows = dict.fromkeys(_all(fs, shown, seen, keepers, ran))
    if shown.host:
        return list(rows)
    own: set[Key] = {
        (kind.name, space) for name, kind in namespace_kinds().items() for space in shown.own(name)
    }
    own |= {key for file in shown.files if file.inside for key in (file.key, ("PIPE", file.pipe))}
    return [row for row in rows if row.left == row.right or row.right in own]


def _all(
    fs: ProcFs,
    shown: Shown,
    seen: Mapping[int, Sequence[Line]],
    keepers: Mapping[int, Sequence[tuple[str, str]]],
    ran: Ran,
) -> Iterator[Tied]:
    yield from _of_proc_files(shown)
    yield from _of_pidfds(shown)
    yield from of_the_dead(shown)
    yield from _of_cgroup_files(shown)
    yield from _of_proc_mounts(shown, seen)
    yield from of_automounts(shown.tasks, seen)
    yield from _of_sockets(shown)
    yield from of_connections(shown)
    yield from of_what_is_sent(shown, ran)
    yield from _of_terminals(shown)
    yield from of_segments(shown)
    yield from _of_keepers(fs, shown, keepers)
    yield from _of_rings(shown)
    yield from _of_mappings(fs, shown)
    yield from _of_what_is_told(shown)


def _any_of(tid: int, kind: str, words: str) -> Tied:
    """Return the row of a task that may hold any object of a kind."""
    return Tied((TASK, tid), (TASK, tid), words, kind)


def _who(shown: Shown, file: File) -> set[int]:
    """Return a task of each table that has a file open."""
    return {shown.tables[slot.table][0] for slot in file.slots}


def _mine(shown: Shown) -> Iterable[File]:
    """Return the open files of the subtree, or of a whole machine."""
    return (file for file in _opened(shown) if shown.host or file.inside)


def _of_keepers(
    fs: ProcFs, shown: Shown, keepers: Mapping[int, Sequence[tuple[str, str]]]
) -> Iterator[Tied]:
    """Yield the descriptor tables with files that keep others: in messages, or registered."""
    for table, some in keepers.items():
        tid = shown.tables[table][0]
        for kept in dict.fromkeys(_kept(fs, shown.folders[table], some)):
            if kept.in_flight:
                yield from _any_file(tid, "open files are in flight in a socket")
            if kept.paths is None:
                yield from _any_file(
                    tid, "an io_uring does not say which files are registered with it"
                )
            if kept.waiting:
                words = "an io_uring does not say for which files its requests wait"
                yield from (_any_of(tid, kind, words) for kind in _PINNED)
            for path in kept.paths or ():
                words = f"{printable(path)} is registered with an io_uring"
                yield from (Tied((TASK, tid), key, words) for key in _called(shown, path))


def _kept(fs: ProcFs, folder: str, some: Sequence[tuple[str, str]]) -> Iterator[Kept]:
    try:
        heads = fs.heads(f"{folder}/fdinfo", [name for name, _ in some])
    except OSError:
        return  # it ended
    for (_, link), head in zip(some, heads, strict=True):
        if head is not None:
            yield keeping.parse(link, head)


def _any_file(tid: int, words: str) -> Iterator[Tied]:
    """Yield the rows of a task that may hold any open file, and what such a file keeps."""
    kinds = (*_PINNED, *(kind.name for kind in namespace_kinds().values()))
    return (_any_of(tid, kind, words) for kind in kinds)


def _called(shown: Shown, path: str) -> Iterator[Key]:
    """Yield what an open file of this path may be, or keeps."""
    yield from (file.key for file in shown.files if file.link == path)
    space = nslink.parse(path)
    if space is not None:
        yield namespace_kinds()[space.name].name, path
    pipe = _PIPE_LINK.fullmatch(path)
    if pipe is not None:
        yield "PIPE", int(pipe[1])


def _of_rings(shown: Shown) -> Iterator[Tied]:
    """Yield the io_urings, each of which its tasks may have registered (registered_rings)."""
    for file in _opened(shown):
        if file.link == keeping.RING:
            for tid in _who(shown, file):
                yield Tied((TASK, tid), file.key, "it may have the io_uring registered with itself")


def _of_mappings(fs: ProcFs, shown: Shown) -> Iterator[Tied]:
    """Yield who outside has a file of the subtree open, and maps one of this name as well."""
    mapped: dict[int, tuple[set[str], bool]] = {}
    for file in _mappable(shown):
        for table in sorted({slot.table for slot in file.slots}):
            tid = shown.tables[table][0]
            if shown.tasks[tid].inside:
                continue
            if table not in mapped:
                mapped[table] = _mapped(fs, shown.folders[table])
            paths, whole = mapped[table]
            if file.link in paths:
                yield Tied((TASK, tid), file.key, f"{printable(file.link)} is mapped as well")
            elif not whole and file.link.startswith("/"):
                yield Tied((TASK, tid), file.key, _UNTOLD)


def of_kin(fs: ProcFs, kin: Sequence[tuple[int, str]]) -> Iterator[Tied]:
    """Yield who outside was forked with one inside, where nothing tells which files it maps.

    It may map what was opened before (dup_mmap(), kernel/fork.c): see `alike.of_both`.
    """
    for tid, folder in kin:
        if not _mapped(fs, folder)[1]:
            yield _any_of(tid, "FILE", _UNTOLD)


def _mappable(shown: Shown) -> Iterator[File]:
    return (file for file in _opened(shown) if file.inside and _MAPPABLE.match(file.link))


def _mapped(fs: ProcFs, folder: str) -> tuple[set[str], bool]:
    """Return what is mapped there, and whether that is all: dumps may have what is shared alone."""
    try:
        found = maps.parse(fs.read(f"{folder}/maps"), fs.name(f"{folder}/maps"))
    except (OSError, BadInputError):
        return set(), False
    return {one.path for one in found}, any(one.permissions[3] == "p" for one in found)


def _of_what_is_told(shown: Shown) -> Iterator[Tied]:
    """Yield what the dump itself says others have, or may have (see PATH)."""
    told = dict(line.split(" ", 1) for line in shown.text(PATH).splitlines() if " " in line)
    for file in _mine(shown) if told else ():
        words = next((told[path] for path in _descriptors(shown, file) if path in told), None)
        if words is not None:
            sock = shown.sock_of(file)
            key = file.key if sock is None else sock.key
            yield Tied(key, key, words)
    met = {space for task in shown.tasks.values() for space in task.spaces.values()}
    for space in sorted(met & told.keys()):
        key = f"{space.partition(':')[0].upper()}_NS", space
        yield Tied(key, key, told[space])


def _descriptors(shown: Shown, file: File) -> Iterator[str]:
    return (f"{shown.folders[slot.table]}/fd/{slot.fd}" for slot in file.slots)


def _opened(shown: Shown) -> Iterable[File]:
    return (file for file in shown.files if file.slots)


def _of_proc_files(shown: Shown) -> Iterator[Tied]:
    """Yield what files of /proc may hold: the namespace that they list, the number of the dead.

    (proc_mounts.ns, seq_net_private.net; struct proc_inode.pid, which holds its pid namespace.)
    """
    for file in _opened(shown):
        found = _PROC.search(file.link)
        if found is None:
            continue
        path = (found[2] or "").removesuffix(" (deleted)")
        own = file.mount is None or file.mount.dev == shown.own_proc
        task = shown.tasks.get(int(found[1][:9])) if own else None
        name = "mnt" if path in _MOUNTS else "net" if path.split("/")[0] == "net" else ""
        kind, words = f"{name.upper()}_NS", f"{file.link} is open"
        for tid in _who(shown, file):
            if name and task is not None and name in task.spaces:
                yield Tied((TASK, tid), (kind, task.spaces[name]), words)
            elif name:
                yield _any_of(tid, kind, words)
            if task is None:
                yield _any_of(tid, "PID_NS", f"{words}, of a process that ended")


def _of_pidfds(shown: Shown) -> Iterator[Tied]:
    """Yield which pidfds are of a process that ended: struct pid holds its pid namespace."""
    for file in _opened(shown):
        if file.link == "anon_inode:[pidfd]" and file.last(b"Pid") == "-1":
            for tid in _who(shown, file):
                yield _any_of(tid, "PID_NS", "a pidfd of a process that ended")


def of_the_dead(shown: Shown) -> Iterator[Tied]:
    """Yield the pid namespaces of which a member has ended, as far as that can be seen.

    A number (struct pid) keeps its namespace (alloc_pid(), kernel/pid.c), and is kept by whoever
    remembers it when nobody has it any more: a file whose owner it is (f_owner.pid, fs/fcntl.c), a
    socket whose other end it was (sk_peer_pid, net/core/sock.c), a System V object (shm_cprid,
    ipc/shm.c), a message (unix_skb_parms.pid), an event that nobody read (fanotify_event.pid), the
    process group of a terminal. Anybody may make it the owner of any file that he has open, and
    nothing in /proc tells of that; of sockets it tells who may be meant.
    """
    mine, met = shown.own("pid"), _met(shown)
    for space, why in ended(shown.tasks).items():
        if space in mine or (shown.host and space != shown.initial.get("pid")):
            key: Key = ("PID_NS", space)
            yield Tied(key, key, f"{why}: {_REMEMBERED}")
            for tid in sorted(met.get(space, ())):
                yield Tied((TASK, tid), key, "its unix socket may remember who made the other end")


def _met(shown: Shown) -> Mapping[str, set[int]]:
    """Return by pid namespace who else has unix sockets that are connected to its members'."""
    who = {
        ino: {tid: shown.tasks[tid].spaces.get("pid", "") for f in some for tid in _who(shown, f)}
        for ino, some in shown.sock_files().items()
    }
    found: dict[str, set[int]] = {}
    for one, two in _connections(shown):
        for space in set(who.get(one, {}).values()):
            others = (tid for tid, own in who.get(two, {}).items() if own != space)
            found.setdefault(space, set()).update(others)
    return found


def ended(tasks: Mapping[int, Task]) -> dict[str, str]:
    """Return the pid namespaces of which members ended, or may have, and what tells so.

    Numbers are given in order, from 1 (idr_alloc_cyclic() in alloc_pid()): one that is missing was
    somebody's.
    """
    found: dict[str, str] = {}
    numbers: dict[str, set[int]] = {}
    for task in tasks.values():
        for space, number in _numbers(task, tasks):
            numbers.setdefault(space, set()).add(number)
        if task.outlived and "pid" in task.spaces:
            said = f"children of {task.comm} ({task.tgid}) ended, or may have"
            found.setdefault(task.spaces["pid"], said)
    for space, given in numbers.items():
        if len(given) < max(given):
            found.setdefault(space, "members of it ended")
    return found


def _numbers(task: Task, tasks: Mapping[int, Task]) -> Iterator[tuple[str, int]]:
    """Yield in which pid namespaces but the first a task has which number, where it can be told."""
    at: Task | None = task
    for depth in range(len(task.numbers), 1, -1):
        at = _at(depth, at, tasks)
        if at is None or len(at.numbers) < depth or "pid" not in at.spaces:
            return
        yield at.spaces["pid"], task.numbers[depth - 1]


def _at(depth: int, task: Task | None, tasks: Mapping[int, Task]) -> Task | None:
    """Return the first of a task and its ancestors that has no more numbers than `depth`.

    Who made a pid namespace is in the one above it.
    """
    for _ in range(_GENERATIONS):
        if task is None or len(task.numbers) <= depth:
            return task
        task = tasks.get(task.parent)
    return None


def _of_cgroup_files(shown: Shown) -> Iterator[Tied]:
    """Yield open files of cgroups: each holds the namespace that it was opened in.

    (struct cgroup_file_ctx, cgroup_file_open() of kernel/cgroup/cgroup.c; since 5.17.)
    """
    for file in _opened(shown):
        mount = file.mount
        if mount is None or not mount.fstype.startswith("cgroup") or file.flags is None:
            continue
        if not file.flags & _DIRECTORY:
            for tid in _who(shown, file):
                yield _any_of(tid, "CGROUP_NS", f"{file.link} is open")


def _of_proc_mounts(shown: Shown, seen: Mapping[int, Sequence[Line]]) -> Iterator[Tied]:
    """Yield where a proc filesystem of another pid namespace is mounted.

    Which it shows mountinfo does not tell. One on /proc is that of who lives there, in a pid
    namespace of his own, or hides processes of the host (ProtectProc= of systemd).
    """
    for pid, lines in seen.items():
        guest = shown.tasks[pid].spaces.get("pid") not in {None, shown.initial.get("pid")}
        for line in lines:
            owns = line.point == "/proc" and (guest or "hidepid=" in line.options)
            if line.fstype == "proc" and line.dev != shown.own_proc and not owns:
                words = f"a proc filesystem is mounted on {line.point}"
                yield _any_of(pid, "PID_NS", words)


def of_automounts(tasks: Mapping[int, Task], seen: Mapping[int, Sequence[Line]]) -> Iterator[Tied]:
    """Yield the pipes that automounts write into, and whose daemon has ended.

    (autofs_show_options(), fs/autofs/inode.c; autofs_sb_info.oz_pgrp is a struct pid.)
    """
    groups = {task.group for task in tasks.values()}
    for pid, lines in seen.items():
        for line in lines:
            options = line.options if line.fstype == "autofs" else ""
            if (found := _PIPE.search(options)) is not None:
                words = f"an automount on {line.point} writes into it"
                yield Tied((TASK, pid), ("PIPE", int(found[1])), words)
            if (found := _DAEMON.search(options)) is not None and int(found[1]) not in groups:
                yield _any_of(pid, "PID_NS", f"the daemon of an automount on {line.point} ended")


def _of_sockets(shown: Shown) -> Iterator[Tied]:
    """Yield the network namespaces that have more sockets than their tables show."""
    told: dict[str, int] = {}
    for one in shown.socks:
        kernels = one.family == "netlink" and one.local == _KERNELS
        if not kernels and not (one.ends and one.code in {_TIME_WAIT, _SYN_RECEIVED}):
            told[one.space] = told.get(one.space, 0) + 1
    for space, used in shown.once(sockets_used).items():
        key: Key = ("NET_NS", space)
        more = None if used is None else used - told.get(space, 0)
        if more is None:
            yield Tied(key, key, "how many sockets are in it is not told")
        elif more > 0:
            sockets = "socket" if more == 1 else "sockets"
            yield Tied(key, key, f"it has {more} more {sockets} than its tables show")


def of_connections(shown: Shown) -> Iterator[Tied]:
    """Yield the unix sockets of which who is connected to them, and so holds them, is not told.

    To a datagram socket anybody may be, without its being so to them. Who waits to be accepted is
    in the queue of a listener.
    """
    unix = [one for one in shown.socks if one.family == "unix"]
    everybody = all(one.told for one in unix if one.type == "dgram")
    seen = (one for one in unix if one.ino in shown.sock_files())
    held = {ino for one in seen for ino in (one.peer, *one.waiting)}
    socks = (sock for file in _mine(shown) if (sock := shown.sock_of(file)) is not None)
    for one in dict.fromkeys(socks):
        connected = one.code == _CONNECTED and one.ino not in held
        if one.family == "unix" and (not everybody if one.type == "dgram" else connected):
            yield Tied(one.key, one.key, "who is connected to it is not told")


def of_what_is_sent(shown: Shown, ran: Ran) -> Iterator[Tied]:
    """Yield the open files that may have been sent to others after those were looked at.

    (SCM_RIGHTS, unix(7).) So may be all of who ran meanwhile and is connected to others.
    """
    if shown.host:
        return  # there is no border yet that it could cross
    ends = _crossing(shown)
    tables = {slot.table for file in _mine(shown) if file.socket in ends for slot in file.slots}
    moved = ran({tid for table in tables for tid in shown.tables[table]} if tables else ())
    for file in _mine(shown):
        if any(not moved.isdisjoint(shown.tables[slot.table]) for slot in file.slots):
            words = "who has it ran while it was read, and may have sent it by a unix socket"
            yield Tied(file.key, file.key, words)


def _crossing(shown: Shown) -> set[int]:
    """Return the unix sockets of the subtree that are connected to others, or may be, by inode."""
    files = shown.sock_files()
    inside = {ino for ino, some in files.items() if any(file.inside for file in some)}
    return {one for one, two in _connections(shown) if one in inside and two not in inside}


def _connections(shown: Shown) -> Iterator[tuple[int, int]]:
    """Yield which unix sockets are connected, by inode, both ways; 0 for one that is not told."""
    for one in shown.socks:
        if one.family == "unix":
            others = [other for other in (one.peer, *one.waiting) if other]
            others += [0] if one.code == _CONNECTED and not one.told else []
            yield from (pair for other in others for pair in ((one.ino, other), (other, one.ino)))


def _of_terminals(shown: Shown) -> Iterator[Tied]:
    """Yield the pseudo-terminals of which the master, that holds the slave, is not told.

    And who may have one open by another name (tty_open_current_tty(), drivers/tty/tty_io.c).
    """
    ends = [end for file in _opened(shown) if (end := shown.terminal(file)) is not None]
    masters = {end.whole for end in ends if end.master}
    mine = (end for file in _mine(shown) if (end := shown.terminal(file)) is not None)
    for key in dict.fromkeys(end.key for end in mine if end.whole not in masters):
        yield Tied(key, key, "who has its other end is not told")
    for file in _opened(shown):
        if file.link == OWN_TERMINAL:
            for tid in _who(shown, file):
                yield _any_of(tid, "TTY", f"{file.link} is open, which was its terminal then")


def of_segments(shown: Shown) -> Iterator[Tied]:
    """Yield who has attached a System V segment: it holds the ipc namespace (shm_file_data.ns)."""
    known = shown.once(segments.placed)
    for one in shown.attached:
        words = "a System V segment is attached"
        spaces = known.get(one.segment, ())
        if not spaces:
            yield _any_of(one.tid, "IPC_NS", words)
        elif len(spaces) > 1:  # otherwise it is known to hold that one
            yield from (Tied((TASK, one.tid), ("IPC_NS", space), words) for space in spaces)
