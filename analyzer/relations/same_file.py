"""same-file: one file that both sides have open, by open files of their own, and that is written.

Two openings of a file share no offset, and no count shows them; what they share is the content. It
is shared state if both sides write, and one watches what the other writes if not. What everybody
has open (libraries, programs, devices) is written by nobody, and is no finding. What all of them
have mapped shared is told as that (shared-mapping), and a FIFO as the pipe that it is; where
nothing tells that (/proc), who reads takes away what the other wrote.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.memory.distinct import find, member, unique
from analyzer.relations._anonymous import on
from analyzer.relations._files import WRITE, files, met
from analyzer.relations.base import Related, Relation, meet
from analyzer.relations.shared_mapping import shared
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.relations._files import Files
    from analyzer.relations.base import World
    from analyzer.relations.shown import File, Key, Mapped, Shown

    Rows = npt.NDArray[np.intp]

_MQUEUE: Final = 0x19800202  # MQUEUE_MAGIC, ipc/mqueue.c
_FORMAT: Final = 0o170000
_FILES: Final = (stat.S_IFREG, stat.S_IFIFO)


def _find(world: World) -> Iterator[Related]:
    found, known = world.once(files), world.once(met)
    writes = found.good & (found.mode & WRITE != 0)
    written = np.zeros(len(known.address), np.bool_)
    written[known.of_file[writes]] = True
    written &= known.good & (known.mode & _FORMAT == stat.S_IFREG)
    written &= np.bincount(known.of_file, minlength=len(written)) > 1
    inside = world.inside.get("FILE", found.inode[:0])
    if len(inside):
        row, there = find(found.address, inside)
        ours = np.zeros(len(written), np.bool_)
        ours[known.of_file[row[there]]] = True
        written &= ours
    at = np.flatnonzero(found.good & written[known.of_file] & ~on(world, _MQUEUE))
    at = at[~_mapped_alone(world, found.address[at])]  # and not posix-queue's
    at = at[~_as_memory(world, found, at)]
    named = known.links[known.of_file[at]] > 0
    mine = member(found.address[at], inside)
    both = meet(found.inode[at], mine & writes[at], ~mine & writes[at])
    told = both | named  # what is deleted is told as that, if it is not shared state
    role = np.where(writes[at], "writes", "reads").astype(object)
    impact = np.where(both, Impact.SHARED_STATE.value, Impact.WATCHES.value).astype(object)
    yield Related(
        "FILE", found.address[at[told]], "INODE", found.inode[at[told]],
        role=role[told], impact=impact[told],
    )  # fmt: skip


def _mapped_alone(world: World, files: U64) -> Mask:
    """Tell which files (sorted) are mapped, and no descriptor leads to: see shared-mapping."""
    held = {True: np.zeros(len(files), np.bool_), False: np.zeros(len(files), np.bool_)}
    for block in world.blocks:
        if block.target_kind == "FILE":
            row, there = find(files, block.target)
            held[block.association.name == "vma"][row[there]] = True
    return held[True] & ~held[False]


def _as_memory(world: World, found: Files, at: Rows) -> Mask:
    """Tell which of some open files shared-mapping tells: all of the inode's are mapped as open."""
    mapped = world.once(shared)
    may = {False: np.zeros(len(found.address), np.bool_)}
    may[True] = may[False].copy()
    row, there = find(found.address, mapped.file)
    may[False][row[there]] = True
    may[True][row[there & mapped.writes]] = True
    writes = found.mode[at] & WRITE != 0
    open_only = ~np.where(writes, may[True][at], may[False][at])
    told: Mask = ~member(found.inode[at], unique(found.inode[at[open_only]]))
    return told


def _from_proc(shown: Shown) -> Iterator[Tied]:
    likely = [
        [file for file in some if file.slots]
        for some in shown.by_inode().values()
        if len(some) > 1 and any(file.writes for file in some) and not _is_other(some[0])
    ]
    kinds = shown.types(some[0] for some in likely if some)
    for some in likely:
        if not some or kinds.get(some[0].key) not in _FILES or _maps_all(shown, some):
            continue
        fifo = kinds[some[0].key] == stat.S_IFIFO  # reading takes it away
        both = fifo or {file.inside for file in some if file.writes} == {True, False}
        impact = Impact.SHARED_STATE if both else Impact.WATCHES
        for file in some:
            if file.inode is not None and (both or not file.deleted):
                role = "writes" if file.writes else "reads"
                yield Tied(file.key, file.inode, role=role, impact=impact)


def _maps_all(shown: Shown, some: Sequence[File]) -> bool:
    """Tell whether who has a file open has it mapped shared too, as far as /proc tells who maps."""
    at = shown.once(_mapped)
    for file in some:
        ours = [m for m in at.get(file.inode, ()) if m.inside == file.inside]
        by = {m.memory for m in ours if m.permissions[1] == "w" or not file.writes}
        users = {("MM", ("of", task.tgid)) for task, _ in shown.users(file)}
        if not by or not (file.inside or users <= by):
            return False
    return True


def _mapped(shown: Shown) -> Mapping[Key | None, list[Mapped]]:
    found: dict[Key | None, list[Mapped]] = {}
    for one in shown.mappings:
        found.setdefault(one.inode, []).append(one)
    return found


def _is_other(file: File) -> bool:
    """Tell what is told of otherwise: a pipe without a name, a message queue."""
    queue = file.mount is not None and file.mount.fstype == "mqueue"
    return queue or file.pipe is not None


RELATION: Final = Relation(
    name="same-file",
    title="open on both sides",
    plural="open on both sides",
    left="has it open",
    right="is written by one side at least",
    impact=Impact.SHARED_STATE,
    next="let each side have a file of its own: another path in the configuration of one",
    shared=True,
    leads_to=("INODE",),
    kernel=_find,
    from_proc=_from_proc,
    hidden="files of which the other side has the name in another directory",
)
