"""The only opener of /proc: a tree of files, links and folders under a root that is a parameter.

`ProcFs` reads the running kernel's /proc, `FolderFs` a dump that was unpacked. `MemoryFs` holds a
dump that is one file, of which nothing ever reaches the disk. Paths are relative to the root.

Everything raises OSError as the system calls do. `vanished` tells a task, or a descriptor, that
went away while it was read (nothing is wrong with that) from a refusal, which is a gap. In a dump
what is not there was not copied, which is a gap too (`NotCopiedError`).
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.values import dataclass
from analyzer.procfs import looked
from analyzer.procfs.contents import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from analyzer.procfs.contents import Entry, Folder
    from analyzer.relations.shown import Looked

MAX_FILE: Final = 64 << 20  # bytes; the maps of 65,530 mappings take about 8 MiB
_CHUNK: Final = 1 << 16
AGAIN: Final = "cranalyze/again/"
"""Where a dump has what was read twice."""

BLOCKS: Final = "cranalyze/sys/block"
"""Where a dump has what /sys/block tells of loop devices."""

_HEAD: Final = 1 << 16  # of a file in fdinfo: an epoll has a line for each file that it watches
_GONE: Final = frozenset({errno.ENOENT, errno.ESRCH, errno.ENOTDIR, errno.EBADF})

# A dump may hold anything under the name of a file: never follow, never wait for a FIFO.
_FILE_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY


class NotCopiedError(FileNotFoundError):
    """A dump does not have it: nobody knows whether it was there."""


def vanished(error: OSError) -> bool:
    """Tell whether `error` means that what was to be read is not there (any more)."""
    return error.errno in _GONE and not isinstance(error, NotCopiedError)


@dataclass(frozen=True)
class Links:
    """The links of one folder: names and where each leads, "" for one that is too long to read.

    `refused` is the errno of the first link that may not be read, 0 when all could be. `others` are
    no links, of which a dump may have any number (cp -L).
    """

    names: Sequence[str]
    targets: Sequence[str]
    refused: int = 0
    others: int = 0


class ProcFs:
    """The tree in the folder `root`.

    `copied` tells a dump: then `cut` says how far it could be read, where not to its end, and
    `skipped` counts what there was besides files, folders and links. `captures`,
    `damaged` and `notes` are of `contents.Contents`.
    """

    copied = False
    cut = ""
    skipped: Mapping[str, int] = MappingProxyType({})
    captures: Sequence[str] = ()
    damaged: Sequence[BadInputError] = ()
    notes: Sequence[str] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = os.fspath(root) + "/"

    def name(self, path: str) -> str:
        """Return what to call `path` in an error."""
        return self._prefix + path

    def is_live(self) -> bool:
        """Tell whether this is /proc of the running kernel, and of our own pid namespace."""
        try:
            return os.readlink(f"{self._prefix}self") == str(os.getpid()) and os.path.samefile(
                f"{self._prefix}self/ns/pid", "/proc/self/ns/pid"
            )
        except OSError:
            return False

    def was_gone(self, path: str) -> bool:
        """Tell whether it is known that a file could not be read when a dump was made."""
        del path
        return not self.copied

    def again(self, path: str) -> str:
        """Return where the second reading of `path` is, which was made after all first ones."""
        return AGAIN + path if self.copied else path

    def read(self, path: str) -> bytes:
        """Return the content of a file; BadInputError when it is larger than MAX_FILE bytes."""
        fd = os.open(self._prefix + path, _FILE_FLAGS)
        try:
            return _content(fd, self.name(path), MAX_FILE)
        finally:
            os.close(fd)

    def link(self, path: str) -> str:
        """Return where a symbolic link leads, surrogateescape for bytes that are not UTF-8."""
        return os.readlink(self._prefix + path)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder; "" is the root."""
        return os.listdir(self._prefix + path)

    def links(self, folder: str) -> Links:
        """Return all links in a folder; those that vanish meanwhile are left out."""
        fd = os.open(self._prefix + folder, _FOLDER_FLAGS)
        try:
            return _links(fd)
        finally:
            os.close(fd)

    def open_now(self, path: str) -> int:
        """Return a descriptor of what is at `path`: of the live /proc alone, and never recorded."""
        return os.open(self._prefix + path, os.O_RDONLY | os.O_CLOEXEC)

    def look(self, paths: Sequence[str], names: Sequence[str] = ()) -> list[Looked | None]:
        """Return what statx(2) says of where paths lead; of a dump, what it said then.

        A dump has it by `names`, which are the paths by default. A filesystem that does not answer
        is not waited for.
        """
        return [looked.parse(data) for data in self.looked(paths, names or paths)]

    def looked(self, paths: Sequence[str], names: Sequence[str]) -> list[bytes | None]:
        """Return what `look` says as a dump keeps it."""
        if self.is_live():
            return looked.ask([self._prefix + path for path in paths])
        return [self._optional(looked.kept(name)) for name in names]

    def told(self, path: str, ask: Callable[[], bytes | None]) -> bytes | None:
        """Return what `ask` is told by the kernel now; of a dump, what was told then, at `path`."""
        return ask() if self.is_live() else self._optional(path)

    def _optional(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except OSError:
            return None

    def backing_files(self) -> dict[str, str]:
        """Return by loop device ("loop0") the path of the file that backs it."""
        live = self.is_live()
        folder = "/sys/block" if live else BLOCKS
        try:
            names = os.listdir(folder) if live else self.listdir(folder)
        except OSError:
            return {}
        found = {}
        for name in sorted(names):
            path = f"{folder}/{name}/loop/backing_file"
            data = _text(path) if live else self._optional(path)
            if name.startswith("loop") and data is not None:
                found[name] = os.fsdecode(data.removesuffix(b"\n"))
        return found

    def heads(self, folder: str, names: Sequence[str]) -> list[bytes | None]:
        """Return the first bytes of some files of a folder, None for what cannot be read."""
        fd = os.open(self._prefix + folder, _FOLDER_FLAGS)
        try:
            return [_head(fd, name) for name in names]
        finally:
            os.close(fd)

    def forget(self, names: Collection[str]) -> None:
        """Let go of files and folders of these names: nobody asks for what is in them any more."""


class FolderFs(ProcFs):
    """The tree in an open folder, of which anything may have come from a stranger.

    Every part of a path is opened in the one before it, and no link is ever followed: a dump cannot
    show what is outside of it. What is no regular file is not read.
    """

    copied = True

    def __init__(self, folder: int, root: Path) -> None:
        super().__init__(root)
        self._folder = folder
        weakref.finalize(self, os.close, folder)

    def is_live(self) -> bool:
        """Do as `ProcFs.is_live`."""
        return False

    def read(self, path: str) -> bytes:
        """Do as `ProcFs.read`."""
        return self.text(path, MAX_FILE)

    def text(self, path: str, most: int) -> bytes:
        """Return the content of a file; BadInputError when it is larger than `most` bytes."""
        folder, _, name = path.rpartition("/")
        with _copied(path), self._in(folder) as at:
            fd = os.open(name, _FILE_FLAGS, dir_fd=at)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "no regular file", path)
            return _content(fd, self.name(path), most)
        finally:
            os.close(fd)

    def link(self, path: str) -> str:
        """Do as `ProcFs.link`."""
        folder, _, name = path.rpartition("/")
        with _copied(path), self._in(folder) as at:
            return os.readlink(name, dir_fd=at)

    def listdir(self, path: str) -> list[str]:
        """Do as `ProcFs.listdir`."""
        with _copied(path), self._in(path) as at:
            return os.listdir(at)

    def links(self, folder: str) -> Links:
        """Do as `ProcFs.links`."""
        with _copied(folder), self._in(folder) as at:
            return _links(at)

    def heads(self, folder: str, names: Sequence[str]) -> list[bytes | None]:
        """Do as `ProcFs.heads`."""
        with _copied(folder), self._in(folder) as at:
            return [_head(at, name) if _is_regular(at, name) else None for name in names]

    @contextmanager
    def _in(self, folder: str) -> Iterator[int]:
        fd = os.open(".", _FOLDER_FLAGS, dir_fd=self._folder)
        try:
            for name in filter(None, folder.split("/")):
                inner = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)


