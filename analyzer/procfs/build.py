"""From what was read to objects and references, in the order of collection."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK
from analyzer.kinds import namespace_kinds, namespace_set
from analyzer.procfs import evidence, keeping, nslink
from analyzer.procfs.chunks import Graph
from analyzer.procfs.evidence import Descriptor
from analyzer.procfs.kcmp import What

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from analyzer.procfs.files import Slots
    from analyzer.procfs.mappings import Mapped, Uses
    from analyzer.procfs.namespaces import Membership
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.procfs.sharing import Groups
    from analyzer.procfs.tasks import Task
    from analyzer.relations.shown import Key

# Kind, association, what kcmp(2) calls it.
_SHARED: Final = (
    ("FILE_TABLE", "files", What.FILES),
    ("MM", "mm", What.VM),
    ("FS", "fs", What.FS),
    ("SIGHAND", "sighand", What.SIGHAND),
)
SET_OF_TASK: Final = "nsproxy"  # by which a task has its set of namespaces
_DELETED: Final = " (deleted)"  # what d_path() in fs/d_path.c adds to a name that is gone

Mappings = dict[int, tuple[list["Mapped"], "Uses"]]
"""The mapped files of address spaces, and their uses, by the number of the space."""

Opened = list[tuple[int, "NamespaceLink"]]
"""Open files that are namespaces: the objref, and the namespace."""


class Tables(Graph):
    """The graph of `groups` (of tasks that share something) and all that hangs off them.

    `concerns` tells the groups that are of interest.
    """

    def __init__(
        self, groups: Mapping[What, Groups], concerns: Callable[[Sequence[Task]], bool]
    ) -> None:
        super().__init__()
        self._groups = groups
        self._concerns = concerns
        self._objref: dict[What, dict[int, int]] = {}
        self._once: dict[tuple[str, int | None], int] = {}  # by link and inode, what is there once
        self.number: dict[Key, int] = {}

    def add_shared(self, slots: Slots, ends: Collection[Key]) -> None:
        """Add what tasks share: what is of interest, has a file of interest, or is in `ends`."""
        used = {slots.table[row] for row in slots.kept()}
        mapping = {at[0] for kind, at in ends if kind == "FILE" and isinstance(at, tuple)}
        for kind, association, what in _SHARED:
            also = {What.FILES: used, What.VM: mapping}.get(what, set())
            added = self._add_groups(kind, association, self._groups[what], ends, also)
            self._objref[what] = added

    def add_sets(self, sets: Groups, ends: Collection[Key]) -> None:
        """Add the sets of namespaces that tasks have: what is of interest, or is in `ends`."""
        self._add_groups(namespace_set(), SET_OF_TASK, sets, ends)

    def _add_groups(
        self,
        kind: str,
        association: str,
        groups: Groups,
        ends: Collection[Key],
        also: Collection[object] = (),
    ) -> dict[int, int]:
        """Add what groups of tasks have, and return it by their number."""
        some = {*also, *(at for one, at in ends if one == kind)}
        kept = [i for i, group in enumerate(groups) if i in some or self._concerns(group)]
        first = self.objects(kind, len(kept))
        found = {index: first + at for at, index in enumerate(kept)}
        pairs = [(task.tid, ref) for i, ref in found.items() for task in groups[i]]
        self.references(TASK, association, [p[0] for p in pairs], [p[1] for p in pairs])
        self.number |= {(kind, at): ref for at, ref in found.items()}
        return found

    def add_files(self, slots: Slots, devices: Mapping[int | None, int]) -> Opened:
        """Add the open files of `slots`, whose fdinfo was read."""
        shown: dict[int, int] = {}
        for row in slots.kept():
            shown.setdefault(slots.file[row], row)
        infos = [slots.told[row] for row in shown.values()]
        names = [slots.link[row] for row in shown.values()]
        first = self.objects(
            "FILE",
            len(names),
            **_described(names),
            ino=[None if info is None else info.ino for info in infos],
            dev=[None if info is None else devices.get(info.mnt_id) for info in infos],
            flags=[None if info is None else info.flags for info in infos],
            pos=[None if info is None else info.pos for info in infos],
            mnt_id=[None if info is None else info.mnt_id for info in infos],
        )
        number = {file: first + i for i, file in enumerate(shown)}
        self._add_slots(slots, number)
        self.number.update((("FILE", file), objref) for file, objref in number.items())
        pairs = enumerate(zip(names, infos, strict=True), first)
        self._once = {
            (name, info.ino): objref
            for objref, (name, info) in pairs
            if name.startswith(keeping.KEEPERS)
            and info is not None
            and evidence.once(Descriptor(name, info)) is not None
        }
        links = ((first + at, nslink.parse(name)) for at, name in enumerate(names))
        return [(objref, link) for objref, link in links if link is not None]

    def _add_slots(self, slots: Slots, file: Mapping[int, int]) -> None:
        rows, table = slots.kept(), self._objref[What.FILES]
        infos = [slots.told[row] for row in rows]
        self.references(
            "FILE_TABLE",
            "fd",
            [table[slots.table[row]] for row in rows],
            [file[slots.file[row]] for row in rows],
            slot=[slots.fd[row] for row in rows],
            detail=["cloexec" if info is not None and info.cloexec else None for info in infos],
        )

    def add_mapped(self, mapped: Mappings) -> None:
        """Add what was read: the mapped files, and who maps them."""
        spaces = self._objref[What.VM]
        self._add_mapped(
            {("FILE", (i, at)): file for i in spaces for at, file in enumerate(mapped[i][0])}
        )
        exe = [(i, mapped[i][1].exe) for i in spaces if mapped[i][1].exe is not None]
        objects = [self.number["FILE", key] for key in exe]
        self.references("MM", "exe", [spaces[i] for i, _ in exe], objects)
        holder, target, slot = array("q"), array("q"), array("q")
        detail: list[str] = []
        for i, objref in spaces.items():
            for file, start, permissions in mapped[i][1]:
                holder.append(objref)
                target.append(self.number["FILE", (i, file)])
                slot.append(start)
                detail.append(permissions)
        self.references(
            "MM", "vma", np.array(holder), np.array(target), slot=np.array(slot), detail=detail
        )

    def _add_mapped(self, files: Mapping[Key, Mapped]) -> None:
        """Add mapped files, but those that are open as well, and that there is once."""
        opened = {
            key: self._once[file.path, file.ino]
            for key, file in files.items()
            if (file.path, file.ino) in self._once
        }
        new = [(key, file) for key, file in files.items() if key not in opened]
        first = self.objects(
            "FILE",
            len(new),
            **_described([file.path for _, file in new]),
            ino=[file.ino for _, file in new],
            dev=[file.dev for _, file in new],
        )
        self.number |= opened | {key: first + at for at, (key, _) in enumerate(new)}

    def add_namespaces(
        self, members: Sequence[Membership], opened: Opened, initial: Collection[NamespaceLink]
    ) -> None:
        """Add the namespaces of `members` and of open files, and who holds them."""
        held = list(dict.fromkeys(link for _, link in opened))
        first = self.objects("NSFS", len(held), **_numbers(held))
        file = {link: first + at for at, link in enumerate(held)}
        self.references("FILE", "nsfs.file", [o for o, _ in opened], [file[n] for _, n in opened])
        objref = self._add_namespaces([*(m.namespace for m in members), *held], initial)
        self.references("NSFS", "nsfs", [file[n] for n in held], [objref[n] for n in held])
        self.number |= {("NSFS", nslink.text(link)): ref for link, ref in file.items()}
        by_link: dict[str, list[Membership]] = {}
        for member in members:
            by_link.setdefault(member.link, []).append(member)
        for mine in by_link.values():
            tids = [m.tid for m in mine]
            self.references(TASK, mine[0].association, tids, [objref[m.namespace] for m in mine])

    def _add_namespaces(
        self, met: Sequence[NamespaceLink], initial: Collection[NamespaceLink]
    ) -> dict[NamespaceLink, int]:
        objref: dict[NamespaceLink, int] = {}
        unique = dict.fromkeys(met)
        for name, kind in namespace_kinds().items():
            mine = [link for link in unique if link.name == name]
            flags = [link in initial for link in mine]
            first = self.objects(kind.name, len(mine), initial=flags, **_numbers(mine))
            objref |= {link: first + at for at, link in enumerate(mine)}
            self.number |= {(kind.name, nslink.text(link)): objref[link] for link in mine}
        return objref


def _described(names: Sequence[str]) -> dict[str, Sequence[object]]:
    return {
        "name": [name or None for name in names],
        "deleted": [name.endswith(_DELETED) if name else None for name in names],
    }


def _numbers(links: Sequence[NamespaceLink]) -> dict[str, Sequence[object]]:
    return {"name": [nslink.text(link) for link in links], "ino": [link.ino for link in links]}
