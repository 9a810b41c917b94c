"""Images of CRIU, read as a dump of /proc that has the identity of everything in it.

Who asked kcmp(2) was CRIU: ids of address spaces, descriptor tables, roots and handlers of signals
are in ids-PID.img (or core-PID.img), that of each open file in the fdinfo of its table. What is in
a checkpoint is all inside; who shared with it from outside is not in it.

The numbers of fields are the contract (images/*.proto): what a newer CRIU adds is passed over.
Images from before 3.0 have no files.img; of their open files only the ids are known. A file that is
mapped has an id of its own, one for each inode (fd_id_generate_special(), criu/file-ids.c): which
open file it is that id does not tell, as /proc does not. Namespaces have numbers too, which are
CRIU's and not those of their inodes.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.procfs import (
    checkpoint_files,
    checkpoint_mounts,
    checkpoint_sockets,
    facts,
    identity,
    may_hold,
    peers,
    protobuf,
    segments,
    sending,
)
from analyzer.procfs.checkpoint_files import QUEUES, Opened, OpenFiles
from analyzer.procfs.parse import decode
from analyzer.procfs.protobuf import content, inner, inners, number, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.procfs.contents import Contents, Tree
    from analyzer.procfs.protobuf import Fields

TREE: Final = "pstree.img"
FILES: Final = "files.img"
BY: Final = "CRIU"
"""Who asked kcmp(2), as the facts of the dump say it."""

_STATES: Final = {1: b"S", 2: b"Z", 3: b"T", 6: b"Z"}  # TASK_ALIVE and so on, images/core.proto
# task_kobj_ids_entry: fields 1 to 4, and 5 to 12.
_KINDS: Final = ("VM", "FILES", "FS", "SIGHAND")
_SPACES: Final = ("pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time")
_MOST_NAMED: Final = 4  # of what is external
_EXT_KEY: Final = 8  # of a netns_entry
_EXT_LINK: Final = 4  # a type of net_device_entry
_PEER, _PEER_SPACE = 12, 13  # of it: the other end, and where that is if it is in the checkpoint
_LENGTH: Final = 2  # of a sk_packet_entry: how many bytes follow it
# Of a vma_entry: MAP_SHARED, and VMA_* of its status (criu/include/image.h).
_SHARED: Final = 1
_OF_FILE: Final = 1 << 6 | 1 << 7
_ANON_SHARED, _SYSVIPC = 1 << 8, 1 << 10
_SEGMENTS: Final = b"key shmid perms size cpid lpid nattch\n"  # as the kernel heads this list


def roots(tree: Tree) -> set[tuple[str, ...]]:
    """Return the folders of images in an archive."""
    found = (folder for folder, names in tree.folders().items() if names.get(TREE) is not None)
    return {tuple(folder.split("/")) if folder else () for folder in found}


def is_memory(name: str) -> bool:
    """Tell whether a file has what was in memory, which is nobody's business."""
    return name.endswith(".img") and name.rpartition("/")[2].startswith("pages-")


def fill(contents: Contents, read: Callable[[str], bytes | None]) -> None:
    """Add what images say to `contents`; `read` returns one by its name, None if there is none.

    What is damaged goes to `contents.damaged`.
    """
    images = _Images(contents, read)
    found = images.entries()
    contents.entries.update(found)
    contents.notes += images.notes()
    contents.entries[facts.PATH] = facts.text(images.facts()).encode()
    contents.entries[facts.COMPLETE] = b""


