"""Tar archives of small files and symbolic links, read as a stream without trust.

Formats: ustar, GNU (long names as members of type L and K) and pax (types x and g), which is all
that GNU tar, BusyBox and Python write. Python's own reader believes the size of a header before it
has seen the data, and takes 30 us a member; a dump has 100,000 of them.

What is of no use in a dump (hard links, devices, FIFOs, files with holes, names that lead out of
it, files beyond all that /proc has) is passed over and counted.
"""

from __future__ import annotations

import lzma
import re
import sys
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final, Protocol

from analyzer.core.errors import BadInputError
from analyzer.procfs import checkpoint, choice, sos
from analyzer.procfs.contents import Contents, CutShortError, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_CONTENT: Final = 64 << 20  # of one file
MAX_NAME: Final = 1 << 16  # of an extended header; a path or a link is at most 4 KiB
MAX_TOTAL: Final = 4 << 30  # of all; 1,000,000 descriptors make about 1.5 GiB
_LEAST_TOTAL: Final = 64 << 20
_RATIO: Final = 256  # zstd makes 60 of a dump of 20,000 processes that are all alike

_BLOCK: Final = 512
_BLANK_SUM: Final = 8 * ord(" ")  # the checksum is made with its own field blank
_PRIME: Final = 65521  # of Adler-32, RFC 1950
_SUM: Final = slice(148, 156)
_FILE: Final = (b"0", b"\0", b"7")
_NAMES: Final = (b"L", b"K", b"x", b"g")
_FOLDER: Final = b"5"
_SYMLINK: Final = b"2"
_SPARSE: Final = b"S"
_SKIPPED: Final = {
    b"1": "hard link",
    b"3": "device",
    b"4": "device",
    b"6": "FIFO",
    _SPARSE: "file with holes",
}
_LEADS_OUT: Final = "name that leads out of it"
_HUGE: Final = f"file of more than {MAX_CONTENT >> 20} MiB"
_OTHER: Final = "other member"
SEVERAL: Final = {
    **{one: f"{one}s" for one in (*_SKIPPED.values(), _OTHER)},
    _SKIPPED[_SPARSE]: "files with holes",
    _LEADS_OUT: "names that lead out of it",
    _HUGE: _HUGE.replace("file", "files"),
}
"""What members are called that are passed over, where there are several of a sort."""

_PART: Final = 1 << 20
_PLAIN: Final = re.compile(rb"\w+(?:/\w+)*")
_SHORT: Final = 100  # bytes of a name that fit into a header
_AHEAD: Final = 1 << 14  # of what a damaged stream ends in not more is lost
_MOST_LINKS: Final = 1 << 14
# Name, mode, uid, gid, size, mtime, sum, type, where a link leads.
_HEADER: Final = (
    b"%b0000600\0" + b"0000000\0" * 2 + b"%011o\0" + b"%011o\0" % 0 + b"%b%b%bustar  \0"
)
_DEEPEST: Final = 64  # folders of a name, each of which takes memory
# Folder and name, size, sum, type, where a link leads; and no prefix of the name.
_USUAL: Final = re.compile(
    rb"(?=[\w/]{1,99}\0)(?=((?:\w+/)*)(\w+)\0)(?=.{345}\0)"
    rb".{124}([0-7]{11})[\0 ].{12}([0-7]{6})[\0 ]{2}([02])([^\0]{0,99})\0", re.DOTALL
)  # fmt: skip


@dataclass
class _Extended:
    """What an extended header says of the next member."""

    known: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, kind: bytes, data: bytes) -> None:
        if kind in {b"L", b"K"}:
            self.known[b"path" if kind == b"L" else b"linkpath"] = data.rstrip(b"\0")
        elif kind == b"x":
            self.known.update(_records(data))


