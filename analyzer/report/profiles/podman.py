"""podman: conmon(8) has the other ends of the standard streams, and waits for the container.

/etc/hosts, /dev/shm, /run/.containerenv and their like are files in the container's own folder of
the storage (of any driver: overlay, vfs); a network of its own is kept by a file in /run/netns. All
rootless containers of a user are in one user namespace, and so is conmon.
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import POD, Profile, files, pinned, stdio, watched
from analyzer.report.rules import Rule

USERDATA: Final = "*/*-containers/{container}/userdata/*"

PROFILE: Final = Profile(
    "podman",
    "podman",
    (
        *stdio("conmon", terminal="conmon"),
        *watched("conmon"),
        *files(USERDATA, "/run/netns/netns-*"),
        *pinned("/run/netns/netns-*", "/run/user/*/netns/netns-*", "*/libpod/tmp/*"),
        *POD,
        Rule(
            "the user namespace of all rootless containers of its user",
            kinds=frozenset({"USER_NS"}),
            namespace="parent",
        ),
    ),
    runtimes=("podman",),
    monitors=("conmon",),
)
