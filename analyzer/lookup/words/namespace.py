"""net:[N] and so on: a namespace, by its number in /proc/PID/ns, or by a file that it is."""

from __future__ import annotations

import glob
import os
import re
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.kinds import namespace_kinds
from analyzer.lookup.words.base import At, Form, Meaning, Word, alike, gaps, of_now
from analyzer.procfs.glance import kept, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = re.compile(r"(\w+):\[?([0-9]{1,19})\]?")


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    kind = namespace_kinds().get(match[1]) if match else None
    if match and kind is not None and ("[" in asked or match[1] != "cgroup"):
        rows = alike((kind.name,), ino=int(match[2]))
        yield Meaning("", rows, missed=partial(_missed, f"{match[1]}:[{match[2]}]"))


def _missed(asked: str, snapshot: Snapshot) -> bool:
    links = f"ns/{asked.partition(':')[0]}*"
    return gaps(snapshot) or (of_now(snapshot) and linked(asked, links))


def linked(target: str, links: str) -> bool:
    """Ask /proc whether one of the `links` of a process (fd/*, ns/net*) leads to `target`."""
    return target in kept(f"links {links}", partial(_targets, links))


def _targets(links: str) -> frozenset[str]:
    return frozenset(map(_target, glob.iglob(f"/proc/[0-9]*/{links}")))


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _of_path(at: At) -> Iterator[Meaning]:
    (nsfs,) = look(["/proc/self/ns/uts"])
    if not isinstance(nsfs, int) and at.found.dev == nsfs.dev and at.found.ino is not None:
        kinds = tuple(kind.name for kind in namespace_kinds().values())
        yield Meaning("", alike(kinds, ino=at.found.ino))


WORD: Final = Word(
    "namespace",
    "Namespaces",
    tuple(
        Form(f"{name}:[N]", f"a {kind.title}, as /proc/PID/ns/{name} shows it")
        for name, kind in namespace_kinds().items()
    ),
    _parse,
    _of_path,
)
