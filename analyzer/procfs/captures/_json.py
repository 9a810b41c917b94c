"""Lists of objects in JSON as util-linux prints them, read as far as they go."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.captures.told import Told

_BLANK: Final = re.compile(r"\s*")
_NEXT: Final = re.compile(r"\s*,\s*")
_LIST: Final = re.compile(r'\s*\{\s*"[a-z]+"\s*:\s*\[\s*')


def rows(told: Told, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line and object of the list; where it ends too early is noted in `told`."""
    text = decode(data)
    start = _LIST.match(text)
    if start is None:
        told.damage(1, "expected a list in JSON")
        return
    decoder = json.JSONDecoder(strict=False)
    at, line, counted = start.end(), 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            told.damage(line, "expected an object in JSON: it is cut short, or damaged")
            return
        if isinstance(found, dict):
            yield line, found
        else:
            told.damage(line, "expected an object in JSON")
        after = _NEXT.match(text, at) or _BLANK.match(text, at)
        at = at if after is None else after.end()


def number(value: object) -> int | None:
    """Return a number, which older versions print as a text; None for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:  # noqa: PLR2004
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def word(value: object) -> str:
    """Return a text, "" for what is none."""
    return value if isinstance(value, str) else ""
