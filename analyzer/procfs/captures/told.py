"""What captures tell of processes, gathered in the words of /proc.

The first one that says what a process is called, or whose child it is, is believed. Of a descriptor
that is told twice, and differently, nothing is known: it moved between two captures, or a file's
name has newlines in it that are made to look like more of them.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.procfs import files, refusals, sos
from analyzer.procfs.fdinfo import ACCESS
from analyzer.procfs.parse import malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.procfs.contents import Entries

_KTHREADD: Final = 2
_ID: Final = re.compile(rb"[1-9][0-9]{0,8}")
_BREAKS: Final = re.compile(rb"[\n\\]")


class Told:
    """Processes, links and refusals of captures; `damaged` are lines that are not as expected.

    `machines` are where captures are, if they are not all of one machine.
    """

    def __init__(self) -> None:
        self.folders: set[str] = set()
        self.damaged: list[BadInputError] = []
        self.machines: set[str] = set()
        self._where = self._tool = self._folder = ""
        self._machines: dict[tuple[str, int | str], str] = {}
        self._processes: dict[int, dict[str, bytes]] = {}
        self._links: dict[str, str] = {}
        self._access: dict[str, bytes] = {}
        self._contested: set[str] = set()
        self._refused: refusals.Refusals = {}
        self._files: dict[str, bytes] = {}

    def begin(self, where: str, tool: str = "") -> None:
        """Go on with the capture that is called `where`, and is what `tool` printed."""
        self._where, self._tool, self._folder = where, tool, sos.machine(where)

    def damage(self, line: int, expected: str) -> None:
        """Note that line `line` (from 1) is not as it should be."""
        self.damaged.append(
            malformed(self._where, line, expected)
            if self._where
            else BadInputError(f"line {line}: {expected}")
        )

    def process(self, pid: bytes | int, **known: bytes) -> int:
        """Note that there is a process, and what is known of it by the words of its status.

        Returns its number, 0 for what cannot be one.
        """
        number = pid if isinstance(pid, int) else int(pid) if _ID.fullmatch(pid) else 0
        if number > 0:
            self._of_one(number)
            told = self._processes.setdefault(number, {})
            for word, value in known.items():
                told.setdefault(word, value)
        return max(number, 0)

    def file(self, pid: int, fd: int, target: str, access: bytes = b"") -> None:
        """Note where a descriptor leads, and how it was opened (`fdinfo.ACCESS`), if it is told."""
        self.link(f"{pid}/fd/{fd}", target)
        if access in ACCESS:
            self._access.setdefault(f"{pid}/{files.ACCESS}/{fd}", access)

    def content(self, path: str, data: bytes) -> None:
        """Note what a file of /proc has that is no process's."""
        first = self._machines.setdefault(("", path), self._where)
        if self._files.setdefault(path, data) != data:
            self.machines |= {first, self._where}

    def _of_one(self, pid: int) -> None:
        """Note that a tool told of a process; in two folders they are of two machines.

        Processes of two machines have the same numbers, and so have their pipes.
        """
        first = self._machines.setdefault((self._tool, pid), self._folder)
        if first != self._folder:
            self.machines |= {first, self._folder}

    def link(self, path: str, target: str) -> None:
        """Note where a link of /proc leads."""
        if self._links.setdefault(path, target) != target:
            self._contested.add(path)

    def open(self, pid: int) -> None:
        """Note that what a process has open is told, though it be nothing."""
        self.folders.add(f"{pid}/fd")

    def refused(self, pid: int, folder: str = "fd") -> None:
        """Note that what a folder of links of a process holds was not shown to the tool."""
        self._refused[refusals.LINK, f"{pid}/{folder}"] = errno.EACCES

    def entries(self, known: Mapping[str, bytes | str]) -> Entries:
        """Return all of it as entries of a dump, where `known` ones are there already."""
        for path in self._contested:
            del self._links[path]
        if self._contested:
            first, *more = sorted(self._contested)
            some = f"{first} (and {len(more)} more)" if more else first
            self.damaged.append(BadInputError(f"{some} is told twice, and not alike"))
        found: Entries = {
            f"{pid}/status": self._status(pid, told) for pid, told in self._processes.items()
        }
        found |= self._files
        found |= self._links
        found |= self._access
        old = known.get(refusals.PATH, b"")
        if self._refused and isinstance(old, bytes):
            found[refusals.PATH] = old + refusals.text(self._refused).encode()
        return found

    def _status(self, pid: int, told: Mapping[str, bytes]) -> bytes:
        lines = {
            "Name": _BREAKS.sub(_escaped, told.get("Name", b"?")),
            "Tgid": b"%d" % pid,
            "PPid": told.get("PPid", b""),
            "Uid": told.get("Uid", b""),
            "Kthread": b"%d" % self._is_kthread(pid, told),
        }
        lines |= {word: told[word] for word in ("State", "Threads") if word in told}
        return b"".join(b"%s:\t%s\n" % (word.encode(), value) for word, value in lines.items())

    def _is_kthread(self, pid: int, told: Mapping[str, bytes]) -> bool:
        first = self._processes.get(_KTHREADD, {}).get("Name") == b"kthreadd"
        return first and (pid == _KTHREADD or told.get("PPid") == b"%d" % _KTHREADD)


def _escaped(match: re.Match[bytes]) -> bytes:
    return rb"\n" if match[0] == b"\n" else rb"\\"
