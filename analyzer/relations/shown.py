"""What /proc shows of a machine, as relations ask for it: on the live machine, or in a dump.

It has no addresses. A thing is known by its kind and by what tells it from all others: a task by
its tid, an open file by the number that it has in this reading, an inode by its filesystem and
number, a namespace by the text of its link. What was not shown is None, and no relation may be made
of it: an end whose side is not known crosses no border.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from analyzer.core.model import TASK, Impact
from analyzer.core.pattern import pattern
from analyzer.core.values import NamedTuple, dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

Key = tuple[str, Hashable]
"""A thing: its kind, and what it is known by."""

PATH_ONLY: Final = 0o10000000  # O_PATH, include/uapi/asm-generic/fcntl.h
# Filesystems whose inodes have numbers of their own; on others (overlay, FUSE) two may have one.
NUMBERED: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "f2fs", "tmpfs", "ramfs", "hugetlbfs", "mqueue", "vfat", "proc",
     "sysfs", "devpts", "devtmpfs"}
)  # fmt: skip
OWN_TERMINAL: Final = "/dev/tty"  # opens the controlling terminal, whichever that is
PIPE: Final = "pipe:["  # what has no name is called by the number of its inode
_ACCESS: Final = 3
_GONE: Final = "//deleted"  # what show_mountinfo() says of a root that was removed
_PIPE: Final = pattern(r"pipe:\[([0-9]{1,20})\]")
_SOCKET: Final = pattern(r"socket:\[([0-9]{1,20})\]")
_INDEX: Final = pattern(r"[0-9]{1,7}")
_BOOT: Final = pattern(r"^btime ([0-9]{1,12})$", re.MULTILINE)
_USED: Final = pattern(r"^sockets: used ([0-9]{1,9})$", re.MULTILINE)
_MOST: Final = (1 << 64) - 1
_ID: Final = pattern("[1-9][0-9]{0,8}")
_TCP: Final = 6
_TCP_LISTENS: Final = 10  # include/net/tcp_states.h
_INIT: Final = 1  # the number of the first process of a pid namespace
_MEMORY_DEVICES: Final = 1  # the major of null, zero, full, random (admin-guide/devices.txt)


class Tied(NamedTuple):
    """One relation: its ends, and what more is known of it (see `base.Related`)."""

    left: Key
    right: Key
    detail: str = ""
    role: str = ""
    impact: Impact | None = None
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One thread. Times are clock ticks since boot; 0 is no tracer, session, group or terminal.

    `numbers` are its ids, outermost pid namespace first; `hidden` tells of its session and its
    group whether the leader has no number where the task lives. `spaces` are the texts of its links
    to namespaces, by name. `group_of` is its control group of version 2. `outlived` tells that
    children of it have ended, or may have without a trace.
    """

    tid: int
    tgid: int
    parent: int
    start: int
    comm: str
    state: str
    kthread: bool
    exiting: bool
    inside: bool
    session: int = 0
    group: int = 0
    terminal: int = 0
    tracer: int = 0
    numbers: tuple[int, ...] = ()
    hidden: Mapping[str, bool] = field(default_factory=dict)
    group_of: str | None = None
    spaces: Mapping[str, str] = field(default_factory=dict)
    outlived: bool = False

    @property
    def leads(self) -> bool:
        """Tell whether it is the first thread of its process."""
        return self.tid == self.tgid

    @property
    def key(self) -> Key:
        """Return what it is known by."""
        return TASK, self.tid


class Looked(NamedTuple):
    """What stat(2) says of what a link leads to: mode, device that it is, size, mount (None: not).

    `dev` is the device of its filesystem.
    """

    mode: int
    rdev: int
    size: int
    dev: int
    mnt_id: int | None

    @property
    def memory_device(self) -> bool:
        """Tell whether it is null, zero or their like, on which nobody disturbs anybody."""
        return stat.S_ISCHR(self.mode) and os.major(self.rdev) == _MEMORY_DEVICES


