"""Hashes for names, if they are asked for: under the key of a boot, or one in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.sources.privacy import Redaction


def asked(*, redact: bool, key: str | None) -> Callable[[str], Redaction] | None:
    """Return what makes them for a boot, None where names may stay.

    A key is read at once: while privileges are there, and before anything else is done.
    """
    if not redact and key is None:
        return None
    from analyzer.sources.privacy import Redaction

    if key is None:
        return Redaction.of
    made = Redaction.under(key)
    return lambda _: made
