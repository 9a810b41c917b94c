"""The stream that `procdump.sh` writes: parts of text, and archives of links between them.

::

    # dump of /proc: a stream of cranalyze
    ### facts
    format 1
    kernel 6.12.0
    ### files
    12/stat:12 (sh) S 1 ...
    12/status:Name:	sh
    ### links
    (a tar archive, then zeros)
    ### looked
    12/fd/0:2190 88 0 0 29
    ### peers [4026531840]
    (standard input):u_str ESTAB 0 0 * 17 * 18
    ### identities
    FILES 12 0
    ### said
    tar: 12/fd: Cannot open: Permission denied
    ### end
    ended_at 2026-11-26T18:00:00Z

A line of files is ``PATH:LINE``, as `grep -H ''` prints it; a path of /proc has no colon, and
nothing that a process can choose. `looked` is what stat(1) says of what links lead to: mode, major
and minor in hexadecimal, size, device. `peers` is what ss(8) printed of a network namespace, where
names may have newlines in them: `grep -H ''` puts its own words before each line. What tools said
of what they could not read is in `said`.
"""

from __future__ import annotations

import errno
import lzma
import os
import re
import stat
import zlib
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.procfs import facts, identity, looked, peers, refusals, tarball
from analyzer.procfs.contents import CutShortError
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.procfs.contents import Contents

MAGIC: Final = b"# dump of /proc: a stream of cranalyze\n"

_PART: Final = b"### "
_CHUNK: Final = 1 << 18
_MOST_HEAD: Final = 1 << 12
_CODES: Final = {
    b"Permission denied": errno.EACCES,
    b"Operation not permitted": errno.EPERM,
    b"No such file or directory": errno.ENOENT,
    b"No such process": errno.ESRCH,
    b"Invalid argument": errno.EINVAL,
    b"File name too long": errno.ENAMETOOLONG,
}
_SAID: Final = re.compile(
    rb"^[\w-]+: ([0-9][\w./-]*): (?:[\w ]+: )*(" + b"|".join(_CODES) + rb")$", re.MULTILINE
)
_LOOK: Final = re.compile(
    rb"^([0-9]+/[\w/]+):([0-9a-f]{1,8} [0-9a-f]{1,8} [0-9a-f]{1,8} [0-9]{1,19} [0-9]{1,19})$",
    re.MULTILINE,
)  # fmt: skip
_OF_FILE: Final = re.compile(rb"^([^:\n]+):(.*(?:\n\1:.*)*)\n", re.MULTILINE)
_SPACE: Final = re.compile(r"\[[0-9]{1,10}\]", re.ASCII)
_OF_LINKS: Final = ("fd", "ns")


def fill(
    contents: Contents,
    stream: tarball.Readable,
    where: str,
    limit: Callable[[], int] = lambda: tarball.MAX_TOTAL,
) -> None:
    """Add what a stream has to `contents`; errors as `tarball.fill`."""
    source = _Source(stream, where, limit)
    refused: refusals.Refusals = {}
    told: dict[str, list[bytes]] = {facts.PATH: [], identity.PATH: []}
    try:
        _parts(contents, source, told, refused)
    finally:
        contents.entries.update({path: b"".join(parts) for path, parts in told.items() if parts})
        if refused:
            contents.entries[refusals.PATH] = refusals.text(refused).encode()


def _parts(
    contents: Contents,
    source: _Source,
    told: dict[str, list[bytes]],
    refused: refusals.Refusals,
) -> None:
    source.line()
    while True:
        name, _, detail = source.line().removeprefix(_PART).partition(b" ")
        if name == b"links":
            try:
                source.back(tarball.fill(contents, source, source.where, source.limit))
            except CutShortError as error:  # the bytes that it counts are those of one part
                raise source.cut("cut short or damaged") from error
            source.skip_zeros()
        elif name in _PARTS:
            _PARTS[name](contents, source, decode(detail))
        elif name == b"facts":
            told[facts.PATH].append(source.body())
        elif name == b"identities":
            told[identity.PATH].append(source.body())
        elif name == b"said":
            _said(contents, source.body(), refused)
        elif name == b"end":
            told[facts.PATH].append(_end(source))
            contents.entries[facts.COMPLETE] = b""
            return
        else:
            raise source.cut("damaged")


def _end(source: _Source) -> bytes:
    """Return the last facts; what a terminal or another program adds after them is none."""
    rest = source.body(last=True)
    if MAGIC in rest:
        raise BadInputError(f"{source.where}: two dumps in one: cut it where the second one begins")
    return rest.partition(b"\n")[0] + b"\n"


