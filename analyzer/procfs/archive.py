"""Dumps of /proc: a folder, a tar or a zip, a text (`textdump`, `ttar`), a shell's stream.

A file that is no such, or a bundle of files without one, may be what tools printed (`captures`), or
images of CRIU (`checkpoint`).

A dump comes from a stranger. Nothing of it is written to disk, sizes are bounded before they are
believed, and every defect is one line that names the file. What is damaged, or ends too early, is
read as far as it goes, and that is told.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import zipfile
import zlib
from contextlib import suppress
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Final

from analyzer.core import extras
from analyzer.core.errors import BadInputError
from analyzer.procfs import captures, checkpoint, choice, sos, streamed, tarball, textdump, ttar
from analyzer.procfs.contents import Contents, CutShortError, Tree
from analyzer.procfs.fs import MAX_FILE, FolderFs, MemoryFs, Overlaid, ProcFs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

STDIN: Final = "-"

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_INNER: Final = _FLAGS | os.O_DIRECTORY | os.O_NOFOLLOW
_DEPTH: Final = 3  # folders between the one that was named and the processes
_MOST_FOLDERS: Final = 1000
_MOST_ZIP: Final = 256 << 20
_MOST_CAPTURE: Final = 1 << 30  # 1,000,000 files of lsfd -J are 250 MiB
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK: Final = 1 << 20
_DAMAGED: Final = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
_UNPACKERS: Final = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}
# What there is in the folder of a process, of what is looked at.
_OF_PROCESS: Final = frozenset(
    {"stat", "status", "task", "fd", "fdinfo", "ns", "maps", "exe", "mountinfo", "cgroup"}
)
_EMPTY: Final = (
    "all that it has of processes is empty: tar believes /proc, which calls every file 0 bytes "
    "long; make it with the script of `cranalyze procdump --script`"
)


def open_dump(path: Path, opened: int | None = None) -> ProcFs:
    """Open a dump; BadInputError when `path` is none, or cannot be read.

    `opened` is a descriptor of it, where there is one already; it is closed. "-" is stdin.
    """
    standard = str(path) == STDIN
    try:
        if opened is None:
            opened = os.dup(0) if standard else os.open(path, _FLAGS)
        kind = os.fstat(opened).st_mode
        if stat.S_ISDIR(kind):
            return _in_folder(opened, path)
        file: io.BufferedReader = io.BufferedReader(io.FileIO(opened), _CHUNK)
        with file:
            if not stat.S_ISREG(kind) and not standard:
                raise BadInputError(f"{path}: neither a file nor a folder")
            where = choice.STDIN if standard else str(path)
            return _found(_contents(file, where), path, where)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise BadInputError(f"{path}: cannot read the dump: {why}") from error


def _contents(file: io.BufferedReader, where: str) -> Contents:
    contents = Contents()
    with suppress(CutShortError):
        try:
            _fill(contents, file, where)
        except CutShortError as error:
            contents.cut = str(error).removeprefix(f"{where}: ")
    return contents


def _fill(contents: Contents, file: io.BufferedReader, where: str) -> None:
    magic = file.peek(captures.HEAD)
    if not magic:
        raise BadInputError(f"{where}: not a dump of /proc: it is empty")
    if magic.startswith(streamed.MAGIC):
        streamed.fill(contents, file, where)
    elif magic.startswith(textdump.MAGIC):
        contents.entries = Tree(textdump.unpack(_text(contents, file, where), where))
    elif magic.startswith(ttar.MAGIC):
        contents.entries = Tree(ttar.unpack(_text(contents, file, where), where))
    elif _is_capture(magic):
        captures.fill(contents, [("", _text(contents, file, where, _MOST_CAPTURE))])
    elif magic.startswith(_ZIP):
        _unzip(contents, file, where)
    else:
        _untar(contents, file, magic, where)


def _is_capture(head: bytes) -> bool:
    # The first member of an archive may be one: its text follows the header.
    return not tarball.is_header(head) and captures.recognised(head) is not None


def _text(contents: Contents, stream: tarball.Readable, where: str, limit: int = MAX_FILE) -> bytes:
    """Return the whole of a text, `limit` bytes at most, or as much as can be read of it."""
    parts: list[bytes] = []
    size = 0
    try:
        while part := stream.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise BadInputError(
                    f"{where}: a dump as text is at most {limit >> 20} MiB: refused"
                )
    except _DAMAGED:
        contents.cut = f"the stream is cut short or damaged after {size:,} bytes"
    return b"".join(parts)


class _Counted(io.RawIOBase):
    """A stream that knows how much of it was read: what it may unpack to follows from that."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data

    def most(self) -> int:
        return tarball.most(self.count)


def _untar(contents: Contents, file: io.BufferedReader, magic: bytes, where: str) -> None:
    counted = _Counted(file)
    unpacker = next((u for m, u in _UNPACKERS.items() if magic.startswith(m)), None)
    if unpacker is not None:
        with unpacker(counted) as unpacked:  # type: ignore[operator]
            _inner(contents, unpacked, where, counted.most)
    elif magic.startswith(_ZSTD):
        extras.need(f"{where}: a dump that zstd has compressed", "pyarrow")
        import pyarrow as pa  # slow, and for this format only

        with pa.CompressedInputStream(pa.PythonFile(counted, "r"), "zstd") as unpacked:
            _inner(contents, unpacked, where, counted.most)
    else:
        tarball.fill(contents, file, where, lambda: tarball.MAX_TOTAL)


