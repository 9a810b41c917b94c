"""cri-o: CRI-O, whose containers are conmon's, and in pods: namespaces are the pod's.

The kubelet mounts what it made for the pod (/etc/hosts, the termination log, projected tokens).
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import POD, Profile, files, pinned, stdio, watched
from analyzer.report.profiles.containerd import KUBELET
from analyzer.report.profiles.podman import USERDATA

PROFILE: Final = Profile(
    "cri-o",
    "CRI-O",
    (
        *stdio("conmon", "conmonrs", terminal="conmon"),
        *watched("conmon", "conmonrs"),
        *files(USERDATA, "*/*-containers/*/userdata/shm", *KUBELET),
        *pinned("/run/netns/*", "/var/run/netns/*", "/run/utsns/*", "/run/ipcns/*",
                "/var/run/utsns/*", "/var/run/ipcns/*", "/run/userns/*"),
        *POD,
    ),
    runtimes=("cri-o",),
)  # fmt: skip
