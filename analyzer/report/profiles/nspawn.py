"""nspawn: systemd-nspawn(1) has the console, and its folder of what it passes in.

It shares the host's network unless it is told not to (--private-network), and shows its os-release
and what it propagates in /run/host.
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import Profile, files, pinned, stdio, watched
from analyzer.report.rules import Rule

_MONITORS: Final = ("systemd-nspawn", "(sd-stubinit)", "(sd-*")

PROFILE: Final = Profile(
    "nspawn",
    "systemd-nspawn",
    (
        *stdio(*_MONITORS, terminal="systemd-nspawn"),
        *watched(*_MONITORS),
        *files("/run/systemd/nspawn/*", "/usr/lib/os-release", "/etc/os-release"),
        Rule(
            "what it propagates in",
            relations=frozenset({"mount-propagation"}),
            point="/run/host/incoming",
        ),
        Rule("the host's network", kinds=frozenset({"NET_NS"}), namespace="host"),
        Rule("the host's network", relations=frozenset({"foreign-net"})),
        Rule(
            "its network kept by systemd-nspawn",
            kinds=frozenset({"NET_NS"}),
            impacts=frozenset({"pins"}),
            holder_command=_MONITORS,
            holder_is="parent",
        ),
        *pinned("/run/netns/ns-*"),
    ),
    runtimes=("nspawn",),
    monitors=("systemd-nspawn",),
)
