"""What a command that looks into strangers' files may do: read what was opened, hand over results.

Such a command opens what it reads, starts the one that writes, and then gives up all privileges,
before it looks into anything. Who runs it as root loses nothing: the file is written, and given its
owner, by a process that has not looked at it, and that knows where to (`to_file`, `to_tree`).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import sys
from typing import IO, TYPE_CHECKING, Final, Self

from analyzer.cli.output import note
from analyzer.core.errors import BadInputError, CranalyzeError, NotPermittedError
from analyzer.core.files import uninterrupted, write_all, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from analyzer.snapshot.value import Snapshot

    Deliver = Callable[[Iterable[tuple[str, bytes]]], list[str]]

OURS: Final = {"process": False}
"""Whether the process is ours, and not one that calls `main`: only then may it lose anything."""

_HEAD: Final = struct.Struct("=qq")  # the lengths of a name and of a content; of the end: -1, -1
_CHUNK: Final = 1 << 20


def unprivileged() -> None:
    """Give up every capability, for good, and stay who we are: before there are other threads."""
    if not OURS["process"]:
        return
    from analyzer.memory import capability

    try:
        capability.drop((), lambda: True)
    except (OSError, NotPermittedError) as error:
        note(f"cranalyze: privileges could not be given up: {error}")


def to_file(path: str | None, *, force: bool) -> Deliver:
    """Return what writes one file: `path`, or if that is not known yet, a name in this folder."""

    def deliver(files: Iterable[tuple[str, bytes]]) -> list[str]:
        written = []
        for name, data in files:
            target = path or os.path.basename(name)
            write_file(target, data, force=force)
            written.append(target)
        return written

    return deliver


def to_tree(folder: str, *, force: bool) -> Deliver:
    """Return what writes files into `folder`, all or none (see `analyzer.writers.folder`)."""

    def deliver(files: Iterable[tuple[str, bytes]]) -> list[str]:
        from analyzer.writers.folder import write

        return write(folder, ((_inner(name), data) for name, data in files), force=force)

    return deliver


def _inner(name: str) -> str:
    if name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
        raise BadInputError("a file outside of the folder to write to: refused")
    return name


class Desk:
    """Inputs that are open, and a way to write; within the block privileges are given up."""

    def __init__(
        self, inputs: Iterable[str], deliver: Deliver | None = None, *, foreign: bool = True
    ) -> None:
        self._foreign = foreign  # whether a stranger's files are looked into
        self._deliver = deliver
        self.inputs = dict.fromkeys(inputs)
        self._opened: dict[str, IO[bytes] | int | CranalyzeError] = {}
        self._writer: _Writer | None = None

    def __enter__(self) -> Self:
        if not (OURS["process"] and self._foreign):
            return self
        from analyzer.memory import capability

        if not capability.effective():
            return self
        with contextlib.suppress(OSError, ValueError):
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._opened = {name: _opened(name) for name in self.inputs}
        self._writer = None if self._deliver is None else _Writer(self._deliver)
        try:
            capability.surrender(_needed(self.inputs))
        except (OSError, NotPermittedError) as error:
            note(f"cranalyze: privileges could not be given up: {error}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        for file in self._opened.values():
            if isinstance(file, int):
                with contextlib.suppress(OSError):  # who reads a folder closes it
                    os.close(file)
            elif not isinstance(file, CranalyzeError) and file.fileno():
                file.close()

    def load(self, name: str) -> Snapshot:
        """Return the snapshot in the file `name`; raises BadInputError as `crz.load`."""
        from analyzer.snapshot import crz

        file = self._opened.get(name)
        if isinstance(file, CranalyzeError):
            raise file
        if file is None or isinstance(file, int) or name == "-":
            return crz.load(name)
        file.seek(0)  # perhaps it was read before
        return crz.load(name, os.fdopen(os.dup(file.fileno()), "rb"))

    def dump(self, name: str) -> int | None:
        """Return the descriptor of the dump `name`, None where it is still to be opened."""
        file = self._opened.pop(name, None)
        if isinstance(file, CranalyzeError):
            raise file
        if file is None or isinstance(file, int):
            return file
        with file:
            return os.dup(file.fileno())

    def deliver(self, files: Iterable[tuple[str, bytes]]) -> list[str]:
        """Write files and return their paths; raises BadInputError, and then none is there."""
        if self._writer is not None:
            return self._writer.deliver(files)
        return [] if self._deliver is None else self._deliver(files)


def _opened(name: str) -> IO[bytes] | int | CranalyzeError:
    from analyzer.snapshot import crz

    try:
        if name != "-" and os.path.isdir(name):
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return crz.open_input(name)
    except CranalyzeError as error:
        return error
    except OSError as error:
        return BadInputError(f"cannot read {name}: {error.strerror}")


def _needed(inputs: Iterable[str]) -> list[str]:
    """Return what is read later: the rest of the program, and the folders among the inputs."""
    import glob

    folders = [name for name in inputs if name != "-" and os.path.isdir(name)]
    first = [path for name in folders for path in sorted(glob.glob(f"{name}/[0-9]*/stat"))[:1]]
    # With -m the folder that we are in is in the path, too; the program is elsewhere, or __file__.
    program = [path for path in sys.path if os.path.exists(path) and path != os.getcwd()]
    return [__file__, *program, *folders, *first]


class _Writer:
    """A process of ours that keeps its privileges and does nothing but write what it is handed.

    It ends with us, whatever ends us; what was not handed over to the end is not there.
    """

    def __init__(self, deliver: Deliver) -> None:
        inward, self._out = os.pipe()
        self._in, outward = os.pipe()
        with uninterrupted():
            self._pid = os.fork()
            if not self._pid:
                self.close = lambda: None  # type: ignore[method-assign]
                os.close(self._out)
                os.close(self._in)
                _serve(deliver, inward, outward)
        os.close(inward)
        os.close(outward)

    def deliver(self, files: Iterable[tuple[str, bytes]]) -> list[str]:
        with contextlib.suppress(BrokenPipeError):  # it says why
            for name, data in files:
                encoded = os.fsencode(name)
                write_all(self._out, _HEAD.pack(len(encoded), len(data)) + encoded)
                write_all(self._out, data)
            write_all(self._out, _HEAD.pack(-1, -1))
        with open(self._in, "rb", closefd=False) as answer:
            said = json.loads(answer.read() or b'{"error": "the process that writes has ended"}')
        if "error" in said:
            raise BadInputError(said["error"])
        return list(said["paths"])

    def close(self) -> None:
        with uninterrupted():
            os.close(self._out)
            os.close(self._in)
            os.waitpid(self._pid, 0)


class _AbandonedError(BaseException):
    """Nobody is there any more to say that it was all."""


def _serve(deliver: Deliver, inward: int, outward: int) -> None:
    """Write what arrives, with the signals that end a run held off, and end the process."""
    try:
        try:
            said: dict[str, object] = {"paths": deliver(_received(inward))}
        except CranalyzeError as error:
            said = {"error": str(error)}
        os.close(inward)  # before the answer: who hands over more is not to wait for us
        write_all(outward, json.dumps(said).encode())
    finally:
        os._exit(0)


def _received(fd: int) -> Iterator[tuple[str, bytes]]:
    while True:
        name, data = _HEAD.unpack(_exactly(fd, _HEAD.size))
        if name < 0:
            return
        yield os.fsdecode(_exactly(fd, name)), _exactly(fd, data)


def _exactly(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(fd, min(size, _CHUNK))
        if not part:
            raise _AbandonedError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
