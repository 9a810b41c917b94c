"""Open files in images of CRIU: where /proc/PID/fd would lead, and what fdinfo would say.

The numbers of fields are the contract (images/*.proto): what a newer CRIU adds is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.procfs import checkpoint_sockets, checkpoint_state
from analyzer.procfs.parse import decode
from analyzer.procfs.protobuf import content, inner, inners, number, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from analyzer.procfs.protobuf import Fields

    Messages = Callable[[str], list[Fields]]

QUEUES: Final = "sk-queues.img"
"""What is queued at sockets: each message of it is followed by as many bytes as it says."""

_REGULAR, _UNIX, _TTY, _NAMESPACE, _EXTERNAL, _MEMFD = 1, 5, 11, 14, 16, 18  # of fd_types
_USK_EXTERN: Final = 1  # of a unix socket: its peer is not in the checkpoint (criu/sk-unix.c)
_EXT_TTY, _PTY = 5, 12  # of a tty_info_entry: a type, and where the number of a pair is
_BY_PATH: Final = 2  # PROCFS of images/remap-file-path.proto: what others are is deleted
_DELETED: Final = " (deleted)"
# The type of a namespace is its CLONE_NEW* flag (include/uapi/linux/sched.h).
_FLAGS: Final = {
    0x80: "time", 0x0002_0000: "mnt", 0x0200_0000: "cgroup", 0x0400_0000: "uts",
    0x0800_0000: "ipc", 0x1000_0000: "user", 0x2000_0000: "pid", 0x4000_0000: "net",
}  # fmt: skip


class _Type(NamedTuple):
    """A type of file: where in file_entry it is, and in there its flags, offset and number.

    `link` is what /proc would show, with the number in it, if there is one. `owner` is a
    fown_entry.
    """

    field: int
    link: str
    owner: int = 0
    flags: int = 0
    pos: int = 0
    number: int = 0
    name: int = 0
    path: int = 0
    mount: int = 0


# By fd_types (images/fdinfo.proto). `path` is the id of a file that has the name, or of a memfd's
# inode.
_TYPES: Final = {
    1: _Type(3, "", flags=2, pos=3, name=6, mount=7, owner=5),
    2: _Type(18, "pipe:[{}]", flags=3, number=2, owner=4),
    3: _Type(17, "", path=3),
    4: _Type(4, "socket:[{}]", flags=9, number=2, owner=13),
    5: _Type(16, "socket:[{}]", flags=5, number=2, owner=9),
    6: _Type(8, "anon_inode:[eventfd]", flags=2, owner=3),
    7: _Type(9, "anon_inode:[eventpoll]", flags=2, owner=3),
    8: _Type(13, "anon_inode:inotify", flags=2, owner=4),
    9: _Type(10, "anon_inode:[signalfd]", flags=2, owner=3),
    10: _Type(6, "a packet socket", flags=4, owner=6),
    11: _Type(19, "", flags=3, path=6, owner=4),
    12: _Type(14, "anon_inode:[fanotify]", flags=2, owner=3),
    13: _Type(7, "socket:[{}]", flags=6, number=2, owner=11),
    14: _Type(5, "", flags=4),
    15: _Type(11, "/dev/net/tun"),
    16: _Type(15, "a file that was external", owner=5),
    17: _Type(12, "anon_inode:[timerfd]", flags=2, owner=3),
    18: _Type(20, "", flags=2, pos=3, path=5, owner=4),
    19: _Type(21, "anon_inode:bpf-map", owner=4),
    20: _Type(22, "anon_inode:[pidfd]", flags=3, owner=5),
}


class Opened(NamedTuple):
    """An open file as /proc would show it: its link, and the lines of its fdinfo in three parts.

    Without `head` none of it is known; `mount` is the line of its mount, if that is known. `owner`
    is whom it signals (fcntl(2) F_SETOWN), which /proc does not show; 0 is nobody.
    """

    link: str
    head: bytes = b""
    mount: bytes = b""
    more: bytes = b""
    flags: int = 0
    owner: int = 0

    @property
    def info(self) -> bytes:
        """Return its fdinfo, none where its flags are not known."""
        return self.head + self.mount + self.more if self.head else b""


class External(NamedTuple):
    """What is left to whoever restores it: what it is called, and what that is to an open file."""

    name: str
    why: str = "it was external to the checkpoint"


@dataclass
class OpenFiles:
    """What open files are, by their ids.

    `inodes` are those of memfds, `numbers` those of unix sockets, `sent` the files in flight to
    these. `socks` are the sockets by type, `external` tells of those that reach
    out of the checkpoint.
    """

    known: dict[int, Opened] = field(default_factory=dict)
    inodes: dict[int, int] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    sent: dict[int, list[int]] = field(default_factory=dict)
    socks: list[tuple[int, Fields]] = field(default_factory=list)
    external: dict[int, External] = field(default_factory=dict)


def read(messages: Messages) -> OpenFiles:
    """Return what images say of open files; `messages` returns those of one by its name."""
    found = OpenFiles()
    memfds = {
        number(one, 7): (_memfd(decode(content(one, 1))), number(one, 5))
        for one in messages("memfd.img")
    }
    named: dict[int, int] = {}  # by what has its name from another file
    terminals: dict[int, int] = {}
    peers: dict[int, int] = {}  # inodes of other ends
    found.sent = _sent(messages)
    for one in messages("files.img"):
        ident, fd_type = number(one, 2), number(one, 1)
        kind = _TYPES.get(fd_type)
        if kind is None:
            continue
        said = inner(one, kind.field)
        more = checkpoint_state.lines(fd_type, said) + _in_flight(found.sent.get(ident, ()))
        opened = Opened(
            _link(fd_type, kind, said), _head(said, kind), _mount(said, kind), more,
            number(said, kind.flags), number(inner(said, kind.owner), 5),
        )  # fmt: skip
        if fd_type == _MEMFD:
            link, found.inodes[ident] = memfds.get(number(said, kind.path), (_memfd(""), 0))
            opened = opened._replace(link=link)
        elif kind.path:
            named[ident] = number(said, kind.path)
        found.known[ident] = opened
        if fd_type in checkpoint_sockets.TYPES:
            found.socks.append((fd_type, said))
        if fd_type == _TTY:
            terminals[ident] = number(said, 2)
        if fd_type == _UNIX:
            found.numbers[ident] = number(said, 2)
            peers[ident] = number(said, 8)
        if _is_external(fd_type, said):
            found.external[ident] = External(_called(fd_type, said) or opened.link)
    _delete(found, messages)
    for ident, name in named.items():
        found.known[ident] = _named(found.known[ident], found.known.get(name))
    _mark_peers(found, peers)
    _tell_terminals(found, terminals, messages("tty-info.img"))
    return found


def _mark_peers(found: OpenFiles, peers: Mapping[int, int]) -> None:
    """Mark the sockets that are connected to one that was external."""
    ends = {inode: ident for ident, inode in found.numbers.items()}
    for ident, peer in peers.items():
        other = found.external.get(ends.get(peer, 0))
        if other is not None and ident not in found.external:
            why = f"what it is connected to was external to the checkpoint: {other.name}"
            found.external[ident] = External(other.name, why)


def _tell_terminals(
    found: OpenFiles, terminals: Mapping[int, int], messages: Iterable[Fields]
) -> None:
    """Add to masters their number, and mark what was no terminal of the checkpoint's own."""
    told = {number(one, 1): one for one in messages}
    for ident, whole in terminals.items():
        opened, one = found.known[ident], told.get(whole, {})
        if number(one, 2) == _EXT_TTY:
            found.external[ident] = External(opened.link)
        elif _PTY in one and opened.link.endswith("ptmx"):
            more = opened.more + b"tty-index:\t%d\n" % number(inner(one, _PTY), 1)
            found.known[ident] = opened._replace(more=more)


