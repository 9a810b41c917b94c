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
from analyzer.relations._files import WRITE, collected, files, met
from analyzer.relations.base import Related, Relation, meet
from analyzer.relations.shared_mapping import shared
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations._files import Files
    from analyzer.relations.base import World
    from analyzer.relations.shown import File, Key, Mapped, Shown

    Rows = npt.NDArray[np.intp]

_MQUEUE: Final = 0x19800202  # MQUEUE_MAGIC, ipc/mqueue.c
_FORMAT: Final = 0o170000
_FILES: Final = (stat.S_IFREG, stat.S_IFIFO)


def _find(world: World) -> Iterator[Related]:
    found, mine = world.once(files), collected(world)
    plain = _regular(world.memory, _shared(world))
    # What is posix-queue's is told as that.
    at = np.flatnonzero(found.good & member(found.inode, plain) & ~on(world, _MQUEUE))
    if not world.host:
        at = at[meet(found.inode[at], mine[at], ~mine[at])]
    writes = found.mode[at] & WRITE != 0
    at = at[member(found.inode[at], unique(found.inode[at[writes]]))]
    at = at[~_mapped_alone(world, found.address[at])]
    at = at[~_as_memory(world, found, at)]
    inode, writes, mine = found.inode[at], found.mode[at] & WRITE != 0, mine[at]
    named = world.memory.gather(inode, "inode", {"links": "i_nlink"})["links"] > 0
    both = meet(inode, mine & writes, ~mine & writes)
    told = both | named  # what is deleted is told as that, if it is not shared state
    role = np.where(writes, "writes", "reads").astype(object)
    impact = np.where(both, Impact.SHARED_STATE.value, Impact.WATCHES.value).astype(object)
    yield Related(
        "FILE", found.address[at[told]], "INODE", inode[told],
        role=role[told], impact=impact[told],
    )  # fmt: skip


def _shared(world: World) -> U64:
    """Return the inodes that both sides may have open; where all is told, that are open twice."""
    inode, mine = world.once(files).inode, collected(world)
    if world.host:
        ordered, ours = np.sort(inode), unique(inode[mine])
        twice = unique(ordered[1:][ordered[1:] == ordered[:-1]])
        return twice[member(twice, ours)] if len(ours) else twice
    fewer = mine if 2 * mine.sum() < len(mine) else ~mine
    few = unique(inode[fewer])
    return few[member(few, world.once(met))]


def _regular(memory: Memory, inodes: U64) -> U64:
    read = memory.gather(inodes, "inode", {"mode": "i_mode"})
    regular: U64 = inodes[read.ok & (read["mode"].astype(np.int64) & _FORMAT == stat.S_IFREG)]
    return regular


def _mapped_alone(world: World, files: U64) -> Mask:
    """Tell which files (sorted) are mapped, and no descriptor leads to: see shared-mapping."""
    mapped = _holding(world, files, mapping=True)
    alone = mapped.copy()
    alone[mapped] = ~_holding(world, files[mapped], mapping=False)
    return alone


def _holding(world: World, files: U64, *, mapping: bool) -> Mask:
    held = np.zeros(len(files), np.bool_)
    for block in world.blocks if len(files) else ():
        if block.target_kind == "FILE" and (block.association.name == "vma") == mapping:
            row, there = find(files, block.target)
            held[row[there]] = True
    return held


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
