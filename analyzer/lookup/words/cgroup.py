"""cgroup:PATH: a cgroup: the processes in it and below, dead ones too, and its open files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.lookup.words.base import At, Form, Meaning, Places, Recorded, Word, alike, people_of
from analyzer.procfs import bpfattach, bpfobj, cgroupfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.procfs.cgroupfs import Group
    from analyzer.snapshot.value import Snapshot

_UNTOLD: Final = "BPF programs attached to it: bpftool cgroup tree shows them, as root"
_NAMESPACE: Final = pattern(r"\[[0-9]{1,19}\]")  # then it is a word of another family
_UNRECORDED: Final = "its open files, and BPF programs attached to it: a snapshot has none of that"


def _parse(asked: str) -> Iterator[Meaning]:
    head, _, path = asked.partition(":")
    if head != "cgroup" or not path:
        return
    found = cgroupfs.called(path)
    if not found and not _NAMESPACE.fullmatch(path):
        mounts = ", ".join(cgroupfs.roots()) or "none"
        raise BadInputError(f"{asked}: no cgroup; the hierarchies are at: {mounts}")
    for group in found:
        yield _meaning(group)


def _recorded(asked: str) -> Iterator[Meaning]:
    head, _, path = asked.partition(":")
    if head == "cgroup" and path:
        own = "/" + path.strip("/")
        yield Meaning(f"cgroup {own}", recorded=partial(_of_tasks, own), unseen=_UNRECORDED)


def _of_tasks(own: str, snapshot: Snapshot) -> Recorded:
    tasks = snapshot.tables["tasks"]
    inside = [
        path == own or (path or "").startswith(f"{own.rstrip('/')}/") for path in tasks["cgroup"]
    ]
    places = people_of(snapshot, np.flatnonzero(np.array(inside, np.bool_)), "is in it, or below")
    return Recorded(bool(places), places)


def _meaning(group: Group) -> Meaning:
    # A hierarchy of version 1 has none.
    attached = () if group.controllers else bpfattach.attached(group.folder)
    # Asked for now: later we may not any more.
    programs = [
        bpfobj.said(bpfobj.all_objects(), "prog", one)
        for one in dict.fromkeys(one.program for one in attached or ())
    ]
    return Meaning(
        f"cgroup {group.path}",
        partial(_rows, group),
        partial(_members, group),
        there=True,
        unseen=_UNTOLD if attached is None else "",
        notes=lambda: tuple(f"{one} is attached to it, and ends with it" for one in programs),
    )


def _rows(group: Group, snapshot: Snapshot) -> Rows:
    objects = snapshot.tables["objects"]
    rows = alike(("FILE",), dev=group.dev)(snapshot)
    return rows[np.isin(objects["ino"][rows], np.array(group.inodes(), np.uint64))]


def _members(group: Group) -> Places:
    return (*cgroupfs.members(group), *cgroupfs.below(group)), ()


def _of_path(at: At) -> Iterator[Meaning]:
    group = cgroupfs.at(at.absolute, at.found.dev)
    if group is not None:
        yield _meaning(group)


WORD: Final = Word(
    "cgroup",
    "Cgroups",
    (Form("cgroup:PATH", "a cgroup, as /proc/PID/cgroup names it: its processes and those below"),),
    _parse,
    _of_path,
    _recorded,
)
