"""FS: struct fs_struct, a task's root, working directory and umask; shared by clone(CLONE_FS).

linux-cr since v19. Threads of one process share it. Who stands in the folder in /proc of a process
that is gone keeps what remains of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.kinds._paths import paths
from analyzer.kinds._proc_pid import PWD, ROOT, kept_by
from analyzer.kinds.base import SINCE_LINUX_CR, By, Counter, Edges, Kind, State
from analyzer.kinds.mount import PWD as ON_PWD
from analyzer.kinds.mount import ROOT as ON_ROOT
from analyzer.kinds.mount import of_vfs, on_detached

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory


def _walk(memory: Memory, places: U64) -> Iterator[Edges]:
    read = memory.gather(
        places,
        "fs_struct",
        {"root": "root.dentry", "pwd": "pwd.dentry", "root_mnt": "root.mnt", "pwd_mnt": "pwd.mnt"},
    )
    for association, name, mounted in ((ROOT, "root", ON_ROOT), (PWD, "pwd", ON_PWD)):
        yield from kept_by(memory, np.where(read.ok, read[name], np.uint64(0)), association)
        yield on_detached(memory, np.where(read.ok, read[f"{name}_mnt"], np.uint64(0)), mounted)


def _state(memory: Memory, places: U64) -> Told:
    read = memory.gather(
        places,
        "fs_struct",
        {"root": "root.dentry", "pwd": "pwd.dentry", "root_mnt": "root.mnt", "pwd_mnt": "pwd.mnt"},
    )
    root, cwd = (
        np.where(read.ok, paths(memory, of_vfs(memory, read[f"{name}_mnt"]), read[name]), "")
        for name in ("root", "pwd")
    )
    return {"fs.cwd": cwd, "fs.root": np.where(root == "/", "", root)}


KIND: Final = Kind(
    name="FS",
    struct="fs_struct",
    title="root and working directory",
    plural="roots and working directories",
    message="fs",
    order=40,
    rank=40,
    counters=(Counter("users"),),
    rules=SINCE_LINUX_CR,
    walk=_walk,
    walk_associations=(ROOT, PWD, ON_ROOT, ON_PWD),
    of_process=True,
    state=State(
        (
            Fact("fs.cwd", "text", "working directory, as its mount namespace sees it"),
            Fact("fs.root", "text", "root directory, where that is not /"),
        ),
        _state,
    ),
    leaked=Impact.SHARED_STATE,
    leaked_by=By.TASK,
)
