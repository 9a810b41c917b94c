"""What a cgroup path tells of its processes: the container, the pod and the unit that they are in.

Every runtime names the groups of its containers after them, and systemd those of units (cgroups(7),
systemd.slice(5)): the names are known, the daemons need not be asked. Of a container in a container
the outer one is told, which is the one that this machine has.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORT: Final = 12
"""Letters of a container's id that people say."""

_ID: Final = "[0-9a-f]{64}"
# What a group of a container is called, by runtime: with cgroupfs and with systemd as the manager.
_CALLED: Final = tuple(
    (runtime, pattern(called))
    for runtime, called in (
        ("podman", rf"libpod-(?:payload-)?({_ID})(?:\.scope)?"),
        ("docker", rf"docker-({_ID})\.scope"),
        ("cri-o", rf"crio-({_ID})(?:\.scope)?"),
        ("containerd", rf"(?:cri-containerd|nerdctl)-({_ID})\.scope"),
        ("containerd", rf"[^:]*:cri-containerd:({_ID})"),
        ("lxc", r"lxc\.payload\.(.+)"),
        ("nspawn", r"systemd-nspawn@(.+)\.service"),
        ("nspawn", r"machine-(?!qemu|libvirt)(.+)\.scope"),
    )
)
# What is named after the container alone is known by the group that it is in.
_ABOVE: Final = {"docker": "docker", "lxc": "lxc", "lxc.payload": "lxc"}
_BARE: Final = pattern(_ID)
_POD: Final = pattern(
    r"pod([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})"
    # Below the slice of the kubelet, if it has one; with a group of containerd's own after it.
    r"|(?:[\w.-]+-)?kubepods(?:-\w+)?-pod([0-9a-f_]+)\.slice(?::[^/]*)?"
    rf"|\w+-libpod_pod_({_ID})\.slice"
)
_UNIT: Final = pattern(r".+\.(?:service|scope|socket|mount|swap)")
_ESCAPED: Final = pattern(r"\\x([0-9a-f]{2})")
_PODS: Final = "libpod_parent"
_SUPERVISOR: Final = "supervisor"  # where nspawn and podman put themselves, beside the payload


@dataclass(frozen=True)
class Home:
    """Where a process lives: "" for what it is in none of.

    `container` is the id, or for lxc and nspawn the name; `group` the path of the container's
    group; `pod` the id that the runtime gave it; `unit` the innermost unit of systemd.
    """

    runtime: str = ""
    container: str = ""
    group: str = ""
    pod: str = ""
    unit: str = ""

    @property
    def short(self) -> str:
        """Return the container as people say it: "0123456789ab", or its name."""
        return short(self.container)


NOWHERE: Final = Home()


def short(container: str) -> str:
    """Return an id as people say it; a name as it is."""
    return container[:SHORT] if _BARE.fullmatch(container) else container


@lru_cache(maxsize=4096)
def home(path: str) -> Home:
    """Return what one path of /proc/PID/cgroup tells."""
    parts = path.removesuffix(" (deleted)").split("/")
    runtime, container, at = _container(parts)
    pod = next((pod for above, part in pairwise(parts) if (pod := _pod(above, part))), "")
    units = [unescaped(part) for part in parts if _UNIT.fullmatch(part)]
    group = "/".join(parts[: at + 1]) if container else ""
    return Home(runtime, container, group, pod.replace("_", "-"), units[-1] if units else "")


def _pod(above: str, part: str) -> str:
    """Return the pod that a group is of, "" for none: podman's with cgroupfs has its id alone."""
    if above == _PODS and _BARE.fullmatch(part):
        return part
    match = _POD.fullmatch(part)
    return next((word for word in match.groups() if word), "") if match else ""


def of_paths(paths: Iterable[str]) -> Home:
    """Return what the paths of one process tell, those of all hierarchies: the one that says most.

    In a hybrid set-up a runtime may have made its groups in some hierarchies alone.
    """
    known = [home(path) for path in paths]
    return max(known, key=weight, default=NOWHERE)


def weight(one: Home) -> tuple[bool, bool]:
    """Return how much a home says, to be compared."""
    return bool(one.container), bool(one.unit)


def _container(parts: list[str]) -> tuple[str, str, int]:
    for at, part in enumerate(parts):
        after = parts[at + 1] if at + 1 < len(parts) else ""
        runtime, container = _named(parts[:at], part)
        if container:
            return ("", "", 0) if after == _SUPERVISOR else (runtime, container, at)
    return "", "", 0


def _named(above: list[str], part: str) -> tuple[str, str]:
    for runtime, called in _CALLED:
        match = called.fullmatch(part)
        if match:
            return runtime, unescaped(match[1])
    parent = above[-1] if above else ""
    if parent in _ABOVE and (_ABOVE[parent] == "lxc" or _BARE.fullmatch(part)):
        return _ABOVE[parent], part
    if _BARE.fullmatch(part) and parent != _PODS:
        pod = any(word.startswith("kubepods") for word in above)
        return ("containerd" if pod or len(above) > 1 else ""), part
    return "", ""


def unescaped(name: str) -> str:
    r"""Return a unit's name as people write it: ``\x2d`` is a dash (systemd.unit(5))."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