class Look(Protocol):
    """Tells of paths where they lead; `names` are how a dump calls them, the paths by default."""

    def __call__(self, paths: Sequence[str], names: Sequence[str] = ()) -> Sequence[Looked | None]:
        """Return what is known of each, in order."""


class Mount(NamedTuple):
    """A mount as /proc/PID/mountinfo has it, of the mount namespace `space`; 0 is no group.

    It may be `read_only` as its filesystem is, or for `only_itself`.
    """

    mnt_id: int
    dev: int
    root: str
    point: str
    fstype: str
    read_only: bool
    group: int
    master: int
    space: str
    only_itself: bool = False


class Terminal(NamedTuple):
    """An end of a pseudo-terminal, which `whole` is: its own key, and whether it is the master."""

    key: Key
    whole: Key
    master: bool


class Attach(NamedTuple):
    """A mapping of a System V segment: whose (a task), of which (id and key), and what is mapped.

    `file` is that of an address space: its key begins with the number of that.
    """

    tid: int
    segment: tuple[int, int]
    file: tuple[str, tuple[Hashable, Hashable]]


class Slot(NamedTuple):
    """A descriptor: its number in a descriptor table, by the index of that."""

    table: int
    fd: int


class File(NamedTuple):
    """An open file, or one that is mapped (it has no `flags` then, and no slots).

    `more` is of its fdinfo what not every file has. It is descriptor `fd` of the process in
    `folder`, where one has it. `locks` are its locks, each with the descriptor table that shows it.
    `mode` is how it was opened (O_ACCMODE), where no more is known of its flags.
    """

    key: Key
    link: str
    inode: Key | None
    flags: int | None
    pos: int | None
    mnt_id: int | None
    ino: int | None
    mount: Mount | None
    more: bytes
    slots: Sequence[Slot]
    inside: bool
    folder: str = ""
    fd: int = 0
    locks: Sequence[tuple[int, str]] = ()
    mode: int | None = None

    @property
    def path(self) -> str:
        """Return where to ask more of it, "" for nowhere."""
        return f"{self.folder}/fd/{self.fd}" if self.folder else ""

    @property
    def lines(self) -> Sequence[tuple[str, str]]:
        """Return the lines of `more`."""
        return lines(self.more)

    def told(self, word: bytes) -> list[str]:
        """Return what the lines of `more` say that begin with a word."""
        if word not in self.more:  # as of nearly all
            return []
        return [text for one, text in self.lines if one == word.decode()]

    def last(self, word: bytes) -> str:
        """Return the last of what is `told`, "" where there is nothing."""
        return (self.told(word) or [""])[-1]

    @property
    def access(self) -> int | None:
        """Return how it was opened: O_RDONLY, O_WRONLY, O_RDWR; None for O_PATH, or not known."""
        if self.flags is None:
            return self.mode
        return None if self.flags & PATH_ONLY else self.flags & _ACCESS

    @property
    def writes(self) -> bool:
        """Tell whether it was opened to write."""
        return bool(self.access)

    @property
    def pipe(self) -> int | None:
        """Return the number of the pipe that it is an end of, None of what is no pipe."""
        return _number_of(_PIPE, self.link) if self.link.startswith(PIPE) else None

    @property
    def socket(self) -> int | None:
        """Return the number of the socket that it is, None of what is none."""
        return _number_of(_SOCKET, self.link) if self.link.startswith("socket:[") else None

    @property
    def deleted(self) -> bool:
        """Tell whether its name is gone (d_path(), fs/d_path.c)."""
        return self.link.endswith(" (deleted)")


@lru_cache(maxsize=1 << 8)  # several rules ask, one after the other
def lines(more: bytes) -> tuple[tuple[str, str], ...]:
    """Return what only some files say in fdinfo: a word each ("tfd", "lock"), and what follows it.

    A line that is not ended was cut.
    """
    parts = [line.strip().split(None, 1) for line in more.split(b"\n")[:-1]]
    known = [part for part in parts if len(part) > 1]
    return tuple([(_decode(word.rstrip(b":")), _decode(text)) for word, text in known])


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class Sent(NamedTuple):
    """An open file, and the unix socket (its number) in whose queue it is."""

    socket: int
    file: File


