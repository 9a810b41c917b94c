"""What open files are open on: pipes and sockets, which their links name exactly.

A FIFO with a name is not known as one. A socket is known by the tables of its network namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.kinds import _sock, loop, namespace_kinds, pipe, shm, socket, superblock, tty
from analyzer.procfs import nslink, segments, sending
from analyzer.procfs.alike import loop_file
from analyzer.procfs.ends import add as ends_add
from analyzer.procfs.world import DELETED
from analyzer.relations.shown import unaccepted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from analyzer.procfs.build import Tables
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.relations.shown import File, Key, Mount, Shown, Sock

_WEIGHT: Final = {"SOCKET": 2, "NET_SOCKET": 1}  # of a file (kinds._sock.owned)
_ENDS: Final = {0: pipe.READER, 1: pipe.WRITER, 2: pipe.BOTH}  # O_RDONLY, O_WRONLY, O_RDWR


def add(graph: Tables, shown: Shown) -> None:
    """Add what the files of the graph are open on, and which namespace sockets are in."""
    sending.add_files(graph, shown)
    files = [file for file in shown.files if file.slots and file.key in graph.number]
    files += sending.alone(shown)
    _add_pipes(graph, files)
    _add_terminals(graph, files, shown)
    _add_segments(graph, shown)
    _add_sockets(graph, [(f, sock) for f in files if (sock := shown.sock_of(f)) is not None])
    _add_connections(graph, shown.socks)
    sending.add(graph, shown)


def binds(shown: Shown, spaces: Collection[NamespaceLink] | None) -> list[Mount]:
    """Return the bind mounts of namespaces' files (`ip netns add` makes one): they keep them.

    `spaces` are the namespaces of interest, all by default.
    """
    found = ((mount, nslink.parse(mount.root)) for mount in shown.mounts.values())
    return [
        mount
        for mount, space in found
        if mount.fstype == "nsfs" and space is not None and (spaces is None or space in spaces)
    ]


def add_binds(graph: Tables, mounts: list[Mount]) -> None:
    """Add bind mounts, which namespace each keeps, and in which mount namespace it is."""
    spaces = {
        key: space
        for mount in mounts
        if (key := ("NSFS", mount.root)) not in graph.number
        if (space := nslink.parse(mount.root)) is not None
    }
    inodes = [space.ino for space in spaces.values()]
    first = graph.objects("NSFS", len(spaces), name=[key[1] for key in spaces], ino=inodes)
    graph.number |= {key: first + at for at, key in enumerate(spaces)}
    held = [_namespace(graph, space) for space in spaces.values()]
    graph.references("NSFS", "nsfs", [graph.number[key] for key in spaces], held)
    first = graph.objects("MOUNT", len(mounts), name=[mount.point for mount in mounts],
                          dev=[mount.dev for mount in mounts])  # fmt: skip
    graph.number |= {("MOUNT", mount.mnt_id): first + at for at, mount in enumerate(mounts)}
    graph.references(
        "MOUNT",
        "bind",
        [graph.number["MOUNT", mount.mnt_id] for mount in mounts],
        [graph.number["NSFS", mount.root] for mount in mounts],
    )
    inside = [mount for mount in mounts if ("MNT_NS", mount.space) in graph.number]
    graph.references(
        "MNT_NS",
        "mount",
        [graph.number["MNT_NS", mount.space] for mount in inside],
        [graph.number["MOUNT", mount.mnt_id] for mount in inside],
    )


def add_mounts(graph: Tables, shown: Shown) -> None:
    """Add every mount of the machine, and the filesystems that they show."""
    pairs: list[tuple[Key, Key]] = [
        (("MOUNT", mount.mnt_id), ("SUPERBLOCK", mount.dev)) for mount in shown.mounts.values()
    ]
    ends_add(graph, dict.fromkeys(key for pair in pairs for key in pair), shown)
    graph.references(
        "MOUNT",
        superblock.SHOWN.name,
        [graph.number[mount] for mount, _ in pairs],
        [graph.number[filesystem] for _, filesystem in pairs],
    )


def add_loops(graph: Tables, backing: Mapping[str, str]) -> None:
    """Add loop devices, and the files that back them: `backing` has their paths, by device.

    Which of the open files of processes such a file is, if it is one, is not known.
    """
    first = graph.objects("LOOP", len(backing), name=[f"/dev/{device}" for device in backing])
    paths = list(backing.values())
    file = graph.objects(
        "FILE", len(backing), name=paths, deleted=[path.endswith(DELETED) for path in paths]
    )
    graph.number |= {loop_file(device): file + at for at, device in enumerate(backing)}
    devices = range(first, first + len(backing))
    graph.references("LOOP", loop.LOOP.name, devices, range(file, file + len(backing)))


def _namespace(graph: Tables, space: NamespaceLink) -> int:
    """Return a namespace, which is new where nobody is in it."""
    key: Key = (namespace_kinds()[space.name].name, nslink.text(space))
    if key not in graph.number:
        graph.number[key] = graph.objects(key[0], 1, name=[key[1]], ino=[space.ino])
    return graph.number[key]


def _add_pipes(graph: Tables, files: list[File]) -> None:
    ends = [
        (file, _ENDS[file.access])
        for file in files
        if file.pipe is not None and file.access in _ENDS
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


def _add_segments(graph: Tables, shown: Shown) -> None:
    """Add the segments of IPC namespaces of the graph, as far as they are listed or attached."""
    known = [
        (space, (ident, one.key))
        for space, some in shown.once(segments.listed).items()
        for ident, one in some.items()
    ]
    some = [
        one for one in (*known, *segments.elsewhere(shown)) if ("IPC_NS", one[0]) in graph.number
    ]
    keys: list[Key] = [("SHM", one) for one in some]
    ends_add(graph, keys, shown)
    graph.references(
        "IPC_NS",
        shm.SEGMENT.name,
        [graph.number["IPC_NS", space] for space, _ in some],
        [graph.number[key] for key in keys],
        slot=[ident for _, (ident, _) in some],
    )
    _add_attaches(graph, shown)


def _add_attaches(graph: Tables, shown: Shown) -> None:
    """Add who keeps an IPC namespace by a segment that he has attached, where it is known which.

    Each attach has a file of its own (do_shmat(), ipc/shm.c); how many are mapped is not told.
    """
    where = {name: spaces[0] for name, spaces in shown.once(segments.placed).items()
             if len(spaces) == 1 and spaces[0] != shown.initial.get("ipc")}  # fmt: skip
    some = {
        one.file: (one.segment, where[one.segment])
        for one in shown.attached
        if ("IPC_NS", where.get(one.segment)) in graph.number
    }
    new = [key for key in some if key not in graph.number]
    memories: list[Key] = [("MM", key[1][0]) for key in new]
    ends_add(graph, dict.fromkeys(memories), shown)
    names = [f"{segments.PATH}{some[key][0][1]:08x}" for key in new]
    first = graph.objects("FILE", len(new), name=names, ino=[some[key][0][0] for key in new])
    graph.number |= {key: first + at for at, key in enumerate(new)}
    graph.references(
        "MM", "vma", [graph.number[key] for key in memories], [graph.number[key] for key in new]
    )
    graph.references(
        "FILE",
        shm.WITHIN.name,
        [graph.number[key] for key in some],
        [graph.number["IPC_NS", space] for _, space in some.values()],
        slot=[segment[0] for segment, _ in some.values()],
    )


def _add_terminals(graph: Tables, files: list[File], shown: Shown) -> None:
    ends = [(file, end) for file in files if (end := shown.terminal(file)) is not None]
    ends_add(graph, dict.fromkeys(key for _, end in ends for key in (end.key, end.whole)), shown)
    graph.references(
        "FILE",
        tty.FILE.name,
        [graph.number[file.key] for file, _ in ends],
        [graph.number[end.key] for _, end in ends],
    )
    # Of a master that is none of these files nobody knows where it is.
    masters = {end.whole for _, end in ends if end.master}
    slaves = (end for _, end in ends if not end.master and end.whole in masters)
    pairs = dict.fromkeys((end.whole, end.key) for end in slaves)
    graph.references(
        "TTY",
        tty.MASTER.name,
        [graph.number[whole] for whole, _ in pairs],
        [graph.number[end] for _, end in pairs],
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


def _add_connections(graph: Tables, socks: Sequence[Sock]) -> None:
    """Add which unix sockets hold each other, of those of the graph.

    A socket holds the one that it is connected to (unix_peer(), net/unix/af_unix.c). One that is
    not accepted yet is connected to another that has no file, in the queue of the listener.
    """
    mine = {one.ino: graph.number[one.key] for one in socks if one.key in graph.number}
    unix = [one for one in socks if one.family == "unix" and one.ino in mine]
    pairs = [(mine[one.ino], mine[one.peer]) for one in unix if one.peer in mine]
    queued = [(one.ino, ino) for one in unix for ino in one.waiting if ino in mine]
    first = graph.objects(socket.KIND.name, len(queued))
    made = range(first, first + len(queued))
    graph.number |= {unaccepted(queued[at][1]): first + at for at in range(len(queued))}
    for accepts, (_, client) in zip(made, queued, strict=True):
        pairs += [(accepts, mine[client]), (mine[client], accepts)]
    graph.references(
        socket.KIND.name, socket.PEER.name, [one for one, _ in pairs], [two for _, two in pairs]
    )
    listeners = [mine[listener] for listener, _ in queued]
    weight = [_WEIGHT[socket.KIND.name]] * len(made)  # it stands for the file that there will be
    graph.references(socket.KIND.name, socket.BACKLOG.name, listeners, made, weight=weight)
