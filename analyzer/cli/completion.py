"""What the shell offers after TAB, where typer cannot know it: kinds, and snapshot files.

It runs at every press of a key, so it imports nothing that is slow: the names of the kinds are the
names of their files.
"""

from __future__ import annotations

import os
import pkgutil
from typing import Final

_NO_KIND: Final = "base"
_CONTAINER_INIT: Final = "CONTAINER_INIT"  # as analyzer.report has it


def kinds(incomplete: str) -> list[str]:
    """Return the comma lists that `incomplete` can become, by one more kind; in its case."""
    before, comma, word = incomplete.rpartition(",")
    said = {kind.upper() for kind in before.split(",")}
    found = [name for name in _names() if name.startswith(word.upper()) and name not in said]
    return [f"{before}{comma}{name.lower() if word.islower() else name}" for name in found]


def snapshots(incomplete: str) -> list[str]:
    """Return the ``*.crz`` files whose path starts with `incomplete`, or else the folders."""
    folder, start = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    fit = [e for e in entries if e.name.startswith(start) and e.name.isprintable()]
    fit = [e for e in fit if start or not e.name.startswith(".")]
    found = [e.name for e in fit if e.name.endswith(".crz") and not e.is_dir()]
    return [
        os.path.join(folder, name) for name in found or [f"{e.name}/" for e in fit if e.is_dir()]
    ]


def _names() -> list[str]:
    from analyzer import kinds as package

    modules = [module.name for module in pkgutil.iter_modules(package.__path__)]
    named = [name.upper() for name in modules if name != _NO_KIND and not name.startswith("_")]
    return sorted([*named, _CONTAINER_INIT])