class _Images:
    """Images of one checkpoint, read as they are asked for."""

    def __init__(self, contents: Contents, read: Callable[[str], bytes | None]) -> None:
        self._contents = contents
        self._read = read
        self._lines: list[str] = []
        self._tables: dict[int, list[Fields]] = {}
        self._files = OpenFiles()
        self._spaces: set[tuple[str, int]] = set()
        self._living: dict[tuple[str, int], int] = {}  # the first process in each namespace
        self._mounts: dict[int, list[Fields]] = {}  # by mount namespace
        self._led: dict[int, set[int]] = {}  # the session and the process group of each process
        self._people = {0}  # the processes and threads of it; nobody is none of others
        self._left: dict[str, str] = {}  # descriptors that reach out of it, and why
        self._opened: dict[int, list[str]] = {}  # the descriptors of each open file
        self._attached = Counter[tuple[int, int]]()  # mappings by IPC namespace and segment

    def entries(self) -> dict[str, bytes | str]:
        """Return all of it as entries of a dump."""
        self._files = checkpoint_files.read(self._optional)
        found: dict[str, bytes | str] = {}
        for one in self._messages(TREE):
            pid = number(one, 1)
            if pid:
                threads = numbers(one, 5) or [pid]
                self._led[pid] = {number(one, 3), number(one, 4)}
                self._people |= {pid, *threads}
                found |= self._process(pid, one, threads)
        found |= self._of_spaces()
        found[identity.PATH] = "".join(self._lines).encode()
        found[sending.PATH] = "".join(self._sent()).encode()
        found[may_hold.PATH] = "".join(f"{what} {why}\n" for what, why in self._held()).encode()
        return found

    def facts(self) -> facts.Facts:
        """Return what is told of the machine: how it is called where the first process is."""
        space = next((ident for name, ident in self._living if name == "uts"), 0)
        return facts.Facts(host=decode(content(self._first(f"utsns-{space}.img"), 1)), kcmp=BY)

    def _process(self, pid: int, tree: Fields, threads: list[int]) -> dict[str, bytes | str]:
        core = next(iter(self._messages(f"core-{pid}.img")), {})
        ids = self._first(f"ids-{pid}.img") or inner(core, 4)
        task = inner(core, 3)
        told = _status(pid, tree, len(threads), task)
        spaces = _spaces(ids)
        self._spaces |= set(spaces.items())
        for space in spaces.items():
            self._living.setdefault(space, pid)
        found: dict[str, bytes | str] = {}
        for tid in {pid: None, **dict.fromkeys(threads)}:
            folder = str(pid) if tid == pid else f"{pid}/task/{tid}"
            found[f"{folder}/status"] = told
            found |= {f"{folder}/ns/{name}": f"{name}:[{n}]" for name, n in spaces.items()}
            self._lines += [
                f"{kind} {tid} {number(ids, at)}\n"
                for at, kind in enumerate(_KINDS, 1)
                if number(ids, at)
            ]
        if len(threads) > 1:
            for tid in threads:
                self._contents.entries.folder(f"{pid}/task/{tid}")
        if number(ids, 2):
            self._contents.entries.folder(f"{pid}/fd")
            found |= self._descriptors(pid, number(ids, 2))
        mm = self._first(f"mm-{pid}.img")
        if mm:
            found[f"{pid}/maps"] = self._maps(mm, spaces.get("ipc", 0))
        return found | self._places(pid, mm)

    def _descriptors(self, pid: int, table: int) -> dict[str, bytes | str]:
        if table not in self._tables:
            self._tables[table] = list(self._messages(f"fdinfo-{table}.img"))
        found: dict[str, bytes | str] = {}
        for one in self._tables[table]:
            ident, fd = number(one, 1), number(one, 4)
            unknown = Opened(f"file {ident} of the checkpoint")
            opened = self._files.known.get(ident, unknown)
            found[f"{pid}/fd/{fd}"] = opened.link
            if opened.info:
                found[f"{pid}/fdinfo/{fd}"] = opened.info
            self._opened.setdefault(ident, []).append(f"{pid}/fd/{fd}")
            if ident in self._files.external:
                self._left[f"{pid}/fd/{fd}"] = self._files.external[ident].why
            self._lines.append(f"FILE {pid} {fd} {ident}\n")
        return found

    def _places(self, pid: int, mm: Fields) -> dict[str, bytes | str]:
        fs = self._first(f"fs-{pid}.img")
        places = {"cwd": number(fs, 1), "root": number(fs, 2), "exe": number(mm, 12)}
        known = {name: self._files.known[ident].link for name, ident in places.items()
                 if ident in self._files.known}  # fmt: skip
        return {f"{pid}/{name}": path for name, path in known.items()}

    def _maps(self, mm: Fields, ipc: int) -> bytes:
        """Return what /proc/PID/maps would show of files; their devices and inodes are not known.

        But for those of memory: a memfd, or what is shared, has its inode, a segment its id.
        """
        listed = self._optional(f"ipcns-shm-{ipc}.img")
        keys = {number(inner(one, 1), 7): number(inner(one, 1), 1) for one in listed}
        lines = []
        for one in inners(mm, 14):
            status, ident = number(one, 7), number(one, 4)
            at, path = b"00:01 %d" % ident, ""
            if status & _OF_FILE:
                path = self._files.known.get(ident, Opened("")).link
                ino = self._files.inodes.get(ident)
                at = b"00:00 0" if ino is None else b"00:01 %d" % ino
            elif status & _SYSVIPC:
                path = f"/SYSV{keys.get(ident, 0):08x} (deleted)"
                self._attached[ipc, ident] += 1
            elif status & _ANON_SHARED:
                path = "/dev/zero (deleted)"
            if path:
                lines.append(_mapping(one, at, path))
        return b"".join(lines)

    def _of_spaces(self) -> dict[str, bytes | str]:
        """Return what is told once of each namespace of mounts and of the network."""
        found: dict[str, bytes | str] = {}
        own = next((ident for name, ident in self._living if name == "net"), 0)
        tables = checkpoint_sockets.tables(self._files.socks, own)
        ends = checkpoint_sockets.ends(self._files.socks, own)
        for (name, ident), pid in self._living.items():
            if name == "mnt":
                mounts = self._mounts[ident] = self._optional(f"mountpoints-{ident}.img")
                if mounts:
                    found[f"{pid}/mountinfo"] = checkpoint_mounts.mountinfo(mounts)
            elif name == "net":
                found |= {f"{pid}/net/{one}": data for one, data in tables.get(ident, {}).items()}
                found[peers.kept(ident, "peers")] = peers.text(ends.get(ident, {}))
            elif name == "ipc":
                found[segments.kept(ident)] = self._segments(ident)
        return found

    def _segments(self, ipc: int) -> bytes:
        """Return the System V segments of an IPC namespace as they are listed there."""
        lines = [_SEGMENTS]
        for one in self._optional(f"ipcns-shm-{ipc}.img"):
            about = inner(one, 1)
            ident = number(about, 7)
            told = (number(about, 1), ident, number(about, 6), number(one, 2))
            lines.append(b"%d %d %o %d 0 0 %d\n" % (*told, self._attached[ipc, ident]))
        return b"".join(lines)

    def _sent(self) -> Iterator[str]:
        """Yield which files are in flight to which sockets, and by which descriptors one has them.

        What nobody received can be the last that anybody has of it.
        """
        for holder, idents in self._files.sent.items():
            for ident in idents:
                opened = self._files.known.get(ident)
                if opened is not None and holder in self._files.numbers:
                    yield sending.line(
                        self._files.numbers[holder], self._opened.get(ident, ()),
                        opened.flags, opened.link.replace("\n", " "),
                    )  # fmt: skip

    def _outer(self) -> list[tuple[str, int]]:
        """Return the namespaces that CRIU was in itself, by name and number."""
        own = _spaces(inner(self._first("inventory.img"), 3))
        return [space for space in own.items() if space in self._spaces]

    def _held(self) -> Iterator[tuple[str, str]]:
        """Yield what others have, or may have, and why."""
        yield from self._left.items()
        yield from ((f"{name}:[{ident}]", "CRIU was in it") for name, ident in self._outer())

    def notes(self) -> list[str]:
        """Return what was kept outside of the checkpoint when it was made."""
        outer = [name for name, _ in self._outer()]
        files = (one.name for one in self._files.external.values())
        nets = (one for name, ident in sorted(self._spaces) if name == "net"
                for one in self._external_network(ident))  # fmt: skip
        mounts = (f"mount {one}" for told in self._mounts.values()
                  for one in checkpoint_mounts.external(told))  # fmt: skip
        external = list(dict.fromkeys((*files, *nets, *mounts)))
        led = set().union(*self._led.values())
        leaders = sorted(led - self._people)
        owners = {one.owner for one in self._files.known.values()} - self._people - led
        told = {
            f"in namespaces of CRIU itself ({', '.join(outer)})": outer,
            f"external to the checkpoint ({_listed(external)})": external,
            f"in sessions or process groups of others ({_listed(leaders)})": leaders,
            f"with open files that signal others ({_listed(sorted(owners))})": owners,
        }
        return [
            f"{what}: who else has these the images do not tell"
            for what, there in told.items()
            if there
        ]

    def _external_network(self, ident: int) -> Iterator[str]:
        """Yield what of a network namespace is left to others: itself, interfaces with an end."""
        if content(self._first(f"netns-{ident}.img"), _EXT_KEY):
            yield f"network namespace {ident}"
        for one in self._optional(f"netdev-{ident}.img"):
            if number(one, 1) == _EXT_LINK or (_PEER in one and _PEER_SPACE not in one):
                yield f"interface {decode(content(one, 5))}"

    def _optional(self, name: str) -> list[Fields]:
        """Return the messages of an image that need not be there, but where all others need it."""
        return self._messages(name, needed=name == FILES)

    def _first(self, name: str) -> Fields:
        """Return the only message of an image that may be missing; then it has no fields."""
        return next(iter(self._messages(name, needed=False)), {})

    def _messages(self, name: str, *, needed: bool = True) -> list[Fields]:
        """Return the messages of an image, as far as it can be read."""
        data = self._read(name)
        found: list[Fields] = []
        if data is None:
            if needed:
                self._contents.damaged.append(BadInputError(f"{name} is not there"))
            return found
        try:
            payload = _LENGTH if name == QUEUES else 0
            found.extend(protobuf.messages(data, payload))
        except (ValueError, IndexError, struct.error):
            said = f"{name}: not an image of CRIU, or damaged after {len(found)} messages"
            self._contents.damaged.append(BadInputError(said))
        return found


