"""The registry of captures: every module of this package that has a `CAPTURE`, by a package walk.

A capture is what a tool printed of processes and what they have open (`lsof`, `lsfd`, `lsns`, `ls`,
`ps`), or of the machine (`uname`). It is recognised by its content, and read as a dump of /proc
that lacks the rest. To add one, drop one file in here; nothing else is edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.procfs.captures.told import Told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.procfs.captures.base import Capture
    from analyzer.procfs.contents import Contents

HEAD: Final = 1 << 12
"""How much of the start of a file tells what it is, in bytes."""


@cache
def registry() -> tuple[Capture, ...]:
    """Return the captures in the order in which they are asked whether a file is one of theirs."""
    names = (f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    modules = map(importlib.import_module, names)
    found = [one for one in (getattr(m, "CAPTURE", None) for m in modules) if one is not None]
    return tuple(sorted(found, key=lambda one: (one.order, one.name)))


def recognised(head: bytes) -> Capture | None:
    """Return what a file is that begins with `head`, None when it is no capture."""
    return next((one for one in registry() if one.head.search(head[:HEAD])), None)


def fill(contents: Contents, files: Iterable[tuple[str, bytes]]) -> None:
    """Add to `contents` what captures tell: the name and the content of each are given.

    What `contents` has already is kept. What is not as it should be goes to its `damaged`.
    """
    told = Told()
    for name, data in files:
        capture = recognised(data)
        if capture is not None:
            told.begin(name, capture.name)
            capture.read(told, data)
            if not data.endswith(b"\n"):
                told.damage(data.count(b"\n") + 1, "the text ends within a line: it is cut short")
            contents.captures += [capture.name] * (capture.name not in contents.captures)
    for path, entry in told.entries(contents.entries).items():
        contents.entries.setdefault(path, entry)
    for folder in told.folders:
        contents.entries.folder(folder)
    contents.damaged += told.damaged
    contents.machines |= told.machines
