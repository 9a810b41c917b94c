"""What open files are open on: pipes and sockets, which their links name exactly.

A FIFO with a name is not known as one. A socket is known by the tables of its network namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.kinds import _sock, pipe
from analyzer.relations.shown import PATH_ONLY

if TYPE_CHECKING:
    from analyzer.procfs.build import Tables
    from analyzer.relations.shown import File, Key, Shown, Sock

_WEIGHT: Final = {"SOCKET": 2, "NET_SOCKET": 1}  # of a file (kinds._sock.owned)
_ENDS: Final = {0: pipe.READER, 1: pipe.WRITER, 2: pipe.BOTH}  # O_RDONLY, O_WRONLY, O_RDWR


def add(graph: Tables, shown: Shown) -> None:
    """Add what the files of the graph are open on, and which namespace sockets are in."""
    files = [file for file in shown.files if file.slots and file.key in graph.number]
    _add_pipes(graph, files)
    _add_sockets(graph, [(f, sock) for f in files if (sock := shown.sock_of(f)) is not None])


def _add_pipes(graph: Tables, files: list[File]) -> None:
    ends = [
        (file, _ENDS[file.flags & 3])
        for file in files
        if file.pipe is not None and file.flags is not None and not file.flags & PATH_ONLY
        if file.flags & 3 in _ENDS
    ]
    found: dict[Key, int] = {("PIPE", file.pipe): file.pipe or 0 for file, _ in ends}
    names = [f"pipe:[{ino}]" for ino in found.values()]
    first = graph.objects("PIPE", len(found), name=names, ino=list(found.values()))
    graph.number |= {key: first + at for at, key in enumerate(found)}
    for association in _ENDS.values():
        some = [file for file, one in ends if one is association]
        graph.references(
            "FILE",
            association.name,
            [graph.number[file.key] for file in some],
            [graph.number["PIPE", file.pipe] for file in some],
        )


def _add_sockets(graph: Tables, pairs: list[tuple[File, Sock]]) -> None:
    for kind in ("SOCKET", "NET_SOCKET"):
        mine = [(file, sock) for file, sock in pairs if sock.key[0] == kind]
        found = {sock.key: sock for _, sock in mine}
        names = [f"socket:[{sock.ino}]" for sock in found.values()]
        inodes = [sock.ino for sock in found.values()]
        first = graph.objects(kind, len(found), name=names, ino=inodes)
        graph.number |= {key: first + at for at, key in enumerate(found)}
        graph.references(
            "FILE",
            _sock.SOCK.name,
            [graph.number[file.key] for file, _ in mine],
            [graph.number[sock.key] for _, sock in mine],
            weight=[_WEIGHT[kind]] * len(mine),
        )
        held = [
            (graph.number[sock.key], graph.number["NET_NS", sock.space])
            for sock in found.values()
            if ("NET_NS", sock.space) in graph.number
        ]
        graph.references(kind, _sock.NET.name, [one for one, _ in held], [ns for _, ns in held])
