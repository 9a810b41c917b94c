"""net:[N] and so on: a namespace, by its number in /proc/PID/ns, or by a file that it is."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.kinds import namespace_kinds
from analyzer.lookup.words.base import At, Form, Meaning, Word, alike, gaps, named, of_now
from analyzer.lookup.words.path import leads_to
from analyzer.procfs.glance import kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = pattern(r"(\w+):\[?([0-9]{1,19})\]?")
_NAMED: Final = pattern(r"(netns:)?([^/:\s\0]+)")
_FOLDERS: Final = ("/run/netns", "/run/docker/netns")  # ip-netns(8)


def _parse(asked: str) -> Iterator[Meaning]:
    numbered, match = _numbered(asked), _NAMED.fullmatch(asked)
    if numbered is not None:
        yield numbered
    elif match is not None:
        paths = _paths(match[2])
        there = [path for path in paths if os.path.lexists(path)]
        for path in there[:1] or (paths[:1] if match[1] else []):
            yield from leads_to(path, path)


def _recorded(asked: str) -> Iterator[Meaning]:
    numbered, match = _numbered(asked), _NAMED.fullmatch(asked)
    if numbered is not None:
        yield numbered
    elif match is not None and match[1]:
        yield Meaning("", named(("MOUNT",), _paths(match[2])))


def _numbered(asked: str) -> Meaning | None:
    match = _NUMBERED.fullmatch(asked)
    kind = namespace_kinds().get(match[1]) if match else None
    if match is None or kind is None or ("[" not in asked and match[1] == "cgroup"):
        return None
    rows = alike((kind.name,), ino=int(match[2]))
    return Meaning("", rows, missed=partial(_missed, f"{match[1]}:[{match[2]}]"))


def _paths(name: str) -> list[str]:
    return [f"{folder}/{name}" for folder in _FOLDERS]


def _missed(asked: str, snapshot: Snapshot) -> bool:
    links = f"ns/{asked.partition(':')[0]}*"
    return gaps(snapshot) or (of_now(snapshot) and linked(asked, links))


def linked(target: str, links: str) -> bool:
    """Ask /proc whether one of the `links` of a process (fd/*, ns/net*) leads to `target`."""
    return target in kept(f"links {links}", partial(_targets, links))


def _targets(links: str) -> frozenset[str]:
    from glob import iglob  # most words need none

    return frozenset(map(_target, iglob(f"/proc/[0-9]*/{links}")))


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _of_path(at: At) -> Iterator[Meaning]:
    try:
        nsfs = os.stat("/proc/self/ns/uts").st_dev
    except OSError:
        return
    if at.found.dev == nsfs and at.found.ino is not None:
        kinds = tuple(kind.name for kind in namespace_kinds().values())
        yield Meaning("", alike(kinds, ino=at.found.ino))


WORD: Final = Word(
    "namespace",
    "Namespaces",
    (
        *(
            Form(f"{name}:[N]", f"the {kind.title} of that number, as /proc/PID/ns/{name} shows it")
            for name, kind in namespace_kinds().items()
        ),
        Form("netns:NAME", "a network namespace as `ip netns` calls it; also NAME alone"),
    ),
    _parse,
    _of_path,
    _recorded,
)
