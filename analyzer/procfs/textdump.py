r"""A dump of /proc as one text that people can read and review: the form that test dumps have.

::

    # dump of /proc
    ### 12/stat
    12 (sh) S 1 ...
    ### 12/fd/0 -> /dev/null
    ### 12/fd/1 -> /tmp/with\x0anewline

A line that begins with ``### `` opens a file, or with `` -> `` is a link. What follows is the
file's content. Backslashes, bytes that are not printable ASCII, and a ``#`` that begins a line are
escaped as ``\xNN``. A content without a newline at its end closes with a backslash.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs.parse import malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC: Final = b"# dump of /proc\n"

# What is escaped in the path of an entry, in where a link leads, in a content.
_IN_PATH: Final = re.compile(rb"[^\x20-\x3d\x3f-\x5b\x5d-\x7e]")
_IN_LINK: Final = re.compile(rb"[^\x20-\x5b\x5d-\x7e]")
_IN_CONTENT: Final = re.compile(rb"[^\t\n\x20-\x5b\x5d-\x7e]")
_ESCAPE: Final = re.compile(rb"\\x([0-9a-f]{2})")
_ARROW: Final = b" -> "
_SECTION: Final = b"### "


def pack(entries: Mapping[str, bytes | str]) -> bytes:
    """Return `entries` (bytes: a file, str: a link) as a text, in their order."""
    return MAGIC + b"".join(_section(name, entry) for name, entry in entries.items())


def unpack(data: bytes, where: str) -> dict[str, bytes | str]:
    """Return the entries of a text; BadInputError, with the line, when it is malformed."""
    entries: dict[str, bytes | str] = {}
    name = ""
    body: list[bytes] = []
    for number, line in enumerate(data.removeprefix(MAGIC).splitlines(keepends=True), 2):
        if line.startswith(_SECTION):
            _close(entries, name, body)
            name, body = "", []
            head, arrow, target = line[len(_SECTION) :].rstrip(b"\n").partition(_ARROW)
            if arrow:
                entries[_text(head)] = _text(target)
            else:
                name = _text(head)
        elif name:
            body.append(line)
        elif line.strip():
            raise malformed(where, number, "content that belongs to no file")
    _close(entries, name, body)
    return entries


def _section(name: str, entry: bytes | str) -> bytes:
    head = _SECTION + _escaped(_bytes(name), _IN_PATH)
    if isinstance(entry, str):
        return head + _ARROW + _escaped(_bytes(entry), _IN_LINK) + b"\n"
    body = _escaped(entry, _IN_CONTENT).replace(b"\n#", b"\n\\x23")
    if body.startswith(b"#"):
        body = b"\\x23" + body[1:]
    return head + b"\n" + body + (b"" if body.endswith(b"\n") else b"\\\n" if body else b"")


def _close(entries: dict[str, bytes | str], name: str, body: list[bytes]) -> None:
    if name:
        data = b"".join(body)
        entries[name] = _unescaped(data.removesuffix(b"\\\n"))


def _escaped(data: bytes, special: re.Pattern[bytes]) -> bytes:
    return special.sub(lambda match: b"\\x%02x" % match[0][0], data)


def _unescaped(data: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return _unescaped(data).decode("utf-8", "surrogateescape")
