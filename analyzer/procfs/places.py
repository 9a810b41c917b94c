"""Places that hold a file or a filesystem without opening it: directories, roots, mounts.

A working directory or root pins a path, not an open file, so neither has a struct file; a mount
point holds a whole filesystem in every mount namespace that has it. See proc_pid_cwd(5),
proc_pid_root(5), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import errno
import os
import shlex
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.core.text import spans
from analyzer.core.values import NamedTuple, dataclass, replace
from analyzer.procfs import mountinfo
from analyzer.procfs.glance import kept, look
from analyzer.procfs.parse import unescape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.procfs.glance import Inode

_WATCHERS: Final = frozenset({"anon_inode:inotify", "anon_inode:[fanotify]"})
# A file, all that is on a mount, or all of a filesystem: see proc_pid_fdinfo(5).
_WATCH: Final = pattern(
    rb"(inotify|fanotify) (?:.*?\bino:([0-9a-f]+) sdev:([0-9a-f]+)|mnt_id:([0-9a-f]+)"
    rb"|sdev:([0-9a-f]+))"
)
_FLAGS: Final = 6
_PF_KTHREAD: Final = 0x00200000  # include/linux/sched.h
_SESSION: Final = 3  # of the fields after the name in /proc/PID/stat
LEAVE: Final = ", or have it change to another directory"
_DIRECTORIES: Final = (("cwd", "working directory"), ("root", "root directory"))


GONE: Final = "?"
"""The name of a process that is not there any more."""


@dataclass(frozen=True)
class Place:
    """`what` (a working directory, a root, a mount at a point) of a process, or of one for many.

    A mount is that of a mount namespace, which `pid` is in. `release` says what would end it.
    """

    what: str
    pid: int
    comm: str
    release: str = ""


def directories(
    dev: int, ino: int | None, mount: int | None = None
) -> tuple[list[Place], list[int]]:
    """Return whose working directory or root is that inode; with no `ino`, is on that device.

    With `mount`, only what is on the mount of that number. The second are the processes with one on
    a filesystem that does not answer.
    """
    asked, silent = kept("directories", _directories_by_device)
    found: dict[tuple[int, str], Place] = {}
    for pid, link, what, at in asked.get(dev, ()):
        if ino in {None, at.ino} and mount in {None, at.mnt_id} and not _is_kthread(pid):
            comm = comm_of(pid)
            leave = LEAVE if what == _DIRECTORIES[0][1] else ""
            thread = f" of its thread {link.split('/')[4]}" if "/task/" in link else ""
            place = Place(what + thread, pid, comm, f"end {comm} ({pid}){leave}" if pid > 1 else "")
            found.setdefault((pid, what), place)
    return list(found.values()), silent


def _directories_by_device() -> tuple[dict[int, list[tuple[int, str, str, Inode]]], list[int]]:
    """Return the directories of processes by their devices, and who has one that is silent."""
    asked = list(_directories())
    found: dict[int, list[tuple[int, str, str, Inode]]] = {}
    silent: dict[int, None] = {}
    for (pid, link, what), at in zip(asked, look([link for _, link, _ in asked]), strict=True):
        if not isinstance(at, int):
            found.setdefault(at.dev, []).append((pid, link, what, at))
        elif at == errno.ETIMEDOUT:
            silent[pid] = None
    return found, list(silent)


def _directories() -> Iterator[tuple[int, str, str]]:
    """Yield the links to the directories of processes, and of threads with some of their own."""
    for pid in processes():
        own = {name: _link(f"/proc/{pid}/{name}") for name, _ in _DIRECTORIES}
        others = [tid for tid in listed(f"/proc/{pid}/task") if tid != str(pid)]
        for name, what in _DIRECTORIES:
            yield pid, f"/proc/{pid}/{name}", what
            links = (f"/proc/{pid}/task/{tid}/{name}" for tid in others)
            yield from ((pid, link, what) for link in links if _link(link) != own[name])


def bind_mount(at: Inode) -> str:
    """Return which directory of its filesystem is mounted where a path leads, "" for no other."""
    mount = _mount_of(at) if at.mounted else None
    return "" if mount is None or mount.root == "/" else mount.root


def _mount_of(at: Inode) -> mountinfo.Mount | None:
    """Return the mount that a path leads to, None where our own mounts do not tell."""
    own = kept("own space", _own_space)
    mounts = () if own is None else own.mounts
    return next((mount for mount in mounts if mount.mnt_id == at.mnt_id), None)


def filesystem(at: Inode) -> int:
    """Return the device of the filesystem where a path leads: the kernel's own number.

    stat(2) tells another one of files on overlayfs (ovl_map_dev_ino()) and of a subvolume of btrfs.
    """
    mount = _mount_of(at)
    return at.dev if mount is None else mount.dev


def shown_on(path: str) -> dict[int, None]:
    """Return the overlays (devices) that show what is at a path, which is in one of their layers.

    A file of a layer has the same inode number there, but for lower layers on other filesystems.
    """
    return {
        mount.dev: None
        for _, mount, _, layer in _layers()
        if path.startswith(f"{layer.rstrip('/')}/")
    }


def _is_kthread(pid: int) -> bool:
    """Tell whether a process is one of the kernel's: all these are in the first root there was."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return len(fields) > _FLAGS and bool(int(fields[_FLAGS]) & _PF_KTHREAD)


