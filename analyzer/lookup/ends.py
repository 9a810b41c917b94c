"""Where things go on: the other ends of pipes, sockets, terminals and interfaces, and filesystems.

Who has the one end of a thing waits for who has the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.memory.distinct import unique

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Rows = npt.NDArray[np.intp]

ENDS: Final = {
    "pipe.reader": "the reading end",
    "pipe.writer": "the writing end",
    "pipe.both": "both ends",
}
"""Which end of a pipe an open file is, by how it is on that."""
PEERS: Final = "internet-peer"
"""The relation that tells the other end of a connection on this machine."""
_SOCKET: Final = "socket:["
_ON: Final = (*ENDS, "sock", "tty.file")
_PAIRED: Final = ("peer", "tty.master")


def peers(names: Iterable[str]) -> tuple[str, ...]:
    """Return the relations that lead to other ends of open files, by what /proc calls these."""
    return (PEERS,) if any(name.startswith(_SOCKET) for name in names) else ()


def open_on(snapshot: Snapshot, files: Rows) -> tuple[Rows, Rows]:
    """Return open files (rows) and what each is open on: a pipe, a socket, a terminal."""
    references = snapshot.tables["references"]
    at = which(references, references.where("holder", files + 1), _ON)
    at = at[references["holder_kind"][at] == references.code("holder_kind", "FILE")]
    return references["holder"][at] - 1, references["target"][at] - 1


def which(references: Table, at: Rows, associations: Iterable[str]) -> Rows:
    """Return which of the rows `at` are by one of some associations."""
    codes = [references.code("association", name) for name in associations]
    return at[np.isin(references["association"][at], codes)]


def other_ends(snapshot: Snapshot, files: Rows) -> Rows:
    """Return the other ends of pipes, sockets and terminals (open files), and of interfaces."""
    if not len(files):
        return files
    references = snapshot.tables["references"]
    _, on = open_on(snapshot, files)
    interfaces = _paired(snapshot, "interface-pair", files)
    wider = [
        references[other][which(references, references.where(one, on + 1), _PAIRED)]
        for one, other in (("holder", "target"), ("target", "holder"))
    ]
    peers = _paired(snapshot, PEERS, on)
    # What nobody has accepted yet is the listener's.
    queued = which(references, references.where("target", np.concatenate(wider)), ["backlog"])
    things = unique(on + 1, peers + 1, references["holder"][queued], *wider)
    met = which(references, references.where("target", things), _ON)
    met = met[references["holder_kind"][met] == references.code("holder_kind", "FILE")]
    found = unique(references["holder"][met] - 1, interfaces)
    return found[~np.isin(found, files)].astype(np.intp)


def _paired(snapshot: Snapshot, name: str, rows: Rows) -> Rows:
    """Return what a relation joins with things, whichever end of it they are."""
    relations, code = snapshot.tables["relations"], snapshot.tables["relations"].code
    found = [
        relations[other][at[relations["relation"][at] == code("relation", name)]] - 1
        for one, other in (("left", "right"), ("right", "left"))
        for at in [relations.where(one, rows + 1)]
    ]
    return np.concatenate(found).astype(np.intp)


def beside(snapshot: Snapshot, files: Rows) -> Rows:
    """Return the detached mounts that files are on, the filesystems that they serve, their files.

    Who has the descriptor of a daemon's /dev/fuse wants to know who uses what it serves.
    """
    if not len(files):
        return files
    references = snapshot.tables["references"]
    mine = references.where("holder", files + 1)
    mine = mine[references["holder_kind"][mine] == references.code("holder_kind", "FILE")]
    found = references["target"][which(references, mine, ["f_path.mnt"])] - 1
    superblocks = references["target"][which(references, mine, ["fuse"])] - 1
    if len(superblocks):
        shown = which(references, references.where("target", superblocks + 1), ["superblock"])
        mounts = references["holder"][shown] - 1
        used = which(references, references.where("target", mounts + 1), ["f_path.mnt"])
        ends = [references[end][used] - 1 for end in ("holder", "target")]
        found = np.concatenate([found, superblocks, *ends])
    wanted = unique(found)
    return wanted[~np.isin(wanted, files)].astype(np.intp)
