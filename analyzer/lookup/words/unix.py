"""unix:PATH, unix:@NAME: unix sockets by what they are bound to."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from analyzer.lookup.words.base import At, Form, Meaning, Word, stated

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPE: Final = 0o170000


def _parse(asked: str) -> Iterator[Meaning]:
    head, _, name = ("unix", ":", asked) if asked.startswith("@") else asked.partition(":")
    if head == "unix" and name:
        yield _bound({name, os.path.abspath(name)} if not name.startswith("@") else {name})


def _bound(names: set[str]) -> Meaning:
    return Meaning("unix socket", stated("local", lambda local: local in names), state=("local",))


def _of_path(at: At) -> Iterator[Meaning]:
    if at.found.mode & _TYPE == stat.S_IFSOCK:
        yield _bound({at.path, at.absolute})


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
