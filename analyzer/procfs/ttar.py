"""ttar: archives as text, in which the tests of Prometheus' procfs keep trees of /proc.

::

    # Archive created by ttar -c -f fixtures.ttar fixtures/
    Directory: fixtures
    Mode: 755
    # ttar - - -
    Path: fixtures/26231/cmdline
    Lines: 1
    vimNULLBYTEtest.goNULLBYTEEOF
    Mode: 644
    # ttar - - -
    Path: fixtures/26231/cwd
    SymlinkTo: /usr/bin

``EOF`` ends a last line that has no newline; a backslash before either word means the word itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs.parse import decode, malformed

if TYPE_CHECKING:
    from analyzer.procfs.contents import Entries

MAGIC: Final = b"# Archive created by ttar"

_WORD: Final = re.compile(rb"(\\?)(NULLBYTE|EOF)")


def unpack(data: bytes, where: str) -> Entries:
    """Return the files and links of an archive; BadInputError, with the line, when malformed."""
    entries: Entries = {}
    lines = data.split(b"\n")
    path, at = "", 0
    while at < len(lines):
        key, _, value = lines[at].partition(b": ")
        at += 1
        if key == b"Path":
            path = decode(value).removeprefix("./")
        elif key == b"SymlinkTo":
            entries[path] = decode(value)
        elif key == b"Lines":
            if not value.isdigit() or len(value) > 9 or at + int(value) > len(lines):  # noqa: PLR2004
                raise malformed(where, at, "expected the number of lines that follow")
            entries[path] = _content(lines[at : at + int(value)])
            at += int(value)
    return entries


def _content(lines: list[bytes]) -> bytes:
    if not lines:
        return b""
    whole = b"\n".join(lines) + b"\n"
    if lines[-1].endswith(b"EOF") and not lines[-1].endswith(b"\\EOF"):
        whole = whole[: -len(b"EOF\n")]
    return _WORD.sub(_meant, whole)


def _meant(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return match[2]
    return b"\0" if match[2] == b"NULLBYTE" else match[2]
