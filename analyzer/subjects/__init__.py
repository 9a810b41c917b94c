"""Subjects by name: containers, pods, units, namespaces, found in cgroup paths first.

The registry of selectors is every module of this package with a `FAMILY` (or `FAMILIES`): to add
one, drop one file in here; nothing else is edited.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError, nearest
from analyzer.core.text import is_pid, printable
from analyzer.core.values import dataclass, replace
from analyzer.subjects import unit as units
from analyzer.subjects.base import (
    Family,
    Subject,
    called,
    containers,
    in_group,
    of_container,
    one_of,
    there_are,
    tops,
)
from analyzer.subjects.commands import installed
from analyzer.subjects.namespace import HOSTS, in_space, outer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.subjects.base import Form, Machine, Process, Test

SELF: Final = "self"
_WRAPPERS: Final = frozenset({"sudo", "su", "doas", "runuser", "env", "timeout", "time", "nice"})
_LONGEST: Final = 4096


@cache
def families() -> Mapping[str, Family]:
    """Return the families of selectors by name."""
    found: dict[str, Family] = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        single = getattr(module, "FAMILY", None)
        own = getattr(module, "FAMILIES", () if single is None else (single,))
        found |= {family.name: family for family in own}
    return found


def forms() -> list[Form]:
    """Return every way to name a subject by a selector."""
    return [form for family in families().values() for form in family.forms]


def understood(text: str) -> None:
    """Raise BadInputError for what cannot be a selector, whatever there is on a machine."""
    head, colon, rest = text.partition(":")
    if not text or "\0" in text or len(text) > _LONGEST:
        raise BadInputError(f"no subject: {printable(text[:80])!r}")
    if not colon or text.startswith("/"):
        return
    if head not in families():
        written = ", ".join(form.written for form in forms())
        near = nearest(head, families())
        raise BadInputError(
            f"{printable(text)}: no selector {printable(head)}:{near}; a subject is a pid, a name, "
            f"or one of {written}"
        )
    if not rest:
        raise BadInputError(f"{printable(text)}: say which: {families()[head].forms[0].written}")


def resolve(text: str, machine: Machine) -> Subject:
    """Return what a selector means on a machine; BadInputError for nothing, or several things."""
    understood(text)
    if is_pid(text):
        return _process(int(text), machine)
    if text == SELF:
        return _self(machine)
    head, colon, rest = text.partition(":")
    if colon:
        return one_of(text, list(families()[head].find(rest, machine)))
    return _bare(text, machine)


def _process(pid: int, machine: Machine) -> Subject:
    home = next((one.home for one in machine.processes if one.pid == pid), None)
    if home is None or not home.container:
        return Subject(f"process {pid}", (pid,))
    return Subject(f"process {pid}", (pid,), home.runtime, home.container, home.short, home.group)


def _bare(name: str, machine: Machine) -> Subject:
    own = containers(machine)
    found = [of_container(one) for one in called(name, own)]
    if name.endswith(units.SUFFIXES) and name in units.groups(machine):
        found += families()["unit"].find(name, machine)
    if found:
        return one_of(name, found)
    reasons = []
    for family in families().values():
        if not (family.bare and machine.live and any(map(installed, family.tools))):
            continue
        try:
            found += family.find(name, machine)
        except BadInputError as error:
            reasons += [str(error)] if "not running" in str(error) else []
            reasons += [str(error).partition(": ")[2].partition(";")[0]] * ("answer" in str(error))
    if found:
        return one_of(name, found)
    why = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
    raise BadInputError(
        f"{printable(name)}: no process, container, machine or unit is called so{why}"
        f"{there_are(own)}"
    )


def _self(machine: Machine) -> Subject:
    if not machine.live:
        raise BadInputError("self is of the machine that cranalyze runs on: name another subject")
    own = os.getpid()
    by_pid = {process.pid: process for process in machine.processes}
    space = machine.space(own, "pid")
    if space not in {0, HOSTS["pid"]}:
        found = in_space("pid", space, machine, SELF)
        return replace(found, words="the container that cranalyze runs in", test=None)
    home = by_pid[own].home if own in by_pid else None
    if home is not None and home.container:
        return one_of(SELF, [of_container(one) for one in containers(machine)
                             if one.id == home.container])  # fmt: skip
    at = by_pid[own].ppid if own in by_pid else os.getppid()
    while at in by_pid and by_pid[at].comm in _WRAPPERS:
        at = by_pid[at].ppid
    if at not in by_pid:
        raise BadInputError("self: whoever started cranalyze cannot be seen")
    return Subject(f"what started cranalyze, {by_pid[at].comm}", (at,))


def every(machine: Machine) -> list[Subject]:
    """Return all containers of a machine: those of cgroups, and other inits of pid namespaces.

    What is in a container is a part of it.
    """
    own = containers(machine)
    found = {one.processes[0].pid: of_container(one) for one in own}
    inside = {process.pid for one in own for process in one.processes}
    host = outer(machine, "pid")
    parents = {process.pid: process for process in machine.processes}
    for process in machine.processes:
        parent = parents.get(process.ppid)
        if process.pid in inside or process.pid == 1 or process.nspid != 1:
            continue
        outermost = parent is not None and machine.space(parent.pid, "pid") in {host, 0}
        if not outermost:
            continue
        if _descends(process, inside, parents):
            continue
        found[process.pid] = Subject(f"{process.comm} ({process.pid})", (process.pid,))
    return [found[pid] for pid in sorted(found)]


def _descends(process: Process, inside: set[int], parents: Mapping[int, Process]) -> bool:
    at: Process | None = process
    seen = set()
    while at is not None and at.pid not in seen:
        if at.pid in inside:
            return True
        seen.add(at.pid)
        at = parents.get(at.ppid)
    return False


@dataclass(frozen=True)
class Members:
    """Who belongs to some subjects: `tests` are asked of all processes, whenever it matters."""

    roots: tuple[int, ...]
    tests: tuple[Test, ...] = ()

    def others(self, machine: Machine) -> tuple[int, ...]:
        """Return the roots besides the first, those that a test finds now among them."""
        found = dict.fromkeys(self.roots)
        for test in self.tests:
            passing = [one for one in machine.processes if test(machine, one)]
            found |= dict.fromkeys(process.pid for process in tops(passing))
        return tuple(pid for pid in found if pid != self.roots[0])


def members(subjects: Sequence[Subject], how: str, machine: Machine) -> Members:
    """Return who belongs to the subjects; BadInputError where everybody would."""
    roots = tuple(dict.fromkeys(pid for one in subjects for pid in one.roots))
    tests: list[Test] = [one.test for one in subjects if one.test is not None]
    if how == "cgroup":
        tests += [_in_group(one, machine) for one in subjects]
    if how == "pidns":
        tests += [_in_space(one, machine) for one in subjects]
    return Members(roots, tuple(tests))


def _in_group(one: Subject, machine: Machine) -> Test:
    paths = {process.pid: process.cgroups for process in machine.processes}
    group = one.group or max(paths.get(one.roots[0], ()), key=len, default="")
    if not group.strip("/"):
        raise BadInputError(
            f"--members cgroup: {printable(one.words)} is in the root of the cgroups, as everybody"
        )
    return lambda _, process: in_group(process, group)


def _in_space(one: Subject, machine: Machine) -> Test:
    space = machine.space(one.roots[0], "pid")
    if space in {0, HOSTS["pid"]}:
        raise BadInputError(
            f"--members pidns: {printable(one.words)} is in the host's pid namespace, as everybody"
        )
    return lambda where, process: where.space(process.pid, "pid") == space


__all__ = [
    "Members",
    "Subject",
    "every",
    "families",
    "forms",
    "members",
    "resolve",
    "understood",
]
