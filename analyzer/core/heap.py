"""Memory for columns: what malloc(3) has, it keeps, and the first of it is in huge pages.

An array of a hundred thousand numbers is large for malloc, which asks the kernel for it and gives
it back at once: each is made of new pages then, with a fault for every 4 KiB.

Huge pages save most of these. But a virtual machine tells its host which of them are free (free
page reporting), and has one back in 512 pieces, which takes ten times as long as 512 small pages
that it kept. So there are some, and no more: NumPy is told not to ask (`cli.main`).
"""

from __future__ import annotations

import ctypes
import resource
from typing import Final

# malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST: Final = 32 << 20  # as large as it can be (DEFAULT_MMAP_THRESHOLD_MAX)
_ROOM: Final = 64 << 20
_HUGEPAGE, _HUGE = 14, 2 << 20  # MADV_HUGEPAGE, the size of one


def keep() -> None:
    """Have this process keep its memory to the end: for a command, that soon ends.

    Does nothing with a C library that is not glibc, and where memory is limited to so much.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or any(
        map(_limited, (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    ):
        return
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    for what, value in (
        (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, _ROOM),
    ):  # fmt: skip
        libc.mallopt(what, value)
    start = libc.sbrk(0)
    libc.free(ctypes.c_void_p(libc.malloc(ctypes.c_size_t(_HUGE))))
    aligned = -(-start // _HUGE) * _HUGE
    room = max(0, libc.sbrk(0) - aligned)
    libc.madvise(ctypes.c_void_p(aligned), ctypes.c_size_t(room), _HUGEPAGE)


def _limited(what: int) -> bool:
    return resource.getrlimit(what)[0] != resource.RLIM_INFINITY