def _is(at: Inode | int, dev: int, ino: int | None) -> bool:
    return not isinstance(at, int) and at.dev == dev and ino in {None, at.ino}


def swaps(dev: int, ino: int | None) -> Iterator[Place]:
    """Yield the swap file that an inode is; the kernel itself has it open."""
    return (swap(path, "file") for path, at in swapped() if _is(at, dev, ino))


def swapped() -> Iterator[tuple[str, Inode | int]]:
    """Yield what is swapped to (proc_swaps(5)): a file or a device, and where its path leads."""
    try:
        with open("/proc/swaps", "rb") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return
    paths = [os.fsdecode(unescape(line.split()[0])) for line in lines if line.split()]
    yield from zip(paths, look(paths), strict=True)


def swap(path: str, what: str) -> Place:
    """Return the place that swapping to a path is."""
    return Place(f"swap {what} {path}", 0, "kernel", f"swapoff {quoted(path)}")


def mounts_below(path: str) -> Iterator[Place]:
    """Yield what is mounted below a path of our own mount namespace, in that namespace."""
    start = path.rstrip("/") + "/"
    own = kept("own space", _own_space)
    if own is None or path == "/":
        return
    for mount in own.mounts:
        if mount.point.startswith(start):
            place = own.place(f"{mount.fstype} mounted below, at {mount.point}", mount.point)
            yield replace(place, release=f"umount {quoted(mount.point)}")


def mounts_upon(dev: int) -> Iterator[Place]:
    """Yield what is mounted over and below where a device is mounted, in our mount namespace.

    What is over it has the same point, so umount(8) means that.
    """
    own = kept("own space", _own_space)
    for at, mount in enumerate(() if own is None else own.mounts):
        if own is None or mount.dev != dev or mount.point == "/":
            continue
        for over in own.mounts[at + 1 :]:
            if over.point == mount.point:
                place = own.place(f"{over.fstype} mounted over it, at {over.point}", over.point)
                yield replace(place, release=f"umount {quoted(over.point)} (what is over it)")
        yield from mounts_below(mount.point)


def following(point: str) -> frozenset[str]:
    """Return the mount namespaces in which what is mounted at a point goes with the host's.

    An umount(2) is passed on to the peers of the mount that the point is on, and to those that
    follow it (mount_namespaces(7)): as services have it whose mounts systemd made their own.
    """
    spaces = kept("spaces", lambda: list(_spaces()))
    above = next((_above(space, point) for space in spaces if space.host), None)
    if above is None or not above.group:
        return frozenset()
    return frozenset(
        space.name
        for space in spaces
        if not space.host
        and (parent := _above(space, point)) is not None
        and above.group in {parent.group, parent.master}
    )


def _above(space: _Space, point: str) -> mountinfo.Mount | None:
    """Return the mount that a mount point is on."""
    found = [
        mount
        for mount in space.mounts
        if mount.point != point and point.startswith(mount.point.rstrip("/") + "/")
    ]
    return max(found, key=lambda mount: len(mount.point), default=None)


def _own_space() -> _Space | None:
    return next((space for space in _spaces("self")), None)


def fstype(at: Inode) -> str:
    """Return the type of the filesystem where a path leads, "" where our mounts do not tell."""
    mount = _mount_of(at)
    return "" if mount is None else mount.fstype


