"""Dumps of /proc: a folder, a tar (plain, gzip or zstd), or a text (`textdump`).

A dump comes from a stranger. Nothing of it is written to disk, sizes are bounded before they are
believed, and every defect is one line that names the file.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

from analyzer.core import extras
from analyzer.core.errors import BadInputError
from analyzer.procfs import tarball, textdump
from analyzer.procfs.fs import MAX_FILE, FolderFs, MemoryFs, ProcFs

if TYPE_CHECKING:
    from pathlib import Path

Entries = dict[str, bytes | str]

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def open_dump(path: Path, opened: int | None = None) -> ProcFs:
    """Open a dump; BadInputError when `path` is none, or cannot be read.

    `opened` is a descriptor of it, where there is one already; it is closed.
    """
    try:
        fd = os.open(path, _FLAGS) if opened is None else opened
        kind = os.fstat(fd).st_mode
        if stat.S_ISDIR(kind):
            return _in_folder(fd, path)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(kind):
                raise BadInputError(f"{path}: neither a file nor a folder")
            return _in_entries(_entries(file, path), path)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise BadInputError(f"{path}: cannot read the dump: {why}") from error


def _entries(file: IO[bytes], path: Path) -> Entries:
    magic = file.read(len(textdump.MAGIC))
    file.seek(0)
    if magic == textdump.MAGIC:
        data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise BadInputError(f"{path}: a dump as text is at most {MAX_FILE >> 20} MiB: refused")
        return textdump.unpack(data, str(path))
    most = tarball.most(os.fstat(file.fileno()).st_size)
    if magic.startswith(_GZIP):
        with gzip.open(file) as unpacked:
            return dict(tarball.read(unpacked, str(path), most))
    if magic.startswith(_ZSTD):
        extras.need(f"{path}: a dump that zstd has compressed", "pyarrow")
        import pyarrow as pa  # slow, and for this format only

        with pa.CompressedInputStream(pa.PythonFile(file), "zstd") as stream:
            return dict(tarball.read(stream, str(path), most))
    return dict(tarball.read(file, str(path), most))


def _in_entries(entries: Entries, path: Path) -> ProcFs:
    """Find the folder that the processes are in: a bundle may have it anywhere."""
    stats = [name.split("/") for name in entries if name.endswith("/stat")]
    roots = [parts[:-2] for parts in stats if _is_process(parts[-2])]
    if not roots:
        raise _no_process(path)
    root = min(roots, key=lambda parts: (len(parts), parts))
    prefix = "".join(f"{part}/" for part in root)
    inner = {n.removeprefix(prefix): e for n, e in entries.items() if n.startswith(prefix)}
    return MemoryFs(inner, path.joinpath(*root))


def _in_folder(folder: int, path: Path) -> ProcFs:
    outer = FolderFs(folder, path)
    if any(map(_is_process, outer.listdir(""))):
        return outer
    with suppress(OSError):
        inner = FolderFs(
            os.open("proc", _FLAGS | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder), path / "proc"
        )
        if any(map(_is_process, inner.listdir(""))):
            return inner
    raise _no_process(path)


def _is_process(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _no_process(path: Path) -> BadInputError:
    return BadInputError(f"{path}: not a dump of /proc: it has no process")
