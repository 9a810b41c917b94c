"""Objects that are there for being an end of a relation: what a reading has no other use for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import TASK
from analyzer.procfs.world import DELETED

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from analyzer.procfs.build import Tables
    from analyzer.relations.shown import Key, Mount, Shown

_PTS: Final = range(136, 144)  # UNIX98_PTY_SLAVE_MAJOR, include/uapi/linux/major.h
_ENDS: Final = {"master": "ptm", "slave": "pts/"}
_MINORS: Final = 256
_TTYS: Final = 4
_LONG: Final = 20  # digits of a number that may not fit


def add(graph: Tables, keys: Iterable[Key], shown: Shown) -> None:
    """Add the objects that are not in the graph yet."""
    new: dict[str, list[Key]] = {}
    for key in keys:
        if key[0] != TASK and key not in graph.number:
            new.setdefault(key[0], []).append(key)
    for kind, some in new.items():
        columns = _DESCRIBE[kind](shown, some) if kind in _DESCRIBE else {}
        first = graph.objects(kind, len(some), **columns)
        graph.number |= {key: first + at for at, key in enumerate(some)}
    _hold(graph, new, shown)


def _hold(graph: Tables, new: Mapping[str, Sequence[Key]], shown: Shown) -> None:
    """Add who has an address space, and which mount namespace a mount is in."""
    threads: dict[Hashable, list[int]] = {}
    for task in shown.tasks.values():
        threads.setdefault(("of", task.tgid), []).append(task.tid)
    users = [
        (tid, graph.number[key]) for key in new.get("MM", ()) for tid in threads.get(key[1], ())
    ]
    graph.references(TASK, "mm", [tid for tid, _ in users], [ref for _, ref in users])
    mounts = [(shown.mounts[_int(key)].space, graph.number[key]) for key in new.get("MOUNT", ())]
    held = [(graph.number["MNT_NS", s], ref) for s, ref in mounts if ("MNT_NS", s) in graph.number]
    graph.references("MNT_NS", "mount", [space for space, _ in held], [ref for _, ref in held])


def _int(key: Key) -> int:
    assert isinstance(key[1], int)  # noqa: S101 -- the kinds that are known by a number
    return key[1]


def _inodes(shown: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    names: dict[Key, str] = {}
    by_dev = {mount.dev: mount for mount in shown.mounts.values()}
    for file in shown.files:
        if file.inode is not None:
            names.setdefault(file.inode, _called(file.mount, file.link))
    for one in shown.mappings:
        parts: Any = one.inode[1]
        names.setdefault(one.inode, _called(by_dev.get(parts[0]), one.path))
    known: list[Any] = [key[1] for key in keys]
    found = [names.get(key, "") for key in keys]
    return {
        "name": [name or None for name in found],
        "deleted": [name.endswith(DELETED) for name in found],
        "dev": [parts[0] for parts in known],
        "ino": [parts[1] if isinstance(parts[1], int) else _named(parts[1]) for parts in known],
    }


def _called(mount: Mount | None, link: str) -> str:
    # On a filesystem of the kernel's own nothing has a name that could be gone.
    return link if mount is not None else link.removesuffix(DELETED)


def _named(link: str) -> int | None:
    number = link.partition("[")[2].rstrip("]")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < _LONG else None


def _terminals(_: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    parts: list[Any] = [key[1] for key in keys]
    return {"name": [_end(part) if part[0] in _ENDS else terminal(part[-1]) for part in parts]}


def _end(part: tuple[str, int, int]) -> str:
    return f"/dev/{_ENDS[part[0]]}{part[-1]}"


def _maps(_: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    return {"name": [f"id {key[1]}" for key in keys]}


def _queues(_: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    parts: list[Any] = [key[1] for key in keys]
    return {"name": [f"msqid {n} (key {key & 0xFFFFFFFF:#010x})" for _, n, key in parts]}


def _segments(_: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    parts: list[Any] = [key[1] for key in keys]
    return {"name": [f"shmid {n} (key {key:#010x})" for _, (n, key) in parts]}


def terminal(number: int) -> str | None:
    """Return the device of a terminal (tty_nr in proc_pid_stat(5)), None of one that has others."""
    major, minor = os.major(number), os.minor(number)
    if major in _PTS:
        return f"/dev/pts/{(major - _PTS.start) * _MINORS + minor}"
    return f"/dev/tty{minor}" if major == _TTYS and minor < 64 else None  # noqa: PLR2004 -- ttyS0


def _mounts(shown: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    found = [shown.mounts[_int(key)] for key in keys]
    return {"name": [mount.point for mount in found], "dev": [mount.dev for mount in found]}


def _filesystems(shown: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    types = {mount.dev: mount.fstype for mount in shown.mounts.values()}
    devices = list(map(_int, keys))
    return {"name": [types.get(dev) for dev in devices], "dev": devices}


def _said(_: Shown, keys: Sequence[Key]) -> Mapping[str, Sequence[Any]]:
    return {"name": [str(key[1]) for key in keys]}


_DESCRIBE: Final[Mapping[str, Callable[[Shown, Sequence[Key]], Mapping[str, Sequence[Any]]]]] = {
    "INODE": _inodes,
    "TTY": _terminals,
    "MSG": _queues,
    "SHM": _segments,
    "BPF_MAP": _maps,
    "MOUNT": _mounts,
    "SUPERBLOCK": _filesystems,
    "PID": _said,
    "CGROUP": _said,
}
