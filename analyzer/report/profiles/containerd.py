"""containerd: containers of Kubernetes and nerdctl; containerd-shim has the standard streams.

In a pod the network, ipc and uts namespaces are those of the pod, which its pause container has
too, and files in /run/netns keep them. The kubelet mounts what it made for the pod.
"""

from __future__ import annotations

from typing import Final

from analyzer.report.profiles.base import POD, SLAVE, Profile, files, pinned, stdio, watched

SHIMS: Final = ("containerd-shim*",)
KUBELET: Final = (
    "/var/lib/kubelet/pods/*/etc-hosts",
    "/var/lib/kubelet/pods/*/containers/*",
    "/var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/*",
)
PROFILE: Final = Profile(
    "containerd",
    "containerd",
    (
        *stdio(*SHIMS, terminal="containerd-shim"),
        *watched(*SHIMS),
        *files(
            "*/io.containerd.grpc.v1.cri/sandboxes/*/*", "*/io.containerd.grpc.v1.cri/containers/*",
            "*/nerdctl/*/containers/*/{container}/*", "*/nerdctl/*/etchosts/*/{container}/*",
            *KUBELET,
        ),
        *pinned("/run/netns/cni-*", "/var/run/netns/cni-*", "/run/netns/*-*-*-*-*"),
        *POD,
        SLAVE,
    ),
    runtimes=("containerd",),
    monitors=("containerd-shim", "containerd-shim-"),
)  # fmt: skip
