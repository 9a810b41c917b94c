"""What `cranalyze doctor` says, for people and as JSON."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

from analyzer.core.model import JSON_FORMAT
from analyzer.core.text import printable, valid, wrap
from analyzer.core.values import fields
from analyzer.core.version import __version__
from analyzer.snapshot.source import KERNEL, PROCFS
from analyzer.writers.terminal import MIN_WIDTH, Line
from analyzer.writers.terminal import to_text as joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.doctor import Capability
    from analyzer.snapshot.source import SourceInfo


def to_json(found: Sequence[Capability]) -> str:
    """Return the capabilities as JSON, ending in a newline."""
    rows = [
        {k: valid(v) if isinstance(v, str) else v for k, v in fields(one).items()} for one in found
    ]
    envelope = {
        "cranalyze": JSON_FORMAT,
        "command": "doctor",
        "exit_code": 0,
        "version": __version__,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "source": _source(found).name,
        "capabilities": rows,
        "errors": [],
    }
    return f"{json.dumps(envelope, indent=1)}\n"


def to_text(found: Sequence[Capability], width: int = 80, *, colour: bool = False) -> str:
    """Return the capabilities as lines of at most `width` cells."""
    cells = max(width, MIN_WIDTH)
    about = f"cranalyze {__version__} on Linux {platform.release()}, {platform.machine()}"
    works = _source(found).refcounts
    lines = [Line(text, "good" if works else "bad") for text in wrap(_summary(found), cells)]
    lines += [Line(""), *(Line(text) for text in wrap(printable(about), cells))]
    for one in found:
        style, said = ("good", "yes") if one.ok else ("bad", "no")
        first = f"{said:4}{one.name}: "
        lines += [Line(text, style) for text in wrap(one.gives, cells, first, 4)]
        if not one.ok:
            lines += [Line(t) for t in wrap(f"why not: {printable(one.reason)}", cells, " " * 4, 6)]
            lines += [
                Line(t) for t in wrap(f"what to do: {printable(one.remedy)}", cells, " " * 4, 6)
            ]
    return joined(lines, colour=colour)


def _source(found: Sequence[Capability]) -> SourceInfo:
    works = any(one.ok for one in found if one.name == "kernel-memory")
    return KERNEL if works else PROCFS


def _summary(found: Sequence[Capability]) -> str:
    source = _source(found)
    works = "The kernel source works" if source.refcounts else f"Only {source.reads} can be read"
    return f"{works} here: {source.promise}."