class MemoryFs(ProcFs):
    """A tree of `entries`: bytes are the content of a file, str is where a link leads."""

    copied = True

    def __init__(self, entries: Mapping[str, Entry], root: Path) -> None:
        super().__init__(root)
        self._entries = entries if isinstance(entries, Tree) else Tree(entries)
        self._folders = self._entries.folders()

    def is_live(self) -> bool:
        """Do as `ProcFs.is_live`."""
        return False

    def read(self, path: str) -> bytes:
        """Do as `ProcFs.read`."""
        entry = self._entries.get(path)
        if not isinstance(entry, bytes):
            raise _missing(path)
        return entry

    def link(self, path: str) -> str:
        """Do as `ProcFs.link`."""
        entry = self._entries.get(path)
        if not isinstance(entry, str):
            raise _missing(path)
        return entry

    def listdir(self, path: str) -> list[str]:
        """Do as `ProcFs.listdir`."""
        return list(self._folder(path))

    def links(self, folder: str) -> Links:
        """Do as `ProcFs.links`."""
        entries = self._folder(folder)
        found = {name: target for name, target in entries.items() if isinstance(target, str)}
        return Links(list(found), list(found.values()), others=len(entries) - len(found))

    def heads(self, folder: str, names: Sequence[str]) -> list[bytes | None]:
        """Do as `ProcFs.heads`."""
        entries = map(self._folders.get(folder, {}).get, names)
        return [entry if isinstance(entry, bytes) else None for entry in entries]

    def forget(self, names: Collection[str]) -> None:
        """Do as `ProcFs.forget`."""
        self._entries.empty(names)

    def _folder(self, path: str) -> Folder:
        found = self._folders.get(path)
        if found is None:
            raise _missing(path)
        return found


