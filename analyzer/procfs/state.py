"""Facts: what /proc says of the state of tasks and objects, in the words of docs/facts.md."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import FACTS, TASK
from analyzer.kinds import _named_types
from analyzer.kinds.file import flag_words
from analyzer.procfs import nslink, segments
from analyzer.relations.shown import PATH_ONLY, sockets_used
from analyzer.relations.sysv_queue import queues
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.relations.shown import File, Key, Mount, Shown, Sock
    from analyzer.relations.sysv_queue import Queue
    from analyzer.snapshot.tables import Table

Told = Iterator[tuple[str, int | str]]

_MODES: Final = ("read", "write", "both", "none")  # O_RDONLY, O_WRONLY, O_RDWR
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{1,16}", re.ASCII)
_PAIR: Final = re.compile(r"\(([0-9]{1,9}), ([0-9]{1,9})\)", re.ASCII)
_USUAL: Final = ("fs.root", "/")
_SECOND: Final = 1_000_000_000
_MOST: Final = (1 << 63) - 1


def table(
    shown: Shown, number: Mapping[Key, int], standing: Iterable[tuple[Key, str, str]] = ()
) -> Table:
    """Return what is known of the objects that are in the graph, and of processes.

    `standing` tells of what tasks share: working directory and root ("": not known).
    """
    rows = _Rows()
    for task in shown.leaders():
        if not task.kthread:
            both = (("task.group", task.group), ("task.session", task.session))
            rows.add(TASK, task.tid, (one for one in both if one[1]))
    hosts = _is_hosts(shown)
    for key, told in _told(shown, hosts=hosts):
        if key in number:
            rows.add(key[0], number[key], told)
    for key, *places in standing:
        led = zip(("fs.cwd", "fs.root"), places, strict=True)
        rows.add(key[0], number[key], (one for one in led if one[1] and one != _USUAL))
    return rows.table()


class _Rows:
    """The rows of the table, as columns: there are three for each open file."""

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}
        self._facts: dict[str, int] = {}
        self._kind, self._fact = array("h"), array("h")
        self._ref, self._number = array("q"), array("q")
        self._text: list[str | None] = []

    def add(self, kind: str, ref: int, told: Iterable[tuple[str, int | str]]) -> None:
        for fact, value in told:
            self._kind.append(self._kinds.setdefault(kind, len(self._kinds)))
            self._ref.append(ref)
            self._fact.append(self._facts.setdefault(fact, len(self._facts)))
            number, text = (0, value) if isinstance(value, str) else (value, None)
            self._number.append(number)
            self._text.append(text)

    def table(self) -> Table:
        if not self._text:
            return tables.empty(FACTS)
        columns = {
            "kind": self._kind,
            "ref": self._ref,
            "fact": self._fact,
            "number": self._number,
        }
        return tables.build(
            FACTS,
            {**{name: np.array(column) for name, column in columns.items()}, "text": self._text},
            missing={"number": ~tables.absent(self._text)},
            vocabulary={"kind": tuple(self._kinds), "fact": tuple(self._facts)},
        )


def _is_hosts(shown: Shown) -> bool:
    """Tell whether the pids are those of the host: somebody is in its pid namespace."""
    host = shown.initial.get("pid")
    return any(task.spaces.get("pid") == host for task in shown.tasks.values())


def _told(shown: Shown, *, hosts: bool) -> Iterator[tuple[Key, Told]]:
    for file in shown.files:
        if file.flags is not None:
            yield file.key, _of_file(file, hosts=hosts)
        elif file.access is not None:
            yield file.key, iter([("open.mode", _MODES[file.access])])
    yield from _counts(shown)
    yield from _segments(shown)
    for sock in shown.socks:
        if sock.ino:
            yield sock.key, _of_socket(sock)
    for queue in shown.once(queues):
        yield ("MSG", (shown.reader.get("ipc"), queue.id, queue.key)), _of_queue(queue)
    for mount in shown.mounts.values():
        yield ("MOUNT", mount.mnt_id), _of_mount(mount)
    for mount in {mount.dev: mount for mount in shown.mounts.values()}.values():
        yield ("SUPERBLOCK", mount.dev), _of_filesystem(mount)


def _counts(shown: Shown) -> Iterator[tuple[Key, Told]]:
    for table, count in shown.in_use.items():
        yield ("FILE_TABLE", table), iter([("files.in_use", count)])
    for space, used in shown.once(sockets_used).items():
        if used is not None:
            yield ("NET_NS", space), iter([("netns.sockets", used)])


def _segments(shown: Shown) -> Iterator[tuple[Key, Told]]:
    for space, some in shown.once(segments.listed).items():
        for ident, one in some.items():
            told = (("shm.id", ident), ("shm.key", one.key), ("shm.size", one.size),
                    ("shm.attaches", one.attaches))  # fmt: skip
            yield ("SHM", (space, (ident, one.key))), iter(told)
    for space, name in segments.elsewhere(shown):
        yield ("SHM", (space, name)), iter([("shm.id", name[0]), ("shm.key", name[1])])


def _of_file(file: File, *, hosts: bool) -> Told:
    mode, flags = _opened(file.flags or 0)
    yield "open.mode", mode
    if flags:
        yield "open.flags", flags
    said: dict[str, list[str]] = {}
    for word, text in file.lines:
        said.setdefault(word, []).append(text)
    for word, texts in said.items():
        tell = _LINES.get(word)
        if tell is not None and (hosts or word != "Pid"):
            yield from tell(texts)


@lru_cache(maxsize=1 << 10)
def _opened(flags: int) -> tuple[str, str]:
    return "path" if flags & PATH_ONLY else _MODES[flags & 3], flag_words(flags)


def _decimal(fact: str) -> Callable[[Sequence[str]], Told]:
    def tell(texts: Sequence[str]) -> Told:
        if _NUMBER.fullmatch(texts[0]):
            yield fact, int(texts[0])

    return tell


def _count(texts: Sequence[str]) -> Told:
    if _HEX.fullmatch(texts[0]):
        yield "eventfd.count", min(int(texts[0], 16), _MOST)


def _signals(texts: Sequence[str]) -> Told:
    words = _named_types.signals(int(texts[0], 16)) if _HEX.fullmatch(texts[0]) else ""
    if words:
        yield "signalfd.mask", words


def _clock(texts: Sequence[str]) -> Told:
    if _NUMBER.fullmatch(texts[0]):
        yield "timerfd.clock", _named_types.clock(int(texts[0]))


def _interval(texts: Sequence[str]) -> Told:
    found = _PAIR.fullmatch(texts[0])
    if found is not None:
        yield "timerfd.interval", int(found[1]) * _SECOND + int(found[2])


def _targets(texts: Sequence[str]) -> Told:
    numbers = [found[0] for text in texts if (found := _NUMBER.match(text)) is not None]
    yield "epoll.targets", _named_types.list_of([str(n) for n in sorted(map(int, numbers))])


def _marks(prefix: str) -> Callable[[Sequence[str]], Told]:
    def tell(texts: Sequence[str]) -> Told:
        yield f"{prefix}.watches", sum(" mask:" in text for text in texts)

    return tell


def _interface(texts: Sequence[str]) -> Told:
    yield "tun.interface", texts[0]


_LINES: Final[Mapping[str, Callable[[Sequence[str]], Told]]] = {
    "eventfd-id": _decimal("eventfd.id"),
    "eventfd-count": _count,
    "sigmask": _signals,
    "clockid": _clock,
    "ticks": _decimal("timerfd.ticks"),
    "it_interval": _interval,
    "tfd": _targets,
    "inotify": _marks("inotify"),
    "fanotify": _marks("fanotify"),
    "iff": _interface,
    "Pid": _decimal("pidfd.pid"),
    "map_id": _decimal("bpf.id"),
    "prog_id": _decimal("bpf.id"),
    "link_id": _decimal("bpf.id"),
}


def _of_socket(sock: Sock) -> Told:
    space = nslink.parse(sock.space)
    if space is not None:
        yield "socket.netns", space.ino
    texts = {
        "socket.family": sock.family,
        "socket.type": sock.type,
        "socket.protocol": sock.protocol,
        "socket.state": sock.state,
        "local": sock.local,
        "remote": sock.remote,
    }
    yield from ((fact, text) for fact, text in texts.items() if text)
    if sock.peer:
        yield "socket.peer", sock.peer


def _of_queue(queue: Queue) -> Told:
    yield "msg.messages", queue.messages
    yield "msg.bytes", queue.bytes


def _of_filesystem(mount: Mount) -> Told:
    yield "filesystem", mount.fstype
    yield "device", f"{os.major(mount.dev)}:{os.minor(mount.dev)}"


def _of_mount(mount: Mount) -> Told:
    yield "mount_id", mount.mnt_id
    yield "read_only", int(mount.only_itself)
    yield "detached", 0
    if mount.group:
        yield "peer_group", mount.group
    if mount.master:
        yield "master_group", mount.master
    yield "mounts", mount.root