def _inner(
    contents: Contents, unpacked: tarball.Readable, where: str, most: Callable[[], int]
) -> None:
    buffered = _Ahead(unpacked)
    head = buffered.head(captures.HEAD)
    if head.startswith(streamed.MAGIC):
        streamed.fill(contents, buffered, where, most)
    elif _is_capture(head):
        limit = min(_MOST_CAPTURE, most())
        captures.fill(contents, [("", _text(contents, buffered, where, limit))])
    else:
        tarball.fill(contents, buffered, where, most)


class _Ahead:
    """A stream of which the start was looked at.

    What comes before damage is not lost: Python's own unpackers return it by `read1`. What comes
    after is not read: pyarrow's returns memory in which nothing was unpacked.
    """

    def __init__(self, stream: tarball.Readable) -> None:
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self._head = b""
        self._damage: Exception | None = None

    def head(self, size: int) -> bytes:
        with suppress(*_DAMAGED):
            while len(self._head) < size and (more := self._next(size - len(self._head))):
                self._head += more
        return self._head

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._next(size)
        data, self._head = self._head[:size], self._head[size:]
        return data

    def _next(self, size: int) -> bytes:
        if self._damage is not None:
            raise self._damage
        try:
            return self._read(size)
        except _DAMAGED as error:
            self._damage = error
            raise


def _unzip(contents: Contents, file: io.BufferedReader, where: str) -> None:
    whole: IO[bytes] = file
    if not file.seekable():
        whole = io.BytesIO(file.read(_MOST_ZIP))
    size = whole.seek(0, os.SEEK_END)
    whole.seek(0)
    limit, total = tarball.most(size), 0
    try:
        with zipfile.ZipFile(whole) as archive:
            for info in archive.infolist():
                name = "/".join(part for part in info.filename.split("/") if part not in {"", "."})
                if info.is_dir():
                    contents.entries.folder(name)
                    continue
                if choice.is_archive(name):
                    contents.archives.append(name)
                    continue
                if not tarball.is_of_use(name):
                    continue
                with archive.open(info) as member:
                    data = member.read(tarball.MAX_CONTENT + 1)
                total += len(data)
                if total > limit:
                    raise BadInputError(
                        f"{where}: not a dump of /proc: it unpacks to more than "
                        f"{limit >> 20:,} MiB, the limit for it"
                    )
                link = stat.S_ISLNK(info.external_attr >> 16)
                contents.entries[name] = os.fsdecode(data) if link else data
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise CutShortError(f"{where}: the archive is damaged: {error}") from error


def _found(contents: Contents, path: Path, where: str) -> ProcFs:
    """Find the folder that the processes are in: a bundle may have it anywhere."""
    if images := checkpoint.roots(contents.entries):
        return _restored(contents, choice.one_of(images, where, packed=True), path, where)
    reports = sos.roots(contents.entries.folders())
    roots = _roots(contents.entries)
    if reports:
        report = choice.one_of(reports, where, packed=True)
        files = _files(contents.entries.below("/".join(report)), sos.is_capture)
        root = (*report, sos.PROC)
    elif roots:
        files, root = [], choice.one_of(roots, where, packed=True)
        contents.notes += choice.passed_over(roots, root)
    else:
        files, root = _files(contents.entries, lambda _: True), ()
        contents.entries = Tree()
    contents.entries = contents.entries.below("/".join(root))
    captures.fill(contents, files)
    return _not_empty(_in_memory(contents, path.joinpath(*root), where), where)


def _restored(contents: Contents, root: tuple[str, ...], path: Path, where: str) -> ProcFs:
    """Return what images of CRIU say, as a dump."""
    images = contents.entries.below("/".join(root))
    contents.entries = Tree()

    def read(name: str) -> bytes | None:
        image = images.get(name)
        return image if isinstance(image, bytes) else None

    checkpoint.fill(contents, read)
    return _in_memory(contents, path.joinpath(*root), where)


def _files(
    entries: Mapping[str, bytes | str], wanted: Callable[[str], bool]
) -> list[tuple[str, bytes]]:
    return [(n, e) for n, e in sorted(entries.items()) if isinstance(e, bytes) and wanted(n)]


def _in_memory(contents: Contents, path: Path, where: str, *, packed: bool = True) -> ProcFs:
    if contents.machines:
        raise choice.several(sorted(contents.machines), where, packed=packed)
    fs = MemoryFs(contents.entries, path)
    if not any(map(_is_process, fs.listdir(""))):
        said = choice.nothing(where, contents.archives, packed=packed)
        raise BadInputError(f"{said} ({contents.cut})") if contents.cut else said
    fs.cut, fs.skipped = contents.cut, contents.skipped
    fs.captures, fs.damaged, fs.notes = contents.captures, contents.damaged, contents.notes
    return fs


