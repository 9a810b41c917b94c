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
from typing import TYPE_CHECKING, Final, NamedTuple

from analyzer.core.errors import BadInputError
from analyzer.procfs import facts, identity, protobuf
from analyzer.procfs.parse import decode
from analyzer.procfs.protobuf import content, inner, inners, number, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from analyzer.procfs.contents import Contents
    from analyzer.procfs.protobuf import Fields

TREE: Final = "pstree.img"
BY: Final = "CRIU"
"""Who asked kcmp(2), as the facts of the dump say it."""

_STATES: Final = {1: b"S", 2: b"Z", 3: b"T", 6: b"Z"}  # TASK_ALIVE and so on, images/core.proto
# task_kobj_ids_entry: fields 1 to 4, and 5 to 12.
_KINDS: Final = ("VM", "FILES", "FS", "SIGHAND")
_SPACES: Final = ("pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time")
_REGULAR, _UNIX, _NAMESPACE, _EXTERNAL, _MEMFD = 1, 5, 14, 16, 18  # of fd_types
_MOST_NAMED: Final = 4  # of what is external
_USK_EXTERN: Final = 1  # of a unix socket: its peer is not in the checkpoint (criu/sk-unix.c)
# The type of a namespace is its CLONE_NEW* flag (include/uapi/linux/sched.h).
_FLAGS: Final = {
    0x80: "time", 0x0002_0000: "mnt", 0x0200_0000: "cgroup", 0x0400_0000: "uts",
    0x0800_0000: "ipc", 0x1000_0000: "user", 0x2000_0000: "pid", 0x4000_0000: "net",
}  # fmt: skip
# Of a vma_entry: MAP_SHARED, and VMA_* of its status (criu/include/image.h).
_SHARED: Final = 1
_OF_FILE: Final = 1 << 6 | 1 << 7
_ANON_SHARED, _SYSVIPC = 1 << 8, 1 << 10


class _Type(NamedTuple):
    """A type of file: where in file_entry it is, and in there its flags, offset and number.

    `link` is what /proc would show, with the number in it, if there is one.
    """

    field: int
    link: str
    flags: int = 0
    pos: int = 0
    number: int = 0
    name: int = 0
    path: int = 0


# By fd_types (images/fdinfo.proto). `path` is the id of a file that has the name, or of a memfd's
# inode.
_TYPES: Final = {
    1: _Type(3, "", flags=2, pos=3, name=6),
    2: _Type(18, "pipe:[{}]", flags=3, number=2),
    3: _Type(17, "", path=3),
    4: _Type(4, "socket:[{}]", number=2),
    5: _Type(16, "socket:[{}]", flags=5, number=2),
    6: _Type(8, "anon_inode:[eventfd]", flags=2),
    7: _Type(9, "anon_inode:[eventpoll]", flags=2),
    8: _Type(13, "anon_inode:inotify", flags=2),
    9: _Type(10, "anon_inode:[signalfd]", flags=2),
    10: _Type(6, "a packet socket", flags=4),
    11: _Type(19, "", flags=3, path=6),
    12: _Type(14, "anon_inode:[fanotify]", flags=2),
    13: _Type(7, "socket:[{}]", flags=6, number=2),
    14: _Type(5, "", flags=4),
    15: _Type(11, "/dev/net/tun"),
    16: _Type(15, "a file that was external"),
    17: _Type(12, "anon_inode:[timerfd]", flags=2),
    18: _Type(20, "", flags=2, pos=3, path=5),
    19: _Type(21, "anon_inode:bpf-map"),
    20: _Type(22, "anon_inode:[pidfd]", flags=3),
}


def roots(names: Iterable[str]) -> set[tuple[str, ...]]:
    """Return the folders of images in an archive."""
    return {
        tuple(name.split("/")[:-1])
        for name in names
        if name.endswith(TREE) and name.rpartition("/")[2] == TREE
    }


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
    contents.entries[facts.PATH] = f"format {facts.FORMAT}\nkcmp {BY}\n".encode()
    contents.entries[facts.COMPLETE] = b""