class Mapped(NamedTuple):
    """A mapping of a file into an address space: its permissions ("rw-s"), inode, and path."""

    memory: Key
    permissions: str
    inode: Key
    path: str
    inside: bool


class Sock(NamedTuple):
    """A socket, as a table of the network namespace `space` has it; 0 is no inode.

    Words are those of facts (docs/facts.md). `code` is the state as TCP numbers them; of the
    internet `number` is the protocol and `ends` are address, port, and those of the other end; of
    unix `peer` is the inode of the other end and `waiting` are those that it has not yet accepted,
    where that was `told`.
    `interface` is the index of the one that a listener is bound to: 0 is none, None not known.
    """

    ino: int
    space: str
    family: str
    type: str
    protocol: str
    code: int
    state: str
    local: str = ""
    remote: str = ""
    number: int = 0
    ends: tuple[bytes, int, bytes, int] | None = None
    peer: int = 0
    waiting: tuple[int, ...] = ()
    interface: int | None = None
    told: bool = False

    @property
    def key(self) -> Key:
        """Return what it is known by."""
        return ("SOCKET" if self.family == "unix" else "NET_SOCKET"), self.ino


def unaccepted(client: int) -> Key:
    """Return what the socket is known by that waits in a queue for who accepts it: its client's."""
    return "SOCKET", f"for {client}"


def listens_at(one: Sock) -> tuple[str, str, bytes, int] | None:
    """Return where a socket takes TCP connections: namespace, family, address, port; or None."""
    if one.number != _TCP or one.code != _TCP_LISTENS or one.ends is None:
        return None
    return one.space, one.family, *one.ends[:2]


@dataclass(frozen=True)
class Place:
    """A root or working directory (`role`) of the subtree: where it leads, and its mount."""

    key: Key
    role: str
    link: str
    mnt_id: int | None


