"""Cgroups: where the hierarchies are mounted, and which processes are in a group or below it.

A dead process that nobody has waited for is in no cgroup.procs and stays in its group: so the
groups of all processes are asked (cgroups(7), proc_pid_cgroup(5)).
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Final

from analyzer.core.values import dataclass
from analyzer.procfs import mountinfo
from analyzer.procfs.glance import kept
from analyzer.procfs.places import Place, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_BELOW: Final = 50
_MOST: Final = 20_000  # files of groups that are looked at
_TYPES: Final = frozenset({"cgroup", "cgroup2"})


@dataclass(frozen=True)
class Group:
    """A group: its folder, the device of its hierarchy, and what /proc/PID/cgroup calls it.

    `controllers` are those of a hierarchy of version 1; none of version 2.
    """

    folder: str
    dev: int
    path: str
    controllers: frozenset[str]

    def inodes(self) -> list[int]:
        """Return the inodes of its folder, of those below, and of their files."""
        found = []
        for folder, _, names in os.walk(self.folder):
            for one in (folder, *(f"{folder}/{name}" for name in names)):
                try:
                    found.append(os.lstat(one).st_ino)
                except OSError:
                    continue
            if len(found) > _MOST:
                break
        return found


def roots() -> list[str]:
    """Return where hierarchies are mounted."""
    return [mount.point for mount in _mounts()]


def folders(most: int) -> list[str]:
    """Return the folders of the groups of version 2, at most so many."""
    roots = (mount.point for mount in _mounts() if mount.fstype == "cgroup2")
    return list(islice((folder for root in roots for folder, _, _ in os.walk(root)), most))


def called(path: str) -> list[Group]:
    """Return the groups that /proc/PID/cgroup calls so, or whose folder is called so."""
    found = []
    for mount in _mounts():
        wanted = path if path.startswith("/") else f"/{path}"
        if wanted == mount.point or wanted.startswith(f"{mount.point}/"):
            folder = wanted
        else:
            below = os.path.relpath(wanted, mount.root)
            folder = os.path.normpath(f"{mount.point}/{below}")
        group = at(folder, mount.dev)
        if group is not None and group not in found:
            found.append(group)
    return found


def at(folder: str, dev: int) -> Group | None:
    """Return the group whose folder this is; None if it is none."""
    here = [
        mount
        for mount in _mounts()
        if mount.dev == dev and f"{folder}/".startswith(mount.point.rstrip("/") + "/")
    ]
    # Asked of no other filesystem: one whose server is dead would not answer.
    if not here or not os.path.exists(f"{folder}/cgroup.procs"):
        return None
    mount = max(here, key=lambda one: len(one.point))
    below = folder[len(mount.point.rstrip("/")) :]
    path = "/" + os.path.normpath(f"{mount.root}{below}").strip("/")
    names = mount.options.split(",") if mount.fstype == "cgroup" else ()
    return Group(folder, dev, path, frozenset(names))


def _mounts() -> list[mountinfo.Mount]:
    return kept("cgroups", _hierarchies)


def _hierarchies() -> list[mountinfo.Mount]:
    where = "/proc/self/mountinfo"
    try:
        with open(where, "rb") as file:
            found = mountinfo.parse(file.read(), where)
    except OSError:
        return []
    return [mount for mount in found if mount.fstype in _TYPES]


def members(group: Group) -> Iterator[Place]:
    """Yield the processes that are in a group or below it, dead ones too."""
    for name in sorted((one for one in os.listdir("/proc") if one.isdecimal()), key=int):
        try:
            with open(f"/proc/{name}/cgroup", "rb") as file:
                paths = [_place(line, group) for line in file]
            with open(f"/proc/{name}/comm", "rb") as file:
                comm = os.fsdecode(file.read().rstrip(b"\n"))
        except OSError:
            continue
        mine = [path for path in paths if path is not None]
        if mine:
            where = "is in it" if mine[0] == group.path else f"is in {mine[0]}, below it"
            move = f"end {comm} ({name}), or move it: echo {name} >.../cgroup.procs of another"
            yield Place(where, int(name), comm, "" if _is_dead(name) else move)


def below(group: Group) -> Iterator[Place]:
    """Yield the groups below a group, which keep it from being removed, the deepest first."""
    for count, (folder, _, _) in enumerate(os.walk(group.folder, topdown=False)):
        if folder != group.folder and count < _MOST_BELOW:
            path = f"{group.path.rstrip('/')}{folder[len(group.folder) :]}"
            yield Place(f"cgroup below it: {path}", 0, "", f"rmdir {quoted(folder)}")


def _is_dead(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in {b"Z", b"X"}
    except OSError:
        return True


def _place(line: bytes, group: Group) -> str | None:
    number, controllers, path = os.fsdecode(line.rstrip(b"\n")).split(":", 2)
    ours = number == "0" if not group.controllers else _same(controllers, group.controllers)
    path = path.removesuffix(" (deleted)")
    inside = path == group.path or path.startswith(group.path.rstrip("/") + "/")
    return path if ours and inside else None


def _same(controllers: str, options: frozenset[str]) -> bool:
    # A named hierarchy is "name=systemd" in both.
    return bool(controllers) and set(controllers.split(",")) <= options


# What says that a group was frozen itself, not one above it, and what thaws it (cgroups(7)).
_FREEZERS: Final = (
    ("freezer.self_freezing", "echo THAWED >{}/freezer.state"),
    ("cgroup.freeze", "echo 0 >{}/cgroup.freeze"),
)


def thaws(pid: int) -> tuple[str, str]:
    """Return the group that is frozen and has a process in or below it, and what thaws it.

    Both are "" where there is none.
    """
    try:
        with open(f"/proc/{pid}/cgroup", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return "", ""
    for mount in _mounts():
        for folder in _upward(mount, lines):
            for name, command in _FREEZERS:
                if _is_set(f"{folder}/{name}"):
                    return folder, command.format(quoted(folder))
    return "", ""


def _upward(mount: mountinfo.Mount, lines: list[bytes]) -> Iterator[str]:
    """Yield the folder of the group of a hierarchy that lines of /proc say, and those above it."""
    root = at(mount.point, mount.dev)
    path = next((one for line in lines if root and (one := _place(line, root))), None)
    if path is None:
        return
    below = os.path.relpath(path, mount.root).split("/")
    for depth in range(len(below), -1, -1):
        yield os.path.normpath("/".join([mount.point, *below[:depth]]))


def _is_set(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2).strip() == b"1"
    except OSError:
        return False
