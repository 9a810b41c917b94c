"""What a reading of /proc shows, put together as relations ask for it (`relations.shown`).

Of processes outside only what can have to do with the subtree is looked at: what has a name that a
file of the subtree has, what watches, and descriptors of its processes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from analyzer.core.errors import BadInputError
from analyzer.core.values import replace
from analyzer.kinds import namespace_kinds
from analyzer.procfs import maps, nslink, segments, sending
from analyzer.procfs.kcmp import What
from analyzer.procfs.parse import decode
from analyzer.procfs.sockets import read as read_sockets
from analyzer.relations.shown import (
    NUMBERED,
    OWN_TERMINAL,
    PIPE,
    Attach,
    File,
    Mapped,
    Mount,
    Place,
    Shown,
    Slot,
    Sock,
    Task,
    lines,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

    from analyzer.procfs.fdinfo import FdInfo
    from analyzer.procfs.files import Slots
    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.mappings import Mapped as MappedFile
    from analyzer.procfs.mappings import Uses
    from analyzer.procfs.mountinfo import Mount as Line
    from analyzer.procfs.namespaces import Membership
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.procfs.sharing import Groups
    from analyzer.procfs.tasks import Task as Read
    from analyzer.relations.shown import Key

DELETED: Final = " (deleted)"  # what d_path() in fs/d_path.c adds to a name that is gone

_WATCHERS: Final = frozenset(
    {
        "anon_inode:[eventpoll]",
        "anon_inode:inotify",
        "anon_inode:[fanotify]",
        "anon_inode:[pidfd]",
        "anon_inode:bpf-map",
    }
)
_SUBVOLUMES: Final = "btrfs"  # each has the same numbers, and mountinfo the device of them all
_REQUESTS: Final = "/[aio]"  # of fs/aio.c: the ring of requests that io_submit(2) makes


_OF_PROCESS: Final = re.compile("/proc/[0-9]")
_CGROUPS: Final = "/sys/fs/cgroup/"
_FILES_IN_DEV: Final = ("/dev/shm/", "/dev/mqueue/")  # noqa: S108 -- as others name them


class Reading(Protocol):
    """What was read before: `subtree` are its processes, none where all are read."""

    @property
    def fs(self) -> ProcFs:
        """Return where it was read."""

    @property
    def tasks(self) -> Sequence[Read]:
        """Return every task."""

    @property
    def subtree(self) -> frozenset[int]:
        """Return the processes of the subject."""

    @property
    def observer(self) -> int:
        """Return who read it; 0 is unknown."""

    @property
    def ticks(self) -> int:
        """Return how many clock ticks a second has."""

    @property
    def whole(self) -> bool:
        """Tell whether every process was read."""


class Interest:
    """Which links of processes outside matter to relations of a subtree with these links."""

    def __init__(self, links: Iterable[str], socks: Collection[int] = ()) -> None:
        self._socks = {f"socket:[{ino}]" for ino in socks}
        self._names = {_name(link) for link in links if _named(link)}
        self._terminals = any(link.startswith(("/dev/pts/", "/dev/ptmx")) for link in links)
        self._watches = not {"anon_inode:inotify", "anon_inode:[fanotify]"}.isdisjoint(links)

    def __call__(self, link: str) -> bool:
        """Tell whether an outside descriptor that leads there is looked at."""
        if link in _WATCHERS or link in self._socks:
            return True
        if not link.startswith("/"):
            return False
        if link.startswith(("/dev/pts/", "/dev/ptmx")) or link == OWN_TERMINAL:
            return self._terminals
        if _OF_PROCESS.search(link) or link.startswith(_CGROUPS):
            return True
        return _named(link) and (self._watches or _name(link) in self._names)


def sockets(fs: ProcFs, by_tid: Mapping[int, Task], links: Iterable[str]) -> list[Sock]:
    """Return the sockets of the namespaces that the subtree is in; if it has any, of all."""
    inside = {t.spaces["net"] for t in by_tid.values() if t.inside and "net" in t.spaces}
    some = any(link.startswith("socket:[") for link in links)
    return read_sockets(fs, by_tid.values(), None if some or not inside else inside)


def others(
    socks: Sequence[Sock], by_tid: Mapping[int, Task], links: Iterable[str], host: str | None
) -> set[int]:
    """Return the sockets that matter whoever has them: other ends, and those where the subtree is.

    Of the host's network namespace only what can be another end.
    """
    spaces = {t.spaces["net"] for t in by_tid.values() if t.inside and "net" in t.spaces} - {host}
    mine = set(links)
    ports = {
        port
        for one in socks
        if one.ends is not None and f"socket:[{one.ino}]" in mine
        for port in (one.ends[1], one.ends[3])
    } - {0}
    meet = ((one.ino, one.peer, *one.waiting) for one in socks)
    peers = {
        end
        for ends in meet
        if any(f"socket:[{ino}]" in mine for ino in ends)
        for end in ends
        if end
    }
    return peers | {
        one.ino
        for one in socks
        if one.ino
        and (
            one.space in spaces
            or (one.ends is not None and not ports.isdisjoint((one.ends[1], one.ends[3])))
        )
    }


def whoever(link: str) -> bool:
    """Tell whether a link is the name of one thing, which matters whoever has it open."""
    return link.startswith(("pipe:[", "socket:[")) or nslink.parse(link) is not None


def _named(link: str) -> bool:
    device = link.startswith("/dev/") and not link.startswith(_FILES_IN_DEV)
    return link.startswith("/") and not device and not link.startswith("/memfd:")


def _name(link: str) -> str:
    return link.removesuffix(DELETED).rpartition("/")[2]


def tasks(
    found: Sequence[Read], members: Sequence[Membership], inside: Collection[int]
) -> dict[int, Task]:
    """Return the tasks; `inside` are the processes of the subtree."""
    spaces: dict[int, dict[str, str]] = {}
    for member in members:
        spaces.setdefault(member.tid, {})[member.link] = nslink.text(member.namespace)
    leaders = {task.tid: task for task in found if task.leader}
    return {
        task.tid: Task(
            tid=task.tid,
            tgid=task.tgid,
            parent=leaders.get(task.tgid, task).stat.ppid,
            start=task.stat.start_ticks,
            comm=task.stat.comm,
            state=task.stat.state,
            kthread=task.stat.kthread,
            exiting=task.stat.exiting,
            inside=task.tgid in inside,
            session=task.stat.session,
            group=task.stat.group,
            terminal=task.stat.terminal,
            tracer=task.tracer,
            numbers=task.numbers,
            hidden=dict(zip(("session", "process group"), task.hidden, strict=True)),
            group_of=task.group,
            spaces=spaces.get(task.tid, {}),
            outlived=task.outlived,
        )
        for task in found
    }


def initial(known: Collection[NamespaceLink], members: Sequence[Membership]) -> Mapping[str, str]:
    """Return the host's namespaces by name: those of `known` that somebody is in."""
    met = {member.namespace for member in members}
    fixed = {n: kind.initial_ino for n, kind in namespace_kinds().items()}
    told = [link for link in known if link in met or link.ino == fixed.get(link.name)]
    # Of two the one that a kernel thread is in: the other is a number of newer kernels.
    found = {link.name: nslink.text(link) for link in sorted(told, key=lambda one: one in met)}
    always = {"uts", "ipc", "user", "pid", "cgroup", "time"}  # their numbers are as old as they are
    return {
        name: text
        for name, text in found.items()
        if name in always or any(nslink.text(link) == text for link in met)
    }


