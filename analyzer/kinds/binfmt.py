"""BINFMT: struct binfmt_misc, the binary formats that a user namespace has interpreters for.

A format that was registered with the flag F holds its interpreter, opened when it was registered
(fs/binfmt_misc.c, bm_register_write()): the file stays where a container cannot see it, and what it
is on cannot be unmounted. Each user namespace in which binfmt_misc is mounted has its own formats
since 6.7 (21ca59b365c0 "binfmt_misc: enable sandboxed mounts"); before, they were in a list that
nothing leads to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import Association, Details, Edges, Judged, Kind
from analyzer.kinds.superblock import texts
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

BINFMT: Final = Association("binfmt", "its binary formats")
INTERPRETER: Final = Association("binfmt.file", "runs programs with it")

_LONGEST: Final = 256  # the name of a format is one of a file


def _walk(memory: Memory, addresses: U64) -> Iterator[Edges]:
    if not memory.has("Node", "interp_file"):  # the module's own
        return
    heads = addresses + np.uint64(memory.offset("binfmt_misc", "entries"))
    entries = rings(memory, heads)
    formats = entries.value - np.uint64(memory.offset("Node", "list"))
    read = memory.gather(formats, "Node", {"file": "interp_file", "name": "name"})
    held = np.flatnonzero(read.ok & (read["file"] != 0))
    names = texts(memory, read["name"][held], _LONGEST)
    code = np.where([bool(name) for name in names], np.arange(len(names)), -1).astype(np.int16)
    yield Edges(
        INTERPRETER,
        "FILE",
        entries.owner[held],
        read["file"][held],
        detail=Details(code, tuple(f"format {name}" for name in names)),
        torn=entries.torn,
    )


KIND: Final = Kind(
    name="BINFMT",
    struct="binfmt_misc",
    title="set of binary formats",
    plural="sets of binary formats",
    message="binfmt",
    order=191,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    walk=_walk,
    walk_associations=(INTERPRETER,),
)