class Overlaid(ProcFs):
    """The dump `inner`, and what it lacks as `more` has it."""

    copied = True

    def __init__(self, inner: ProcFs, more: ProcFs) -> None:
        super().__init__(inner.root)
        self._inner, self._more = inner, more

    def is_live(self) -> bool:
        """Do as `ProcFs.is_live`."""
        return False

    def read(self, path: str) -> bytes:
        """Do as `ProcFs.read`."""
        try:
            return self._inner.read(path)
        except NotCopiedError:
            return self._more.read(path)

    def link(self, path: str) -> str:
        """Do as `ProcFs.link`."""
        try:
            return self._inner.link(path)
        except NotCopiedError:
            return self._more.link(path)

    def listdir(self, path: str) -> list[str]:
        """Do as `ProcFs.listdir`."""
        try:
            first = self._inner.listdir(path)
        except NotCopiedError:
            return self._more.listdir(path)
        try:
            return list(dict.fromkeys([*first, *self._more.listdir(path)]))
        except NotCopiedError:
            return first

    def links(self, folder: str) -> Links:
        """Do as `ProcFs.links`; of a folder that both have, as `inner` has it."""
        try:
            return self._inner.links(folder)
        except NotCopiedError:
            return self._more.links(folder)

    def heads(self, folder: str, names: Sequence[str]) -> list[bytes | None]:
        """Do as `ProcFs.heads`."""
        try:
            return self._inner.heads(folder, names)
        except NotCopiedError:
            return self._more.heads(folder, names)


def _missing(path: str) -> OSError:
    return NotCopiedError(errno.ENOENT, os.strerror(errno.ENOENT), path)


@contextmanager
def _copied(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None


def _text(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_CHUNK)
    except OSError:
        return None


def _is_regular(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _content(fd: int, path: str, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := os.read(fd, _CHUNK):
        parts.append(part)
        size += len(part)
        if size > most:
            raise BadInputError(f"{path}: larger than {most >> 20} MiB: not a file of /proc")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _links(fd: int) -> Links:
    names: list[str] = []
    targets: list[str] = []
    refused = others = 0
    for name in os.listdir(fd):
        try:
            target = os.readlink(name, dir_fd=fd)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                others += error.errno == errno.EINVAL
                if not vanished(error) and error.errno != errno.EINVAL:
                    refused = refused or error.errno or errno.EACCES
                continue
            target = ""
        names.append(name)
        targets.append(target)
    return Links(names, targets, refused, others)


def _head(folder: int, name: str) -> bytes | None:
    try:
        fd = os.open(name, _FILE_FLAGS, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.read(fd, _HEAD)
    except OSError:
        return None
    finally:
        os.close(fd)
