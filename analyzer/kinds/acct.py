"""ACCT: struct bsd_acct_struct, process accounting of a pid namespace: acct(2).

It holds the file that the records go to, which acct(2) opened for itself (kernel/acct.c,
acct_on()); `pid_namespace.bacct` points to its first member, a `struct fs_pin`, and so to it.
"""

from __future__ import annotations

from typing import Final

from analyzer.kinds.base import Association, Judged, Kind, Pointer

ACCT: Final = Association("acct", "its process accounting")

KIND: Final = Kind(
    name="ACCT",
    struct="bsd_acct_struct",
    title="process accounting",
    plural="process accountings",
    message="acct",
    order=155,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    pointers=(Pointer(("file",), "FILE", Association("acct.file", "writes its records to it")),),
)
