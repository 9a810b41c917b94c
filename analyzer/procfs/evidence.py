"""What tells two things of two processes apart, or that they are one, without kcmp(2).

A rule is a function of what /proc shows of one descriptor, or of one process: two that are one
object have equal values. The values of `FIXED` and `LINEAGE` never change as long as the object
lives, so different ones prove that there are two. Those of `MOVING` may change between two
readings: they prove it where each was read twice, all second times after all first ones, and had
not changed. Equal values prove nothing, but for `once`: there is one open file of each.

`classes` puts members into classes by these values. Two that are of one class, and not shown to be
two, are *alike*: they may be one object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.procfs import keeping
from analyzer.relations.shown import PATH_ONLY, lines

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from analyzer.procfs.fdinfo import FdInfo
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.procfs.stat import Layout
    from analyzer.procfs.status import Status

_SOCKET: Final = re.compile(r"socket:\[[0-9]{1,20}\]", re.ASCII)
# SETFL_MASK in fs/fcntl.c, and FASYNC: what F_SETFL changes. O_APPEND, O_NONBLOCK, O_ASYNC,
# O_DIRECT (of x86, and of arm and powerpc), O_NOATIME.
_CHANGED: Final = 0o2000 | 0o4000 | 0o20000 | 0o40000 | 0o200000 | 0o1000000
# Of what a file is: lines of fdinfo that are written once, when it is made.
_MADE: Final = frozenset(
    {"eventfd-id", "tty-index", "clockid", "map_id", "prog_id", "link_id", "fanotify flags"}
)
_USERFAULT: Final = "anon_inode:[userfaultfd]"
_RINGS: Final = "SqMask"
_NOT_IN_SET: Final = frozenset({"user", "pid", "pid_for_children"})
_TARGET: Final = re.compile(r" pos:-?[0-9]+", re.ASCII)
_KEPT: Final = frozenset({"FLOCK", "OFDLCK", "LEASE", "DELEG"})  # locks of an open file
_TYPE_AT: Final = 1  # of the words of a lock: "1:", its type


class Descriptor(NamedTuple):
    """What is known of one descriptor: where its link leads, and its fdinfo."""

    link: str
    info: FdInfo

    @property
    def flags(self) -> int:
        """Return the flags that it was opened with; 0 where a capture has none."""
        return self.info.flags or 0

    @property
    def lines(self) -> Sequence[tuple[str, str]]:
        """Return what only some types of files say."""
        return lines(self.info.more)


def once(one: Descriptor) -> Hashable | None:
    """Return what one open file alone has, None for what may be opened again.

    A socket has one file (sock_alloc_file(), net/socket.c), and open(2) of its link fails with
    ENXIO (sock_no_open(), or no open at all); but with O_PATH. So it is of an eventfd, whose id is
    not used twice at a time (eventfd_ida, fs/eventfd.c; in fdinfo since 5.2, b556db17b0e7), and of
    a userfaultfd, which has an inode of its own since 5.12, before fdinfo told of inodes
    (anon_inode_create_getfd(), fs/userfaultfd.c). An io_uring has one since 5.16 (91a9ab7c942a),
    and from then on shows its rings (83f84356bc8f), if nobody is just using it. An epoll, a
    timerfd, an inotify and a signalfd cannot be opened again either, but they have one inode all
    together, and fdinfo has no number of theirs: what is alike there may be two.
    """
    if one.flags & PATH_ONLY:
        return None
    if _SOCKET.fullmatch(one.link):
        return one.link
    told = dict(one.lines)
    alone = one.link == _USERFAULT or (one.link == keeping.RING and _RINGS in told)
    if alone and one.info.ino is not None:
        return f"{one.link} {one.info.ino}"
    ident = told.get("eventfd-id", "")
    return f"eventfd {ident}" if ident.isdecimal() else None


def inode(one: Descriptor) -> Hashable:
    """Return the inode (file_inode(), seq_show() of fs/proc/fd.c; since 5.14)."""
    return one.info.ino


def mount(one: Descriptor) -> Hashable:
    """Return the id of the mount that it was opened on (f_path.mnt; since 3.15)."""
    return one.info.mnt_id


def opened(one: Descriptor) -> Hashable:
    """Return the flags that fcntl(2) cannot change (setfl(), fs/fcntl.c): access mode, O_PATH."""
    return one.flags & ~_CHANGED


def made(one: Descriptor) -> Hashable:
    """Return the numbers that it was made with (show_fdinfo() of its type): a clock, a map."""
    return tuple((word, text) for word, text in one.lines if word in _MADE)


def offset(one: Descriptor) -> Hashable:
    """Return the offset (f_pos): one for all who share the file."""
    return one.info.pos


def status(one: Descriptor) -> Hashable:
    """Return the flags that fcntl(2) changes: O_APPEND, O_NONBLOCK, ... (f_flags)."""
    return one.flags & _CHANGED


def watched(one: Descriptor) -> Hashable:
    """Return what it watches: ep_show_fdinfo() of fs/eventpoll.c, fs/notify/fdinfo.c."""
    watch = {"tfd", "inotify", "fanotify", "sigmask"}
    return frozenset((w, _TARGET.sub("", text)) for w, text in one.lines if w in watch)


def locked(one: Descriptor) -> Hashable:
    """Return the locks of the open file itself (show_fd_locks(), fs/locks.c; since 4.1)."""
    found = (text.split()[_TYPE_AT:] for word, text in one.lines if word == "lock")
    return frozenset(tuple(words) for words in found if words and words[0] in _KEPT)


FIXED: Final = (inode, mount, opened, made)
MOVING: Final = (offset, status, watched, locked)


class Process(NamedTuple):
    """What is known of a process; None of what is not: `descriptors` are (fd, link) pairs.

    `spaces` are its namespaces of mounts and of users.
    """

    layout: Layout | None
    status: Status | None
    spaces: tuple[str | None, str | None]
    descriptors: frozenset[tuple[str, str]] | None
    cwd: str | None
    root: str | None


def memory(one: Process) -> Hashable | None:
    """Return where execve(2) laid out its memory (mm->start_code, ..., proc_pid_stat(5)).

    fork(2) copies it, and execve(2) makes it anew, by chance (randomize_va_space(), ASLR). So it is
    one for tasks that share an mm; and for those that share a descriptor table, or handlers of
    signals, which execve(2) gives up as well (unshare_files(), unshare_sighand() of fs/exec.c).
    """
    return one.layout


def mounts(one: Process) -> Hashable | None:
    """Return the namespaces that who shares an fs_struct has: none of it can go to another one.

    setns(2) into one of mounts or of users needs fs->users == 1 (mntns_install(),
    userns_install()); unshare(2) of them unshares the fs_struct first, and clone(2) refuses
    CLONE_FS with them.
    """
    return one.spaces if None not in one.spaces else None


def spaces(links: Mapping[str, NamespaceLink]) -> frozenset[tuple[str, NamespaceLink]]:
    """Return the namespaces of a task's set (struct nsproxy), by its links; empty for none.

    A set never changes: setns(2) and unshare(2) give a task another one, that nobody else has
    (switch_task_namespaces(), kernel/nsproxy.c). The user namespace is not in it, and the pid
    namespace for children has no link until somebody is in it.
    """
    return frozenset((name, link) for name, link in links.items() if name not in _NOT_IN_SET)


def handlers(one: Process) -> Hashable | None:
    """Return which signals are ignored, and which caught (collect_sigign_sigcatch())."""
    return None if one.status is None else one.status.handlers


def table(one: Process) -> Hashable | None:
    """Return the descriptors, and how large the table is (FDSize: files->fdt->max_fds)."""
    if one.descriptors is None or one.status is None:
        return None
    return one.descriptors, one.status.table_size


def places(one: Process) -> Hashable | None:
    """Return working directory, root and umask: all of an fs_struct (Umask since 4.7)."""
    if one.cwd is None or one.root is None or one.status is None:
        return None
    return one.cwd, one.root, one.status.umask


LINEAGE: Final[Mapping[str, Callable[[Process], Hashable | None]]] = {
    "MM": memory, "FILE_TABLE": memory, "SIGHAND": memory, "FS": mounts,
}  # fmt: skip
"""What never changes of what tasks share, by kind."""

MOVES: Final[Mapping[str, Callable[[Process], Hashable | None]]] = {
    "FILE_TABLE": table, "SIGHAND": handlers, "FS": places,
}  # fmt: skip
"""What may change of it; of an mm nothing is told that would tell two apart."""


Rule = Callable[[Descriptor], "Hashable"]


class Value(NamedTuple):
    """What the rules say of a member; `moving` is None where it is not known.

    `still` tells that `moving` was the same when it was read again.
    """

    fixed: Hashable
    moving: Hashable | None
    still: bool
    once: Hashable | None = None


def of_descriptor(one: Descriptor, again: FdInfo | None) -> Value:
    """Return what the rules say of a descriptor; `again` is its fdinfo at the second reading."""
    moving = tuple(rule(one) for rule in MOVING)
    later = None if again is None else tuple(rule(one._replace(info=again)) for rule in MOVING)
    return Value(tuple(rule(one) for rule in FIXED), moving, moving == later, once(one))


def of_process(kind: str, one: Process, again: Process | None) -> Value | None:
    """Return what the rules say of what a process has of a kind; None where nothing is known."""
    fixed = LINEAGE[kind](one)
    if fixed is None:
        return None
    rule = MOVES.get(kind)
    if rule is None:
        return Value(fixed, (), still=True)
    moving = rule(one)
    return Value(fixed, moving, moving is not None and again is not None and rule(again) == moving)


class Alike(NamedTuple):
    """Members (by index) that may be one: each is of the `group` that a first member stands for.

    Of one `group` all that is fixed is equal; of one `like` all that moves as well. Two of a group
    that are not alike are two where both are `still`.
    """

    member: int
    group: int
    like: int
    still: bool


def classes(values: Sequence[Value | None]) -> list[Alike]:
    """Return of each member with known values to which groups it belongs."""
    first: dict[Hashable, int] = {}
    alike: dict[Hashable, int] = {}
    found = []
    for index, value in enumerate(values):
        if value is None:
            continue
        group = first.setdefault(value.fixed, index)
        like = alike.setdefault((value.fixed, value.moving), index)
        found.append(Alike(index, group, like, value.still))
    return found


def same(values: Sequence[Value | None]) -> list[int]:
    """Return a number for each member, in order of first sight: one for those that are one."""
    seen: dict[Hashable, int] = {}
    numbers = []
    for index, value in enumerate(values):
        known = None if value is None or value.once is None else (value.fixed, value.once)
        numbers.append(seen.setdefault(known or ("", index), len(seen)))
    return numbers
