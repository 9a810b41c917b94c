"""The state of a thing in words, as an answer says it beside the thing: "12 bytes unread"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.kinds import facts
from analyzer.report.facts import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.core.model import Fact

# The title or the role says it, or it is nobody's question.
_UNTOLD: Final = frozenset({
    "mount_id", "netns.id", "open.mode", "filesystem", "socket.peer", "mounts", "detached",
    "socket.backlog", "tty.index", "netdev.index", "tty.driver", "tty.other", "eventfd.id",
    "peer_group", "master_group", "source", "lock", "polled",
})  # fmt: skip
_LISTS: Final = frozenset({"inotify.paths", "fanotify.paths", "epoll.targets"})
_MOST_LISTED: Final = 3
_TOLD_AS_ZERO: Final = frozenset({"readers", "writers"})
_WORDS: Final = {
    "device": "device {}", "on": "on {}", "backing": "backed by {}", "loop.file": "backed by {}",
    "local": "at {}", "remote": "connected to {}", "tun.interface": "interface {}",
    "inotify.paths": "watches {}", "fanotify.paths": "marks {}", "epoll.targets": "watches {}",
    "memfd.seals": "seals: {}", "fs.cwd": "working directory {}", "fs.root": "root {}",
}  # fmt: skip


def shortened(name: str, value: int | str) -> int | str:
    """Return what a fact tells, of a long list the first ones."""
    parts = value.split(",") if name in _LISTS and isinstance(value, str) else []
    left = len(parts) - _MOST_LISTED
    return value if left <= 0 else f"{', '.join(parts[:_MOST_LISTED])} and {left:,} more"


def words(known: Mapping[str, int | str], home: int | None) -> Iterator[str]:
    """Yield facts in words; `home` is the number of the host's own network namespace."""
    for name, fact in facts().items():
        value = known.get(name)
        if value is None or fact.aside or name in _UNTOLD:
            continue
        if name == "socket.netns" and value == home:
            continue
        if name.endswith(".watches") and name.replace("watches", "paths") in known:
            continue
        if value != 0 or name in _TOLD_AS_ZERO:
            yield _said(fact, value)


def _said(fact: Fact, value: int | str) -> str:
    template, value = _WORDS.get(fact.name, ""), shortened(fact.name, value)
    return template.format(value) if template else said(fact, value)
