"""USER_NS: user ids and capabilities. Judged by who is in it: every credential holds it.

Held also by every namespace it owns, by child user namespaces, superblocks, ucounts and nsfs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import Judged

KIND: Final = replace(
    namespace(
        "user",
        order=190,
        initial_ino=0xEFFFFFFD,
        old_counters=("count.counter",),
        judged=Judged.STRUCTURAL,
    ),
    anybodys=True,
)
