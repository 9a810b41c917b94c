"""What the kernel would have printed of a leak, in its own words.

Both numbers are one higher than the raw counts: linux-cr's object hash pinned each object once. The
patch of April 2009 and the modern rules say users first (`file: 2 users count 3`), the last
linux-cr says the kernel's count first (`Usage leak (3 != 2)`), after what its log put before every
line: the error, the bytes written so far (none: the check came first), the object. Kinds that
neither had are told in the words of the first; what is judged by the sides of its holders has no
such line.

For a file the patch of 2009 also printed its `d_iname` and its `d_name.name`: the last part of the
path, which a file keeps when it is deleted, and which is empty for pipes and sockets. The first is
a buffer within the dentry: a name that does not fit is elsewhere, and the buffer undefined (empty
here).
"""

from __future__ import annotations

import os.path
from typing import Final

from analyzer.core.model import Rules
from analyzer.core.pattern import pattern
from analyzer.kinds import registry

_EBUSY: Final = 16
_PIN: Final = 1
_DELETED: Final = " (deleted)"
_NUMBERED: Final = pattern(r"[a-z_]+:\[\d+\]")
_INLINE: Final = 36  # DNAME_INLINE_LEN_MIN of 64-bit machines in 2.6.30 (include/linux/dcache.h)


def message(
    rules: Rules,
    kind: str,
    users: int,
    refcount: int,
    *,
    objref: int,
    pointer: str | None,
    name: str | None,
    deleted: bool = False,
) -> str:
    """Return the kernel's line (for a file under the seed's rules: two lines) of one leak.

    `users` counts also what the observer holds, as the kernel's context did; `pointer` is printed
    as %p would, zeros when it is not known.
    """
    counted, count = users + _PIN, refcount + _PIN
    if rules is Rules.LINUX_CR:
        where = f"[err -{_EBUSY}][pos 0][obj {objref}][ptr {pointer or '0' * 16}]"
        return f"{where}[str {registry()[kind].cr_name or kind}]Usage leak ({count} != {counted})"
    said = f"{registry()[kind].message}: {counted} users count {count}"
    if rules is Rules.MODERN:
        return said
    said = f"check_obj_isolated: {said}"
    if registry()[kind].path and name is not None:
        base = _entry(name.removesuffix(_DELETED) if deleted else name)
        inline = base if len(os.fsencode(base)) < _INLINE else ""
        said += f"\ncheck_obj_isolated: filename is {inline} ({base})"
    return said


def _entry(name: str) -> str:
    """Return what the directory entry of a file is called, given its name in /proc/PID/fd."""
    if _NUMBERED.fullmatch(name):  # a pipe, a socket, a namespace
        return ""
    if name.startswith("anon_inode:"):
        return name.removeprefix("anon_inode:")
    return os.path.basename(name) or name
