"""Regular expressions that are compiled when one is first used: in most runs few of them are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:  # noqa: N801 - called as `re.compile` is, and used as what that returns
        """What `re.compile` makes of an expression, once it is asked for anything."""

        def __init__(self, expression: str | bytes, flags: int = 0) -> None:
            self._said = expression, flags

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            found = getattr(re.compile(*self._said), name)
            setattr(self, name, found)  # asked once
            return found


__all__ = ["pattern"]
