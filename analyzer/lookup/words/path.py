"""PATH: a path stands for everything that it is.

Its inode's open files and mappings, whose working directory or root it is; where a filesystem
begins the whole of that; and what the other families of words make of it (`Word.of_path`): a block
device, a terminal, a pinned BPF object, a directory of cgroups, the file of a loop device.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.core.values import dataclass, field, replace
from analyzer.lookup.pairs import Pairs
from analyzer.lookup.words.base import (
    OF_FILES,
    At,
    Form,
    Meaning,
    Places,
    Word,
    alike,
    called,
    joined,
    named,
    no_rows,
    stated,
)
from analyzer.lookup.words.device import of_device, on_device
from analyzer.lookup.words.port import is_port
from analyzer.memory.distinct import unique
from analyzer.procfs import blockdev
from analyzer.procfs.fifos import openers
from analyzer.procfs.glance import kept, look
from analyzer.procfs.places import (
    bind_mount,
    deleted,
    directories,
    in_filesystem,
    layers,
    locked,
    locks,
    mounted_at,
    mounted_before,
    mounts_below,
    shown_on,
    swaps,
    watched,
)
from analyzer.procfs.uprobes import probes
from analyzer.relations import leading_to
from analyzer.sources.tasks import proc_levels

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.procfs.glance import Inode
    from analyzer.snapshot.value import Snapshot

_WATCHES: Final = ("inotify.watches", "fanotify.watches")
_PLACES: Final = ("fs.cwd", "fs.root")
_DIRECTORY: Final = 0o040000
_UNTOLD: Final = 0
_TYPE: Final = 0o170000
_NOWHERE: Final = {errno.ENOENT, errno.ENOTDIR}
_NO_PATH: Final = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
_ESCAPE: Final = pattern(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-f]{4})|([ntre\\]))")
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "\\": "\\"}
_NODE: Final = pattern(r"[\w.-]+(?:/[\w.-]+)*")
_DELETED: Final = " (deleted)"
_UNRECORDED: Final = (
    "what is held without being open (locks, swap), and what nobody holds: a snapshot has none of "
    "that"
)


def _parse(asked: str) -> Iterator[Meaning]:
    if is_port(asked) and not os.path.lexists(asked):
        return
    if "/" in asked.partition(":")[0] or os.path.lexists(asked):
        path = _of_dev(_plain(asked))
        if path.endswith(_DELETED) and not os.path.lexists(path):  # as lsof and /proc have it
            path = path.removesuffix(_DELETED)
        yield from leads_to(path, path)
    elif _NODE.fullmatch(asked) and not asked.isdecimal() and _is_node(f"/dev/{asked}"):
        yield from leads_to(f"/dev/{asked}", f"/dev/{asked}")
    elif asked.startswith("memfd:") and asked != "memfd:":
        yield from leads_to(f"/{asked}", f"/{asked}")


def _of_dev(path: str) -> str:
    """Return the path of a device that is called as ps and lsblk do: pts/3, mapper/root."""
    node = f"/dev/{path}"
    relative = _NODE.fullmatch(path) and not os.path.lexists(path)
    return node if relative and os.path.lexists(node) else path


def _is_node(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def _plain(asked: str) -> str:
    r"""Return a path that is not there as it is without escapes, if that is.

    So our own outputs write one (`printable`: ``\n``, ``\xff``), and /proc (``\040``).
    """
    plain = _ESCAPE.sub(_unescaped, asked)
    if plain == asked or "\0" in plain:
        return asked
    said, meant = look([asked, plain])
    return plain if said in _NOWHERE and not isinstance(meant, int) else asked


def _unescaped(match: re.Match[str]) -> str:
    if match[4]:
        return _LETTERS[match[4]]
    if match[3]:
        return chr(int(match[3], 16))
    return os.fsdecode(bytes([int(match[1], 16) if match[1] else int(match[2], 8) & 0xFF]))


def _recorded(asked: str) -> Iterator[Meaning]:
    if asked.startswith("memfd:"):
        asked = f"/{asked}"
    if "/" not in asked.partition(":")[0]:
        return
    names = {asked, os.path.normpath(asked)}
    told = (stated(fact, names.__contains__) for fact in ("local", "backing", *_PLACES))
    names |= {f"{name} (deleted)" for name in names}
    device = on_device(asked.removeprefix("/dev/"))
    rows = joined(called(names), *told, partial(_mounted, names), device)
    yield Meaning("", rows, unseen=_UNRECORDED)


def _mounted(names: Iterable[str], snapshot: Snapshot) -> Rows:
    """Return the filesystems that are mounted at a path, and what is open, or stands, in them."""
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    shows = references["association"] == references.code("association", "superblock")
    holder = references["holder"] - 1
    here = shows & np.isin(holder, named(("MOUNT",), names)(snapshot))
    superblocks = unique(references["target"][here] - 1)
    known = superblocks[objects.known("dev")[superblocks]]
    files = objects["kind"] == objects.code("kind", "FILE")
    on = files & objects.known("dev") & np.isin(objects["dev"], objects["dev"][known])
    found = unique(superblocks, np.flatnonzero(on)).astype(np.intp)
    if not len(superblocks):
        return found
    below = tuple(f"{name}/" for name in names)
    stands = (stated(fact, lambda path: path.startswith(below)) for fact in _PLACES)
    return unique(found, joined(*stands)(snapshot))


def leads_to(path: str, asked: str) -> Iterator[Meaning]:
    """Yield what a path stands for; `asked` is what was said instead of it."""
    at = _at(path)
    if not isinstance(at.inode, int):
        # Who asks for the root of a process does not mean all that is on that filesystem.
        yield from _there(at if asked == path else replace(at, mounted=False))
    elif at.inode in _NOWHERE:
        yield from _gone(at) if asked == path else [Meaning()]
    elif at.inode in _NO_PATH:
        raise BadInputError(f"{asked}: {os.strerror(at.inode)}")
    else:
        yield _silent(at, at.inode)


def _at(path: str) -> At:
    try:
        absolute = os.path.abspath(path)
    except OSError:  # our working directory is gone
        absolute = path
    (inode,) = look([path])
    return At(path, absolute, inode, mounted=_is_mount(path, inode))


def _there(at: At) -> Iterator[Meaning]:
    from analyzer.lookup.words import words

    others = [m for word in words().values() if word.of_path for m in word.of_path(at)]
    inode = at.found
    # What is mounted on a file is a file: a namespace that was given a name, a bind mount.
    directory = inode.mode & _TYPE in {_DIRECTORY, _UNTOLD}
    bound = bind_mount(inode) if directory else ""
    whole = at.mounted and directory and not bound
    yield _whole(at, inode) if whole or inode.ino is None else _inode(at, inode)
    if bound:
        yield _bound(at, inode, bound)
    yield from others
    if inode.mode & _TYPE == _DIRECTORY and not at.mounted:
        yield _DETACHED
    elif inode.mode & _TYPE == stat.S_IFREG and not at.absolute.startswith("/proc/"):
        yield _replaced(at.absolute)


def _loose(snapshot: Snapshot) -> Rows:
    """Return the mounts of no mount namespace that something is on."""
    rows = stated("detached", lambda one: one == 1)(snapshot)
    references = snapshot.tables["references"]
    on = [references.code("association", name) for name in ("f_path.mnt", "root.mnt", "pwd.mnt")]
    used = references["target"][np.isin(references["association"], on)] - 1
    return rows[np.isin(rows, used)]


_DETACHED: Final = Meaning(
    "nothing is mounted here; this was detached (umount -l), wherever it was, and is in use",
    _loose,
    guess=True,
    state=("detached",),
)


def _replaced(path: str) -> Meaning:
    """Return the files that were called so before: what is there now took the name of theirs."""
    return Meaning(
        "nobody has this file; one that was called so before was deleted, and is in use",
        partial(_deleted, f"{path}{_DELETED}"),
        guess=True,
        wide=True,
    )


def _deleted(name: str, snapshot: Snapshot) -> Rows:
    """Return deleted files of a name; until they have names, all of them."""
    objects = snapshot.tables["objects"]
    gone = objects.known("deleted") & objects["deleted"].astype(np.bool_)
    gone &= objects.known("mode") & (objects["mode"] & _TYPE == stat.S_IFREG)
    rows = np.flatnonzero(gone & (objects["kind"] == objects.code("kind", "FILE")))
    names = objects["name"][rows]
    found: Rows = rows[[one is None or one == name for one in names]]
    return found


def _inode(at: At, inode: Inode) -> Meaning:
    known = at.known
    watchers = _Watchers(at)
    inside = in_filesystem(at.absolute, known)
    return Meaning(
        "",
        joined(_files(at), watchers.rows, partial(_mounts, at.absolute, inside, known.dev)),
        partial(_places, inode, known, inside),
        there=True,
        state=("mounts", "device", "detached", *_WATCHES),
        notes=watchers.notes,
        ties=OF_FILES,
    )


@dataclass(frozen=True)
class _Watchers:
    """The processes that watch any files, as the kernel's memory tells, for one file."""

    at: At
    _pids: dict[int, None] = field(default_factory=dict)

    def rows(self, snapshot: Snapshot) -> Rows:
        """Remember who has an inotify or a fanotify: they are no holders, and no rows."""
        if kept("levels", proc_levels) == 0:  # else /proc calls them otherwise
            self._pids.update(dict.fromkeys(_watching(snapshot)))
        return no_rows(snapshot)

    def notes(self) -> tuple[str, ...]:
        """Return which locks the file has, and who watches it."""
        inode, dev = self.at.found, self.at.known.dev
        sure = dev == inode.dev or any(locked(inode, dev))
        pids = None if kept("levels", proc_levels) else tuple(self._pids)
        return (*(locks(dev, inode.ino or 0) if sure else ()), *watched(inode, dev, pids))