class Readable(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


class _Stream:
    """Reads blocks of `stream`, `most` bytes at most, and somewhat ahead."""

    def __init__(self, stream: Readable, where: str, most: Callable[[], int]) -> None:
        self._stream = stream
        self._most = most
        self._where = where
        self._read = 0
        self._buffer = b""
        self._at = 0  # how much of it was taken

    def error(self, what: str) -> BadInputError:
        return BadInputError(f"{self._where}: not a dump of /proc: {what}")

    def take(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        if self._at + size > len(self._buffer):
            self._have(size)
        start = self._at
        self._at += size
        return self._buffer[start : self._at]

    def _have(self, size: int) -> None:
        """Read on until there are `size` bytes to be taken."""
        parts = [self.rest()]
        have = len(parts[0])
        if self._read - have + size > self._most():
            limit = self._most() >> 20
            raise self.error(f"it unpacks to more than {limit:,} MiB, the limit for it")
        while have < size:
            parts.append(self._some(max(size - have, _AHEAD)))
            if not parts[-1]:
                raise self.cut("cut short")
            have += len(parts[-1])
        self._buffer = b"".join(parts)

    def rest(self) -> bytes:
        """Return what was read ahead, and forget it."""
        rest, self._buffer, self._at = self._buffer[self._at :], b"", 0
        return rest

    def _some(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            # OSError is what gzip and bz2 raise too, and pyarrow for zstd.
            said = " ".join(str(getattr(error, "strerror", None) or error).split())
            raise self.cut(f"cut short or damaged ({said})") from error
        self._read += len(data)
        return data

    def cut(self, how: str) -> CutShortError:
        """Return the error for a stream that ends here."""
        taken = self._read - len(self._buffer) + self._at
        return CutShortError(f"{self._where}: the archive is {how} after {taken:,} bytes")

    def skip(self, size: int) -> None:
        """Pass over the content of a member."""
        left = -(-size // _BLOCK) * _BLOCK
        while left > 0:
            left -= len(self.take(min(left, _PART)))

    def content(self, size: int, limit: int) -> bytes:
        """Return the content of a member of `size` bytes."""
        if size > limit:
            raise self.error(f"it has a member of {size} bytes")
        return self.take(-(-size // _BLOCK) * _BLOCK)[:size]


def most(size: int) -> int:
    """Return the most bytes that an archive of `size` bytes, compressed or not, may unpack to."""
    return min(MAX_TOTAL, _LEAST_TOTAL + _RATIO * size)


def is_of_use(name: str) -> bool:
    """Tell whether a member may be of use.

    Logs of a report are not, memory of a checkpoint, what is in more folders than /proc has.
    """
    deep = name.count("/") > _DEEPEST
    return not deep and sos.is_of_use(name) and not checkpoint.is_memory(name)


def read(
    stream: Readable, where: str, limit: Callable[[], int] | None = None
) -> Iterator[tuple[str, bytes | str]]:
    """Yield name and content (bytes) or target (str) of the files and links of an archive.

    Errors as `fill`.
    """
    contents = Contents()
    fill(contents, stream, where, limit or (lambda: MAX_TOTAL))
    yield from contents.entries.items()


def fill(contents: Contents, stream: Readable, where: str, limit: Callable[[], int]) -> bytes:
    """Add what an archive has to `contents`; `limit` says how much may have been unpacked so far.

    Returns what was read of `stream` beyond its end. CutShortError when it ends too early or is
    damaged, BadInputError when it is none, and for sizes beyond the limits.
    """
    source = _Stream(stream, where, limit)
    usual, extended = _Usual(contents.entries), _Extended()
    started = False
    while (header := source.take(_BLOCK)).strip(b"\0"):
        if extended.known or not usual.add(source, header):
            kind, size = _checked(source, header, started=started)
            if kind in _NAMES:
                extended.add(kind, source.content(size, MAX_NAME))
            else:
                _add(contents, source, header, _size(source, extended, size), extended.known)
                extended.known.clear()
        started = True
    return source.rest()


class _Usual:
    """Adds members that are as nearly all are: a file or a link with a plain and short name."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._path = b""
        self._folder = tree.folder("")  # of the last one: most are in the same
        self._links: dict[bytes, str] = {}

    def add(self, source: _Stream, header: bytes) -> bool:
        """Add the member that a header begins; False where it has to be looked at closely."""
        match = _USUAL.match(header)
        if match is None:
            return False
        path, name, digits, total, kind, link = match.groups()
        size = int(digits, 8)
        if size > MAX_CONTENT or not _is_sum(header, int(total, 8)):
            return False
        entry = source.content(size, MAX_CONTENT) if kind == b"0" else self._link(link)
        if path != self._path:
            self._path, self._folder = path, self._tree.folder(path[:-1].decode())
        self._folder[sys.intern(name.decode())] = entry
        return True

    def _link(self, link: bytes) -> str:
        # Many lead to the same: namespaces, programs, /dev/null.
        text = self._links.get(link)
        if text is None:
            text = _decode(link)
            if len(self._links) < _MOST_LINKS:
                self._links[link] = text
        return text


def _add(
    contents: Contents, source: _Stream, header: bytes, size: int, known: Mapping[bytes, bytes]
) -> None:
    kind = header[156:157]
    name = _clean(known.get(b"path") or _name(header))
    if name is not None and kind in _FILE and choice.is_archive(name):
        contents.archives.append(name)
        source.skip(size)
        return
    why = _LEADS_OUT if name is None else _HUGE if kind in _FILE and size > MAX_CONTENT else ""
    why = why or ("" if kind in {*_FILE, _SYMLINK, _FOLDER} else _SKIPPED.get(kind, _OTHER))
    if why or name is None:
        contents.skipped[why] += 1
        while kind == _SPARSE and header[482 if header[257:262] == b"ustar" else 504]:
            header = source.take(_BLOCK)
        source.skip(size if kind not in b"123456" else 0)
    elif not is_of_use(name):
        source.skip(size if kind in _FILE else 0)
    elif kind in _FILE:
        contents.entries[name] = source.content(size, MAX_CONTENT)
    elif kind == _SYMLINK:
        contents.entries[name] = _decode(known.get(b"linkpath") or _string(header, 157, _SHORT))
    else:
        contents.entries.folder(name)


def _checked(source: _Stream, header: bytes, *, started: bool) -> tuple[bytes, int]:
    if not is_header(header):
        if started:
            raise source.cut("damaged")
        raise source.error("it is no tar archive, or damaged")
    return header[156:157], _number(header[124:136])


def is_header(data: bytes) -> bool:
    """Tell whether bytes begin with the header of a member, by its checksum."""
    header = data[:_BLOCK]
    try:
        expected = int(header[_SUM].strip(b" \0") or b"0", 8)
        _number(header[124:136])
    except (ValueError, IndexError):
        return False
    return len(header) == _BLOCK and _is_sum(header, expected)


def _is_sum(header: bytes, expected: int) -> bool:
    # The lower half of Adler-32 is the sum of the bytes, and one more, modulo _PRIME.
    total = expected - _BLANK_SUM + sum(header[_SUM])
    return zlib.adler32(header) & 0xFFFF == (total + 1) % _PRIME


def _number(digits: bytes) -> int:
    if digits[0] & 0x80:  # GNU: a binary number
        return int.from_bytes(digits, "big") & ~(0x80 << 8 * (len(digits) - 1))
    return int(digits.strip(b" \0") or b"0", 8)


def _size(source: _Stream, extended: _Extended, size: int) -> int:
    told = extended.known.get(b"size")
    if told is None:
        return size
    if not told.isdigit() or len(told) > 12:  # noqa: PLR2004 -- digits of a terabyte
        raise source.error("a member has no sensible size")
    return int(told)


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    # pax: "LENGTH KEY=VALUE\n", the length that of the whole record in decimal.
    while data:
        length, _, _ = data.partition(b" ")
        end = int(length) if length.isdigit() and len(length) < 8 else 0  # noqa: PLR2004
        key, equals, value = data[len(length) + 1 : max(end - 1, 0)].partition(b"=")
        if not equals:
            return
        yield key, value
        data = data[end:]


def _name(header: bytes) -> bytes:
    name = _string(header, 0, _SHORT)
    prefix = _string(header, 345, 155) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _string(header: bytes, start: int, size: int) -> bytes:
    return header[start : start + size].partition(b"\0")[0]


def _clean(name: bytes) -> str | None:
    # `tar -P` leaves the slash at the start: nothing of a dump is written anywhere.
    if _PLAIN.fullmatch(name):  # as nearly all are
        return _decode(name)
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    return None if b".." in parts else _decode(b"/".join(parts))


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def write(entries: Mapping[str, bytes | str], file: IO[bytes]) -> None:
    """Write `entries` (bytes: a file, str: a link) as an archive, in their order."""
    for name, entry in entries.items():
        path = name.encode("utf-8", "surrogateescape")
        link = entry.encode("utf-8", "surrogateescape") if isinstance(entry, str) else b""
        data = entry if isinstance(entry, bytes) else b""
        for kind, long in ((b"L", path), (b"K", link)):
            if len(long) > _SHORT:
                file.write(_padded(_header(b"././@LongLink", kind, len(long) + 1) + long + b"\0"))
        kind = _SYMLINK if isinstance(entry, str) else b"0"
        file.write(_padded(_header(path, kind, len(data), link) + data))
    file.write(bytes(2 * _BLOCK))


def _header(name: bytes, kind: bytes, size: int, link: bytes = b"") -> bytes:
    header = _HEADER % (
        name[:_SHORT].ljust(_SHORT, b"\0"),
        size,
        b" " * 8,
        kind,
        link[:_SHORT].ljust(_SHORT, b"\0"),
    )
    total = (zlib.adler32(header) & 0xFFFF) - 1  # the sum of the bytes, which is less than _PRIME
    return (header[: _SUM.start] + b"%06o\0 " % total + header[_SUM.stop :]).ljust(_BLOCK, b"\0")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)
