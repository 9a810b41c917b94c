"""CONTRIBUTING.md, with the picture of the rooms as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scripts import rooms
from scripts.docs import markdown as md

_PAGE: Final = Path(__file__).parents[2] / "CONTRIBUTING.md"


def contributing_page() -> str:
    """Return CONTRIBUTING.md with the picture of the rooms as they are."""
    before, rest = _PAGE.read_text().split(_ROOMS_BEGIN)
    after = rest.split(_ROOMS_END)[1]
    return f"{before}{_ROOMS_BEGIN}\n{md.block('', [rooms.picture()])}\n{_ROOMS_END}{after}"


_ROOMS_BEGIN: Final = "<!-- rooms: written by `make docs` -->"
_ROOMS_END: Final = "<!-- end of rooms -->"
