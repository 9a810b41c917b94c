# ruff: noqa: INP001 - a script: no package
"""What our modules say in so many words, for the tests and pages that are about the source.

Each module is parsed once: 400 of them take a second.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Module(NamedTuple):
    """What a module imports (`package.module.name`, `module`), spells and calls by a plain name."""

    docstring: str
    lines: int
    imports: frozenset[str]
    strings: frozenset[str]
    calls: frozenset[str]


@cache
def module(path: Path) -> Module:
    """Return what a module says."""
    text = path.read_text()
    tree = ast.parse(text)
    imports: set[str] = set()
    strings: set[str] = set()
    calls: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom():
                imports |= {f"{node.module}.{alias.name}" for alias in node.names}
            case ast.Import():
                imports |= {alias.name for alias in node.names}
            case ast.Constant(value=str(said)):
                strings.add(said)
            case ast.Call(func=ast.Name(id=name)):
                calls.add(name)
    return Module(
        ast.get_docstring(tree) or "",
        len(text.splitlines()),
        frozenset(imports),
        frozenset(strings),
        frozenset(calls),
    )
