"""What `ls -l` prints of folders of links: `ls -l /proc/*/fd`, and of /proc/PID/ns, exe, cwd, root.

A name may have newlines in it, and ls prints them as they are where that is no terminal. What is
no line of a link is taken to go on with the name before it, and is told as damaged all the same.
Where it looks like such a line nobody can tell: it can make up what a process has open, and what it
says of a descriptor that has a line of its own is gainsaid by that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from analyzer.procfs.captures.base import Capture
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from analyzer.procfs.captures.told import Told

_FOLDER: Final = re.compile(rb"'?(?:\S*/)?proc/([0-9]+)/(?:task/([0-9]+)/)?(fd|ns)/?'?:")
# Lines are taken apart at their blanks: a pattern for all of one takes its square on a long one.
_START: Final = re.compile(rb"l(?P<mode>..)[rwxsStT-]{7}[.+@]? +[0-9]+ ")
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


class _Link(NamedTuple):
    """One link: of which folder of a process, its name there, and where it leads."""

    pid: int
    where: str
    name: str
    mode: bytes
    target: bytes


def read(told: Told, data: bytes) -> None:
    """Add where links lead."""
    at: tuple[int, bytes] = (0, b"")
    links: list[_Link] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if (folder := _FOLDER.fullmatch(line)) is not None:
            # A thread's own folder repeats what its process has, but for an unshared table.
            at = (0 if folder[2] else told.process(folder[1]), folder[3])
            if at[0] and at[1] == b"fd":
                told.open(at[0])
        elif (refused := _refused(line)) is not None:
            told.refused(told.process(refused[1]), decode(refused[2]))
        elif not _is_link(told, links, line, *at) and line and not line.startswith(_OTHERS):
            told.damage(number, "expected what ls -l says of a link")
            if links and len(links[-1].target) < _LONGEST:
                last = links[-1]
                links[-1] = last._replace(target=last.target + b"\n" + line[:_LONGEST])
    for link in links:
        if link.where == "fd":
            told.file(link.pid, int(link.name), decode(link.target), _ACCESS.get(link.mode, b""))
        else:
            told.link(f"{link.pid}/{link.where}{link.name}", decode(link.target))


def _refused(line: bytes) -> re.Match[bytes] | None:
    return _REFUSED.match(line) if line.endswith(_DENIED) else None


def _is_link(told: Told, links: list[_Link], line: bytes, pid: int, folder: bytes) -> bool:
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
    if not folder or not _NAME[folder].fullmatch(name):
        return False
    if pid and arrow:
        where = "fd" if folder == b"fd" else f"{decode(folder)}/"
        links.append(_Link(pid, where, decode(name), start["mode"], target))
    elif pid:
        told.refused(pid, decode(folder))  # ls could not read where it leads
    return True


CAPTURE: Final = Capture(
    name="ls -l",
    head=_HEAD,
    read=read,
    lacks="what processes are called, who is whose child, offsets, flags, locks, mappings, threads",
    remarks="`ls -l /proc/*/fd /proc/*/ns > DUMP`; `ps -ef` beside it tells the tree",
)
