"""What a dump holds, whatever it is written as: files, links, folders, and what was passed over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from analyzer.core.errors import BadInputError

Entries = dict[str, bytes | str]
"""By path: bytes are the content of a file, str is where a link leads."""


class CutShortError(BadInputError):
    """A dump ends, or is damaged, before its end: what comes before is as good as it was."""


@dataclass
class Contents:
    """Entries, and folders that may be empty.

    `skipped` counts by what they are the members that are of no use here, `cut` says how far it
    could be read: "" when to its end. `captures` are the names of those that it was made
    of; `damaged` tells of what in them is not as it should be, `notes` of what it cannot have.
    `archives` are names of files that may be more dumps, `machines` are where there are captures of
    several.
    """

    entries: Entries = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    cut: str = ""
    captures: list[str] = field(default_factory=list)
    damaged: list[BadInputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    machines: set[str] = field(default_factory=set)