def in_filesystem(path: str, at: Inode) -> str:
    """Return what a path is called in its filesystem, "" where our own mounts do not tell."""
    own = kept("own space", _own_space)
    if own is None:
        return ""
    above = [
        mount
        for mount in own.mounts
        if mount.dev == at.dev and (f"{path}/").startswith(mount.point.rstrip("/") + "/")
    ]
    if not above:
        return ""
    mount = max(above, key=lambda one: len(one.point))
    return os.path.normpath(f"{mount.root}/{path[len(mount.point.rstrip('/')) :]}")


def deleted(path: str) -> list[Inode]:
    """Return the files that were called so and are open or mapped still, though the name is gone.

    A memfd is called /memfd:NAME (memfd_create(2)).
    """
    name = f"{path} (deleted)"
    links = kept("deleted", _deleted_links).get(name, ())
    found = {at: None for at in look(links) if not isinstance(at, int)}
    return list(found)


def _deleted_links() -> dict[str, list[str]]:
    """Return the links of processes to what was deleted, by what it was called."""
    found: dict[str, list[str]] = {}
    for pid in processes():
        links = [f"/proc/{pid}/{name}" for name in ("cwd", "root", "exe")]
        for folder in (f"/proc/{pid}/fd", f"/proc/{pid}/map_files"):
            links += [f"{folder}/{one}" for one in listed(folder)]
        for link in links:
            name = _link(link)
            if name.endswith(" (deleted)"):
                found.setdefault(name, []).append(link)
    return found


def watched(at: Inode, dev: int, among: Iterable[int] | None) -> tuple[str, ...]:
    """Return who watches a file (proc_pid_fdinfo(5): inotify, fanotify), which holds nothing.

    Or all that is on its mount, or on its filesystem, which the kernel calls `dev`. Only processes
    `among` those do, where it is known which.
    """
    pids = tuple(processes() if among is None else among)
    watches = kept(f"watches of {pids}", lambda: _watches(pids))
    places = (_File(dev, at.ino or 0), _Mount(at.mnt_id), _Filesystem(dev))
    return tuple(
        f"watched by {comm_of(pid)} ({pid}): fd {', '.join(spans(slots))}, {kind}{place.said}"
        for place in places
        for (pid, kind), slots in watches.get(place, {}).items()
    )


class _File(NamedTuple):
    dev: int
    ino: int
    said: str = ""


class _Mount(NamedTuple):
    number: int
    said: str = " of all that is on this mount"


class _Filesystem(NamedTuple):
    dev: int
    said: str = " of all of this filesystem"


_Watched = _File | _Mount | _Filesystem


def _watches(pids: Iterable[int]) -> dict[_Watched, dict[tuple[int, str], list[int]]]:
    """Return what is watched: by which processes, how, and the descriptors of each."""
    found: dict[_Watched, dict[tuple[int, str], list[int]]] = {}
    for pid in pids:
        for slot in listed(f"/proc/{pid}/fd"):
            if _link(f"/proc/{pid}/fd/{slot}") not in _WATCHERS:
                continue
            try:
                with open(f"/proc/{pid}/fdinfo/{slot}", "rb") as file:
                    told = file.read()
            except OSError:
                continue
            for kind, at in marks(told):
                found.setdefault(at, {}).setdefault((pid, kind), []).append(int(slot))
    return found


def marks(fdinfo: bytes) -> Iterator[tuple[str, _Watched]]:
    """Yield what an inotify or fanotify watches, by the lines of its file in /proc/PID/fdinfo."""
    for match in filter(None, map(_WATCH.match, fdinfo.splitlines())):
        kind, numbers = os.fsdecode(match[1]), match.groups()[1:]
        ino, dev, mount, whole = (int(word or b"0", 16) for word in numbers)
        if match[4] is not None:
            yield kind, _Mount(mount)
        elif match[5] is not None:
            yield kind, _Filesystem(kernel_device(whole))
        else:
            yield kind, _File(kernel_device(dev), ino)


def kernel_device(number: int) -> int:
    """Return a device as stat(2) has it, from as the kernel does: with 20 bits of minor number."""
    return os.makedev(number >> 20, number & 0xFFFFF)


