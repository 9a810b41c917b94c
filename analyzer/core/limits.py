"""How much memory a stranger's file may make us take: a sum, and a multiple of its own size.

A small file can say that it unpacks to much (rows that are all alike, a name of a gigabyte).
Readers hold what it says to a ratio; what can only be known by unpacking is held here.
"""

from __future__ import annotations

import contextlib
import resource
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST: Final = 512 << 20
_RATIO: Final = 256  # the most regular tables of a real machine unpack to 100 times their size
_PAGE: Final = resource.getpagesize()


def memory(size: int) -> int:
    """Return how many bytes of memory may be taken to unpack a file of `size` bytes."""
    return _LEAST + _RATIO * size


@contextlib.contextmanager
def memory_of(size: int) -> Iterator[None]:
    """Refuse memory beyond what a file of `size` bytes may take (MemoryError), for a while.

    It is the process's limit (RLIMIT_AS, setrlimit(2)) that is lowered meanwhile.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with open("/proc/self/statm", "rb") as file:
            limit = int(file.read().split()[0]) * _PAGE + memory(size)
    except OSError:
        yield
        return
    if soft != resource.RLIM_INFINITY and soft <= limit:
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
