"""unix:PATH, unix:@NAME: unix sockets by what they are bound to."""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.lookup.words.base import At, Form, Meaning, Word, joined, stated
from analyzer.procfs.places import fstype, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_TYPE: Final = 0o170000
# Elsewhere stat(2) may tell other numbers than the kernel has, or another machine bind.
_TOLD_BY_INODE: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs", "tmpfs"})


def _parse(asked: str) -> Iterator[Meaning]:
    head, _, name = ("unix", ":", asked) if asked.startswith("@") else asked.partition(":")
    if head == "unix" and name:
        yield _bound({name, os.path.abspath(name)} if not name.startswith("@") else {name})


def _bound(names: set[str]) -> Meaning:
    return Meaning("unix socket", _named(names), state=("local",))


def _named(names: set[str]) -> Callable[[Snapshot], Rows]:
    return stated("local", lambda local: local in names)


def _on(dev: int, ino: int, snapshot: Snapshot) -> Rows:
    """Return the sockets that are bound to an inode."""
    there = stated("socket.inode", lambda one: one == ino)(snapshot)
    return np.intersect1d(there, stated("socket.device", lambda one: one == dev)(snapshot))


def _of_path(at: At) -> Iterator[Meaning]:
    if at.found.mode & _TYPE == stat.S_IFSOCK:
        # By whatever name: bound by a relative one, over a symbolic link, or renamed since.
        yield Meaning(
            "unix socket",
            joined(_named({at.path, at.absolute}), partial(_on, at.known.dev, at.known.ino or 0)),
            state=("local", "socket.device", "socket.inode"),
            removal=f"rm {quoted(at.absolute)}" if fstype(at.found) in _TOLD_BY_INODE else "",
        )


WORD: Final = Word(
    "unix",
    "Unix sockets",
    (
        Form("unix:PATH", "the sockets that are bound to a path, there still or not"),
        Form("unix:@NAME", "the sockets with an abstract name; also @NAME alone"),
    ),
    _parse,
    _of_path,
)