def listed(folder: str) -> list[str]:
    """Return what is in a folder, nothing where that cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


_LAYERS: Final = pattern(r"(?:^|,)(lowerdir\+?|upperdir|workdir)=((?:\\.|[^,\\])*)")


def layers(dev: int, ino: int | None) -> Iterator[Place]:
    """Yield the overlay mounts of which a directory is a layer, in all mount namespaces.

    With no `ino`, those that have a layer on that device.
    """
    layers = list(_layers())
    found = look([path for _, _, _, path in layers])
    told: dict[Place, None] = {}
    for (space, mount, option, _), at in zip(layers, found, strict=True):
        if _is(at, dev, ino):
            what = f"is the {option} of the overlay mounted at {mount.point}"
            told[space.place(what, mount.point)] = None
    yield from told


def _layers() -> Iterator[tuple[_Space, mountinfo.Mount, str, str]]:
    """Yield each layer of each overlay in each mount namespace: as what it is one, its path."""
    for space in kept("spaces", lambda: list(_spaces())):
        for mount in (one for one in space.mounts if one.fstype == "overlay"):
            for option, said in _LAYERS.findall(mount.options):
                parts = said.split(":") if option.startswith("lower") else [said]
                yield from ((space, mount, option, part) for part in parts if part.startswith("/"))


@dataclass(frozen=True)
class _Space:
    """A mount namespace that a process is in: its mounts, as that process sees them."""

    name: str
    pid: int
    own: bool
    host: bool
    mounts: tuple[mountinfo.Mount, ...]

    def place(self, what: str, point: str) -> Place:
        if self.host:
            where = f"{what} in the host's mount namespace"
            return Place(where, 0, "", f"umount {quoted(point)}")
        enter = "" if self.own else f"nsenter --mount=/proc/{self.pid}/ns/mnt "
        where = f"{what} in {self.name}"
        return Place(where, self.pid, comm_of(self.pid), f"{enter}umount {quoted(point)}")


def mounted_before(dev: int, inside: str) -> Iterator[Place]:
    """Yield where what was called so before is mounted: a file is replaced, its mounts are not."""
    for space in kept("spaces", lambda: list(_spaces())):
        for mount in space.mounts:
            if (mount.dev, mount.root) == (dev, f"{inside}//deleted"):
                what = f"what was called so before (and is deleted) is mounted at {mount.point}"
                yield space.place(what, mount.point)


def _spaces(only: str = "") -> Iterator[_Space]:
    """Yield the mount namespaces that processes are in: the one of `only`, or all."""
    seen: set[str] = set()
    own, hosts = _link("/proc/self/ns/mnt"), _hosts()
    for pid in [os.getpid()] if only else sorted(processes()):
        namespace = _link(f"/proc/{pid}/ns/mnt")
        if not namespace or namespace in seen:
            continue
        try:
            with open(f"/proc/{pid}/mountinfo", "rb") as file:
                text = file.read()
        except OSError:
            continue
        seen.add(namespace)
        found = tuple(mountinfo.parse(text, f"/proc/{pid}/mountinfo"))
        yield _Space(namespace, pid, namespace == own, namespace == hosts, found)


def _hosts() -> str:
    """Return the mount namespace of the kernel's threads, "" where /proc has none of them."""
    return _link("/proc/2/ns/mnt") if comm_of(2) == "kthreadd" else ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def quoted(path: str) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(path)


def locks(dev: int, ino: int) -> tuple[str, ...]:
    """Return the locks on a file (proc_locks(5)), and who is named as the owner of each."""
    where = _in_locks(dev, ino)
    return tuple(_lock(words) for words in kept("locks", _all_locks) if where in words)


def _all_locks() -> list[list[bytes]]:
    try:
        with open("/proc/locks", "rb") as file:
            return [line.split() for line in file]
    except OSError:
        return []


def waits_for_lock(pid: int) -> Iterator[str]:
    """Yield which locks a process waits for: whose, and of which file, where it has that open."""
    lines = kept("locks", _all_locks)
    mine = [words for words in lines if words[1] == b"->" and words[5] == b"%d" % pid]
    for words in mine:
        at = words[6]
        have = next((one for one in lines if one[1] != b"->" and one[0] == words[0]), None)
        whose = f": {_lock(have)}" if have else ""
        yield f"it waits for the lock of {_opened(pid, at) or os.fsdecode(at)}{whose}"


