"""What an epoll watches: linux-cr counted it as held, though epoll holds no reference to it.

An item of an epoll (struct epitem, fs/eventpoll.c) names a file and goes when the file is released.
ep_file_collect() of linux-cr collected each, but for other epolls: an overcount of what is open
inside as well, and a mask for what is open only outside. Known to its rules alone.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import LINUX_CR_ONLY, Association, Edges, FileType
from analyzer.memory.trees import rbtrees

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

ITEM: Final = Association("epoll.item", "watches it", LINUX_CR_ONLY, leads=False)


def _open_own() -> int:
    with select.epoll() as own:
        return os.dup(own.fileno())


def _watched(memory: Memory, files: U64) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"epoll": "private_data", "ops": "f_op"})
    tops = memory.gather(data["epoll"], "eventpoll", {"top": "rbr.rb_root.rb_node"})
    items = rbtrees(memory, np.where(tops.ok, tops["top"], np.uint64(0)))
    node = items.value - np.uint64(memory.offset("epitem", "rbn"))
    target = memory.gather(node, "epitem", {"file": "ffd.file"})
    watched = memory.gather(target["file"], "file", {"ops": "f_op"})
    at = np.flatnonzero(target.ok & watched.ok & (watched["ops"] != data["ops"][items.owner]))
    yield Edges(ITEM, "FILE", items.owner[at], target["file"][at])


EPOLL: Final = FileType("eventpoll", _open_own, _watched, (ITEM,), symbols=("eventpoll_fops",))
