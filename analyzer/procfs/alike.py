"""What may be one and cannot be told: the rules of `evidence`, applied to what was read.

Rows of the relation `alike` say it, of the things of a subtree and of others that look like them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from analyzer.core.errors import BadInputError
from analyzer.core.values import NamedTuple
from analyzer.kinds import namespace_set
from analyzer.procfs import evidence, status
from analyzer.procfs.evidence import Descriptor, Process
from analyzer.procfs.kcmp import What
from analyzer.relations.alike import LIKE, MOVED, STILL
from analyzer.relations.shown import PATH_ONLY, File, Tied

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from analyzer.procfs.evidence import Alike, Value
    from analyzer.procfs.fdinfo import FdInfo
    from analyzer.procfs.fs import Links, ProcFs
    from analyzer.procfs.mappings import Mapped, Uses
    from analyzer.procfs.namespaces import Set
    from analyzer.procfs.sharing import Groups
    from analyzer.procfs.tasks import Task
    from analyzer.relations.shown import Key

T = TypeVar("T")

KINDS: Final = {
    What.VM: "MM", What.FILES: "FILE_TABLE", What.SIGHAND: "SIGHAND", What.FS: "FS",
}  # fmt: skip
_WORDS: Final = {
    "MM": "its memory is laid out alike: forked, or shared",
    "FILE_TABLE": "its memory is laid out alike, and its descriptors are the same",
    "SIGHAND": "its memory is laid out alike, and it handles the same signals",
    "FS": "working directory, root, umask and namespaces are the same",
}
_PATH: Final = "the path"


class Member(NamedTuple):
    """Something that may be one with another: its key, and what of it is compared, in words."""

    key: Key
    words: str
    inside: bool


def rows(
    members: Sequence[Member], values: Sequence[Value | None], *, host: bool
) -> Iterator[Tied]:
    """Yield the relation of members that may be one with one from the other side; `host`: any."""
    groups: dict[int, list[Alike]] = {}
    for one in evidence.classes(values):
        groups.setdefault(one.group, []).append(one)
    for group in groups.values():
        if not _meet([members[one.member] for one in group], host=host):
            continue
        likes: dict[int, list[Alike]] = {}
        for one in group:
            likes.setdefault(one.like, []).append(one)
        for like, some in likes.items():
            if _meet([members[one.member] for one in some], host=host):
                yield from _tied(members, some, like, lambda _: LIKE)
        if len(likes) > 1 and not all(one.still for one in group):
            yield from _tied(members, group, group[0].group, _role)


def _meet(members: Sequence[Member], *, host: bool) -> bool:
    keys = {member.key for member in members}
    return len(keys) > 1 and (host or len({member.inside for member in members}) > 1)


def _role(one: Alike) -> str:
    return STILL if one.still else MOVED


def _tied(
    members: Sequence[Member], some: Sequence[Alike], first: int, role: Callable[[Alike], str]
) -> Iterator[Tied]:
    seen: dict[Key, Alike] = {}
    for one in some:
        seen.setdefault(members[one.member].key, one)
    for key, one in seen.items():
        yield Tied(key, members[first].key, members[one.member].words, role(one))


def value(link: str, info: FdInfo | None, again: FdInfo | None) -> Value | None:
    """Return what the rules say of a descriptor; None where its state is not known."""
    if info is None or info.flags is None:
        return None
    return evidence.of_descriptor(Descriptor(link, info), again)


def said(info: FdInfo | None) -> str:
    """Return what is compared of a descriptor, in words."""
    if info is None or info.flags is None:
        return ""
    numbers = (("inode", info.ino), ("mount", info.mnt_id), ("offset", info.pos))
    told = [f"{word} {number}" for word, number in numbers if number is not None]
    return ", ".join([*told, f"flags {info.flags:#o}"])


def of_tasks(
    fs: ProcFs,
    groups: Mapping[What, Groups],
    inside: Callable[[Sequence[Task]], bool],
    spaces: Mapping[int, Mapping[str, str]],
    *,
    host: bool,
) -> dict[What, list[Tied]]:
    """Return the relation of what tasks share; keys have the number of the group of tasks."""
    people = _People(fs, spaces)
    found = {}
    for what, kind in KINDS.items():
        members = [
            Member((kind, number), _WORDS[kind], inside(group))
            for number, group in enumerate(groups[what])
        ]
        values = people.values(kind, [group[0] for group in groups[what]], members, host=host)
        found[what] = list(rows(members, values, host=host))
    return found


def of_sets(
    sets: Sequence[Set], inside: Callable[[Sequence[Task]], bool], *, host: bool
) -> Iterator[Tied]:
    """Yield the relation of sets of namespaces: nobody can compare them, not even kcmp(2)."""
    kind = namespace_set()
    members = [
        Member((kind, number), "their namespaces are the same", inside(one.tasks))
        for number, one in enumerate(sets)
    ]
    values = [evidence.Value(one.spaces, (), still=True) for one in sets]
    return rows(members, values, host=host)


class _People:
    """Reads of processes what the rules ask for, as far as it may matter."""

    def __init__(self, fs: ProcFs, spaces: Mapping[int, Mapping[str, str]]) -> None:
        self._fs = fs
        self._spaces = spaces
        self._read_of: dict[str, Process] = {}  # a dump, by folder: it says the same each time

    def values(
        self, kind: str, tasks: Sequence[Task], members: Sequence[Member], *, host: bool
    ) -> list[Value | None]:
        """Return what the rules say of each; what moves only of those that may be one."""
        lineage = [evidence.LINEAGE[kind](self._known(task)) for task in tasks]
        sides: dict[Hashable, set[bool]] = {}
        for fixed, member in zip(lineage, members, strict=True):
            sides.setdefault(fixed, set()).add(host or member.inside)
        near = [
            fixed is not None and True in sides[fixed] and (host or False in sides[fixed])
            for fixed in lineage
        ]
        some = [task for task, matters in zip(tasks, near, strict=True) if matters]
        first = [self._read(task, lambda path: path) for task in some]
        again = [self._read(task, self._fs.again) for task in some]  # after all first ones
        told = (evidence.of_process(kind, *pair) for pair in zip(first, again, strict=True))
        return [next(told) if matters else None for matters in near]

    def _known(self, task: Task) -> Process:
        own = self._spaces.get(task.tid, {})
        spaces = own.get("mnt"), own.get("user")
        return Process(task.stat.layout, None, spaces, None, None, None)

    def _read(self, task: Task, at: Callable[[str], str]) -> Process:
        if not self._fs.copied:
            return self._read_now(task, at)
        folder = at(task.folder)
        if folder not in self._read_of:
            self._read_of[folder] = self._read_now(task, at)
        return self._read_of[folder]

    def _read_now(self, task: Task, at: Callable[[str], str]) -> Process:
        fs, folder = self._fs, task.folder
        more = _optional(lambda: fs.read(at(f"{folder}/status")))
        links = _optional(lambda: fs.links(at(f"{folder}/fd")))
        return self._known(task)._replace(
            status=None if more is None else _parsed(more),
            descriptors=None if links is None else _pairs(links),
            cwd=_optional(lambda: fs.link(at(f"{folder}/cwd"))),
            root=_optional(lambda: fs.link(at(f"{folder}/root"))),
        )


def _optional(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except OSError:
        return None


def _parsed(data: bytes) -> status.Status | None:
    try:
        return status.parse(data, "status")
    except BadInputError:
        return None


def _pairs(links: Links) -> frozenset[tuple[str, str]]:
    return frozenset(zip(links.names, links.targets, strict=True))


def forked(groups: Groups, spaces: Iterable[int]) -> list[Tied]:
    """Return which address spaces (by their numbers) are laid out alike: forked from each other."""
    first: dict[Hashable, Key] = {}
    found = []
    for space in spaces:
        layout = groups[space][0].stat.layout
        if layout is not None:
            key: Key = ("MM", space)
            found.append(Tied(key, first.setdefault(layout, key), role=LIKE))
    return found


def of_mapped(
    groups: Groups,
    near: Sequence[Tied],
    mapped: Mapping[int, tuple[Sequence[Mapped], Uses]],
    inside: Callable[[Sequence[Task]], bool],
    *,
    host: bool,
) -> Iterator[Tied]:
    """Yield the relation of files that are mapped: fork(2) copies mappings, each at its address.

    (dup_mmap(), kernel/fork.c: the same open file. Whoever else maps it has opened it himself, or
    was given it; a program and its libraries are mapped by nobody but execve(2) and their process.)
    `near` is what is known of the address spaces, of which those that are alike matter.
    """
    for some in _by_stand_in(near, LIKE).values():
        if len(some) == 1 or (not host and len({inside(groups[space]) for space in some}) == 1):
            continue
        sides = {space: inside(groups[space]) for space in some}
        files: dict[tuple[Mapped, int | None], list[tuple[int, int]]] = {}
        for space in filter(mapped.__contains__, some):
            found, uses = mapped[space]
            for file, start in uses.places():
                files.setdefault((found[file], start), []).append((space, file))
        seen = set()
        for (_, start), keys in files.items():
            where = "as the program" if start is None else f"at {start:#x}"
            words = f"mapped {where}, as where memory was forked from"
            members = [Member(("FILE", key), words, sides[key[0]]) for key in keys]
            if not _meet(members, host=host):
                continue
            for member in members:
                if (pair := (member.key, members[0].key)) not in seen:
                    seen.add(pair)
                    yield Tied(*pair, words, LIKE)


def _by_stand_in(found: Sequence[Tied], role: str) -> dict[Key, list[int]]:
    spaces: dict[Key, list[int]] = {}
    for row in found:
        if row.role == role and isinstance(row.left[1], int):
            spaces.setdefault(row.right, []).append(row.left[1])
    return spaces


def of_both(files: Sequence[File], *, host: bool) -> Iterator[Tied]:
    """Yield the relation of what one maps, and another has open (mmap(2) keeps the open file)."""
    opened: dict[Hashable, list[File]] = {}
    for file in files:
        mappable = file.flags is not None and not file.flags & PATH_ONLY
        if file.slots and file.ino is not None and mappable:
            opened.setdefault((file.link, file.ino), []).append(file)
    for file in files:
        if file.slots or file.ino is None:
            continue
        for other in opened.get((file.link, file.ino), ()):
            if host or file.inside != other.inside:
                words = f"inode {file.ino}"
                yield Tied(file.key, other.key, f"{words}, mapped", LIKE)
                yield Tied(other.key, other.key, f"{words}, open", LIKE)


def only_mapped(mapped: Mapping[int, tuple[Sequence[Mapped], Uses]]) -> Iterator[File]:
    """Yield the files that processes outside map, by the number of their memory, for `of_both`."""
    for at, (files, _) in mapped.items():
        for index, one in enumerate(files):
            key: Key = ("FILE", (at, index))
            yield File(key, one.path, None, None, None, None, one.ino, None, b"", (), inside=False)


def of_loops(files: Sequence[File], backing: Mapping[str, str], *, host: bool) -> Iterator[Tied]:
    """Yield the relation of files to those that back loop devices: `backing` has paths, by device.

    A loop device keeps the open file that it was given (fget() in loop_configure(),
    drivers/block/loop.c; not one of O_PATH), and says its path as a link to it does: by d_path()
    (loop_attr_backing_file_show()). losetup(8) gives it one of its own, so that equal paths are no
    more than likely; where they differ there are two files.
    """
    devices: dict[str, list[str]] = {}
    for device, path in backing.items():
        devices.setdefault(path, []).append(device)
    for file in files:
        some = devices.get(file.link)
        if some and (host or file.inside) and not (file.flags or 0) & PATH_ONLY:
            yield Tied(file.key, file.key, _PATH, LIKE)
            yield from (Tied(loop_file(device), file.key, _PATH, LIKE) for device in some)


def loop_file(device: str) -> Key:
    """Return what the open file that backs a loop device is known by."""
    return "FILE", f"/dev/{device}"
