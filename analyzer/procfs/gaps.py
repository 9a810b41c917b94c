"""What could not be read, gathered task by task and told in groups."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, TypeVar

from analyzer.core.errors import BadInputError
from analyzer.core.model import GAPS
from analyzer.core.values import NamedTuple
from analyzer.procfs.fs import NotCopiedError, vanished
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from analyzer.procfs.fs import ProcFs
    from analyzer.snapshot.tables import Table

_T = TypeVar("_T")

EVERYBODY: Final = 0
OTHERS: Final = -1  # processes that are not known, but not of the subtree
_SHOWN: Final = 5  # pids in the line of a group


class Failure(NamedTuple):
    """One kind of failure: what was wanted, by which call, its errno, and what is unknown now."""

    what: str
    syscall: str
    errno: int | None
    effect: str


class GapLog:
    """Collects failures; each is counted once for a process."""

    def __init__(self) -> None:
        self._failures: dict[Failure, dict[int, None]] = {}

    def add(self, failure: Failure, pid: int = EVERYBODY) -> None:
        """Note that `failure` happened, to process `pid` or to EVERYBODY or to OTHERS."""
        self._failures.setdefault(failure, {})[pid] = None

    def touches(self, pids: Iterable[int]) -> bool:
        """Tell whether any failure concerns one of the processes."""
        met = {pid for failed in self._failures.values() for pid in failed}
        return EVERYBODY in met or not met.isdisjoint(pids)

    def counts(self) -> tuple[int, int]:
        """Return how many kinds of failures were refusals, and how many things that are missing."""
        refused = sum(failure.errno is not None for failure in self._failures)
        return refused, len(self._failures) - refused

    def table(self) -> Table:
        """Return the table of gaps, a row for each kind of failure."""
        rows = [(_where(f.what, list(pids)), *f[1:]) for f, pids in self._failures.items()]
        names = [column.name for column in GAPS.columns]
        columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
        return tables.build(GAPS, columns)


def refusal(what: str, syscall: str, error: OSError | int, effect: str) -> Failure:
    """Return the failure that an OSError (or an errno) is."""
    if isinstance(error, NotCopiedError):
        return lacking(what, error.filename.rpartition("/")[2], effect)
    code = error if isinstance(error, int) else (error.errno or errno.EIO)
    return Failure(what, syscall, code, effect)


def lacking(what: str, name: str, effect: str) -> Failure:
    """Return the failure that a dump is, which does not have the file or folder `name`."""
    return Failure(f"{what}: no {name} in the dump", "", None, effect)


def empty(what: str, name: str, effect: str) -> Failure:
    """Return the failure that a dump is, in which a file or folder `name` has nothing in it."""
    return Failure(f"{what}: {name} is empty in the dump", "", None, effect)


def not_links(what: str, name: str, effect: str) -> Failure:
    """Return the failure that a dump is, in which links were followed when they were copied."""
    said = f"{what}: {name} has files in the dump, not links (cp -L follows them)"
    return Failure(said, "", None, effect)


def malformed(what: str, path: str, error: BadInputError, effect: str) -> Failure:
    """Return the failure that a file is, which is cut, or is something else."""
    name = path.rpartition("/")[2]
    line = str(error).rpartition(f"{name}: ")[2]
    return Failure(f"{what}: {name} is not as it should be: {line}", "", None, effect)


def attempt(
    fs: ProcFs,
    path: str,
    parse: Callable[[bytes, str], _T],
    log: GapLog,
    pid: int,
    *,
    what: str,
    effect: str,
) -> _T | None:
    """Return the parsed content of a file of process `pid`, None where that goes to `log`.

    OSError for what went away.
    """
    try:
        return parse(fs.read(path), fs.name(path))
    except OSError as error:
        if vanished(error):
            raise
        log.add(refusal(what, "read", error, effect), pid)
    except BadInputError as error:
        log.add(malformed(what, path, error, effect), pid)
    return None


def _where(what: str, pids: list[int]) -> str:
    pids = [pid for pid in pids if pid > 0]
    if not pids:
        return what
    if len(pids) == 1:
        return f"pid {pids[0]}: {what}"
    shown = ", ".join(map(str, pids[:_SHOWN])) + (", ..." if len(pids) > _SHOWN else "")
    return f"{len(pids):,} processes (pid {shown}): {what}"
