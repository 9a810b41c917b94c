"""The text of a link to a namespace, ``net:[4026531840]`` (namespaces(7)).

/proc/PID/ns/X shows it, and so does an open descriptor or a bind mount of one. No file on a
filesystem can: its link begins with a slash.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from analyzer.core.values import NamedTuple

_LINK: Final = re.compile(r"([a-z]+):\[([0-9]{1,10})\]\Z", re.ASCII)
_NAMES: Final = frozenset({"uts", "ipc", "mnt", "net", "pid", "user", "cgroup", "time"})


class NamespaceLink(NamedTuple):
    """The kind of the namespace ("net") and its inode number on nsfs."""

    name: str
    ino: int


def parse(text: str) -> NamespaceLink | None:
    """Return the namespace that a link leads to; None when it leads to something else."""
    return _parsed(text) if text.partition(":")[0] in _NAMES else None


@lru_cache(maxsize=1 << 14)  # few are met, by every task
def _parsed(text: str) -> NamespaceLink | None:
    match = _LINK.match(text)
    return None if match is None else NamespaceLink(match[1], int(match[2]))


@lru_cache(maxsize=1 << 14)
def text(namespace: NamespaceLink) -> str:
    """Return the text of the link to a namespace."""
    return f"{namespace.name}:[{namespace.ino}]"