def _files(contents: Contents, source: _Source, prefix: str) -> None:
    found: dict[str, list[bytes]] = {}
    last, whole = b"", False
    texts: list[bytes] = []
    try:
        for block in source.blocks():
            for match in _OF_FILE.finditer(block):
                name, lines = match.groups()
                if name != last:
                    last, texts = name, []
                    found[decode(name)] = texts
                texts.append(lines.replace(b"\n%b:" % name, b"\n"))
        whole = True
    finally:
        if not whole and found:
            found.popitem()  # of the last one there may be more
        for file, body in found.items():
            data = b"\n".join([*body, b""])
            first = contents.entries.get(file) if prefix else None  # read again, it is often equal
            contents.entries.setdefault(prefix + file, first if first == data else data)


def _looked(contents: Contents, source: _Source, _: str) -> None:
    known: dict[bytes, bytes] = {}  # most links lead to what is as others are
    for block in source.blocks():
        for match in _LOOK.finditer(block):  # the line of one that was killed may be cut
            name, told = match.groups()
            if told not in known:
                known[told] = _look(told)
            contents.entries[looked.kept(decode(name))] = known[told]


def _look(told: bytes) -> bytes:
    mode, major, minor, size, dev = told.split()
    device = os.makedev(int(major, 16), int(minor, 16))
    return b"%d %d %b %b -1" % (stat.S_IFMT(int(mode, 16)), device, size, dev)


def _peers(contents: Contents, source: _Source, space: str) -> None:
    lines = [line.partition(b":")[2] for line in source.lines()]
    if lines and _SPACE.fullmatch(space):
        contents.entries[peers.kept(space.strip("[]"), "ss")] = b"\n".join([*lines, b""])


_PARTS: Final[Mapping[bytes, Callable[[Contents, _Source, str], None]]] = {
    b"files": _files, b"looked": _looked, b"peers": _peers,
}  # fmt: skip


def _said(contents: Contents, text: bytes, refused: refusals.Refusals) -> None:
    for match in _SAID.finditer(text):
        path, code = decode(match[1]), _CODES[match[2]]
        folder, _, _ = path.rpartition("/")
        if code == errno.ENAMETOOLONG:
            contents.entries[path] = ""
        elif folder.endswith(_OF_LINKS) and code in {errno.EACCES, errno.EPERM}:
            refused[refusals.LINK, folder] = code
        else:
            refused[refusals.OPEN, path] = code


class _Source:
    """Lines, and bytes, of a stream."""

    def __init__(self, stream: tarball.Readable, where: str, limit: Callable[[], int]) -> None:
        self.where = where
        self.limit = limit
        self._stream = stream
        self._buffer = b""
        self._at = 0  # how much of it was given away: to cut it each time would copy it
        self._count = 0

    def cut(self, how: str) -> CutShortError:
        at = self._count - len(self._buffer) + self._at
        return CutShortError(f"{self.where}: the stream is {how} after {at:,} bytes")

    def read(self, size: int, /) -> bytes:
        """Return what there is, `size` bytes at most."""
        if self._at == len(self._buffer):
            self._settle()
            self._more()
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def back(self, data: bytes) -> None:
        """Take back the last that was read."""
        self._at -= len(data)

    def _settle(self) -> None:
        self._buffer, self._at = self._buffer[self._at :], 0

    def _more(self) -> bool:
        try:
            data = self._stream.read(_CHUNK)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            data = b""
        self._count += len(data)
        if self._count > self.limit():
            raise BadInputError(
                f"{self.where}: not a dump of /proc: it unpacks to more than "
                f"{self.limit() >> 20:,} MiB, the limit for it"
            )
        self._buffer += data
        return bool(data)

    def line(self) -> bytes:
        """Return the next line, without its end."""
        self._settle()
        while (at := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _MOST_HEAD or not self._more():
                raise self.cut("cut short")
        line, self._buffer = self._buffer[:at], self._buffer[at + 1 :]
        return line

    def lines(self) -> Iterator[bytes]:
        """Yield the lines up to the next part."""
        for block in self.blocks():
            yield from block.split(b"\n")[:-1]

    def blocks(self) -> Iterator[bytes]:
        """Yield the text up to the next part, some whole lines at a time."""
        self._settle()
        rest = b""
        while True:
            if not self._buffer and not self._more():
                raise self.cut("cut short")
            block, self._buffer = rest + self._buffer, b""
            at = 0 if block.startswith(_PART) else block.find(b"\n" + _PART) + 1
            if at or block.startswith(_PART):
                self._buffer = block[at:]
                yield block[:at]
                return
            # The head of the next part may be cut by the end of the block.
            end = block.rfind(b"\n") + 1
            rest = block[end:]
            yield block[:end]

    def body(self, *, last: bool = False) -> bytes:
        """Return the text up to the next part, or to the end."""
        self._settle()
        if last:
            while self._more():
                pass
            data, self._buffer = self._buffer, b""
            return data
        return b"".join(self.blocks())

    def skip_zeros(self) -> None:
        """Pass over what fills an archive up."""
        self._settle()
        while not self._buffer.lstrip(b"\0"):
            self._buffer = b""
            if not self._more():
                raise self.cut("cut short")
        self._buffer = self._buffer.lstrip(b"\0")