def _opened(pid: int, where: bytes) -> str:
    """Return which of its open files a process has at a place of /proc/locks."""
    links = [f"/proc/{pid}/fd/{slot}" for slot in listed(f"/proc/{pid}/fd")]
    for link, at in zip(links, look(links), strict=True):
        if not isinstance(at, int) and _in_locks(at.dev, at.ino) == where:
            return _link(link)
    return ""


def _in_locks(dev: int, ino: int | None) -> bytes:
    return f"{os.major(dev):02x}:{os.minor(dev):02x}:{ino}".encode()


def _lock(words: list[bytes]) -> str:
    waits = words[1] == b"->"
    kind, _, mode, owner = (os.fsdecode(word) for word in (words[2:6] if waits else words[1:5]))
    pid = int(owner)
    what = {"FLOCK": "flock", "POSIX": "POSIX lock", "OFDLCK": "lock of an open file",
            "LEASE": "lease", "DELEG": "delegation"}.get(kind, kind)  # fmt: skip
    if pid <= 0:
        return f"{what} ({mode.lower()}): its owner is no process here"
    if os.path.exists(f"/proc/{pid}"):
        verb = "waited for" if waits else "held"
        return f"{what} ({mode.lower()}) {verb} by {comm_of(pid)} ({pid})"
    kept = "; what it locked is still open, below" if kind in {"FLOCK", "OFDLCK"} else ""
    return f"{what} ({mode.lower()}) taken by process {pid}, which is gone{kept}"


def locked(at: Inode, dev: int) -> Iterator[Place]:
    """Yield whose descriptors are of the open file that has a lock (proc_pid_fdinfo(5), lock).

    An open file's lock (flock(2), F_OFD_SETLK) names who took it, who may be gone. The kernel calls
    the filesystem `dev`: where stat(2) does not, inodes of several layers have one number.
    """
    where = _in_locks(dev, at.ino)
    if not locks(dev, at.ino or 0):
        return
    for pid, slot, lines in kept("locks of files", lambda: list(_locks_of_files())):
        kinds = [os.fsdecode(words[2]) for words in lines if where in words]
        if dev != at.dev and kinds:
            (opened,) = look([f"/proc/{pid}/fd/{slot}"])
            kinds = kinds if _is(opened, at.dev, at.ino) else []
        yield from (
            Place(f"its fd {slot} has the lock ({kind})", pid, comm_of(pid))
            for kind in dict.fromkeys(kinds)
        )


def _locks_of_files() -> Iterator[tuple[int, str, list[list[bytes]]]]:
    """Yield the descriptors of which /proc tells locks, and these in words."""
    for pid in processes():
        for slot in listed(f"/proc/{pid}/fdinfo"):
            try:
                with open(f"/proc/{pid}/fdinfo/{slot}", "rb") as file:
                    lines = [line.split() for line in file if line.startswith(b"lock:")]
            except OSError:
                continue
            if lines:
                yield pid, slot, lines


def session(number: int) -> Iterator[Place]:
    """Yield the processes of a session, its leader first (proc_pid_stat(5), field 6)."""
    for pid in sorted(processes(), key=lambda pid: (pid != number, pid)):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if len(fields) > _SESSION and int(fields[_SESSION]) == number:
            yield Place(
                "leads the session" if pid == number else "is in the session", pid, comm_of(pid)
            )


def mounted_at(path: str) -> int | None:
    """Return the device that is mounted at a path in our mount namespace; it is not asked itself.

    None when nothing is, or when /proc does not say.
    """
    where = "/proc/self/mountinfo"
    try:
        with open(where, "rb") as file:
            mounts_here = mountinfo.parse(file.read(), where)
        point = os.path.abspath(path)
    except OSError:
        return None
    return next((m.dev for m in reversed(mounts_here) if m.point == point), None)


def mount_points() -> dict[int, str]:
    """Return where each device is mounted in our mount namespace: the shortest such path."""
    own = next((space for space in _spaces("self")), None)
    found: dict[int, str] = {}
    for mount in () if own is None else own.mounts:
        if mount.dev not in found or len(mount.point) < len(found[mount.dev]):
            found[mount.dev] = mount.point
    return found


def processes() -> list[int]:
    """Return the processes of our /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def comm_of(pid: int) -> str:
    """Return what a process is called, GONE where it is not there."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return GONE