def mounts(seen: Mapping[int, Sequence[Line]], by_pid: Mapping[int, Task]) -> dict[int, Mount]:
    """Return the mounts by id; `seen` are those that each process of a mount namespace sees."""
    return {
        one.mnt_id: Mount(
            one.mnt_id,
            one.dev,
            one.root,
            one.point,
            one.fstype,
            "ro" in {*one.own.split(","), *one.options.split(",")},
            one.group,
            one.master,
            by_pid[pid].spaces["mnt"],
            "ro" in one.own.split(","),
        )
        for pid, lines in seen.items()
        for one in lines
        if "mnt" in by_pid[pid].spaces
    }


def own_proc(found: Mapping[int, Mount], by_pid: Mapping[int, Task], observer: int) -> int | None:
    """Return the device of the proc filesystem that was read, None where that cannot be told.

    Each proc filesystem has the numbers of its own pid namespace.
    """
    for pid in (observer, 1):
        task = by_pid.get(pid)
        if task is not None and len(task.numbers) <= 1 and "mnt" in task.spaces:
            proc = [
                mount.dev
                for mount in found.values()
                if mount.space == task.spaces["mnt"]
                and (mount.point, mount.fstype, mount.root) == ("/proc", "proc", "/")
            ]
            if proc:
                return proc[-1]
    return None


def inode(mount: Mount | None, ino: int | None, link: str) -> Key | None:
    """Return what an inode is known by, None where it cannot be told from others."""
    if link.startswith(PIPE):
        return "INODE", (None, link)
    if mount is None or ino is None:
        return None
    name = link.removesuffix(DELETED)
    more: tuple[str, ...] = ()
    if mount.fstype == _SUBVOLUMES:
        more = (mount.root, name)
    elif mount.fstype not in NUMBERED:
        more = (name,)
    return "INODE", (mount.dev, ino, *more)


