"""SHM: struct shmid_kernel, a System V shared memory segment.

A segment belongs to its IPC namespace and holds the file that its pages are in (ipc/shm.c,
newseg()). Each attach makes a file of its own, which is what the mapping holds: it pins the
segment's file and the IPC namespace (do_shmat(), shm_release()). linux-cr collected the segments of
an IPC namespace, not what the attaches hold.

The files of attaches are recognised by what they are: on the kernel's own tmpfs (or hugetlbfs) like
the segment's, and with a `shm_file_data` that leads to a file of the same contents, which no other
file there has.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.kinds._superblock_of import magic_of
from analyzer.kinds._told import ipc_names
from analyzer.kinds.base import (
    SINCE_LINUX_CR,
    Association,
    Edges,
    FileType,
    Judged,
    Kind,
    Known,
    Pointer,
    State,
)
from analyzer.memory.distinct import one_of
from analyzer.memory.trees import xarrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask, Told
    from analyzer.memory.reader import Memory

SEGMENT: Final = Association("shm", "its segment {slot}", SINCE_LINUX_CR)
PAGES: Final = Association("shm.file", "has its pages in it", SINCE_LINUX_CR)
ATTACHED: Final = Association("shm.attach", "is an attach of it")
WITHIN: Final = Association("shm.ns", "is an attach in it")

_MAGIC: Final = (0x01021994, 0x958458F6)  # TMPFS_MAGIC, HUGETLBFS_MAGIC
_IDS: Final = "ids[2].ipcs_idr.idr_rt.xa_head"  # IPC_SHM_IDS is 2 (ipc/util.h)


def segments(memory: Memory, namespaces: U64) -> Iterator[Edges]:
    """Yield the segments of IPC namespaces."""
    read = memory.gather(namespaces, "ipc_namespace", {"head": _IDS})
    found = xarrays(memory, np.where(read.ok, read["head"], np.uint64(0)))
    address = found.value - np.uint64(memory.offset("shmid_kernel", "shm_perm"))
    own = memory.gather(address, "shmid_kernel", {"id": "shm_perm.id"})
    yield Edges(
        SEGMENT, "SHM", found.owner, address, own["id"].astype(np.int64), torn=found.torn | ~read.ok
    )


def _is_attach(memory: Memory, files: U64) -> Mask:
    own = memory.gather(files, "file", {"mapping": "f_mapping", "data": "private_data"})
    ours = own.ok & one_of(magic_of(memory, files, stat.S_IFREG), _MAGIC)
    data = np.where(ours, own["data"], np.uint64(0))
    segment = memory.gather(data, "shm_file_data", {"file": "file"})
    below = memory.gather(segment["file"], "file", {"mapping": "f_mapping"})
    mask: Mask = segment.ok & below.ok & (below["mapping"] == own["mapping"])
    return mask


def _of_attaches(memory: Memory, files: U64) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"own": "private_data"})
    read = memory.gather(data["own"], "shm_file_data", {"file": "file", "ns": "ns", "id": "id"})
    at = np.flatnonzero(read.ok)
    slot = read["id"][at].astype(np.int64)
    yield Edges(ATTACHED, "FILE", at, read["file"][at], slot)
    yield Edges(WITHIN, "IPC_NS", at, read["ns"][at], slot)


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    read = memory.gather(addresses, "shmid_kernel", {"id": "shm_perm.id", "key": "shm_perm.key"})
    return ipc_names("shmid", read)


def _state(memory: Memory, addresses: U64) -> Told:
    read = memory.gather(
        addresses, "shmid_kernel",
        {"id": "shm_perm.id", "key": "shm_perm.key", "bytes": "shm_segsz",
         "attaches": "shm_nattch"},
    )  # fmt: skip
    return {
        "shm.id": Known(read["id"], read.ok),
        "shm.key": Known(read["key"].astype(np.int64) & 0xFFFFFFFF, read.ok),
        "shm.size": Known(read["bytes"], read.ok),
        "shm.attaches": Known(read["attaches"], read.ok),
    }


_FACTS: Final = (
    Fact("shm.id", "number", "id of a System V shared memory segment"),
    Fact("shm.key", "number", "key of it: 0 is IPC_PRIVATE"),
    Fact("shm.size", "number", "size of it", unit="bytes"),
    Fact("shm.attaches", "number", "how often it is attached"),
)

KIND: Final = Kind(
    name="SHM",
    struct="shmid_kernel",
    title="shared memory segment",
    plural="shared memory segments",
    message="shm",
    order=125,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    rules=SINCE_LINUX_CR,
    pointers=(Pointer(("shm_file",), "FILE", PAGES),),
    names=_names,
    file_types=(FileType("shm", None, _of_attaches, (ATTACHED, WITHIN), _is_attach),),
    state=State(_FACTS, _state),
    leaked=Impact.SHARED_STATE,
)
