"""docker: containerd-shim(8) has the other ends of the standard streams.

/etc/hosts, /etc/hostname and /etc/resolv.conf are files in the container's folder; its network is
kept by a file in /run/docker/netns, and dockerd(8) has a socket in it to set it up. What is mounted
in its folder outside appears in its root.
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import SLAVE, Profile, files, pinned, stdio, watched
from analyzer.report.profiles.containerd import SHIMS

PROFILE: Final = Profile(
    "docker",
    "docker",
    (
        *stdio(*SHIMS, terminal="containerd-shim"),
        *watched(*SHIMS),
        *files("*/containers/{container}/hosts", "*/containers/{container}/hostname",
               "*/containers/{container}/resolv.conf", "*/containers/{container}/mounts/shm"),
        *pinned("/run/docker/netns/*", "/var/run/docker/netns/*", by=("dockerd",)),
        SLAVE,
    ),
    runtimes=("docker",),
)  # fmt: skip