def files(
    slots: Slots,
    mounts: Mapping[int, Mount],
    inside: Sequence[bool],
    folders: Sequence[str],
) -> list[File]:
    """Return the open files of `slots`; `inside` tells of each descriptor table."""
    by_number: dict[int, list[int]] = {}
    for row in slots.kept():
        by_number.setdefault(slots.file[row], []).append(row)
    return [_file(slots, number, rows, mounts, inside, folders)
            for number, rows in by_number.items()]  # fmt: skip


def _file(
    slots: Slots,
    number: int,
    rows: Sequence[int],
    mounts: Mapping[int, Mount],
    inside: Sequence[bool],
    folders: Sequence[str],
) -> File:
    infos = [slots.told.get(row) for row in rows]
    at = next((at for at, info in enumerate(infos) if info is not None), 0)
    row, info, link = rows[at], infos[at], slots.link[rows[at]]
    known = [Slot(slots.table[row], slots.fd[row]) for row in rows]
    mount = None if info is None or info.mnt_id is None else mounts.get(info.mnt_id)
    return File(
        key=("FILE", number),
        link=link,
        inode=None if info is None else inode(mount, info.ino, link),
        flags=None if info is None else info.flags,
        pos=None if info is None else info.pos,
        mnt_id=None if info is None else info.mnt_id,
        ino=None if info is None else info.ino,
        mount=mount,
        more=b"" if info is None else info.more,
        slots=tuple(known),
        inside=True in [inside[slot.table] for slot in known],
        folder=folders[slots.table[row]],
        fd=slots.fd[row],
        locks=_locks(known, infos),
        mode=None if info is None else info.access,
    )


def _locks(slots: Sequence[Slot], infos: Sequence[FdInfo | None]) -> tuple[tuple[int, str], ...]:
    found: list[tuple[int, str]] = []
    for slot, info in zip(slots, infos, strict=True):
        if info is not None and b"lock" in info.more:
            found += [(slot.table, text) for word, text in lines(info.more) if word == "lock"]
    return tuple(found)


class Memories:
    """What address spaces map: `read` those of interest, by number, and then what others share."""

    def __init__(self, by_device: Mapping[int, Mount]) -> None:
        self._by_device = by_device
        self.files: list[File] = []
        self.mappings: list[Mapped] = []
        self.attached: list[Attach] = []
        self.submitters: set[int] = set()

    def add(self, number: int, found: Sequence[MappedFile], uses: Uses, task: Task) -> None:
        """Add the files that an address space maps."""
        memory: Key = ("MM", number)
        for index, one in enumerate(found):
            if one.dev is not None and one.ino is not None:
                key = self.inode(one.dev, one.ino, one.path, task)
                mount = self._by_device.get(one.dev)
                self.files.append(
                    File(("FILE", (number, index)), one.path, key, None, None, None, one.ino,
                         mount, b"", (), task.inside)
                )  # fmt: skip
        for file, _, permissions in uses:
            if permissions[3] != "s":
                continue
            one = found[file]
            self._note((number, file), one.path, one.ino, task)
            if one.dev is None or one.ino is None:
                continue
            key = self.inode(one.dev, one.ino, one.path, task)
            if key is not None:
                self.mappings.append(Mapped(memory, permissions, key, one.path, task.inside))

    def inode(self, dev: int, ino: int, path: str, task: Task) -> Key | None:
        """Return what the inode of a mapping is known by, None where it cannot be told."""
        mount = self._by_device.get(dev)
        if mount is not None:
            return None if mount.fstype == _SUBVOLUMES else inode(mount, ino, path)
        if path.startswith(segments.PATH):
            space = task.spaces.get("ipc")
            return None if space is None else ("INODE", (dev, ino, path, space))
        return "INODE", (dev, ino, path)  # of the kernel's own: a memfd, anonymous shared memory

    def _note(
        self, file: tuple[Hashable, Hashable], path: str, ino: int | None, task: Task
    ) -> None:
        segment = segments.name(path, ino)
        if segment is not None:
            self.attached.append(Attach(task.tid, segment, ("FILE", file)))
        elif path.startswith(_REQUESTS):
            self.submitters.add(task.tgid)

    def wanted(self) -> set[Key]:
        """Return the inodes that others may map too: shared, and not everybody's to read."""
        return {
            one.inode
            for one in self.mappings
            if one.inside
            and (one.permissions[1] == "w" or not one.path.startswith(("/usr/", "/lib")))
        }

    def look_outside(self, fs: ProcFs, others: Iterable[tuple[Read, Task]]) -> None:
        """Add what other processes map of what the subtree has mapped shared."""
        wanted = self.wanted()
        for read, task in others:
            memory: Key = ("MM", ("of", task.tgid))
            for one in _shared(fs, read):
                self._note((memory[1], one.path), one.path, one.ino, task)
                if one.dev is None or one.ino is None:
                    continue
                key = self.inode(one.dev, one.ino, one.path, task)
                if key in wanted and key is not None:
                    self.mappings.append(
                        Mapped(memory, one.permissions, key, one.path, inside=False)
                    )


