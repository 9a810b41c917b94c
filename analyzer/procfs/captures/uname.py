"""What `uname -a` prints: which machine a capture is of, and its kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs.captures.base import Capture
from analyzer.procfs.facts import SYSCTLS

if TYPE_CHECKING:
    from analyzer.procfs.captures.told import Told

_LINE: Final = re.compile(rb"\ALinux (?P<host>\S{1,64}) (?P<kernel>[0-9]\S{0,64}) #[^\n]*\n?\Z")


def read(told: Told, data: bytes) -> None:
    """Add the names of the machine and of its kernel."""
    line = _LINE.match(data)
    if line is None:
        told.damage(1, "expected one line of uname -a")
    else:
        for fact, path in SYSCTLS.items():
            if fact in _LINE.groupindex:
                told.content(path, line[fact] + b"\n")


CAPTURE: Final = Capture(
    name="uname",
    head=re.compile(rb"\ALinux \S{1,64} [0-9]\S{0,64} #"),
    read=read,
    lacks="all but the names of the machine and of its kernel",
    remarks="`uname -a`, beside the others: of which machine they are",
)