def _sent(messages: Messages) -> dict[int, list[int]]:
    """Return by socket the files in messages that it has not received."""
    found: dict[int, list[int]] = {}
    for one in messages(QUEUES):
        rights = [ident for told in inners(one, 4) for ident in numbers(told, 2)]
        found.setdefault(number(one, 1), []).extend(rights)
    return found


def _in_flight(idents: Sequence[int]) -> bytes:
    """Return how many files are in flight to a socket, as fdinfo does."""
    return b"scm_fds: %d\n" % len(idents) if idents else b""


def _delete(found: OpenFiles, messages: Messages) -> None:
    """Add to links that their names are gone, where images have the content in its place."""
    for one in messages("remap-fpath.img"):
        opened = found.known.get(number(one, 1))
        if opened is not None and number(one, 3) != _BY_PATH:
            found.known[number(one, 1)] = opened._replace(link=opened.link + _DELETED)


def _link(kind: int, type_: _Type, said: Fields) -> str:
    """Return where /proc would show an open file to lead."""
    if type_.name:
        return decode(content(said, type_.name))
    if kind == _NAMESPACE:
        return f"{_FLAGS.get(number(said, 3), 'ns')}:[{number(said, 2)}]"
    return type_.link.format(number(said, type_.number)) if type_.number else type_.link


def _memfd(name: str) -> str:
    """Return where a memfd leads: what was shared without a file (mmap(2)) is one to CRIU."""
    return f"{name}{_DELETED}" if name.startswith("/") else f"/memfd:{name}{_DELETED}"


def _is_external(kind: int, said: Fields) -> bool:
    """Tell whether an open file was left to whoever restores it (criu --external)."""
    extern = kind == _UNIX and number(said, 6) & _USK_EXTERN
    return kind == _EXTERNAL or bool(extern) or (kind == _REGULAR and bool(number(said, 9)))


def _called(kind: int, said: Fields) -> str:
    return decode(content(said, 11).rstrip(b"\0")) if kind == _UNIX else ""


def _named(opened: Opened, other: Opened | None) -> Opened:
    """Return an open file with its name, and where it is, which another one has."""
    if other is None:
        return opened._replace(link="a file without a name")
    return opened._replace(link=other.link, head=opened.head or other.head, mount=other.mount)


def _head(said: Fields, kind: _Type) -> bytes:
    if not kind.flags or kind.flags not in said:
        return b""
    pos = number(said, kind.pos) & ((1 << 63) - 1) if kind.pos else 0
    return b"pos:\t%d\nflags:\t0%o\n" % (pos, number(said, kind.flags))


def _mount(said: Fields, kind: _Type) -> bytes:
    zigzag = number(said, kind.mount) if kind.mount else 1  # sint32: odd ones are negative
    return b"" if zigzag & 1 else b"mnt_id:\t%d\n" % (zigzag >> 1)
