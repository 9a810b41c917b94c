"""What the kernel would have printed of a leak, in its own words.

Both numbers are one higher than the raw counts: linux-cr's object hash pinned each object once. The
patch of April 2009 and the modern rules say users first (`file: 2 users count 3`), the last
linux-cr says the kernel's count first (`Usage leak (3 != 2)`), after what its log put before every
line: the error, the bytes written so far (none: the check came first), the object.
"""

from __future__ import annotations

import os.path
from typing import Final

from analyzer.kinds import registry
from analyzer.model import Rules

_EBUSY: Final = 16
_PIN: Final = 1


def message(
    rules: Rules,
    kind: str,
    users: int,
    refcount: int,
    *,
    objref: int,
    pointer: str | None,
    name: str | None,
) -> str:
    """Return the kernel's line (for a file under the seed's rules: two lines) of one leak.

    `users` counts also what the observer holds, as the kernel's context did; `pointer` is printed
    as %p would, zeros when it is not known.
    """
    counted, count = users + _PIN, refcount + _PIN
    if rules is Rules.LINUX_CR:
        where = f"[err -{_EBUSY}][pos 0][obj {objref}][ptr {pointer or '0' * 16}]"
        return f"{where}[str {kind}]Usage leak ({count} != {counted})"
    said = f"{registry()[kind].message}: {counted} users count {count}"
    if rules is Rules.MODERN:
        return said
    said = f"check_obj_isolated: {said}"
    if kind == "FILE" and name is not None:
        base = os.path.basename(name) or name
        said += f"\ncheck_obj_isolated: filename is {base} ({base})"
    return said