def _roots(tree: Tree) -> set[tuple[str, ...]]:
    """Return the folders that processes are in."""
    found = set()
    for path, names in tree.folders().items():
        *above, name = path.split("/")
        if _is_process(name) and not _OF_PROCESS.isdisjoint(names) and not _of_process(above):
            found.add(tuple(above))
    return found


def _of_process(parts: Sequence[str]) -> bool:
    """Tell whether a folder is within that of a process."""
    return any(_is_process(one) and after in _OF_PROCESS for one, after in pairwise(parts))


def _in_folder(folder: int, path: Path) -> ProcFs:
    """Find the processes in a folder, or some levels down; or what tools printed of them."""
    outer = FolderFs(folder, path)
    levels: list[list[tuple[str, ...]]] = [[()]]
    for _ in range(_DEPTH + 1):
        reports = {parts for parts in levels[-1] if sos.COMMANDS in _folders(outer, parts)}
        images = {parts for parts in levels[-1] if checkpoint.TREE in _folders(outer, parts)}
        if images:
            return _images(outer, choice.one_of(images, str(path), packed=False), path)
        if reports:
            return _report(folder, path, choice.one_of(reports, str(path), packed=False))
        found = {parts for parts in levels[-1] if _has_process(outer, parts)}
        if found:
            root = choice.one_of(found, str(path), packed=False)
            fs = FolderFs(_opened(folder, root), path.joinpath(*root)) if root else outer
            return _not_empty(fs, str(path))
        level = [(*parts, name) for parts in levels[-1] for name in _folders(outer, parts)]
        levels.append(level[:_MOST_FOLDERS])
    contents = Contents()
    some = [parts for level in levels[:_DEPTH] for parts in level]
    captures.fill(contents, _captured(contents, outer, some, lambda _: True))
    contents.archives = ["/".join(parts) for parts in some if choice.is_archive("/".join(parts))]
    return _in_memory(contents, path, str(path), packed=False)


def _images(outer: FolderFs, root: tuple[str, ...], path: Path) -> ProcFs:
    """Return the images of CRIU in a folder as a dump."""
    contents = Contents()

    def read(name: str) -> bytes | None:
        try:
            return outer.read("/".join((*root, name)))
        except BadInputError as error:
            contents.damaged.append(error)
        except OSError:
            pass
        return None

    checkpoint.fill(contents, read)
    return _in_memory(contents, path.joinpath(*root), str(path))


def _report(folder: int, path: Path, root: tuple[str, ...]) -> ProcFs:
    """Return a sos report as a dump: its copy of /proc, and what its captures add to that."""
    outer = FolderFs(_opened(folder, root), path.joinpath(*root))
    contents = Contents()
    plugins = [(sos.COMMANDS, name) for name in _folders(outer, (sos.COMMANDS,))]
    captures.fill(contents, _captured(contents, outer, plugins, sos.is_capture))
    told = MemoryFs(contents.entries, outer.root)
    try:
        proc = FolderFs(_opened(folder, (*root, sos.PROC)), outer.root / sos.PROC)
    except OSError:
        return _in_memory(contents, outer.root, str(path))
    fs = Overlaid(proc, told)
    fs.captures, fs.damaged = contents.captures, contents.damaged
    return fs


def _captured(
    contents: Contents,
    outer: FolderFs,
    folders: Iterable[tuple[str, ...]],
    wanted: Callable[[str], bool],
) -> Iterator[tuple[str, bytes]]:
    """Yield the captures in some folders, with their names."""
    for parts in folders:
        folder = "/".join(parts)
        names = _folders(outer, parts)
        with suppress(OSError):
            for name, head in zip(names, outer.heads(folder, names), strict=True):
                inner = "/".join((*parts, name))
                if head and wanted(inner) and captures.recognised(head):
                    try:
                        yield inner, outer.text(inner, _MOST_CAPTURE)
                    except BadInputError as error:
                        contents.damaged.append(error)


def _opened(folder: int, parts: Iterable[str]) -> int:
    fd = os.dup(folder)
    for part in parts:
        inner = os.open(part, _INNER, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd


def _has_process(fs: FolderFs, parts: tuple[str, ...]) -> bool:
    folder = "/".join(parts)
    try:
        names = [name for name in fs.listdir(folder) if _is_process(name)]
    except OSError:
        return False
    for name in names:
        with suppress(OSError):
            if not _OF_PROCESS.isdisjoint(fs.listdir(f"{folder}/{name}")):
                return True
    return False


def _folders(fs: FolderFs, parts: tuple[str, ...]) -> list[str]:
    with suppress(OSError):
        return sorted(name for name in fs.listdir("/".join(parts)) if not name.startswith("."))
    return []


def _is_process(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _not_empty(fs: ProcFs, where: str) -> ProcFs:
    """Return `fs`; BadInputError where all that it has of processes are empty files."""
    seen = False
    for pid in filter(_is_process, fs.listdir("")):
        with suppress(OSError):
            for head in fs.heads(pid, ("stat", "status")):
                if head:
                    return fs
                seen = seen or head is not None
    if seen:
        raise BadInputError(f"{where}: {_EMPTY}")
    return fs
