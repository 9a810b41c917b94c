"""Memory for columns: what malloc(3) has, it keeps.

An array of a hundred thousand numbers is large for malloc, which asks the kernel for it and gives
it back at once: each is made of new pages then, with a fault for every 4 KiB. (Huge pages would
take fewer. But a virtual machine mostly tells its host which of them are free, and gets one back in
512 pieces then, which takes ten times as long: so nobody asks for any, see `cli.main`.)
"""

from __future__ import annotations

import ctypes
import resource
from typing import Final

# malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST: Final = 32 << 20  # as large as it can be (DEFAULT_MMAP_THRESHOLD_MAX)
_ROOM: Final = 16 << 20


def keep() -> None:
    """Have this process keep its memory to the end: for a command, that soon ends.

    Does nothing with a C library that is not glibc, and where memory is limited to so much.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or any(
        map(_limited, (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    ):
        return
    for what, value in (
        (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, _ROOM),
    ):  # fmt: skip
        libc.mallopt(what, value)


def _limited(what: int) -> bool:
    return resource.getrlimit(what)[0] != resource.RLIM_INFINITY
