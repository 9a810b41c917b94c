"""Something done in a namespace of others: a thread of its own goes there, and ends with it.

That takes CAP_SYS_ADMIN (setns(2)), and a namespace that more than one thread may change: of the
network, or of IPC.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from analyzer.core.syscall import call

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

NET: Final = 0x40000000
IPC: Final = 0x08000000
"""CLONE_NEW*, include/uapi/linux/sched.h."""


def there(space: Callable[[], int], kind: int, do: Callable[[], T]) -> T:
    """Return what `do` returns in the namespace of which `space` opens a descriptor.

    Raises OSError as these do, and where one may not go there.
    """
    made: list[T] = []
    failed: list[OSError] = []

    def visit() -> None:
        try:
            fd = space()
            try:
                call("setns", fd, kind)
            finally:
                os.close(fd)
            made.append(do())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
