"""The names that people know files by, asked of /proc for the objects that are shown or saved.

A name is read through one holder that /proc can show: a descriptor (/proc/PID/fd/N), the executable
(/proc/PID/exe) or a mapping (/proc/PID/maps). It is read after the counts, so a descriptor that was
closed meanwhile has no name, and one that was reused could have a wrong one: that is caught by
comparing inode numbers where the kernel gave one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.memory.distinct import member, unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import numpy.typing as npt

    from analyzer.snapshot.tables import Table

Names = dict[int, str]

_OCTAL: Final = pattern(rb"\\([0-7]{3})")


class Namer:
    """Finds names for objects of kind FILE; `local` maps a tid to the id that /proc shows."""

    def __init__(self, references: Table, holders: Mapping[int, int], proc: str) -> None:
        """Index who can be asked: `holders` maps an objref of a table or an mm to a task."""
        self._proc = proc
        self._holders = holders
        self._maps: dict[int, Mapping[int, str]] = {}
        self._references = references

    def names(self, wanted: npt.NDArray[np.int64]) -> Names:
        """Return the names of the objrefs that /proc could tell."""
        table = self._references
        found: Names = {}
        for association in ("fd", "exe", "vma"):
            rows = table.rows("association", association)
            for row in rows[member(table["target"][rows], unique(wanted))]:
                target = int(table["target"][row])
                if target not in found:
                    name = self._ask(
                        association, int(table["holder"][row]), int(table["slot"][row])
                    )
                    if name is not None:
                        found[target] = name
        return found

    def _ask(self, association: str, holder: int, slot: int) -> str | None:
        tid = self._holders.get(holder)
        if tid is None:
            return None
        if association == "vma":
            return self._mapped(tid).get(slot)
        link = f"fd/{slot}" if association == "fd" else "exe"
        try:
            return os.readlink(f"{self._proc}/{tid}/{link}")
        except OSError:
            return None

    def _mapped(self, tid: int) -> Mapping[int, str]:
        if tid not in self._maps:
            try:
                with open(f"{self._proc}/{tid}/maps", "rb") as file:
                    text = file.read()
            except OSError:
                text = b""
            self._maps[tid] = dict(_paths(text.splitlines()))
        return self._maps[tid]


def _paths(lines: Iterable[bytes]) -> Iterable[tuple[int, str]]:
    for line in lines:
        parts = line.split(maxsplit=5)
        if len(parts) == 6:  # noqa: PLR2004 - address, perms, offset, device, inode, path
            path = _OCTAL.sub(lambda m: bytes([int(m[1], 8)]), parts[5])
            yield int(parts[0].split(b"-")[0], 16), os.fsdecode(path)
