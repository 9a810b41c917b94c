"""What a dump says about the machine it comes from: cranalyze/facts, a ``key value`` a line.

Both ways to make a dump write it. A plain copy of /proc has none: then the same facts are looked
for in sys/kernel/*, and what is not there stays unknown.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from analyzer.core.values import dataclass
from analyzer.procfs.parse import decode, malformed, passed_over

if TYPE_CHECKING:
    from analyzer.core.errors import BadInputError

PATH: Final = "cranalyze/facts"
COMPLETE: Final = "cranalyze/complete"  # written last: a dump without it was cut short
FORMAT: Final = 1

# Where a plain copy of /proc has them.
SYSCTLS: Final = {
    "kernel": "sys/kernel/osrelease",
    "host": "sys/kernel/hostname",
    "boot_id": "sys/kernel/random/boot_id",
}

_NUMBERS: Final = ("clk_tck", "monotonic_ns", "observer", "subject")
_WORD: Final = 16  # letters of the name of a tool
_DIGITS: Final = 19  # of a number that a column of 64 bits can hold, and one more
# USER_HZ is 100, on some machines 1024 (include/asm-generic/param.h); `stat` has its own limit.
_LEAST_TICKS, _MOST_TICKS = 100, 1 << 20
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True)
class Facts:
    """The machine and the moment. `clk_tck` are clock ticks a second, `observer` a process id.

    `uid` is whose dump it is, `kcmp` who asked kcmp(2) ("none": nobody could), `subject` the
    process that it was made for, 0 for all: of others it has what that one may share with them.
    `sock_diag` is who asked sock_diag(7) of unix sockets.
    """

    kernel: str = ""
    machine: str = ""
    host: str = ""
    boot_id: str = ""
    collected_at: str = ""
    clk_tck: int = 100
    monotonic_ns: int = 0
    observer: int = 0
    ended_at: str = ""
    uid: str = ""
    kcmp: str = ""
    subject: int = 0
    sock_diag: str = ""

    def nanoseconds(self, ticks: int) -> int:
        """Return clock ticks as nanoseconds."""
        return ticks * _NANOSECONDS // self.clk_tck


def parse(data: bytes, where: str, lost: list[BadInputError] | None = None) -> Facts:
    """Parse the file's content; BadInputError for an unknown format.

    So it is for a malformed line, unless there is a list for those that are passed over.
    """
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for row, line in enumerate(data.splitlines(), 1):
        key, _, value = decode(line).partition(" ")
        if key == "format" and value != str(FORMAT):
            raise malformed(where, row, f"a dump of another format; this version reads {FORMAT}")
        texts[key] = value
        if key in _NUMBERS and (expected := _expected(key, value)):
            passed_over(malformed(where, row, f"expected {expected}"), lost)
        elif key in _NUMBERS:
            numbers[key] = int(value)
    return Facts(
        kernel=texts.get("kernel", ""),
        machine=texts.get("machine", ""),
        host=texts.get("host", ""),
        boot_id=texts.get("boot_id", ""),
        collected_at=texts.get("collected_at", ""),
        ended_at=texts.get("ended_at", ""),
        uid=texts.get("uid", ""),
        kcmp=texts.get("kcmp", "")[:_WORD],
        sock_diag=texts.get("sock_diag", "")[:_WORD],
        **numbers,
    )


def _expected(key: str, value: str) -> str:
    """Return what is expected where a value is malformed, "" where it is not."""
    if not (value.isascii() and value.isdigit() and len(value) < _DIGITS and int(value)):
        return "a positive number"
    if key == "clk_tck" and not _LEAST_TICKS <= int(value) <= _MOST_TICKS:
        return f"{_LEAST_TICKS} to {_MOST_TICKS} ticks a second"
    return ""


def text(facts: Facts) -> str:
    """Return the content of the file for `facts`; what is unknown is left out."""
    pairs = [(field.name, getattr(facts, field.name)) for field in fields(Facts)]
    lines = [f"{key} {' '.join(str(value).split())}" for key, value in pairs if value]
    return "\n".join([f"format {FORMAT}", *lines, ""])
