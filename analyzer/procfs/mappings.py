"""The files that an address space maps, and its executable.

/proc tells their path and inode, not which open file it is: two processes that run one program
have two. So such a file is one object for each address space and path, and never a witness.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.values import NamedTuple
from analyzer.procfs import maps
from analyzer.procfs.fs import vanished
from analyzer.procfs.gaps import attempt, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.gaps import GapLog
    from analyzer.procfs.tasks import Task

_UNSEEN: Final = "which files are mapped there is not known"
_UNNAMED: Final = "which program it runs is not known"


class Mapped(NamedTuple):
    """One mapped file of an address space; the device and inode of an executable may be unknown."""

    path: str
    dev: int | None
    ino: int | None


class Uses:
    """What an address space does with files (by index), kept as columns: there are hundreds.

    `exe` is the one that it runs. Iterating yields of each mapping the file, where it starts, and
    its permissions.
    """

    def __init__(self) -> None:
        self.exe: int | None = None
        self._file, self._start = array("L"), array("Q")
        self._permissions: list[str] = []

    def add(self, file: int, start: int, permissions: str) -> None:
        """Add a mapping."""
        self._file.append(file)
        self._start.append(start)
        self._permissions.append(permissions)

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        """Yield the mappings in the order of adding."""
        return zip(self._file, self._start, self._permissions, strict=True)

    def places(self) -> Iterator[tuple[int, int | None]]:
        """Yield the file of each use, and where it is mapped; None: as the executable, first."""
        if self.exe is not None:
            yield self.exe, None
        yield from zip(self._file, self._start, strict=True)


def read(fs: ProcFs, task: Task, log: GapLog) -> tuple[list[Mapped], Uses]:
    """Read the mapped files of a task, the executable first, and their uses."""
    numbers: dict[tuple[str, int | None, int | None], int] = {}
    uses = Uses()
    mappings = _maps(fs, task, log)
    path = _exe(fs, task, log)
    if path is not None:
        known = ((path, m.dev, m.ino) for m in mappings if m.path == path)
        uses.exe = numbers.setdefault(next(known, (path, None, None)), 0)
    for start, permissions, dev, ino, path in mappings:
        uses.add(numbers.setdefault((path, dev, ino), len(numbers)), start, permissions)
    return [Mapped(*file) for file in numbers], uses


def _maps(fs: ProcFs, task: Task, log: GapLog) -> Sequence[maps.Mapping]:
    path = f"{task.folder}/maps"
    try:
        parse = _of_memory if fs.copied and not task.stat.exiting else maps.parse
        told = attempt(fs, path, parse, log, task.tgid, what="mappings", effect=_UNSEEN)
    except OSError:
        return ()
    return told or ()


def _of_memory(data: bytes, where: str) -> list[maps.Mapping]:
    """Parse what a process has that lives: its program, at the least."""
    if not data:
        raise BadInputError(f"{where}: it is empty")
    return maps.parse(data, where)


def _exe(fs: ProcFs, task: Task, log: GapLog) -> str | None:
    # ENOENT is an mm without an executable: it may have unmapped it.
    try:
        return fs.link(f"{task.folder}/exe")
    except OSError as error:
        if not vanished(error):
            log.add(refusal("executable", "readlink", error, _UNNAMED), task.tgid)
        return None
