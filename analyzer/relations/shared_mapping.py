"""shared-mapping: memory that both sides have mapped shared, and that one of them can write.

It is one inode: a memfd, a file in /dev/shm, anonymous memory that fork(2) left to both, a System V
segment, a regular file. Who wrote it need not have it open any more. It is shared state if both
sides can write, and one watches what the other writes if not. Private mappings are no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import NamedTuple
from analyzer.kinds._named_types import texts
from analyzer.memory.distinct import find, member, unique
from analyzer.relations._files import files
from analyzer.relations.base import Related, Relation, meet
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.relations.base import World
    from analyzer.relations.shown import Key, Mapped, Shown


class Shared(NamedTuple):
    """The shared mappings: of which memory, of which file, which can be written, and "rw-s"."""

    memory: U64
    file: U64
    writes: Mask
    said: npt.NDArray[np.object_]


def _find(world: World) -> Iterator[Related]:
    holder, file, writes, said = world.once(shared)
    found = world.once(files)
    row, known = find(found.address, file)
    if not known.any():
        return
    known &= found.good[row]
    holder, inode, writes, said = holder[known], found.inode[row[known]], writes[known], said[known]
    mine = member(holder, world.inside.get("MM", holder[:0]))
    written = member(inode, unique(inode[writes]))
    both = meet(inode, mine & writes, ~mine & writes)
    _, first = np.unique(np.stack((holder, inode)), axis=1, return_index=True)
    at = first[written[first]]
    impact = np.where(both, Impact.SHARED_STATE.value, Impact.WATCHES.value).astype(object)
    yield Related("MM", holder[at], "INODE", inode[at], detail=said[at], impact=impact[at])


def shared(world: World) -> Shared:
    """Return the shared mappings of a reading (`world.once(shared)`)."""
    holders, targets, said = [], [], []
    for block in world.blocks:
        if block.association.name == "vma" and block.detail is not None:
            shares = np.array([word[3:4] == "s" for word in block.detail.words], np.bool_)
            at = np.flatnonzero(shares[block.detail.code])
            holders.append(block.holder[at])
            targets.append(block.target[at])
            said.append(texts(block.detail.words)[block.detail.code[at]])
    none = np.empty(0, np.uint64)
    words = np.concatenate([np.empty(0, object), *said])
    writes = np.array([word[1:2] == "w" for word in words], np.bool_)
    return Shared(np.concatenate([none, *holders]), np.concatenate([none, *targets]), writes, words)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    by_inode: dict[Key, list[Mapped]] = {}
    for one in shown.mappings:
        by_inode.setdefault(one.inode, []).append(one)
    for inode, some in by_inode.items():
        writes = [one for one in some if one.permissions[1] == "w"]
        if not writes:
            continue
        both = {one.inside for one in writes} == {True, False}
        impact = Impact.SHARED_STATE if both else Impact.WATCHES
        first = {one.memory: one for one in reversed(some)}
        for one in reversed(first.values()):
            yield Tied(one.memory, inode, one.permissions, impact=impact)


RELATION: Final = Relation(
    name="shared-mapping",
    title="shared memory of both sides",
    plural="shared memory of both sides",
    left="has it mapped",
    right="is mapped shared, and writable",
    impact=Impact.SHARED_STATE,
    next=(
        "munmap(2) and close(2) it on one side, or ask of both together: cranalyze check PID, "
        "of a process above both"
    ),
    shared=True,
    leads_to=("INODE",),
    kernel=_find,
    from_proc=_from_proc,
    hidden="memory of btrfs files, and what is mapped read-only of libraries",
)
