"""Open files: the descriptors of every table, and which of them are one open file.

Two descriptors can be one open file only if their links read the same, so kcmp(2) is asked within
groups of equal links. (The offset and the flags would tell files apart more cheaply, but both may
change between two readings of one file, and a shared file must not be missed.) A descriptor on a
namespace (`net:[N]`) is of interest whoever holds it: it keeps the namespace.

Only the tables of interest are read in full; of the others, the descriptors whose link also
occurs there, or leads to a namespace of interest.
"""

from __future__ import annotations

import errno
import re
from array import array
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.procfs import alike, evidence, facts, fdinfo, keeping
from analyzer.procfs.fs import Links, vanished
from analyzer.procfs.gaps import empty, lacking, malformed, not_links, refusal
from analyzer.procfs.kcmp import What

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from analyzer.procfs.fdinfo import FdInfo
    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.gaps import GapLog
    from analyzer.procfs.identity import Identity
    from analyzer.procfs.tasks import Task
    from analyzer.relations.shown import Key, Tied

ACCESS: Final = "access"
"""The folder of a process that captures have instead of fdinfo: of each file "r", "w" or "u"."""

_FD: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_UNSEEN: Final = "what is open there is not known"
_STATE: Final = "the state of open files"
_STATELESS: Final = "their offsets and flags are not known"
_UNTOLD: Final = "whether open files are shared with it is not known"
_GONE: Final = frozenset({errno.ESRCH, errno.EBADF})  # the task, or the descriptor, went away


