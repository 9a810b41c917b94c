"""What a dump of /proc has: how many processes, of how many each kind of file, and from whom."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from analyzer.procfs.facts import Facts
    from analyzer.procfs.fs import ProcFs

FILES: Final = (
    "stat", "status", "task", "fd", "fdinfo", "ns", "maps", "exe", "cgroup", "mountinfo",
)  # fmt: skip
_KTHREADD: Final = {"2/stat": b"(kthreadd)", "2/status": b"Name:\tkthreadd\n"}
_LONGEST: Final = 19  # digits of a user's id, and more


def take(fs: ProcFs, known: Facts, *, whole: bool | None, parents: bool = True) -> dict[str, Any]:
    """Return the inventory of a dump, as `meta["source"]` keeps it; `whole`: None is not known.

    `files` count the processes that have each; what was refused when it was made is not there.
    `captures` are the names of those that it was made of, and `parents` tells whether any process
    has one that is known.
    """
    pids = [name for name in fs.listdir("") if name.isascii() and name.isdigit()]
    counts = Counter(name for pid in pids for name in _files(fs, pid))
    return {
        "processes": len(pids),
        "files": {name: counts[name] for name in FILES},
        "kthreadd": any(_has(fs, path, word) for path, word in _KTHREADD.items()),
        "uid": int(known.uid) if known.uid.isdigit() and len(known.uid) < _LONGEST else None,
        "seconds": _seconds(known),
        "kcmp": known.kcmp,
        "sock_diag": known.sock_diag,
        "whole": whole,
        "subject": known.subject or None,
        "captures": list(fs.captures),
        "parents": parents,
    }


def _files(fs: ProcFs, pid: str) -> list[str]:
    try:
        names = set(fs.listdir(pid))
    except OSError:
        return []
    return [name for name in FILES if name in names and not fs.was_gone(f"{pid}/{name}")]


def _has(fs: ProcFs, path: str, word: bytes) -> bool:
    try:
        return word in fs.read(path)
    except OSError:
        return False


def _seconds(known: Facts) -> int | None:
    try:
        start, end = map(datetime.fromisoformat, (known.collected_at, known.ended_at))
        return max(0, int((end - start).total_seconds()))
    except (ValueError, TypeError):
        return None