@dataclass(frozen=True)
class Shown:
    """What was shown. `initial` are the host's namespaces, by name, as far as they can be told.

    `reader` are the namespaces of who looked, and `ticks` how many a second has.
    `alike` is what may be one across the border, where nobody could tell, and `may_hold` what may
    hold something. `attached` are the mappings of System V segments, `segments` the lists of IPC
    namespaces but the reader's, `submitters` the processes with a ring of asynchronous requests.
    `sent` are the files in flight of which it is told which they are.
    `folders` has where the descriptors of each table are, `in_use` how many may hold files of a
    table by more than their descriptors.
    `tables` are the tids that use each descriptor table. `mounts` are those of every mount
    namespace, by mount id, which is one on the machine. `whole` tells that no process is missing.
    """

    tasks: Mapping[int, Task]
    tables: Sequence[Sequence[int]]
    files: Sequence[File]
    mappings: Sequence[Mapped]
    places: Sequence[Place]
    mounts: Mapping[int, Mount]
    initial: Mapping[str, str]
    whole: bool
    host: bool
    look: Look
    text: Callable[[str], str]
    own_proc: int | None = None
    socks: Sequence[Sock] = ()
    reader: Mapping[str, str] = field(default_factory=dict)
    ticks: int = 100
    alike: Sequence[Tied] = ()
    may_hold: Sequence[Tied] = ()
    folders: Sequence[str] = ()
    attached: Sequence[Attach] = ()
    segments: Mapping[str, str] = field(default_factory=dict)
    sent: Sequence[Sent] = ()
    submitters: Collection[int] = ()
    in_use: Mapping[int, int] = field(default_factory=dict)
    _made: dict[object, Any] = field(default_factory=dict)

    def once(self, make: Callable[[Shown], T]) -> T:
        """Return what `make` makes of this: made once, for all relations that ask."""
        if make not in self._made:
            self._made[make] = make(self)
        found: T = self._made[make]
        return found

    def leaders(self) -> Iterator[Task]:
        """Yield the first thread of each process."""
        return (task for task in self.tasks.values() if task.leads)

    def ours(self) -> list[Task]:
        """Return the processes of the subtree, the eldest first."""
        return sorted((t for t in self.leaders() if t.inside), key=lambda task: task.start)

    def telling(self) -> list[File]:
        """Return the files of which fdinfo says more than of all."""
        return self.once(_telling)

    def by_inode(self) -> Mapping[Key, list[File]]:
        """Return the open files of each inode; one that is mapped alone if nobody has it open."""
        return self.once(_by_inode)

    def sock_files(self) -> Mapping[int, list[File]]:
        """Return the open files of each socket, by its inode."""
        return self.once(_sock_files)

    def terminal(self, file: File) -> Terminal | None:
        """Return which end of which pseudo-terminal a file is, None where that cannot be told.

        Every devpts has numbers of its own; a master that was opened elsewhere has that beside it.
        """
        if file.mount is None or file.deleted:
            return None
        index, master = file.last(b"tty-index"), True
        devices = {file.mount.dev}
        if file.mount.fstype != "devpts":
            if not index:
                return None
            own = (one for one in self.mounts.values() if one.space == file.mount.space)
            devices = {one.dev for one in own if one.fstype == "devpts"}
        elif not index:
            index, master = file.link.rpartition("/")[2], False
        if not _INDEX.fullmatch(index) or len(devices) != 1:
            return None
        place = (*devices, int(index))
        whole: Key = ("TTY", ("master", *place))
        return Terminal(whole if master else ("TTY", ("slave", *place)), whole, master)

    def lived(self, task: Task, when: int) -> bool:
        """Tell whether a task was there at a time in seconds since 1970; False if unknown."""
        return 0 < self.once(_booted) <= when + 1 - task.start / self.ticks

    def sock_of(self, file: File) -> Sock | None:
        """Return the socket that a file is, None where no table has it."""
        return self.once(_socks).get(file.socket or 0)

    def types(self, files: Iterable[File]) -> dict[Key, int]:
        """Return what is known of the type (S_IFMT) of files, by their keys."""
        some = [file for file in files if file.path]
        asked = [file for file in some if not file.link.startswith(PIPE)]
        found = {
            file.key: stat.S_IFMT(at.mode)
            for file, at in zip(asked, self.look([file.path for file in asked]), strict=True)
            if at is not None
        }
        # What has an offset and was written is no pipe, device or folder.
        more = {f.key: stat.S_IFREG for f in some if f.writes and (f.pos or 0) > 0}
        more |= {f.key: stat.S_IFIFO for f in some if f.link.startswith(PIPE)}
        return more | found

    def users(self, file: File) -> Iterator[tuple[Task, int]]:
        """Yield who has an open file, and as which descriptor."""
        for table, fd in file.slots:
            for tid in self.tables[table]:
                if tid in self.tasks:
                    yield self.tasks[tid], fd

    def boxed(self) -> bool:
        """Tell whether the subtree is a container (see `_tasks.boxed`)."""
        host = self.initial.get("pid")
        return any(
            task.numbers[-1:] == (_INIT,) and task.spaces.get("pid") not in {None, host}
            for task in self.leaders()
            if task.inside
        )

    def own(self, name: str) -> set[str]:
        """Return the namespaces of a name that the subtree is in and that are not the host's.

        Where the host's is not known there are none.
        """
        if name not in self.initial:
            return set()
        return {t.spaces[name] for t in self.ours() if name in t.spaces} - {self.initial[name]}

    def visible(self, task: Task) -> bool:
        """Tell whether a task has a number in the outermost pid namespace of the subtree.

        One of which that cannot be told is taken to have: what is said of it then is milder.
        """
        known = [t for t in self.ours() if t.numbers and "pid" in t.spaces]
        if not known or not task.numbers:
            return True
        top = min(known, key=lambda t: len(t.numbers))
        depth = len(top.numbers)
        if len(task.numbers) < depth:
            return False
        at: Task | None = task
        for _ in range(len(self.tasks)):
            if at is None or len(at.numbers) <= depth:
                break
            at = self.tasks.get(at.parent)
        if at is None or len(at.numbers) != depth or "pid" not in at.spaces:
            return True
        return at.spaces["pid"] == top.spaces["pid"]


