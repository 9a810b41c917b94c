"""A baseline: what was found before, from a report as JSON or from a snapshot: no news.

Findings are the same when they are of one kind, in the same place and with the same programs
outside (`analyzer.report.waive.identity`): pids, inodes and addresses are of one run alone.
"""

from __future__ import annotations

import json
from typing import Any, Final

from analyzer.core.errors import BadInputError

_MOST: Final = 64 << 20  # bytes of a report


def of_json(path: str) -> frozenset[str]:
    """Return what a report of --json tells of its findings; BadInputError for another file."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"cannot read the baseline {path}: {reason}") from error
    return of_text(data, path)


def of_text(data: bytes, path: str) -> frozenset[str]:
    """Return the same of the text of a report; BadInputError, with its `path`, for another."""
    try:
        found: Any = json.loads(data) if len(data) <= _MOST else None
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"cannot read the baseline {path}: it is not JSON") from error
    whole = found if isinstance(found, dict) else {}
    lists = [whole.get(name) for name in ("objects", "findings")]
    if not all(isinstance(rows, list) for rows in lists):
        raise BadInputError(f"{path} is no report of --json, and no snapshot (*.crz)")
    rows = [row for rows in lists for row in rows or () if isinstance(row, dict)]
    told = [row.get("identities", []) for row in rows]
    return frozenset(
        word for words in told if isinstance(words, list) for word in words if isinstance(word, str)
    )