def _listed(names: Sequence[object]) -> str:
    more = len(names) - _MOST_NAMED
    said = ", ".join(map(str, names[:_MOST_NAMED]))
    return f"{said} and {more} more" if more > 0 else said


def _status(pid: int, tree: Fields, threads: int, task: Fields) -> bytes:
    name = content(task, 6).replace(b"\\", rb"\\").replace(b"\n", rb"\n") or b"?"
    state = _STATES.get(number(task, 1), b"?")
    told = {
        b"Name": name, b"State": state, b"Tgid": b"%d" % pid, b"PPid": b"%d" % number(tree, 2),
        b"Uid": b"", b"Kthread": b"0", b"Threads": b"%d" % threads, b"NSpid": b"%d" % pid,
        b"NSpgid": b"%d" % number(tree, 3), b"NSsid": b"%d" % number(tree, 4),
    }  # fmt: skip
    return b"".join(b"%s:\t%s\n" % pair for pair in told.items())


def _spaces(ids: Fields) -> dict[str, int]:
    """Return the numbers of the namespaces that a task is in, by their links in /proc."""
    found = {name: number(ids, at) for at, name in enumerate(_SPACES, len(_KINDS) + 1)}
    return {name: ident for name, ident in found.items() if ident}


def _mapping(vma: Fields, at: bytes, path: str) -> bytes:
    """Return a line of maps; `at` are device and inode."""
    start, end, offset, prot = (number(vma, field) for field in (1, 2, 3, 5))
    bits = "".join(letter if prot & 1 << bit else "-" for bit, letter in enumerate("rwx"))
    shared = "s" if number(vma, 6) & _SHARED else "p"
    name = path.encode("utf-8", "surrogateescape").replace(b"\n", rb"\012")
    return b"%x-%x %s %08x %s %s\n" % (start, end, (bits + shared).encode(), offset, at, name)