def _files(at: At) -> Callable[[Snapshot], Rows]:
    """Return what chooses the open files of an inode, and of what overlays show of it."""
    ino, dev = at.found.ino or 0, at.known.dev
    if at.found.mode & _TYPE == _DIRECTORY:
        return alike(("FILE",), dev=dev, ino=ino)
    # Inode numbers are those of one layer, or subvolume: names tell which is meant.
    certain = at.known == at.found
    choices: list[Callable[[Snapshot], Rows]]
    choices = [alike(("FILE",), dev=dev, ino=ino)] if certain else []
    for one in [*([] if certain else [dev]), *shown_on(at.absolute)]:
        some = alike(("FILE",), dev=one, ino=ino)
        choices.append(partial(_likely, some, os.path.basename(at.absolute)))
    return joined(*choices)


def _likely(choice: Callable[[Snapshot], Rows], name: str, snapshot: Snapshot) -> Rows:
    """Return those that have that name, or else all; until they have names, all of them."""
    rows = choice(snapshot)
    names = snapshot.tables["objects"]["name"][rows]
    mine = [one is None or one.endswith((f"/{name}", f"/{name} (deleted)")) for one in names]
    return rows[mine] if any(mine) else rows


def _mounts(path: str, inside: str, dev: int, snapshot: Snapshot) -> Rows:
    """Return what is mounted at a path, in any mount namespace, and the bind mounts of it."""
    number = blockdev.said(dev)
    shown = stated("mounts", lambda own: own == inside != "/")(snapshot)
    mine = stated("device", lambda own: own == number)(snapshot)
    found = unique(shown[np.isin(shown, mine)], named(("MOUNT",), (path,))(snapshot))
    return unique(found, _detached_too(snapshot, found)) if len(found) else found


