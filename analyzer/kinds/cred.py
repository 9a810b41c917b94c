"""CRED: struct cred, a task's credentials. It pins the user namespace and is not judged itself.

linux-cr grabbed credentials but never compared their count (no `ref_users`); files hold them too.
"""

from __future__ import annotations

from typing import Final

from analyzer.kinds.base import Association, Counter, Judged, Kind, Pointer

KIND: Final = Kind(
    name="CRED",
    struct="cred",
    title="set of credentials",
    plural="sets of credentials",
    message="cred",
    order=60,
    rank=90,
    # atomic_long_t since 6.7 (f8fa5d769227 "cred: switch to using atomic_long_t").
    counters=(Counter("usage.counter"), Counter("usage.refs.counter")),
    judged=Judged.NOT,
    pointers=(
        Pointer(("user_ns",), "USER_NS", Association("cred.user_ns", "its credentials are of it")),
    ),
)