def _shared(fs: ProcFs, task: Read) -> list[maps.Mapping]:
    path = f"{task.folder}/maps"
    try:
        found = maps.parse(fs.read(path), fs.name(path))
    except (OSError, BadInputError):
        return []  # what is not seen crosses nothing
    return [one for one in found if one.permissions[3] == "s"]


def _text(fs: ProcFs, path: str) -> str:
    try:
        return decode(fs.read(path))
    except (OSError, BadInputError):
        return ""


def _places(
    fs: ProcFs, groups: Groups, by_tid: Mapping[int, Task], hosts: Mapping[str, str]
) -> list[Place]:
    """Return the roots and working directories of a subtree that has mounts of its own.

    Which mount they are on their links do not tell.
    """
    spaces = {task.spaces.get("mnt") for task in by_tid.values() if task.inside}
    if not spaces - {None, hosts.get("mnt")}:
        return []
    found = [
        Place(("FS", number), role, f"{group[0].folder}/{role}", None)
        for number, group in enumerate(groups)
        if by_tid[group[0].tid].inside
        for role in ("cwd", "root")
    ]
    looked = fs.look([place.link for place in found])
    return [
        replace(place, link=_link(fs, place.link), mnt_id=at.mnt_id)
        for place, at in zip(found, looked, strict=True)
        if at is not None
    ]


def _link(fs: ProcFs, path: str) -> str:
    try:
        return fs.link(path)
    except OSError:
        return ""


def _lists(
    fs: ProcFs, by_tid: Mapping[int, Task], observer: int, attached: Sequence[Attach]
) -> Mapping[str, str]:
    """Return the segments of IPC namespaces: where there are any attached, of all of them."""
    own = by_tid[observer].spaces.get("ipc") if observer in by_tid else None
    inside = any(task.inside for task in by_tid.values())
    some = [task for task in by_tid.values() if attached or task.inside or not inside]
    return segments.read(fs, some, own)


def shown(  # noqa: PLR0913, PLR0917 -- all that a reading has read
    reading: Reading,
    groups: Mapping[What, Groups],
    members: Sequence[Membership],
    slots: Slots,
    seen: Mapping[int, Sequence[Line]],
    mapped: Mapping[int, tuple[Sequence[MappedFile], Uses]],
    first: Collection[NamespaceLink],
    by_tid: Mapping[int, Task],
    socks: Sequence[Sock],
) -> Shown:
    """Return what was read, as relations ask for it."""
    fs = reading.fs
    found = mounts(seen, by_tid)
    tables = [[task.tid for task in group] for group in groups[What.FILES]]
    folders = [group[0].folder for group in groups[What.FILES]]
    opened = files(
        slots,
        found,
        [any(by_tid[tid].inside for tid in tids) for tids in tables],
        folders,
    )
    memories = Memories({mount.dev: mount for mount in found.values()})
    for number, (some, uses) in mapped.items():
        owner = groups[What.VM][number]
        inside = next((task for task in owner if by_tid[task.tid].inside), owner[0])
        memories.add(number, some, uses, by_tid[inside.tid])
    known = {task.tgid for number in mapped for task in groups[What.VM][number]}
    others = [
        (task, by_tid[task.tid])
        for task in reading.tasks
        if task.leader and task.tgid not in known and not task.stat.kthread
    ]
    memories.look_outside(fs, [pair for pair in others if not pair[0].stat.exiting])
    return Shown(
        tasks=by_tid,
        tables=tables,
        files=[*opened, *memories.files],
        mappings=memories.mappings,
        places=_places(fs, groups[What.FS], by_tid, initial(first, members)),
        mounts=found,
        initial=initial(first, members),
        whole=reading.whole,
        host=not reading.subtree,
        look=fs.look,
        text=lambda path: _text(fs, path),
        socks=socks,
        reader=by_tid[reading.observer].spaces if reading.observer in by_tid else {},
        ticks=reading.ticks,
        own_proc=own_proc(found, by_tid, reading.observer),
        attached=memories.attached,
        sent=sending.parse(_text(fs, sending.PATH), opened, folders),
        segments=_lists(fs, by_tid, reading.observer, memories.attached),
        submitters=memories.submitters,
        folders=folders,
    )
