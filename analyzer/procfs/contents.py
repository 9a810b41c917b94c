"""What a dump holds, whatever it is written as: files, links, folders, and what was passed over."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field

from analyzer.core.errors import BadInputError

Entry = bytes | str
"""Bytes are the content of a file, str is where a link leads."""

Entries = dict[str, Entry]
"""By path."""

Folder = dict[str, Entry | None]
"""What is in a folder, by name; None is a folder."""


class CutShortError(BadInputError):
    """A dump ends, or is damaged, before its end: what comes before is as good as it was."""


class Tree(MutableMapping[str, Entry]):
    """Entries by path, kept by folder: a million descriptors have few folders, and few names."""

    def __init__(self, entries: Mapping[str, Entry] | None = None) -> None:
        self._folders: dict[str, Folder] = {"": {}}
        self.update(entries or {})

    def folder(self, path: str) -> Folder:
        """Return what is in a folder, to be added to; it is made where there is none."""
        found = self._folders.get(path)
        if found is not None:
            return found
        made = self._folders[path] = {}
        known = False
        while path and not known:
            path, _, name = path.rpartition("/")
            known = path in self._folders
            self._folders.setdefault(path, {}).setdefault(sys.intern(name), None)
        return made

    def folders(self) -> Mapping[str, Folder]:
        """Return what is in each folder, by its path; "" is the root."""
        return self._folders

    def below(self, root: str) -> Tree:
        """Return the tree in a folder."""
        if not root:
            return self
        found, prefix = Tree(), f"{root}/"
        some = {p.removeprefix(prefix): f for p, f in self._folders.items() if p.startswith(prefix)}
        found._folders = {"": self._folders.get(root, {}), **some}
        return found

    def empty(self, names: Collection[str]) -> None:
        """Let go of what files of these names hold, and of all in folders of these names."""
        for path, folder in self._folders.items():
            if path.rpartition("/")[2] in names:
                folder.clear()
                continue
            for name in names:
                if isinstance(folder.get(name), bytes):
                    folder[name] = b""

    def __getitem__(self, path: str) -> Entry:
        """Return an entry; KeyError for a folder, too."""
        folder, _, name = path.rpartition("/")
        entry = self._folders[folder][name]
        if entry is None:
            raise KeyError(path)
        return entry

    def __setitem__(self, path: str, entry: Entry) -> None:
        """Add an entry, or replace it."""
        folder, _, name = path.rpartition("/")
        self.folder(folder)[sys.intern(name)] = entry

    def __delitem__(self, path: str) -> None:
        """Take an entry away."""
        folder, _, name = path.rpartition("/")
        del self._folders[folder][name]

    def __iter__(self) -> Iterator[str]:
        """Yield the paths of the entries."""
        for folder, names in self._folders.items():
            prefix = f"{folder}/" if folder else ""
            yield from (prefix + name for name, entry in names.items() if entry is not None)

    def __len__(self) -> int:
        """Return the number of entries."""
        return sum(1 for _ in self)


@dataclass
class Contents:
    """Entries, and folders that may be empty.

    `skipped` counts by what they are the members that are of no use here, `cut` says how far it
    could be read: "" when to its end. `captures` are the names of those that it was made
    of; `damaged` tells of what in them is not as it should be, `notes` of what it cannot have.
    `archives` are names of files that may be more dumps, `machines` are where there are captures of
    several.
    """

    entries: Tree = field(default_factory=Tree)
    skipped: Counter[str] = field(default_factory=Counter)
    cut: str = ""
    captures: list[str] = field(default_factory=list)
    damaged: list[BadInputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    machines: set[str] = field(default_factory=set)
