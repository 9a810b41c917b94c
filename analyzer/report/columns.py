"""The columns of a report: its objects as rows, for tables, filters and scripts.

Where a column means what one of lsfd(1)'s means, it has that name and that type. What a row is
follows from the columns that are asked for: it is as fine as the finest of them (`Column.of`).

========= ====================================================================================
object    one row an object
reference one row for each reference to it that has a name
process   one row for each process that holds by that reference (of the holder's own side)
thread    one row for each thread of such a process
========= ====================================================================================

So ``-o KIND,NAME`` lists each object once, and ``-o PID,COMMAND,ASSOC,NAME`` lists what lsfd would.
An object without a named holder, and a holder that no task leads to, still have a row: what is not
known is missing there (None, printed as "-"). Names are as they are; whoever prints escapes them.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from analyzer.core.errors import BadInputError, no_such
from analyzer.kinds import associations, facts, registry
from analyzer.kinds.base import Slot
from analyzer.procfs.homes import home
from analyzer.procfs.people import user_name
from analyzer.report import lsfd
from analyzer.report.listing import Column, Row, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def parse_columns(text: str) -> tuple[Column, ...]:
    """Return the columns of a comma list, in any case; after a + they follow the default ones.

    Raises BadInputError, which lists the columns, for one that there is not.
    """
    more = text.startswith("+")
    words = [word.strip().upper() for word in text.removeprefix("+").split(",")]
    if not any(words):
        words = []
    names = (*DEFAULT, *words) if more else tuple(words)
    if not names:
        raise BadInputError(f"no column is named; columns are: {', '.join(names_of_columns())}")
    return tuple(_column(name) for name in dict.fromkeys(names))


def names_of_columns() -> list[str]:
    """Return the names of all columns, in the order of the documentation."""
    return [column.name for column in COLUMNS]


def by_name() -> Mapping[str, Column]:
    """Return the columns by name."""
    return _BY_NAME


def _column(name: str) -> Column:
    if name not in _BY_NAME:
        raise no_such("no column", name, _BY_NAME, "; a file to write is --output FILE")
    return _BY_NAME[name]


# --- cells

_TYPES: Final = {
    stat.S_IFREG: "REG",
    stat.S_IFDIR: "DIR",
    stat.S_IFCHR: "CHR",
    stat.S_IFBLK: "BLK",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "SOCK",
    stat.S_IFLNK: "LINK",
}

# include/uapi/asm-generic/fcntl.h, in the order in which lsfd tells them. O_LARGEFILE is left out:
# every file of a 64-bit process has it.
_FLAGS: Final = (
    (0o1, "wronly"), (0o2, "rdwr"), (0o2000, "append"), (0o4000, "nonblock"), (0o10000, "dsync"),
    (0o20000, "fasync"), (0o40000, "direct"), (0o200000, "directory"), (0o400000, "nofollow"),
    (0o1000000, "noatime"), (0o4000000, "_sync"), (0o10000000, "path"),
    (0o20000000, "_tmpfile"),
)  # fmt: skip
_O_PATH: Final = 0o10000000
# arch/arm64/include/uapi/asm/fcntl.h
_ARM_BITS: Final = {"directory": 0o40000, "nofollow": 0o100000, "direct": 0o200000}

# What lsfd calls the places that it knows by another name.
_LSFD_PLACES: Final = {
    "nsproxy.pid_for_children": "pid4c",
    "nsproxy.time_for_children": "time4c",
    "cred.user_ns": "user",
    "pid": "pid",
} | {f"nsproxy.{name}": name for name in ("cgroup", "ipc", "mnt", "net", "time", "uts")}


def _sttype(row: Row) -> str | None:
    mode = row.inode.mode
    if mode is None:
        return None
    # Within the kernel they are regular files (seen on 6.18), but for stat(2) they are of no type.
    anonymous = (row.entry.name or "").startswith("anon_inode:")
    return "UNKN" if anonymous else _TYPES.get(stat.S_IFMT(mode), "UNKN")


@cache
def _flag_words(flags: int, machine: str) -> str:
    other = _ARM_BITS if machine in {"aarch64", "arm64"} else {}
    return ",".join(word for bit, word in _FLAGS if flags & other.get(word, bit))


def _flags(row: Row) -> str | None:
    flags = row.inode.flags
    return None if flags is None else _flag_words(flags, row.inode.machine)


def _mode(row: Row) -> str | None:
    holder, flags = row.holder, row.inode.flags
    if holder is not None and holder.association == "vma":
        return holder.detail.rpartition("(")[2][:3]
    if holder is None or flags is None:
        return None
    return "---" if flags & _O_PATH else ("r--", "-w-", "rw-", "---")[flags & 3]


def _xmode(row: Row) -> str | None:
    mode, facts = _mode(row), row.entry.facts
    if mode is None:
        return None
    lock = {"shared": "l", "exclusive": "L"}.get(str(facts.get("lock")), "-")
    polled = facts.get("polled") or any(h.association == "poll" for h in row.entry.holders)
    return f"{mode}{'D' if row.inode.deleted else '-'}{lock}{'m' if polled else '-'}"


def _assoc(row: Row) -> str | None:
    holder = row.holder
    if holder is None:
        return None
    if holder.descriptor is not None:
        return str(holder.descriptor)
    if associations()[holder.association].slot is Slot.ADDRESS:
        return "shm" if holder.detail.endswith("s)") else "mem"
    return _LSFD_PLACES.get(holder.association, holder.association)


def _type(row: Row) -> str | None:
    name = row.entry.name or ""
    if name.startswith("anon_inode:"):
        return name.removeprefix("anon_inode:").strip("[]")
    return _sttype(row)


def _impact(row: Row) -> str | None:
    return None if row.entry.impact is None else row.entry.impact.word


def _processes(row: Row) -> int:
    return len({task.tgid for holder in row.entry.holders for task in holder.tasks})


def _of_fact(name: str) -> Callable[[Row], Value]:
    return lambda row: row.entry.facts.get(name)


def _rdev(row: Row) -> str | None:
    said = row.entry.facts.get("special")
    return None if said is None else str(said).rpartition(" ")[2]  # "character device 1:3"


def _fd(row: Row) -> int | None:
    return None if row.holder is None else row.holder.descriptor


def _holder(row: Row) -> str | None:
    holder = row.holder
    if holder is None:
        return None
    return f"{holder.kind}:{holder.tid if holder.objref is None else holder.objref}"


def _endpoints(row: Row) -> str | None:
    return row.inode.ends().get(row.entry.objref)


def _message(row: Row) -> str | None:
    return row.entry.message and row.entry.message.replace("\n", "; ")


def _of_entry(name: str) -> Callable[[Row], Value]:
    return lambda row: getattr(row.entry, name)


def _of_word(name: str) -> Callable[[Row], Value]:
    return lambda row: getattr(getattr(row.entry, name), "value", None)


def _of_inode(name: str) -> Callable[[Row], Value]:
    return lambda row: getattr(row.inode, name)


def _of_holder(name: str) -> Callable[[Row], Value]:
    return lambda row: None if row.holder is None else getattr(row.holder, name)


def _of_process(name: str) -> Callable[[Row], Value]:
    return lambda row: None if row.process is None else getattr(row.process, name)


def _of_home(name: str) -> Callable[[Row], Value]:
    def told(row: Row) -> Value:
        path = None if row.process is None else row.process.cgroup
        return None if path is None else getattr(home(path), name) or None

    return told


def _user(row: Row) -> str | None:
    uid = None if row.process is None else row.process.uid
    if uid is None:
        return None
    return user_name(uid) if row.inode.here else str(uid)


def _tid(row: Row) -> int | None:
    return None if row.thread is None else row.thread.tid


def _side(row: Row) -> str | None:
    return None if row.holder is None else row.holder.side.value


def _title(row: Row) -> str:
    return registry()[row.entry.kind].title


_Kind = Literal["string", "number", "boolean"]
_Get = Callable[[Row], Value]


def _object(name: str, kind: _Kind, get: _Get, meaning: str) -> Column:
    return Column(name, kind, meaning, "object", get)


def _reference(name: str, kind: _Kind, get: _Get, meaning: str) -> Column:
    return Column(name, kind, meaning, "reference", get)


def _process(name: str, kind: _Kind, get: _Get, meaning: str) -> Column:
    return Column(name, kind, meaning, "process", get)


_OWN: Final = (
    _object("VERDICT", "string", _of_word("verdict"),
       "usage_leak, overcount, unstable, unknown or contained"),
    _object("BASIS", "string", _of_word("basis"),
       "what the verdict rests on: proven, witnessed, structural, reconstructed"),
    _object("KIND", "string", _of_entry("kind"), "kind of object: FILE, MM, UTS_NS, ..."),
    _object("TITLE", "string", _title, "the kind in words: open file, uts namespace, ..."),
    _object("OBJREF", "number", _of_entry("objref"), "number of the object in the snapshot"),
    _object("ADDRESS", "string", _of_entry("address"),
       "kernel address, a salted hash unless raw ones were asked for"),
    _object("USERS", "number", _of_entry("users"), "weight held from inside"),
    _object("REFCOUNT", "number", _of_entry("refcount"), "the object's own count"),
    _object("REFCOUNT.SOURCE", "string", _of_word("refcount_source"),
       "whose count that is: the kernel's, or reconstructed (docs/dumps.md)"),
    _object("OUTSIDE", "number", _of_entry("outside"), "weight held by named outside holders"),
    _object("OBSERVER", "number", _of_entry("observer"), "weight held by cranalyze itself"),
    _object("UNNAMED", "number", _of_entry("unnamed"),
       "what the refcount has beyond USERS, OUTSIDE and OBSERVER"),
    _object("IMPACT", "string", _impact,
       "what a leak means: reaches-out, shared-state, pins, ..."),
    _object("RELATION", "string", _of_inode("relations"),
       "what the object has to do with across the border, uncounted: foreign-mount, ..."),
    _object("NPROCS", "number", _processes,
       "processes that lead to it, in any way; of a namespace, lsns counts those in it alone"),
    _object("ONS", "number", _of_inode("owner"),
       "of a namespace: inode of the user namespace that owns it; as lsns"),
    _object("PNS", "number", _of_inode("parent"),
       "of a namespace: inode of the one that it is a child of; as lsns"),
    _object("INITIAL", "boolean", _of_entry("initial"), "a namespace of the host's own"),
    _object("GATES", "boolean", _of_entry("gates"),
       "whether a leak of this kind decides the answer (--fail-on, --ignore)"),
    _object("MESSAGE", "string", _message, "the leak as the kernel patch would have said it"),
    _object("NAME", "string", _of_entry("name"), "path, pipe:[N], net:[N], ...; as lsfd"),
    _object("INODE", "number", _of_entry("ino"), "inode number; as lsfd"),
    _object("DEV", "string", _of_entry("dev"), "device of the filesystem, MAJ:MIN; as lsfd"),
    _object("TYPE", "string", _type,
       "STTYPE, or what an anonymous inode is: eventfd, eventpoll, inotify, ..."),
    _object("STTYPE", "string", _sttype,
       "type of the inode: REG, DIR, CHR, BLK, FIFO, SOCK, LINK, UNKN; as lsfd"),
    _object("FLAGS", "string", _flags,
       "open(2) flags of a file; as lsfd, but for largefile, and cloexec, which is an fd's"),
    _object("POS", "number", _of_inode("pos"), "offset of an open file in bytes; as lsfd"),
    _object("MNTID", "number", _of_inode("mnt_id"), "mount of an open file; as lsfd"),
    _object("DELETED", "boolean", _of_inode("deleted"),
       "a file whose name is gone, as /proc says"),
    _object("RDEV", "string", _rdev, "number of a device, MAJ:MIN; as lsfd"),
    _object("ENDPOINTS", "string", _endpoints,
       "the other ends of a pipe, socket, terminal: PID,COMMAND,FD and r, w; as lsfd, with ;"),
    _reference("SIDE", "string", _side, "where the holder stands: inside, outside, observer"),
    _reference("ASSOC", "string", _assoc,
       "place in the holder, in lsfd's words: the number of an fd, exe, mem, shm, uts, ..."),
    _reference("ASSOCIATION", "string", _of_holder("association"),
       "place in the holder: fd, exe, vma, nsproxy.uts, ..."),
    _reference("FD", "number", _fd, "file descriptor; as lsfd"),
    _reference("SLOT", "number", _of_holder("slot"),
       "which of such places: the fd, the start of the mapping, ..."),
    _reference("MODE", "string", _mode, "access, rwx: of a mapping or the file; as lsfd"),
    _reference("XMODE", "string", _xmode,
       "MODE; D if it is deleted, L or l if it is locked, m if it is polled; as lsfd"),
    _reference("WEIGHT", "number", _of_holder("weight"),
       "how many counts the reference accounts for"),
    _reference("HOLDER", "string", _holder,
       "what holds: FILE_TABLE:7 is the object with OBJREF 7, TASK:7 the thread with TID 7"),
    _reference("DETAIL", "string", _of_holder("detail"), "the place in words: fd 5 (cloexec)"),
    _process("COMMAND", "string", _of_process("comm"), "name of the process; as lsfd"),
    _process("PID", "number", _of_process("tgid"), "process that holds; as lsfd"),
    _process("PPID", "number", _of_process("ppid"), "its parent, 0 when there is none"),
    _process("NSPID", "number", _of_process("nspid"), "its id in its own pid namespace"),
    _process("KTHREAD", "boolean", _of_process("kthread"), "a kernel thread; as lsfd"),
    _process("CGROUP", "string", _of_process("cgroup"), "its control group"),
    _process("CONTAINER", "string", _of_home("short"), "its container: the id, or a name (lxc)"),
    _process("POD", "string", _of_home("pod"), "the pod that it is in: the id, or the UID"),
    _process("UNIT", "string", _of_home("unit"), "the unit of systemd that it is in"),
    _process("UID", "number", _of_process("uid"), "its real user, by number; as lsfd"),
    _process("USER", "string", _user, "its real user, by name on the machine itself; as lsfd"),
    Column("TID", "number", "thread that holds; as lsfd -l", "thread", _tid),
)  # fmt: skip


def _told(names: Iterable[str]) -> Iterator[Column]:
    """Yield a column for each fact (see docs/facts.md) whose name is not one's already."""
    for fact in facts().values():
        name = fact.name.upper()
        if name not in names:
            kind: _Kind = "string" if fact.type == "text" else "number"
            unit = f" ({fact.unit})" if fact.unit else ""
            yield _object(name, kind, _of_fact(fact.name), fact.meaning + unit)


def _as_lsfd(known: lsfd.Known) -> Column:
    return _object(known.name, known.type, lambda row: known.get(row.entry), known.meaning)


COLUMNS: Final = (
    *_OWN,
    *_told({column.name for column in _OWN}),
    *map(_as_lsfd, lsfd.COLUMNS),
)
"""Every column, in the order of the documentation: our own, a fact each, names of lsfd's."""

DEFAULT: Final = ("VERDICT", "KIND", "USERS", "REFCOUNT", "OUTSIDE", "UNNAMED", "NAME")
"""The columns of `-o +...`, before those that are named."""

_BY_NAME: Final = {column.name: column for column in COLUMNS}
