"""Which image each container is made of: the command of its runtime lists all of them at once.

Only of containers that cgroups tell of a runtime is asked for; one that is not there, or does not
answer, knows no image.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.text import printable
from analyzer.procfs import cgroup
from analyzer.procfs.homes import of_paths
from analyzer.subjects.base import Recorded, containers
from analyzer.subjects.commands import ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.procfs.fs import ProcFs
    from analyzer.snapshot.tables import Table

_FORM: Final = ("container", "ls", "--no-trunc", "--format", "{{.ID}}\t{{.Image}}")
_CRI: Final = ("crictl", "ps", "--output", "json")
_LISTS: Final = {
    "docker": ("docker", *_FORM), "podman": ("podman", *_FORM), "containerd": _CRI, "cri-o": _CRI,
}  # fmt: skip
_PID: Final = re.compile(r"[1-9][0-9]*")
_LONGEST: Final = 300  # letters of a name (a repository's may have 255)


def runtimes(fs: ProcFs, pid: int | None) -> set[str]:
    """Return the runtimes of the containers of a machine, or of the one that a process is in."""
    try:
        pids = [*filter(_PID.fullmatch, fs.listdir(""))] if pid is None else [str(pid)]
    except OSError:  # no /proc is there
        return set()
    return {_runtime(fs, one) for one in pids} - {""}


def _runtime(fs: ProcFs, pid: str) -> str:
    try:
        paths = cgroup.paths(fs.read(f"{pid}/cgroup"), pid)
    except OSError:  # it has ended
        return ""
    return of_paths(path for _, path in paths).runtime


def listed(of: Iterable[str]) -> dict[str, str]:
    """Return the image of each container, by its id, that these runtimes list."""
    found: dict[str, str] = {}
    for command in sorted({_LISTS[runtime] for runtime in of if runtime in _LISTS}):
        answer = ask(command)
        found |= _cri(answer.text) if command == _CRI else dict(_pairs(answer.lines))
    return {ident: printable(image)[:_LONGEST] for ident, image in found.items() if image}


def _pairs(lines: Iterable[list[str]]) -> Iterable[tuple[str, str]]:
    return ((line[0], line[1]) for line in lines if len(line) > 1)


def _cri(text: str) -> dict[str, str]:
    """Return what crictl(1) says: CRI's ListContainersResponse."""
    try:
        return {one["id"]: _named(one) for one in json.loads(text or "{}").get("containers", ())}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _named(one: Mapping[str, Any]) -> str:
    image = one.get("image", {})
    return str(image.get("userSpecifiedImage") or image.get("image") or one.get("imageRef") or "")


def by_pid(
    tables: Mapping[str, Table], root: int | None, by_id: Mapping[str, str]
) -> dict[str, str]:
    """Return the image of each container in a snapshot, by `root` if that is in it, or its init."""
    found = {}
    for one in containers(Recorded(tables)):
        pids = [process.pid for process in one.processes]
        if one.id in by_id:
            found[str(root if root in pids else pids[0])] = by_id[one.id]
    return found
