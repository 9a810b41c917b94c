"""/proc/PID/mountinfo: the mounts of a mount namespace (proc_pid_mountinfo(5))."""

from __future__ import annotations

from typing import Final

from analyzer.core.values import NamedTuple
from analyzer.procfs.parse import decode, device, malformed, number, unescape

_FIELDS: Final = 6  # id, parent, device, root, mount point, options; then optional ones, "-", ...
_AFTER: Final = 3  # filesystem type, source, super options


class Mount(NamedTuple):
    """One mount: its id, the device of its filesystem as makedev(3), what is mounted and where.

    `options` are those of the filesystem, `own` those of the mount. `group` is its peer group,
    `master` the one that it follows; 0 is none.
    """

    mnt_id: int
    dev: int
    root: str
    point: str
    fstype: str
    options: str
    own: str = ""
    group: int = 0
    master: int = 0


def parse(data: bytes, where: str) -> list[Mount]:
    """Parse the file's content; BadInputError for a malformed line."""
    return [
        _mount(line.split(b" "), where, row)
        for row, line in enumerate(data.split(b"\n"), 1)
        if line
    ]


def _mount(field: list[bytes], where: str, row: int) -> Mount:
    try:
        after = field[field.index(b"-", _FIELDS) + 1 :]
        major, _, minor = field[2].partition(b":")
        if len(after) < _AFTER:
            raise ValueError  # noqa: TRY301 -- the same message for all
        return Mount(
            mnt_id=number(field[0]),
            dev=device(major, minor),
            root=decode(unescape(field[3])),
            point=decode(unescape(field[4])),
            fstype=decode(after[0]),
            options=decode(after[2]),
            own=decode(field[5]),
            group=_tag(field, b"shared:"),
            master=_tag(field, b"master:"),
        )
    except (ValueError, IndexError):
        raise malformed(where, row, "expected a mount as in proc_pid_mountinfo(5)") from None


def _tag(field: list[bytes], tag: bytes) -> int:
    tags = field[_FIELDS : field.index(b"-", _FIELDS)]
    return next((number(word[len(tag) :]) for word in tags if word.startswith(tag)), 0)