def _detached_too(snapshot: Snapshot, mounts: Rows) -> Rows:
    """Return what was detached of the filesystems that mounts show, and is in use."""
    references = snapshot.tables["references"]
    shows = references["association"] == references.code("association", "superblock")
    holder, target = references["holder"][shows] - 1, references["target"][shows]
    loose = _loose(snapshot)
    same = holder[np.isin(target, target[np.isin(holder, mounts)])]
    return loose[np.isin(loose, same)]


def _whole(at: At, inode: Inode) -> Meaning:
    watchers = _Watchers(at)
    return Meaning(
        "mounted filesystem",
        joined(
            alike(("FILE", "SUPERBLOCK"), dev=at.known.dev),
            stated("socket.device", lambda dev: dev == at.known.dev),
            watchers.rows,
        ),
        partial(_of_filesystem, at.absolute, inode.dev),
        there=True,
        state=("socket.device", *_WATCHES),
        notes=watchers.notes,
        ties=(*OF_FILES, *leading_to("SUPERBLOCK")),
    )


_LAST: Final[list[tuple[Snapshot, tuple[int, ...]]]] = []


def _watching(snapshot: Snapshot) -> tuple[int, ...]:
    """Return the processes that watch any files; those of the last snapshot are remembered."""
    if not _LAST or _LAST[0][0] is not snapshot:
        rows = joined(*(stated(fact, bool) for fact in _WATCHES))(snapshot)
        pairs = Pairs.found(snapshot, rows, np.arange(len(rows)))
        _LAST[:] = [(snapshot, tuple(unique(pairs.tgid).tolist()))]
    return _LAST[0][1]


def _bound(at: At, inode: Inode, source: str) -> Meaning:
    """Return what a bind mount stands for: what is on that mount, wherever else the rest is."""
    return Meaning(
        f"bind mount of {source}",
        joined(partial(_on_mount, inode.mnt_id), named(("MOUNT",), (at.absolute,))),
        partial(_of_mount, at.absolute, inode),
        there=True,
        state=("mount_id",),
        ties=(*OF_FILES, "on-mount"),
    )


