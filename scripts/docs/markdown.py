"""Markdown, as the pages are written in it."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


NOTE: Final = "<!-- written by `make docs` from the code: change it there -->"


def page(parts: Iterable[str]) -> str:
    """Return the parts of a page, one paragraph each, as its text."""
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part for part in parts if part)) + "\n"


def prose(text: str | None) -> str:
    """Return the text of a docstring that has no blocks."""
    return (text or "").strip().replace("``", "`")


def cell(text: str) -> str:
    """Return a text as a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def block(language: str, lines: Iterable[str]) -> str:
    """Return lines as a block of code."""
    return "\n".join([f"```{language}", *lines, "```"])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def docstring(text: str | None) -> str:
    """Return a docstring as Markdown: its code blocks and its table, besides what `prose` does."""
    found, code = [], False
    for part in inspect.cleandoc(text or "").split("\n\n"):
        if code:
            found.append(block("text", textwrap.dedent(part).splitlines()))
        elif part.startswith("==="):
            rows = [
                re.split(r" {2,}| (?=one)", line, maxsplit=1) for line in part.splitlines()[1:-1]
            ]
            found.append(table(("of", "a row"), rows))
        else:
            found.append(prose(re.sub(r":?:$", ":", part)))
        code = part.endswith("::")
    return "\n\n".join(found)
