"""Who waits in open(2) for the other end of a FIFO (fifo(7)), and has no descriptor of it yet.

/proc/PID/syscall tells where in its memory the path is: see proc_pid_syscall(5). It takes the right
to trace the process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.procfs.glance import kept, look
from analyzer.procfs.people import wchan
from analyzer.procfs.places import Place, comm_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.glance import Inode

_WAITS: Final = "wait_for_partner"  # fs/pipe.c, fifo_open()
# By the number of the call: which argument is the path, with the flags after it. openat(2) has
# another number on each machine, open(2) is of x86-64 alone.
_PATH_AT: Final = {257: 2, 56: 2, 2: 1}
_LONGEST: Final = 4096


def openers(at: Inode) -> Iterator[Place]:
    """Yield who waits for somebody to open the other end of a FIFO."""
    waiting = kept("openers of FIFOs", lambda: list(_waiting()))
    found = look([path for _, path, _ in waiting])
    for (pid, _, flags), there in zip(waiting, found, strict=True):
        if not isinstance(there, int) and (there.dev, there.ino) == (at.dev, at.ino):
            other = "writes to it" if flags & os.O_ACCMODE == os.O_RDONLY else "reads it"
            what = f"waits in open(2) for somebody who {other}"
            yield Place(what, pid, comm_of(pid), f"end {comm_of(pid)} ({pid}), or open it to match")


def _waiting() -> Iterator[tuple[int, str, int]]:
    """Yield processes that wait so, which path each opens as we can look at it, and the flags."""
    for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                if wchan(f"{pid}/task/{tid}") == _WAITS:
                    yield (pid, *_opened(pid, tid))
        except (OSError, ValueError, KeyError):
            continue


def _opened(pid: int, tid: str) -> tuple[str, int]:
    with open(f"/proc/{pid}/task/{tid}/syscall", encoding="ascii") as file:
        words = [int(word, 0) for word in file.read().split()]
    at = _PATH_AT[words[0]]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        page = -words[at] % _LONGEST or _LONGEST
        text = os.pread(memory.fileno(), page, words[at])
        if b"\0" not in text:
            text += os.pread(memory.fileno(), _LONGEST, words[at] + page)
    path = os.fsdecode(text.partition(b"\0")[0])
    folder = f"/proc/{pid}/root" if path.startswith("/") else f"/proc/{pid}/cwd"
    if at > 1 and not path.startswith("/") and words[1] < _LONGEST:
        folder = f"/proc/{pid}/fd/{words[1]}"
    return f"{folder}/{path}", words[at + 1]
