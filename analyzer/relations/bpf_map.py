"""bpf-map: a BPF map that both sides reach: by a descriptor, or by that of a program that uses it.

Descriptors of one map are open files of their own, with the map as `private_data`; a program names
the maps that it uses (`bpf_prog_aux.used_maps`), a link its program (kernel/bpf/syscall.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.relations._anonymous import BPF_LINK, BPF_MAP, BPF_PROG, anonymous, data_of
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown

_NONE: Final = np.empty(0, np.uint64)
_MOST: Final = 64  # MAX_USED_MAPS


def _find(world: World) -> Iterator[Related]:
    opened = world.once(anonymous)
    maps = opened.get(BPF_MAP, _NONE)
    data = data_of(world, maps)
    known = data != 0
    yield _rows(maps[known], data[known], "map")
    programs = opened.get(BPF_PROG, _NONE)
    yield _used(world, programs, data_of(world, programs), "program")
    links = opened.get(BPF_LINK, _NONE)
    read = world.memory.gather(data_of(world, links), "bpf_link", {"program": "prog"})
    yield _used(world, links, np.where(read.ok, read["program"], np.uint64(0)), "link")


def _used(world: World, holders: U64, programs: U64, role: str) -> Related:
    memory = world.memory
    aux = memory.gather(programs, "bpf_prog", {"aux": "aux"})
    read = memory.gather(aux["aux"], "bpf_prog_aux", {"maps": "used_maps", "n": "used_map_cnt"})
    count = np.where(aux.ok & read.ok, read["n"], 0).astype(np.int64).clip(0, _MOST)
    owner = np.repeat(np.arange(len(holders)), count)
    ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    found, good = memory.pointers(read["maps"][owner] + (ordinal * 8).astype(np.uint64))
    good &= found != 0
    return _rows(holders[owner[good]], found[good], role)


def _rows(holders: U64, maps: U64, role: str) -> Related:
    return Related("FILE", holders, "BPF_MAP", maps, role=words(len(maps), role))


def _from_proc(shown: Shown) -> Iterator[Tied]:
    for file in shown.telling():
        said = number(file.last(b"map_id"))
        if said is not None and file.link == "anon_inode:bpf-map":
            yield Tied(file.key, ("BPF_MAP", said), role="map")


RELATION: Final = Relation(
    name="bpf-map",
    title="leads to a map that the other side reaches",
    plural="lead to maps that the other side reaches",
    left="reads and writes it",
    right="is what they share",
    impact=Impact.SHARED_STATE,
    next="close the descriptor of the map on one side (bpftool map show tells who has it)",
    shared=True,
    leads_to=("BPF_MAP",),
    kernel=_find,
    from_proc=_from_proc,
    hidden="what programs and links lead to",
    unseen="pins in a bpf filesystem, maps within maps, programs that nobody has a descriptor of",
)
