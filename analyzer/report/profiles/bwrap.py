"""bwrap: bubblewrap builds a root of what the host has, read-only, and waits by an eventfd.

Its own first process runs a program of the host's and is in the session of who called it; the
standard streams are the caller's.
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import STDIO, Profile
from analyzer.report.rules import Rule

_OWN: Final = ("bwrap",)

PROFILE: Final = Profile(
    "bwrap",
    "bubblewrap",
    (
        Rule(
            "an eventfd that tells its end",
            kinds=frozenset({"FILE"}),
            holder_command=_OWN,
            holder_is="parent",
            name="anon_inode:*eventfd*",
        ),
        Rule(
            "its first process is a copy of who called it",
            kinds=frozenset({"FILE"}),
            impacts=frozenset({"by-design"}),
            holder_command=_OWN,
            holder_is="parent",
        ),
        Rule(
            "the host's directories, read-only",
            relations=frozenset({"bind-mount", "shared-filesystem"}),
            impacts=frozenset({"pins", "by-design", "watches"}),
            access="ro",
        ),
        Rule(
            "its first process runs a program of the host's",
            relations=frozenset({"foreign-mount", "same-file"}),
            impacts=frozenset({"pins"}),
            access="ro",
        ),
        Rule(
            "the session of who called it",
            relations=frozenset({"session"}),
            holder_is="ancestor",
        ),
        Rule(
            "the standard streams of who called it",
            kinds=frozenset({"FILE"}),
            fd=STDIO,
            impacts=frozenset({"by-design"}),
        ),
    ),
    monitors=_OWN,
)