def _on_mount(mount: int, snapshot: Snapshot) -> Rows:
    """Return the open files that are on a mount."""
    relations = snapshot.tables["relations"]
    own = stated("mount_id", lambda one: one == mount)(snapshot) + 1
    on = relations["relation"] == relations.code("relation", "on-mount")
    on &= relations["left_kind"] == relations.code("left_kind", "FILE")
    return unique(relations["left"][on & np.isin(relations["right"], own)] - 1)


def _of_mount(path: str, inode: Inode) -> Places:
    found, silent = directories(inode.dev, None, inode.mnt_id)
    return (*found, *mounts_below(path)), tuple(silent)


def _places(inode: Inode, known: Inode, inside: str) -> Places:
    found, silent = directories(inode.dev, inode.ino)
    found += mounted_before(known.dev, inside)
    if inode.mode & _TYPE != stat.S_IFBLK:  # of a device its own family of words tells that
        found += swaps(inode.dev, inode.ino)
    found += probes(inode.dev, inode.ino)
    found += locked(inode, known.dev)
    if inode.mode & _TYPE == stat.S_IFIFO:
        found += openers(inode)
    if inode.mode & _TYPE == _DIRECTORY:
        found += layers(inode.dev, inode.ino)
    return tuple(found), tuple(silent)


def _of_filesystem(path: str, dev: int) -> Places:
    found, silent = directories(dev, None)
    found += [*swaps(dev, None), *probes(dev, None), *layers(dev, None)]
    return (*found, *mounts_below(path)), tuple(silent)


def _gone(at: At) -> Iterator[Meaning]:
    """Yield what may have been called so: a path that leads nowhere."""
    inodes = deleted(at.absolute)
    files = [alike(("FILE",), dev=one.dev, ino=one.ino or 0) for one in inodes]
    bound = stated("local", {at.path, at.absolute}.__contains__)  # a socket's file is gone, too
    yield Meaning(
        _what_is_gone(at.absolute) if inodes else "",
        joined(named(("MOUNT",), (at.absolute,)), bound, *files),
        partial(_of_gone, inodes),
        state=("local",),
        ties=OF_FILES,
    )
    yield from map(of_device, blockdev.backed_by_deleted(at.absolute))
    # What a loop device, a ring or a message in flight has is in no folder of /proc.
    yield Meaning("", partial(_deleted, f"{at.absolute}{_DELETED}"), wide=True)


def _what_is_gone(path: str) -> str:
    return "memory file" if path.startswith("/memfd:") else "its name is gone"


def _of_gone(inodes: Iterable[Inode]) -> Places:
    """Return whose directory one was that was removed."""
    told = [directories(one.dev, one.ino) for one in inodes if one.mode & _TYPE == _DIRECTORY]
    return (
        tuple(place for found, _ in told for place in found),
        tuple(pid for _, silent in told for pid in silent),
    )


def _is_mount(path: str, at: Inode | int) -> bool:
    """Tell whether a path is where another filesystem begins: as os.path.ismount() does."""
    if isinstance(at, int) or not at.mounted:
        return False
    (above,) = look([os.path.dirname(os.path.abspath(path))])
    return isinstance(above, int) or above.dev != at.dev or above.ino == at.ino


def _silent(at: At, error: int) -> Meaning:
    """Understand a path that may not be looked at, or whose filesystem does not answer.

    A mount point needs not be asked; of others only the name is known.
    """
    dev = mounted_at(at.path)
    if dev is None:
        silent = error == errno.ETIMEDOUT
        why = "its filesystem does not answer" if silent else os.strerror(error)
        names = (at.absolute, f"{at.absolute} (deleted)")
        return Meaning(
            f"not to be looked at: {why}",
            named(("FILE", "MOUNT"), names),
            missed=lambda _: True,
            ties=OF_FILES,
            unseen=f"{why}: only who has it open under this name is known",
        )
    return Meaning(
        "mounted filesystem that does not answer",
        alike(("FILE", "SUPERBLOCK"), dev=dev),
        partial(_of_filesystem, at.absolute, dev),
        there=True,
        ties=(*OF_FILES, *leading_to("SUPERBLOCK")),
    )


WORD: Final = Word(
    "path",
    "Paths",
    (
        Form("PATH", "a file, a directory, a mount point: whatever is there, or was there"),
        Form("memfd:NAME", "the memory files that were made with this name (memfd_create(2))"),
        Form("/proc/PID/root/PATH", "a path as a process sees it"),
    ),
    _parse,
    recorded=_recorded,
)
