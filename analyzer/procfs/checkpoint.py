"""Images of CRIU, read as a dump of /proc that has the identity of everything in it.

Who asked kcmp(2) was CRIU: ids of address spaces, descriptor tables, roots and handlers of signals
are in ids-PID.img (or core-PID.img), that of each open file in the fdinfo of its table. What is in
a checkpoint is all inside; who shared with it from outside is not in it.

An image is two magic numbers, then messages of Protocol Buffers, each after its length in four
bytes (criu/include/magic.h, images/*.proto). Of the encoding only the wire types are needed, as
their numbers are the contract: what a newer CRIU adds is passed over. Images from before 3.0 have
no files.img; of their open files only the ids are known.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from analyzer.core.errors import BadInputError
from analyzer.procfs import facts, identity
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from analyzer.procfs.contents import Contents

TREE: Final = "pstree.img"
BY: Final = "CRIU"
"""Who asked kcmp(2), as the facts of the dump say it."""

_COMMON: Final = 0x54564319  # IMG_COMMON_MAGIC
_WORD: Final = struct.Struct("<I")
_HEAD: Final = 2 * _WORD.size
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST: Final = 64
_STATES: Final = {1: b"S", 2: b"Z", 3: b"T", 6: b"Z"}  # TASK_ALIVE and so on, images/core.proto
_KINDS: Final = ("VM", "FILES", "FS", "SIGHAND")  # task_kobj_ids_entry, fields 1 to 4

_Fields = dict[int, list[int | bytes]]


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


# By fd_types (images/fdinfo.proto). `path` is the id of a file that has the name.
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
    14: _Type(5, "a namespace", flags=4),
    15: _Type(11, "/dev/net/tun"),
    16: _Type(15, "a file that was external"),
    17: _Type(12, "anon_inode:[timerfd]", flags=2),
    18: _Type(20, "/memfd: (deleted)", flags=2, pos=3),
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
    contents.entries[facts.PATH] = f"format {facts.FORMAT}\nkcmp {BY}\n".encode()
    contents.entries[facts.COMPLETE] = b""


class _Images:
    """Images of one checkpoint, read as they are asked for."""

    def __init__(self, contents: Contents, read: Callable[[str], bytes | None]) -> None:
        self._contents = contents
        self._read = read
        self._lines: list[str] = []
        self._tables: dict[int, list[_Fields]] = {}
        self._files: dict[int, tuple[str, bytes]] = {}

    def entries(self) -> dict[str, bytes | str]:
        """Return all of it as entries of a dump."""
        self._files = dict(self._open_files())
        found: dict[str, bytes | str] = {}
        for one in self._messages(TREE):
            pid = _number(one, 1)
            if pid:
                found |= self._process(pid, _number(one, 2), _numbers(one, 5) or [pid])
        found[identity.PATH] = "".join(self._lines).encode()
        return found

    def _process(self, pid: int, parent: int, threads: list[int]) -> dict[str, bytes | str]:
        core = next(iter(self._messages(f"core-{pid}.img")), {})
        ids = next(iter(self._messages(f"ids-{pid}.img", needed=False)), {}) or _inner(core, 4)
        task = _inner(core, 3)
        told = _status(pid, parent, len(threads), task)
        found: dict[str, bytes | str] = {f"{pid}/status": told}
        for tid in {pid: None, **dict.fromkeys(threads)}:
            if tid != pid:
                found[f"{pid}/task/{tid}/status"] = told
            self._lines += [
                f"{kind} {tid} {_number(ids, at)}\n"
                for at, kind in enumerate(_KINDS, 1)
                if _number(ids, at)
            ]
        if len(threads) > 1:
            self._contents.folders |= {f"{pid}/task/{tid}" for tid in threads}
        if _number(ids, 2):
            self._contents.folders.add(f"{pid}/fd")
            found |= self._descriptors(pid, _number(ids, 2))
        return found | self._places(pid)

    def _descriptors(self, pid: int, table: int) -> dict[str, bytes | str]:
        if table not in self._tables:
            self._tables[table] = list(self._messages(f"fdinfo-{table}.img"))
        found: dict[str, bytes | str] = {}
        for one in self._tables[table]:
            number, fd = _number(one, 1), _number(one, 4)
            link, info = self._files.get(number, (f"file {number} of the checkpoint", b""))
            found[f"{pid}/fd/{fd}"] = link
            if info:
                found[f"{pid}/fdinfo/{fd}"] = info
            self._lines.append(f"FILE {pid} {fd} {number}\n")
        return found

    def _places(self, pid: int) -> dict[str, bytes | str]:
        fs = next(iter(self._messages(f"fs-{pid}.img", needed=False)), {})
        mm = next(iter(self._messages(f"mm-{pid}.img", needed=False)), {})
        places = {"cwd": _number(fs, 1), "root": _number(fs, 2), "exe": _number(mm, 12)}
        known = {name: self._files[number][0] for name, number in places.items()
                 if number in self._files}  # fmt: skip
        return {f"{pid}/{name}": path for name, path in known.items()}

    def _open_files(self) -> Iterator[tuple[int, tuple[str, bytes]]]:
        """Yield what each open file is: where its link would lead, and its fdinfo."""
        later: list[tuple[int, int, bytes]] = []
        names: dict[int, tuple[str, bytes]] = {}
        for one in self._messages("files.img"):
            number, kind = _number(one, 2), _TYPES.get(_number(one, 1))
            if kind is None:
                continue
            said = _inner(one, kind.field)
            info = _fdinfo(said, kind)
            if kind.path:
                later.append((number, _number(said, kind.path), info))
                continue
            link = decode(_bytes(said, kind.name)) if kind.name else kind.link
            names[number] = link.format(_number(said, kind.number)) if kind.number else link, info
        yield from names.items()
        for number, named, info in later:
            link, other = names.get(named, ("a file without a name", b""))
            yield number, (link, info or other)

    def _messages(self, name: str, *, needed: bool = True) -> list[_Fields]:
        """Return the messages of an image, as far as it can be read."""
        data = self._read(name)
        found: list[_Fields] = []
        if data is None:
            if needed:
                self._contents.damaged.append(BadInputError(f"{name} is not there"))
            return found
        try:
            found.extend(map(_fields, _split(data)))
        except (ValueError, IndexError, struct.error):
            said = f"{name}: not an image of CRIU, or damaged after {len(found)} messages"
            self._contents.damaged.append(BadInputError(said))
        return found


def _status(pid: int, parent: int, threads: int, task: _Fields) -> bytes:
    name = _bytes(task, 6).replace(b"\\", rb"\\").replace(b"\n", rb"\n") or b"?"
    state = _STATES.get(_number(task, 1), b"?")
    told = {
        b"Name": name, b"State": state, b"Tgid": b"%d" % pid, b"PPid": b"%d" % parent, b"Uid": b"",
        b"Kthread": b"0", b"Threads": b"%d" % threads,
    }  # fmt: skip
    return b"".join(b"%s:\t%s\n" % pair for pair in told.items())


def _fdinfo(said: _Fields, kind: _Type) -> bytes:
    if not kind.flags or kind.flags not in said:
        return b""
    pos = _number(said, kind.pos) if kind.pos else 0
    return b"pos:\t%d\nflags:\t0%o\n" % (pos & ((1 << 63) - 1), _number(said, kind.flags))


def _split(data: bytes) -> Iterator[bytes]:
    if _WORD.unpack_from(data)[0] != _COMMON:
        raise ValueError(data[:_HEAD])
    at = _HEAD
    while at < len(data):
        (size,) = _WORD.unpack_from(data, at)
        at += _WORD.size
        if at + size > len(data):
            raise ValueError(size)
        yield data[at : at + size]
        at += size


def _fields(data: bytes) -> _Fields:
    """Return the fields of a message by their numbers."""
    found: _Fields = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
            value, at = int.from_bytes(data[at : at + size], "little"), at + size
        elif wire == _BYTES:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(key)
        if at > len(data):
            raise ValueError(at)
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _LONGEST:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 -- the bit that says that more follows
            return value, at
        shift += 7
    raise ValueError(at)


def _number(fields: Mapping[int, list[int | bytes]], field: int) -> int:
    """Return the last value of a field that is a number, 0 where there is none."""
    value = fields.get(field, [0])[-1]
    return value if isinstance(value, int) else 0


def _numbers(fields: Mapping[int, list[int | bytes]], field: int) -> list[int]:
    return [value for value in fields.get(field, []) if isinstance(value, int)]


def _bytes(fields: Mapping[int, list[int | bytes]], field: int) -> bytes:
    value = fields.get(field, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _inner(fields: Mapping[int, list[int | bytes]], field: int) -> _Fields:
    """Return a message in a message; what is none has no fields."""
    try:
        return _fields(_bytes(fields, field))
    except (ValueError, IndexError):
        return {}
