"""USER_NS: user ids and capabilities. Judged by who is in it: every credential holds it.

Held also by every namespace it owns, by child user namespaces, superblocks, ucounts and nsfs.
"""

from __future__ import annotations

from typing import Final

from analyzer.core.values import replace
from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import Judged, Pointer
from analyzer.kinds.binfmt import BINFMT

_NAMESPACE: Final = namespace(
    "user",
    order=190,
    initial_ino=0xEFFFFFFD,
    old_counters=("count.counter",),
    judged=Judged.STRUCTURAL,
)

KIND: Final = replace(
    _NAMESPACE,
    pointers=(*_NAMESPACE.pointers, Pointer(("binfmt_misc",), "BINFMT", BINFMT)),
    anybodys=True,
)