def _booted(shown: Shown) -> int:
    """Return when the machine was started, in seconds since 1970; 0 is unknown."""
    found = _BOOT.search(shown.text("stat"))
    return 0 if found is None else int(found[1])


def sockets_used(shown: Shown) -> Mapping[str, int | None]:
    """Return how many sockets hold each network namespace but the host's, None if not told.

    (sock_inuse_add() of net/core/sock.c counts them; by namespace since 4.16.)
    """
    found: dict[str, int | None] = {}
    for task in shown.leaders():
        space = task.spaces.get("net")
        known = space is None or space == shown.initial.get("net") or found.get(space) is not None
        if known or task.exiting or not (shown.host or task.inside):
            continue
        told = _USED.search(shown.text(f"{task.tgid}/net/sockstat"))
        found[space or ""] = None if told is None else int(told[1])
    return found


def _number_of(what: re.Pattern[str], link: str) -> int | None:
    said = what.fullmatch(link)
    return None if said is None or int(said[1]) > _MOST else int(said[1])


def _telling(shown: Shown) -> list[File]:
    return [file for file in shown.files if file.more]


def _sock_files(shown: Shown) -> Mapping[int, list[File]]:
    found: dict[int, list[File]] = {}
    for file in shown.files:
        if file.socket is not None:
            found.setdefault(file.socket, []).append(file)
    return found


def _socks(shown: Shown) -> Mapping[int, Sock]:
    return {one.ino: one for one in shown.socks if one.ino}


def _by_inode(shown: Shown) -> Mapping[Key, list[File]]:
    found: dict[Key, list[File]] = {}
    opened: set[tuple[Key, bool]] = set()
    for file in shown.files:
        if file.inode is not None and file.slots:
            found.setdefault(file.inode, []).append(file)
            opened.add((file.inode, file.inside))
    for file in shown.files:
        if file.inode is not None and not file.slots:
            known = found.setdefault(file.inode, [])
            if (file.inode, file.inside) not in opened:
                known.append(file)
    return found


def covered(shown: Shown) -> list[tuple[Mount, Mount | None]]:
    """Return the mounts of the subtree, each with one of others in which all of it is seen.

    The host's is preferred, and of them the one whose own root is nearest.
    """
    own, host = shown.own("mnt"), shown.initial.get("mnt")
    others: dict[int, list[Mount]] = {}
    for mount in shown.mounts.values():
        if mount.space not in own and not mount.root.endswith(_GONE):
            others.setdefault(mount.dev, []).append(mount)
    return [
        (mount, _covering(mount, others.get(mount.dev, ()), host))
        for mount in shown.mounts.values()
        if mount.space in own and not mount.root.endswith(_GONE)
    ]


def _covering(mount: Mount, others: Iterable[Mount], host: str | None) -> Mount | None:
    above = [one for one in others if f"{mount.root}/".startswith(f"{one.root.rstrip('/')}/")]
    return max(above, key=lambda one: (one.space == host, len(one.root)), default=None)


def number(text: str) -> int | None:
    """Return the id of a task that a text is, None for what is none (it may be a stranger's)."""
    return int(text) if _ID.fullmatch(text) else None


Find = Callable[[Shown], Iterable[Tied]]


def sided(inside: bool, ours: Impact, otherwise: Impact) -> Impact:  # noqa: FBT001 -- as a word
    """Return `ours` where the one that acts is inside."""
    return ours if inside else otherwise
