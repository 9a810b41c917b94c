"""cgroup:PATH: the processes in a cgroup and below it, as /proc/PID/cgroup or a folder names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError, nearest
from analyzer.core.text import printable
from analyzer.procfs import cgroupfs
from analyzer.subjects.base import Family, Form, Subject, of_group

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine

_MOST: Final = 2_000  # paths that are compared with a misspelt one


def _find(path: str, machine: Machine) -> Iterable[Subject]:
    names = [path if path.startswith("/") else f"/{path}"]
    if machine.live:
        names += [group.path for group in cgroupfs.called(path)]
    wanted = list(dict.fromkeys(name.rstrip("/") for name in names))
    if "" in wanted:
        raise BadInputError("cgroup:/ is the root: everybody is in it")
    found = [of_group(f"cgroup {name}", name, machine) for name in wanted]
    there = [one for one in found if one is not None]
    if not there:
        known = {group for process in machine.processes for group in process.cgroups}
        near = nearest(names[0], sorted(known)[:_MOST])
        raise BadInputError(f"cgroup:{printable(path)}: nobody is in it, or below it{near}")
    return there


FAMILY: Final = Family(
    "cgroup",
    "Groups of processes",
    (Form("cgroup:PATH", "all processes in a cgroup and below it"),),
    _find,
)
