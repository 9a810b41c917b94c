# ruff: noqa: INP001 - a script: no package
"""The rooms of the house, in the order in which data flows: for the layering test and docs."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Final

from scripts import syntax

PACKAGE: Final = Path(__file__).parents[1] / "analyzer"

# A room imports from itself and from the rooms before it; rooms of one row not from each other.
ROOMS: Final[tuple[tuple[str, ...], ...]] = (
    ("core",),
    ("memory",),
    ("kinds",),
    ("relations",),
    ("snapshot",),
    ("check",),
    ("criu",),
    ("procfs",),
    ("subjects",),
    ("sources",),
    ("report",),
    ("changes",),
    ("lookup", "graph", "doctor"),
    ("scene",),
    ("writers",),
    ("plots",),
    ("fleet",),
    ("demo",),
    ("cli",),
    ("testing",),
)


def place(room: str) -> int:
    """Return how far down the flow a room is; LookupError for one that is not in the list."""
    return next(n for n, row in enumerate(ROOMS) if room in row)


@cache
def rooms() -> set[str]:
    """Return the rooms that there are: folders and modules of the package."""
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or _is_package(path)}
    return found - {"__init__", "__main__"}


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").exists()


@cache
def arrows() -> dict[tuple[str, str], set[str]]:
    """Return which room imports which, and the modules that do: at run time or for types only."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if len(parts) == 1 and parts[0].startswith("__"):
            continue  # what people import: it hands over to all rooms
        ours = [name.split(".") for name in syntax.module(path).imports]
        used = {name[1] for name in ours if name[0] == "analyzer" and len(name) > 1}
        for room in (used & rooms()) - {parts[0]}:
            found.setdefault((parts[0], room), set()).add(".".join(parts))
    return found


def picture() -> str:
    """Return the list of rooms, a line each with what it is: the picture in CONTRIBUTING.md."""
    lines = []
    for row in ROOMS:
        for room in row:
            about = (importlib.import_module(f"analyzer.{room}").__doc__ or "").splitlines()[0]
            lines.append(f"{room + '/' * (PACKAGE / room).is_dir():<10} {about}")
    return "\n".join(lines)
