"""INODE: struct inode, a file as its filesystem knows it, whoever has it open.

Nothing counts it here: open files that have nothing else in common meet at it, and so do locks,
leases and watches. An inode without a name (`i_nlink` 0) lives as long as somebody has it open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.kinds._paths import alias_names
from analyzer.kinds.base import Judged, Kind
from analyzer.kinds.superblock import device_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory


def _describe(memory: Memory, inodes: U64) -> Mapping[str, npt.NDArray[Any]]:
    read = memory.gather(
        inodes, "inode", {"ino": "i_ino", "mode": "i_mode", "sb": "i_sb", "links": "i_nlink"}
    )
    return {
        "ino": read["ino"],
        "mode": read["mode"].astype(np.int64),
        "dev": device_of(memory, read["sb"]),
        "deleted": read.ok & (read["links"] == 0),
    }


KIND: Final = Kind(
    name="INODE",
    struct="inode",
    title="file",
    plural="files",
    message="inode",
    order=99,
    rank=93,
    counters=(),
    judged=Judged.NOT,
    describe=_describe,
    names=alias_names,
    derived=True,
)