class _Images:
    """Images of one checkpoint, read as they are asked for."""

    def __init__(self, contents: Contents, read: Callable[[str], bytes | None]) -> None:
        self._contents = contents
        self._read = read
        self._lines: list[str] = []
        self._tables: dict[int, list[Fields]] = {}
        self._files: dict[int, tuple[str, bytes]] = {}
        self._inodes: dict[int, int] = {}  # of files that are memfds
        self._spaces: set[tuple[str, int]] = set()
        self._external: list[str] = []

    def entries(self) -> dict[str, bytes | str]:
        """Return all of it as entries of a dump."""
        self._files = dict(self._open_files())
        found: dict[str, bytes | str] = {}
        for one in self._messages(TREE):
            pid = number(one, 1)
            if pid:
                found |= self._process(pid, number(one, 2), numbers(one, 5) or [pid])
        found[identity.PATH] = "".join(self._lines).encode()
        return found

    def _process(self, pid: int, parent: int, threads: list[int]) -> dict[str, bytes | str]:
        core = next(iter(self._messages(f"core-{pid}.img")), {})
        ids = self._first(f"ids-{pid}.img") or inner(core, 4)
        task = inner(core, 3)
        told = _status(pid, parent, len(threads), task)
        spaces = _spaces(ids)
        self._spaces |= set(spaces.items())
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
            self._contents.folders |= {f"{pid}/task/{tid}" for tid in threads}
        if number(ids, 2):
            self._contents.folders.add(f"{pid}/fd")
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
            link, info = self._files.get(ident, (f"file {ident} of the checkpoint", b""))
            found[f"{pid}/fd/{fd}"] = link
            if info:
                found[f"{pid}/fdinfo/{fd}"] = info
            self._lines.append(f"FILE {pid} {fd} {ident}\n")
        return found

    def _places(self, pid: int, mm: Fields) -> dict[str, bytes | str]:
        fs = self._first(f"fs-{pid}.img")
        places = {"cwd": number(fs, 1), "root": number(fs, 2), "exe": number(mm, 12)}
        known = {name: self._files[ident][0] for name, ident in places.items()
                 if ident in self._files}  # fmt: skip
        return {f"{pid}/{name}": path for name, path in known.items()}

    def _maps(self, mm: Fields, ipc: int) -> bytes:
        """Return what /proc/PID/maps would show of files; their devices and inodes are not known.

        But for those of memory: a memfd, or what is shared, has its inode, a segment its id.
        """
        segments = self._messages(f"ipcns-shm-{ipc}.img", needed=False)
        keys = {number(inner(one, 1), 7): number(inner(one, 1), 1) for one in segments}
        lines = []
        for one in inners(mm, 14):
            status, ident = number(one, 7), number(one, 4)
            at, path = b"00:01 %d" % ident, ""
            if status & _OF_FILE:
                path, _ = self._files.get(ident, ("", b""))
                at = b"00:01 %d" % self._inodes[ident] if ident in self._inodes else b"00:00 0"
            elif status & _SYSVIPC:
                path = f"/SYSV{keys.get(ident, 0):08x} (deleted)"
            elif status & _ANON_SHARED:
                path = "/dev/zero (deleted)"
            if path:
                lines.append(_mapping(one, at, path))
        return b"".join(lines)

    def _open_files(self) -> Iterator[tuple[int, tuple[str, bytes]]]:
        """Yield what each open file is: where its link would lead, and its fdinfo."""
        memfds = {
            number(one, 7): (_memfd(decode(content(one, 1))), number(one, 5))
            for one in self._messages("memfd.img", needed=False)
        }
        later: list[tuple[int, int, bytes]] = []
        names: dict[int, tuple[str, bytes]] = {}
        for one in self._messages("files.img"):
            ident, kind = number(one, 2), _TYPES.get(number(one, 1))
            if kind is None:
                continue
            said = inner(one, kind.field)
            info, path = _fdinfo(said, kind), number(said, kind.path)
            if number(one, 1) == _MEMFD:
                link, self._inodes[ident] = memfds.get(path, (_memfd(""), 0))
                names[ident] = link, info
            elif kind.path:
                later.append((ident, path, info))
            else:
                names[ident] = _link(number(one, 1), kind, said), info
            if _is_external(number(one, 1), said):
                name = decode(content(said, 11).rstrip(b"\0")) if number(one, 1) == _UNIX else ""
                self._external.append(name or names[ident][0])
        yield from names.items()
        for ident, named, info in later:
            link, other = names.get(named, ("a file without a name", b""))
            yield ident, (link, info or other)

    def notes(self) -> list[str]:
        """Return what was kept outside of the checkpoint when it was made."""
        own = _spaces(inner(self._first("inventory.img"), 3))
        outer = [name for name, ident in own.items() if (name, ident) in self._spaces]
        mounts = [
            f"mount {decode(content(one, 7))}"
            for name, ident in sorted(self._spaces)
            if name == "mnt"
            for one in self._messages(f"mountpoints-{ident}.img", needed=False)
            if number(one, 13) or content(one, 18)  # ext_mount, ext_key
        ]
        external = [*self._external, *mounts]
        some = ", ".join(external[:_MOST_NAMED])
        more = f" and {len(external) - _MOST_NAMED} more" if len(external) > _MOST_NAMED else ""
        told = {
            f"in namespaces of CRIU itself ({', '.join(outer)})": outer,
            f"external to the checkpoint ({some}{more})": external,
        }
        return [
            f"{what}: who else has these the images do not tell"
            for what, there in told.items()
            if there
        ]

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
            found.extend(map(protobuf.fields, protobuf.split(data)))
        except (ValueError, IndexError, struct.error):
            said = f"{name}: not an image of CRIU, or damaged after {len(found)} messages"
            self._contents.damaged.append(BadInputError(said))
        return found


