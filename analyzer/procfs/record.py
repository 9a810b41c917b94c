"""A /proc that remembers what was read of it, so that a dump holds exactly what a replay needs.

What was not there is remembered as well: in a dump nobody could tell it from what was not copied.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from analyzer.procfs import looked
from analyzer.procfs.fs import AGAIN, BLOCKS, Links, ProcFs
from analyzer.procfs.refusals import LINK, OPEN, Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


class Recorder(ProcFs):
    """The tree `inner`; `entries` is all that was read, `refused` what could not be.

    With `only`, the processes that are not in it are not listed.
    """

    def __init__(self, inner: ProcFs, only: Collection[int] | None = None) -> None:
        super().__init__(inner.root)
        self._inner = inner
        self.copied = inner.copied
        self._only = None if only is None else frozenset(map(str, only))
        self.entries: dict[str, bytes | str] = {}
        self.refused: Refusals = {}

    def is_live(self) -> bool:
        """Do as `ProcFs.is_live`."""
        return self._inner.is_live()

    def again(self, path: str) -> str:
        """Do as `ProcFs.again`."""
        return AGAIN + path

    def read(self, path: str) -> bytes:
        """Do as `ProcFs.read`."""
        try:
            data = self._inner.read(_plain(path))
        except OSError as error:
            self._refuse(OPEN, path, error)
            raise
        # What a second look finds (did it end?) is not what the first one rested on.
        self.entries.setdefault(path, data)
        return data

    def link(self, path: str) -> str:
        """Do as `ProcFs.link`."""
        try:
            target = self._inner.link(_plain(path))
        except OSError as error:
            self._refuse(OPEN, path, error)
            raise
        self.entries.setdefault(path, target)
        return target

    def listdir(self, path: str) -> list[str]:
        """Do as `ProcFs.listdir`."""
        plain = _plain(f"{path}/").rstrip("/")
        names = self._inner.listdir(plain)
        if plain or self._only is None:
            return names
        return [name for name in names if name in self._only]

    def links(self, folder: str) -> Links:
        """Do as `ProcFs.links`."""
        try:
            links = self._inner.links(_plain(folder))
        except OSError as error:
            self._refuse(OPEN, folder, error)
            raise
        for name, target in zip(links.names, links.targets, strict=True):
            self.entries[f"{folder}/{name}"] = target
        if links.refused or not links.names:
            self.refused[LINK, folder] = links.refused
        return links

    def heads(self, folder: str, names: Sequence[str]) -> list[bytes | None]:
        """Do as `ProcFs.heads`."""
        heads = self._inner.heads(_plain(folder), names)
        for name, head in zip(names, heads, strict=True):
            if head is not None:
                self.entries[f"{folder}/{name}"] = head
            else:
                self.refused[OPEN, f"{folder}/{name}"] = errno.ENOENT
        return heads

    def looked(self, paths: Sequence[str], names: Sequence[str]) -> list[bytes | None]:
        """Do as `ProcFs.looked`."""
        found = self._inner.looked(paths, names)
        for name, data in zip(names, found, strict=True):
            if data is not None:
                self.entries.setdefault(looked.kept(name), data)
        return found

    def told(self, path: str, ask: Callable[[], bytes | None]) -> bytes | None:
        """Do as `ProcFs.told`."""
        data = self._inner.told(path, ask)
        if data is not None:
            self.entries.setdefault(path, data)
        return data

    def read_end(self) -> None:
        """Read the files anew of which there is a second reading: as they are now is their end."""
        for path, entry in list(self.entries.items()):
            if path.startswith(AGAIN) and isinstance(entry, bytes):
                del self.entries[path]
                with suppress(OSError):
                    self.read(path)

    def backing_files(self) -> dict[str, str]:
        """Do as `ProcFs.backing_files`."""
        found = self._inner.backing_files()
        for name, path in found.items():
            self.entries[f"{BLOCKS}/{name}/loop/backing_file"] = os.fsencode(path) + b"\n"
        return found

    def _refuse(self, kind: str, path: str, error: OSError) -> None:
        # What a second look does not find was there.
        if path not in self.entries:
            self.refused[kind, path] = error.errno or errno.EIO


def _plain(path: str) -> str:
    return path.removeprefix(AGAIN)
