"""lxc: its monitor, lxc-start(1), keeps the namespaces by descriptors, and has the consoles.

With lxc-execute(1) the first process is a copy of the monitor, and runs that program of the host's.
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import STDIO, Profile, stdio, watched
from analyzer.report.rules import Rule

_MONITORS: Final = ("lxc-start", "lxc-execute", "[[]lxc monitor[]]*", "lxd", "lxc", "incusd")
_SPACES: Final = frozenset(
    {"UTS_NS", "IPC_NS", "MNT_NS", "NET_NS", "PID_NS", "CGROUP_NS", "USER_NS", "TIME_NS"}
)

PROFILE: Final = Profile(
    "lxc",
    "lxc",
    (
        Rule(
            "its namespaces kept by its monitor",
            kinds=_SPACES,
            impacts=frozenset({"pins"}),
            holder_command=_MONITORS,
            holder_is="parent",
            pinned_at=("/proc", "/proc/*"),
        ),
        Rule(
            "its terminal, which its monitor has",
            kinds=frozenset({"FILE"}),
            fd=STDIO,
            path=("/dev/pts/*", "/dev/console"),
            holder_command=_MONITORS,
            holder_is="parent",
        ),
        Rule(
            "its first process is a copy of its monitor",
            kinds=frozenset({"FILE"}),
            impacts=frozenset({"by-design"}),
            holder_command=_MONITORS,
            holder_is="parent",
        ),
        Rule(
            "its first process runs a program of the host's",
            relations=frozenset({"foreign-mount"}),
            impacts=frozenset({"pins"}),
            path=("*/lxc-execute", "*/lib*/*.so*"),
            access="ro",
        ),
        *watched(*_MONITORS),
        *stdio(*_MONITORS, terminal="its monitor"),
        Rule(
            "its consoles, which its monitor has",
            relations=frozenset({"terminal", "same-file", "shared-filesystem"}),
            path=("/dev/pts/*", "/dev/tty*", "/dev/console"),
            holder_command=_MONITORS,
        ),
    ),
    runtimes=("lxc",),
    monitors=("lxc-start", "lxc-execute"),
)