def _status(pid: int, parent: int, threads: int, task: Fields) -> bytes:
    name = content(task, 6).replace(b"\\", rb"\\").replace(b"\n", rb"\n") or b"?"
    state = _STATES.get(number(task, 1), b"?")
    told = {
        b"Name": name, b"State": state, b"Tgid": b"%d" % pid, b"PPid": b"%d" % parent, b"Uid": b"",
        b"Kthread": b"0", b"Threads": b"%d" % threads, b"NSpid": b"%d" % pid,
    }  # fmt: skip
    return b"".join(b"%s:\t%s\n" % pair for pair in told.items())


def _spaces(ids: Fields) -> dict[str, int]:
    """Return the numbers of the namespaces that a task is in, by their links in /proc."""
    found = {name: number(ids, at) for at, name in enumerate(_SPACES, len(_KINDS) + 1)}
    return {name: ident for name, ident in found.items() if ident}


def _link(kind: int, type_: _Type, said: Fields) -> str:
    """Return where /proc would show an open file to lead."""
    if type_.name:
        return decode(content(said, type_.name))
    if kind == _NAMESPACE:
        return f"{_FLAGS.get(number(said, 3), 'ns')}:[{number(said, 2)}]"
    return type_.link.format(number(said, type_.number)) if type_.number else type_.link


def _memfd(name: str) -> str:
    """Return where a memfd leads: what was shared without a file (mmap(2)) is one to CRIU."""
    return f"{name} (deleted)" if name.startswith("/") else f"/memfd:{name} (deleted)"


def _is_external(kind: int, said: Fields) -> bool:
    """Tell whether an open file was left to whoever restores it (criu --external)."""
    extern = kind == _UNIX and number(said, 6) & _USK_EXTERN
    return kind == _EXTERNAL or bool(extern) or (kind == _REGULAR and bool(number(said, 9)))


def _mapping(vma: Fields, at: bytes, path: str) -> bytes:
    """Return a line of maps; `at` are device and inode."""
    start, end, offset, prot = (number(vma, field) for field in (1, 2, 3, 5))
    bits = "".join(letter if prot & 1 << bit else "-" for bit, letter in enumerate("rwx"))
    shared = "s" if number(vma, 6) & _SHARED else "p"
    name = path.encode("utf-8", "surrogateescape").replace(b"\n", rb"\012")
    return b"%x-%x %s %08x %s %s\n" % (start, end, (bits + shared).encode(), offset, at, name)


def _fdinfo(said: Fields, kind: _Type) -> bytes:
    if not kind.flags or kind.flags not in said:
        return b""
    pos = number(said, kind.pos) if kind.pos else 0
    return b"pos:\t%d\nflags:\t0%o\n" % (pos & ((1 << 63) - 1), number(said, kind.flags))
