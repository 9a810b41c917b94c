"""The machine that a /proc shows: the running one, or a dump."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.procfs import cgroup, nslink, stat, status
from analyzer.subjects.base import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.fs import ProcFs

_ID: Final = re.compile(r"[1-9][0-9]{0,8}")


class Shown:
    """The machine whose /proc `fs` is; what is asked of it is read once."""

    def __init__(self, fs: ProcFs, *, live: bool = False) -> None:
        """Look at a /proc; only of one that is `live` commands are asked."""
        self._fs = fs
        self.live = live

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        """Return the processes that are there, but for those of the kernel."""
        names = self._fs.listdir("")
        return tuple(self._processes(sorted(int(name) for name in names if _ID.fullmatch(name))))

    def _processes(self, pids: list[int]) -> Iterator[Process]:
        for pid in pids:
            try:
                first = stat.parse(self._read(pid, "stat"), f"{pid}/stat")
                if first.kthread:
                    continue
                more = status.parse(self._read(pid, "status"), f"{pid}/status")
                paths = tuple(path for _, path in self._paths(pid))
            except (OSError, BadInputError):
                continue
            nspid = more.nspid[-1] if more.nspid else None
            yield Process(pid, first.ppid, first.comm, nspid, tuple(dict.fromkeys(paths)))

    def _paths(self, pid: int) -> list[tuple[str, str]]:
        try:
            return cgroup.paths(self._read(pid, "cgroup"), f"{pid}/cgroup")
        except OSError:  # a dump need not have it
            return []

    def _read(self, pid: int, name: str) -> bytes:
        return self._fs.read(f"{pid}/{name}")

    def space(self, pid: int, kind: str) -> int:
        """Return the inode of a namespace of a process, 0 where it is not known."""
        try:
            link = nslink.parse(self._fs.link(f"{pid}/ns/{kind}"))
        except OSError:
            return 0
        return 0 if link is None else link.ino
