"""A registry: what this version knows by name, and what files of newer versions told of theirs."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

UNKNOWN: Final = "unknown to this version"


class Registry(dict[str, T], Generic[T]):
    """What is known, by name, in order; asked for by name, also what was told of by a file.

    Only what is known is in it: iteration, `in` and `len` are of that.
    """

    def __init__(self, known: Mapping[str, T]) -> None:
        """Begin with what this version knows."""
        super().__init__(known)
        self._told: dict[str, T] = {}

    def __missing__(self, name: str) -> T:
        """Return what a file told of `name`; BadInputError when none did."""
        if name in self._told:
            return self._told[name]
        shown = name.encode("ascii", "backslashreplace").decode()
        raise BadInputError(f"{shown!r} is {UNKNOWN}: upgrade cranalyze")

    def tell(self, name: str, told: T) -> None:
        """Keep what a file tells of a name that this version does not know; the last counts."""
        if name not in self:
            self._told[name] = told

    def told(self, name: str) -> T | None:
        """Return what a file told of a name, None where none did or none had to."""
        return self._told.get(name)


def members(package: str, folders: Iterable[str], constant: str, of: type[T]) -> list[T]:
    """Return what the modules of a package have as `constant`, those that have one, in order.

    A package of ours is source files in a folder: `pkgutil` looks for a good deal more.
    """
    files = sorted(name for folder in folders for name in os.listdir(folder))
    modules = [name.removesuffix(".py") for name in files if name.endswith(".py")]
    found = [
        getattr(importlib.import_module(f"{package}.{module}"), constant, None)
        for module in modules
        if module != "__init__" and module.isidentifier()  # an editor's files are none of ours
    ]
    return [one for one in found if isinstance(one, of)]
