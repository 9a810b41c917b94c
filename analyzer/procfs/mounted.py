"""Whether a folder that somebody names is a /proc that runs, and no dump of one.

A container may have the host's at /host/proc: its processes are read as they are, and kcmp(2) is
asked where they have the numbers there that they have for us.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from analyzer.procfs.fs import ProcFs

if TYPE_CHECKING:
    from pathlib import Path

_PROC_SUPER_MAGIC: Final = 0x9FA0  # include/uapi/linux/magic.h
_SIZE: Final = 256  # of struct statfs, and more; f_type is a long at its start


def mounted(path: Path) -> ProcFs | None:
    """Return the /proc that `path` is, or has as its "proc"; None for anything else.

    What only leads to one is none: a link in a dump of a stranger's would lead to ours.
    """
    inner = path / "proc"
    places = (path,) if inner.is_symlink() else (path, inner)
    return next((ProcFs(at) for at in places if _is_procfs(at)), None)


def _is_procfs(path: Path) -> bool:
    out = ctypes.create_string_buffer(_SIZE)
    if ctypes.CDLL(None).statfs(os.fsencode(path), out) != 0:
        return False
    kind = ctypes.c_long.from_buffer(out).value
    return kind == _PROC_SUPER_MAGIC and os.path.isdir(path / "sys")
