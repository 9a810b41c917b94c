"""systemd: a unit is no container: it has the host's namespaces, and journald its streams.

It is never recognised: `unit:NAME` asks for it, or `--profile systemd`.
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import NULL, STDIO, Profile
from analyzer.report.rules import Rule

_SPACES: Final = frozenset(
    {"UTS_NS", "IPC_NS", "MNT_NS", "NET_NS", "PID_NS", "CGROUP_NS", "USER_NS", "TIME_NS",
     "NSPROXY"}
)  # fmt: skip
_SET: Final = frozenset({"NSPROXY"})
_JOURNAL: Final = ("systemd-journal*",)

PROFILE: Final = Profile(
    "systemd",
    "systemd",
    (
        Rule("the host's namespaces", kinds=_SPACES, namespace="host"),
        Rule("the host's namespaces", kinds=_SET, impacts=frozenset({"reaches-out"})),
        Rule("the host's namespaces", relations=frozenset({"foreign-net"})),
        Rule("no first process of a pid namespace", relations=frozenset({"container_init"})),
        NULL,
        Rule(
            "stdout and stderr to the journal",
            kinds=frozenset({"SOCKET"}),
            fd=STDIO,
            holder_command=_JOURNAL,
        ),
        Rule(
            "stdout and stderr to the journal",
            relations=frozenset({"unix-peer"}),
            fd=STDIO,
            holder_command=_JOURNAL,
        ),
        Rule(
            "the host's files in a mount namespace of its own",
            relations=frozenset({"bind-mount", "shared-filesystem", "mount-propagation"}),
        ),
    ),
    runtimes=("systemd",),
    starts=False,
)  # fmt: skip
