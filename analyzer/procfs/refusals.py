"""What could not be read when a dump was made: cranalyze/refused, ``ERRNO open|link PATH`` a line.

Without it a dump would look as if there had been nothing to read. What was gone (ENOENT, ESRCH) is
in it too, else it would look as if it had not been copied; so is a folder without links (0).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.core.model import GAPS
from analyzer.procfs.fs import Links, ProcFs
from analyzer.procfs.parse import decode, in_column, malformed, passed_over

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from analyzer.core.errors import BadInputError

PATH: Final = "cranalyze/refused"
OPEN: Final = "open"
LINK: Final = "link"
_ERRNO: Final = GAPS.column("errno")

Refusals = dict[tuple[str, str], int]
"""The errno by how it was read (OPEN, or LINK for a folder of links) and path."""


class Refusing(ProcFs):
    """The tree `inner`, where what was refused is refused again."""

    def __init__(self, inner: ProcFs, refused: Mapping[tuple[str, str], int]) -> None:
        super().__init__(inner.root)
        self._inner = inner
        self._refused = refused
        self.copied, self.cut, self.skipped = inner.copied, inner.cut, inner.skipped
        self.captures, self.damaged, self.notes = inner.captures, inner.damaged, inner.notes

    def is_live(self) -> bool:
        """Do as `ProcFs.is_live`."""
        return False

    def read(self, path: str) -> bytes:
        """Do as `ProcFs.read`."""
        self._check(path)
        return self._inner.read(path)

    def link(self, path: str) -> str:
        """Do as `ProcFs.link`."""
        self._check(path)
        return self._inner.link(path)

    def listdir(self, path: str) -> list[str]:
        """Do as `ProcFs.listdir`."""
        self._check(path)
        return self._inner.listdir(path)

    def links(self, folder: str) -> Links:
        """Do as `ProcFs.links`."""
        self._check(folder)
        code = self._refused.get((LINK, folder))
        try:
            links = self._inner.links(folder)
        except FileNotFoundError:
            # A folder of which nothing could be read leaves no trace in an archive.
            if code is None:
                raise
            links = Links((), ())
        return Links(links.names, links.targets, code or links.refused, links.others)

    def heads(self, folder: str, names: Sequence[str]) -> list[bytes | None]:
        """Do as `ProcFs.heads`."""
        return self._inner.heads(folder, names)

    def looked(self, paths: Sequence[str], names: Sequence[str]) -> list[bytes | None]:
        """Do as `ProcFs.looked`."""
        return self._inner.looked(paths, names)

    def forget(self, names: Collection[str]) -> None:
        """Do as `ProcFs.forget`."""
        self._inner.forget(names)

    def was_gone(self, path: str) -> bool:
        """Do as `ProcFs.was_gone`."""
        return (OPEN, path) in self._refused or (OPEN, path.rpartition("/")[0]) in self._refused

    def _check(self, path: str) -> None:
        code = self._refused.get((OPEN, path))
        if code is not None:
            raise OSError(code, os.strerror(code), path)


def restored(fs: ProcFs, lost: list[BadInputError] | None = None) -> ProcFs:
    """Return a dump with its refusals; malformed lines of their list as `parse` does."""
    try:
        data = fs.read(PATH)
    except OSError:
        return fs
    return Refusing(fs, parse(data, fs.name(PATH), lost))


def parse(data: bytes, where: str, lost: list[BadInputError] | None = None) -> Refusals:
    """Parse cranalyze/refused; BadInputError for a malformed line.

    With `lost` it is passed over and kept there: what it is about was not copied, then.
    """
    found: Refusals = {}
    for line, text in enumerate(data.splitlines(), 1):
        word = text.split(b" ", 2)
        try:
            kind, path = decode(word[1]), decode(word[2])
            found[kind, path] = in_column(word[0], _ERRNO)
        except (ValueError, IndexError):
            passed_over(malformed(where, line, "expected ERRNO open|link PATH"), lost)
    return found


def text(refused: Mapping[tuple[str, str], int]) -> str:
    """Return the content of cranalyze/refused."""
    return "".join(f"{code} {kind} {path}\n" for (kind, path), code in refused.items())
