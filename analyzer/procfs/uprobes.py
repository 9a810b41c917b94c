"""Probes of user space that the kernel keeps: Documentation/trace/uprobetracer.rst.

An event that `perf probe -x` or a line in `uprobe_events` made has the path of its program, and so
its mount, though nobody has it open (kernel/trace/trace_uprobe.c).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.procfs.glance import kept, look
from analyzer.procfs.places import Place, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS: Final = "/sys/kernel/tracing/uprobe_events"
_EVENT: Final = pattern(r"[pr]\d*:(?P<name>\S+) (?P<path>/.*):0x[0-9a-f]+")


def probes(dev: int, ino: int | None) -> Iterator[Place]:
    """Yield the events on a file; with no `ino`, on any file of that device."""
    events = kept("uprobe events", _events)
    for (name, path), at in zip(events, look([path for _, path in events]), strict=True):
        if not isinstance(at, int) and at.dev == dev and ino in {None, at.ino}:
            said = f"uprobe event {name} is on {path}"
            yield Place(said, 0, "kernel", f"echo {quoted(f'-:{name}')} >> {EVENTS}")


def _events() -> list[tuple[str, str]]:
    """Return the events by name, each with the path of its program."""
    try:
        with open(EVENTS, "rb") as file:
            found = map(_EVENT.match, os.fsdecode(file.read()).splitlines())
            return [(match["name"], match["path"]) for match in found if match]
    except OSError:
        return []