@dataclass
class Slots:
    """Used descriptors as columns: index of the table, fd number, and where its link leads.

    The first `full` rows are those of the tables of interest. `file` is the number of the open
    file (from 0 in order of first encounter), -1 for one that is of no interest. `alike` relates
    files of different tables, where nobody could tell whether they are one. `keepers` are the
    descriptors (name and link), by table, that may keep open files in their turn. `told` is the
    fdinfo of those rows of which it was read (see `details`).
    """

    table: array[int] = field(default_factory=lambda: array("q"))
    fd: array[int] = field(default_factory=lambda: array("q"))
    link: list[str] = field(default_factory=list)
    file: array[int] = field(default_factory=lambda: array("q"))
    full: int = 0
    alike: list[Tied] = field(default_factory=list)
    keepers: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    told: dict[int, FdInfo | None] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of descriptors."""
        return len(self.fd)

    def look(self, table: int, links: Links) -> None:
        """Note which descriptors of a table may keep open files."""
        pairs = zip(links.names, links.targets, strict=True)
        some = [pair for pair in pairs if pair[1].startswith(keeping.KEEPERS)]
        if some:
            self.keepers[table] = some

    def extend(self, table: int, pairs: Sequence[tuple[str, str]]) -> None:
        """Add descriptors of one table, by name and link; a dump may hold other names."""
        rows = sorted((int(name), link) for name, link in pairs if _FD.fullmatch(name))
        self.table.extend([table] * len(rows))
        self.fd.extend(fd for fd, _ in rows)
        self.link += [link for _, link in rows]

    def kept(self) -> list[int]:
        """Return the rows that are of interest."""
        return [row for row, number in enumerate(self.file) if number >= 0]

    def drop(self, wanted: Collection[int], whoever: Callable[[str], bool]) -> None:
        """Keep the files of the tables of interest, `wanted` ones, and links of `whoever`."""
        keep = {*self.file[: self.full], *wanted}
        for row in range(self.full, len(self)):
            if self.file[row] not in keep and not whoever(self.link[row]):
                self.file[row] = -1


def walk(
    fs: ProcFs,
    tables: Sequence[Task],
    interest: Sequence[bool],
    wanted: Callable[[Sequence[str]], Callable[[str], bool]],
    log: GapLog,
) -> Slots:
    """Read the descriptors of `tables` (one task for each); `file` is left empty.

    `interest` tells the tables that are read in full. `wanted` is given where the descriptors of
    those lead, and returns what tells which of others' links are of interest.
    """
    slots = Slots()
    for number, task in enumerate(tables):
        if interest[number]:
            links = _links(fs, task, log)
            slots.look(number, links)
            slots.extend(number, list(zip(links.names, links.targets, strict=True)))
    slots.full = len(slots)
    mine, matters = set(slots.link), wanted(slots.link)
    for number, task in enumerate(tables):
        if not interest[number] and not task.stat.kthread:
            links = _links(fs, task, log)
            slots.look(number, links)
            pairs = zip(links.names, links.targets, strict=True)
            slots.extend(number, [p for p in pairs if p[1] in mine or matters(p[1])])
    return slots


def _links(fs: ProcFs, task: Task, log: GapLog) -> Links:
    what = "open files" if task.leader else "open files of a thread"
    try:
        links = fs.links(f"{task.folder}/fd")
    except OSError as error:
        if not vanished(error):
            log.add(refusal(what, "opendir", error, _UNSEEN), task.tgid)
        return Links((), ())
    if links.refused:
        log.add(refusal(what, "readlink", links.refused, _UNSEEN), task.tgid)
    if links.others:
        log.add(not_links(what, "fd", _UNSEEN), task.tgid)
    elif fs.copied and _more_told(fs, task, links):
        log.add(lacking("some open files", "fd", _UNSEEN), task.tgid)
    elif not (links.names or links.refused or task.stat.exiting) and _is_plain(fs):
        log.add(empty(what, "fd", _UNSEEN), task.tgid)
    return links


def _is_plain(fs: ProcFs) -> bool:
    """Tell whether a dump is a plain copy: of ours, and of captures, an empty folder was one."""
    if not fs.copied or fs.captures:
        return False
    try:
        fs.read(facts.PATH)
    except OSError:
        return True
    return False


def _more_told(fs: ProcFs, task: Task, links: Links) -> bool:
    """Tell whether a dump has the state of descriptors that it does not have itself."""
    try:
        told = set(fs.listdir(f"{task.folder}/fdinfo"))
    except OSError:
        return False
    return any(map(_FD.fullmatch, told.difference(links.names)))


def identify(
    fs: ProcFs,
    slots: Slots,
    tables: Sequence[Task],
    identity: Identity,
    whoever: Callable[[str], bool],
    log: GapLog,
) -> None:
    """Fill in `slots.file`; where `whoever` holds of a link all of its files are of interest."""
    slots.file = array("q", [-1]) * len(slots)
    count = 0
    for link, rows in _by_link(slots).items():
        of_interest = len(rows) if whoever(link) else _below(rows, slots.full)
        if not of_interest:
            continue
        if len(rows) == 1:
            slots.file[rows[0]] = count
            count += 1
        elif identity.certain:
            count += _classify(slots, rows, of_interest, count, tables, identity, log)
        else:
            count += _compare(fs, slots, rows, of_interest, count, tables, log)


def _classify(  # noqa: PLR0917 -- one step of identify()
    slots: Slots,
    rows: Sequence[int],
    pivots: int,
    first: int,
    tables: Sequence[Task],
    identity: Identity,
    log: GapLog,
) -> int:
    members = [(tables[slots.table[row]].tid, slots.fd[row]) for row in rows]
    answer = identity.classes(What.FILE, members, pivots)
    for row, number in zip(rows, answer.number, strict=True):
        slots.file[row] = first + number if number >= 0 else -1
    for index, code in answer.failed.items():
        if code not in _GONE:
            failure = refusal("open files", "kcmp FILE", code, _UNTOLD)
            log.add(failure, tables[slots.table[rows[index]]].tgid)
    return max(answer.number[:pivots], default=-1) + 1


def _compare(  # noqa: PLR0917 -- one step of identify()
    fs: ProcFs,
    slots: Slots,
    rows: Sequence[int],
    pivots: int,
    first: int,
    tables: Sequence[Task],
    log: GapLog,
) -> int:
    """Do as `_classify` by what is known of the files; what may be one is of interest too."""
    details(fs, slots, rows, tables, log)
    infos = [slots.told[row] for row in rows]
    later = _again(fs, slots, rows, tables)
    values = [alike.value(slots.link[rows[0]], *pair) for pair in zip(infos, later, strict=True)]
    numbers = evidence.same(values)
    members = [
        alike.Member(("FILE", first + number), alike.said(info), row < slots.full)
        for row, number, info in zip(rows, numbers, infos, strict=True)
    ]
    found = list(alike.rows(members, values, host=slots.full == len(slots)))
    keep = {*numbers[:pivots], *(_number(one.left) - first for one in found)}
    for row, number in zip(rows, numbers, strict=True):
        slots.file[row] = first + number if number in keep else -1
    slots.alike += found
    return max(numbers) + 1


def _number(key: Key) -> int:
    assert isinstance(key[1], int)  # noqa: S101 -- as it was made
    return key[1]


def _again(
    fs: ProcFs, slots: Slots, rows: Sequence[int], tables: Sequence[Task]
) -> list[FdInfo | None]:
    found: list[FdInfo | None] = []
    for row in rows:
        path = fs.again(f"{tables[slots.table[row]].folder}/fdinfo/{slots.fd[row]}")
        try:
            found.append(fdinfo.parse(fs.read(path), path))
        except (OSError, BadInputError):
            found.append(None)
    return found


def _by_link(slots: Slots) -> Mapping[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for row, link in enumerate(slots.link):
        group = groups.get(link)
        if group is None:
            groups[link] = [row]
        else:
            group.append(row)
    return groups


def _below(rows: Sequence[int], limit: int) -> int:
    return sum(row < limit for row in rows)


def details(
    fs: ProcFs, slots: Slots, rows: Iterable[int], tables: Sequence[Task], log: GapLog
) -> None:
    """Read the fdinfo of those of `rows` of which it was not read; None for what went away.

    So it is for what a dump does not have, which goes to `log`.
    """
    new = (row for row in rows if row not in slots.told)
    for table, some in groupby(new, slots.table.__getitem__):
        mine = list(some)
        names = [str(slots.fd[row]) for row in mine]
        slots.told.update(zip(mine, _details(fs, tables[table], names, log), strict=True))


def _details(fs: ProcFs, task: Task, names: Sequence[str], log: GapLog) -> list[FdInfo | None]:
    folder = f"{task.folder}/fdinfo"
    try:
        heads = fs.heads(folder, names)
    except OSError:
        heads = [None] * len(names)
    found: list[FdInfo | None] = []
    for name, head in zip(names, heads, strict=True):
        if not head and not fs.was_gone(f"{folder}/{name}"):
            log.add(lacking(_STATE, "fdinfo", _STATELESS), task.tgid)
        try:
            found.append(fdinfo.parse(head, name) if head else _access(fs, task, name))
        except BadInputError as error:
            log.add(malformed(_STATE, name, error, _STATELESS), task.tgid)
            found.append(None)
    return found


def _access(fs: ProcFs, task: Task, name: str) -> FdInfo | None:
    """Return what a capture tells of how a file was opened."""
    if not fs.captures:
        return None
    try:
        return fdinfo.of_letter(fs.read(f"{task.folder}/{ACCESS}/{name}"))
    except OSError:
        return None
