"""pidns:[N], netns:NAME, netns:[N]: the processes in a pid or a network namespace.

`netns:NAME` is what `ip netns` calls one: a file in /run/netns that it is mounted on.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.core.text import printable
from analyzer.subjects.base import Family, Form, Subject, listed, tops

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine, Process

_NUMBER: Final = pattern(r"(?:\w+:)?\[?([0-9]{1,10})\]?")
_FOLDER: Final = "/run/netns"
HOSTS: Final = {"pid": 4026531836, "net": 0}
"""Inodes of initial namespaces (include/linux/proc_ns.h); that of the network has no fixed one."""


def _find(kind: str, name: str, machine: Machine) -> Iterable[Subject]:
    inode = _inode(kind, name, machine)
    if inode in {HOSTS[kind], outer(machine, kind)} - {0}:
        raise BadInputError(f"{kind}ns:{printable(name)} is the host's: everybody is in it")
    return [in_space(kind, inode, machine, f"{kind}ns:{name}")]


def outer(machine: Machine, kind: str) -> int:
    """Return the inode of the namespace that the machine begins with, 0 where it is not known.

    That of its first process, which even root may be kept from looking at: then our own.
    """
    return machine.space(1, kind) or (machine.space(os.getpid(), kind) if machine.live else 0)


def in_space(kind: str, inode: int, machine: Machine, asked: str) -> Subject:
    """Return the processes that are in a namespace; BadInputError where there are none."""

    def inside(where: Machine, process: Process) -> bool:
        return where.space(process.pid, kind) == inode

    found = tops(process for process in machine.processes if inside(machine, process))
    if not found:
        raise BadInputError(f"{printable(asked)}: no process that can be seen is in it")
    words = f"{kind} namespace {kind}:[{inode}]"
    roots = tuple(process.pid for process in found)
    return Subject(words, roots, name=asked, test=inside, starts=kind == "pid")


def _inode(kind: str, name: str, machine: Machine) -> int:
    match = _NUMBER.fullmatch(name)
    if match:
        return int(match[1])
    if kind == "pid":
        raise BadInputError(f"pidns:{printable(name)}: say its number: pidns:[4026532201]")
    if not machine.live:
        raise BadInputError(f"netns:{printable(name)}: names are of the live machine: say [N]")
    if "/" in name or name in {"", ".", ".."}:
        raise BadInputError(f"netns:{printable(name)}: no name of a file in {_FOLDER}")
    try:
        return os.stat(f"{_FOLDER}/{name}").st_ino
    except (OSError, ValueError):
        there = sorted(os.listdir(_FOLDER)) if os.path.isdir(_FOLDER) else []
        known = f"; there are: {listed([printable(one) for one in there])}" if there else ""
        raise BadInputError(f"netns:{printable(name)}: not in {_FOLDER}{known}") from None


FAMILIES: Final = tuple(
    Family(f"{kind}ns", "Groups of processes", (Form(written, meaning),), partial(_find, kind))
    for kind, written, meaning in (
        ("pid", "pidns:[N]", "all processes in a pid namespace, and in those below it"),
        (
            "net",
            "netns:NAME",
            "all processes in a network namespace, as ip netns names it; [N] too",
        ),
    )
)
