"""Files in flight: what messages have that unix sockets have not yet received, where it is told.

fdinfo says how many there are (scm_fds), and not which. Images of CRIU do. A dump that was made of
them has a line for each in ``cranalyze/sent``: ``SOCKET DESCRIPTORS FLAGS LINK``, the number of the
socket, ``7/fd/3,8/fd/3`` or ``-`` where nobody has it open, flags in octal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.kinds import socket
from analyzer.relations.shown import File, Sent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.procfs.build import Tables
    from analyzer.relations.shown import Shown

PATH: Final = "cranalyze/sent"
_LINE: Final = pattern(r"([0-9]{1,19}) (\S+) ([0-7]{1,11}) (.*)")


def line(socket: int, descriptors: Iterable[str], flags: int, link: str) -> str:
    """Return the line of a file."""
    return f"{socket} {','.join(descriptors) or '-'} {flags:o} {link}\n"


def parse(text: str, opened: Iterable[File], folders: Sequence[str]) -> list[Sent]:
    """Return what is in flight: files that are `opened`, or that nobody has but the message."""
    lines = [match for one in text.split("\n") if (match := _LINE.fullmatch(one)) is not None]
    known = _by_descriptor(opened, folders) if lines else {}
    return [
        Sent(int(match[1]), _had(match[2].split(","), known) or _alone(at, match[3], match[4]))
        for at, match in enumerate(lines)
    ]


def _had(descriptors: Iterable[str], known: Mapping[str, File]) -> File | None:
    return next((known[one] for one in descriptors if one in known), None)


def _alone(number: int, flags: str, link: str) -> File:
    key = "FILE", ("sent", number)
    return File(key, link, None, int(flags, 8), None, None, None, None, b"", (), inside=True)


def _by_descriptor(opened: Iterable[File], folders: Sequence[str]) -> Mapping[str, File]:
    return {f"{folders[slot.table]}/fd/{slot.fd}": file for file in opened for slot in file.slots}


def alone(shown: Shown) -> list[File]:
    """Return the files that nobody has but a message."""
    return [one.file for one in shown.sent if not one.file.slots]


def add_files(graph: Tables, shown: Shown) -> None:
    """Add the files that nobody has but a message."""
    files = alone(shown)
    names, flags = [file.link for file in files], [file.flags for file in files]
    first = graph.objects("FILE", len(files), name=names, flags=flags)
    graph.number |= {file.key: first + at for at, file in enumerate(files)}


def add(graph: Tables, shown: Shown) -> None:
    """Add which sockets of the graph hold files in their queues."""
    some = [
        (("SOCKET", one.socket), one.file.key)
        for one in shown.sent
        if ("SOCKET", one.socket) in graph.number and one.file.key in graph.number
    ]
    graph.references(
        "SOCKET",
        socket.SCM.name,
        [graph.number[holder] for holder, _ in some],
        [graph.number[file] for _, file in some],
    )
