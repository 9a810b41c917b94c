"""sos reports: which of their files tell of processes, in a folder or an archive.

proc/ has copies of /proc: sysctls, and of processes `status` and `mountinfo` (plugins process,
filesys and system); older versions of sos have none of a process. What commands printed is in
sos_commands/PLUGIN/COMMAND, a file each, named as the command with "_" for what is no letter:
sos_commands/process/lsof_M_-n_-l_-c, sos_commands/kernel/uname_-a. The rest, gigabytes of logs at
times, is passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMANDS: Final = "sos_commands"
PROC: Final = "proc"

_NAMED: Final = "sosreport-"
_REPORT: Final = re.compile(rf"(?:.*/)?{_NAMED}[^/]*/(?P<inner>.+)")
_CAPTURE: Final = re.compile(r"sos_commands/[^/]+/(?:lsof|lsfd|lsns|ps|uname)(?:[_.-][^/]*)?")


def is_of_use(name: str) -> bool:
    """Tell whether a member of an archive may be of use: of a report, what tells of processes."""
    match = _REPORT.fullmatch(name) if _NAMED in name else None  # a dump has 100,000 names
    return match is None or match["inner"].startswith(f"{PROC}/") or is_capture(match["inner"])


def is_capture(inner: str) -> bool:
    """Tell whether a file of a report, by its path in there, may be a capture."""
    return _CAPTURE.fullmatch(inner) is not None


def machine(name: str) -> str:
    """Return the folder that a capture is in, of a report that of the report itself."""
    return name.partition(f"{COMMANDS}/")[0] if COMMANDS in name else name.rpartition("/")[0]


def roots(folders: Iterable[str]) -> set[tuple[str, ...]]:
    """Return where reports are in a bundle of these folders: those that sos_commands is in."""
    parts = (tuple(folder.split("/")) for folder in folders if COMMANDS in folder)
    return {part[: part.index(COMMANDS)] for part in parts if COMMANDS in part}
