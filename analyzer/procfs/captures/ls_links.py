"""What `ls -l` prints of folders of links: `ls -l /proc/*/fd`, and of /proc/PID/ns, exe, cwd, root.

A name may have newlines in it, and ls prints them as they are where that is no terminal. What is
no line of a link is taken to go on with the name before it, and is told as damaged all the same.
Where it looks like such a line nobody can tell: it can make up what a process has open, and what it
says of a descriptor that has a line of its own is gainsaid by that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.procfs.captures.base import Capture
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.procfs.captures.told import Told

_FOLDER: Final = re.compile(rb"'?(?:\S*/)?proc/([0-9]+)/(?:task/([0-9]+)/)?(fd|ns)/?'?:")
# Lines are taken apart at their blanks: a pattern for all of one takes its square on a long one.
# (Android's ls before version 6 tells no number of links.)
_START: Final = re.compile(rb"l(?P<mode>..)[rwxsStT-]{7}[.+@]? +[\w-]+ ")
_ARROW: Final = b" -> "
_REFUSED: Final = re.compile(rb"ls: .{1,60}?/proc/([0-9]+)/(fd|ns)[/']")
_DENIED: Final = b": Permission denied"
_LONGEST: Final = 4096 + len(" (deleted)")  # PATH_MAX, include/uapi/linux/limits.h
_PLACE: Final = re.compile(rb"(?:\S*/)?proc/([0-9]+)/(exe|cwd|root)")
_NAME: Final = {b"fd": re.compile(rb"[0-9]{1,10}"), b"ns": re.compile(rb"[a-z_]{1,20}")}
_OTHERS: Final = (b"total ", b"ls: ")
_HEAD: Final = re.compile(
    rb"(?:\A|\n)(?:%s\n|l[rwx-]{9}.* \S*/proc/[0-9]+/(?:exe|cwd|root) -> )" % _FOLDER.pattern
)


# What tid_fd_mode() in fs/proc/fd.c makes of the modes in which a file is open.
_ACCESS: Final = {b"r-": b"r", b"-w": b"w", b"rw": b"u"}


class _Folder(NamedTuple):
    """A folder of a process: its kind, and the line that it begins in; without `pid`, of others."""

    pid: int = 0
    kind: bytes = b""
    line: int = 0


class _Link(NamedTuple):
    """One link: of which folder of a process, its name there, and where it leads."""

    pid: int
    where: str
    name: str
    mode: bytes
    target: bytes
    line: int = 0


def read(told: Told, data: bytes) -> None:
    """Add where links lead."""
    at = _Folder()
    links: list[_Link] = []
    begun: set[tuple[int, bytes]] = set()
    for number, line in enumerate(data.split(b"\n"), 1):
        if (folder := _FOLDER.fullmatch(line)) is not None:
            # A thread's own folder repeats what its process has, but for an unshared table.
            at = _Folder(0 if folder[2] else told.process(folder[1]), folder[3], number)
            if at.pid and at[:2] in begun:
                told.damage(number, "a folder twice: what follows is of another, or another time")
                at = at._replace(pid=0)
            begun.add(at[:2])
            if at.pid and at.kind == b"fd":
                told.open(at.pid)
        elif (refused := _refused(line)) is not None:
            told.refused(told.process(refused[1]), decode(refused[2]))
        elif not _is_link(told, links, line, at) and line and not line.startswith(_OTHERS):
            told.damage(number, "expected what ls -l says of a link")
            if links and len(links[-1].target) < _LONGEST:
                last = links[-1]
                links[-1] = last._replace(target=last.target + b"\n" + line[:_LONGEST])
    for link in _of_their_folders(told, links):
        if link.where == "fd":
            told.file(link.pid, int(link.name), decode(link.target), _ACCESS.get(link.mode, b""))
        else:
            told.link(f"{link.pid}/{link.where}{link.name}", decode(link.target))


def _refused(line: bytes) -> re.Match[bytes] | None:
    return _REFUSED.match(line) if line.endswith(_DENIED) else None


def _of_their_folders(told: Told, links: Iterable[_Link]) -> Iterator[_Link]:
    """Yield the links but those after a name that a folder has twice: they are of another one.

    Its own name is lost then, or a link leads to a name with lines in it that look like these.
    """
    seen: set[tuple[int, str]] = set()
    mixed: set[int] = set()
    for link in links:
        name = link.line, link.name
        if link.line and name in seen and link.line not in mixed:
            told.damage(link.line, "a folder with a name twice: another one's begin is lost in it")
            mixed.add(link.line)
        elif link.line not in mixed:
            seen.add(name)
            yield link


def _is_link(told: Told, links: list[_Link], line: bytes, at: _Folder) -> bool:
    """Add a line to `links` if it is that of a link."""
    start = _START.match(line)
    if start is None:
        return False
    head, arrow, target = line.partition(_ARROW)
    name = head.rpartition(b" ")[2]
    place = _PLACE.fullmatch(name) if arrow else None
    if place is not None:
        if pid := told.process(place[1]):
            links.append(_Link(pid, decode(place[2]), "", b"", target))
        return True
    if not at.kind or not _NAME[at.kind].fullmatch(name):
        return False
    if at.pid and arrow:
        where = "fd" if at.kind == b"fd" else f"{decode(at.kind)}/"
        links.append(_Link(at.pid, where, decode(name), start["mode"], target, at.line))
    elif at.pid:
        told.refused(at.pid, decode(at.kind))  # ls could not read where it leads
    return True


CAPTURE: Final = Capture(
    name="ls -l",
    head=_HEAD,
    read=read,
    lacks="what processes are called, who is whose child, offsets, flags, locks, mappings, threads",
    remarks="`ls -l /proc/*/fd /proc/*/ns > DUMP`; `ps -ef` beside it tells the tree",
)
