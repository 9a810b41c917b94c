"""What `lsfd -J` prints: a list of objects, one for each file of a process (util-linux 2.38).

ASSOC says how the process has it: a descriptor's number, or "cwd", "exe", "net", ... NAME is what
/proc shows; since 2.39 it is more than that for some types, and KNAME, if asked for, is as it was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from analyzer.procfs.captures import _json
from analyzer.procfs.captures.base import Capture

if TYPE_CHECKING:
    from analyzer.procfs.captures.told import Told

_HEAD: Final = re.compile(rb'\A\s*\{\s*"lsfd"\s*:\s*\[')
_PLACES: Final = {"cwd": "cwd", "rtd": "root", "exe": "exe"}
_SPACES: Final = {
    **{name: name for name in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")},
    "pid4c": "pid_for_children",
    "time4c": "time_for_children",
}
_ACCESS: Final = {"r-": b"r", "-w": b"w", "rw": b"u"}
_FILESYSTEMS: Final = {"pipefs": "pipe", "sockfs": "socket"}


def read(told: Told, data: bytes) -> None:
    """Add what a list says of processes and their files."""
    for line, row in _json.rows(told, data):
        pid = _json.number(row.get("pid"))
        if pid is None or _json.number(row.get("tid")) not in {None, pid}:
            if pid is None:
                told.damage(line, "expected a pid")
            continue  # a thread repeats what its process has
        if told.process(pid, **_known(row)):
            told.open(pid)
            _add(told, pid, row)


def _known(row: dict[str, Any]) -> dict[str, bytes]:
    uid = _json.number(row.get("uid"))
    known = {} if uid is None else {"Uid": b"%d" % uid}
    name = _json.word(row.get("command"))
    return known | ({"Name": name.encode("utf-8", "surrogateescape")} if name else {})


def _add(told: Told, pid: int, row: dict[str, Any]) -> None:
    where, target = _json.word(row.get("assoc")), _target(row)
    if where.isascii() and where.isdigit():
        mode = _json.word(row.get("mode")) or _json.word(row.get("xmode"))
        told.file(pid, int(where), target, _ACCESS.get(mode[:2].lower(), b""))
    elif where in _PLACES and target.startswith("/"):
        told.link(f"{pid}/{_PLACES[where]}", target)
    elif where in _SPACES:
        told.link(f"{pid}/ns/{_SPACES[where]}", target)


def _target(row: dict[str, Any]) -> str:
    """Return where a link of /proc leads."""
    name = _json.word(row.get("kname")) or _json.word(row.get("name"))
    ino, source = _json.number(row.get("inode")), _json.word(row.get("source"))
    if ino is not None and source in _FILESYSTEMS:
        return f"{_FILESYSTEMS[source]}:[{ino}]"
    if source == "anon_inodefs" and not name.startswith("anon_inode:"):
        return f"anon_inode:[{_json.word(row.get('type'))}]"
    return name


CAPTURE: Final = Capture(
    name="lsfd -J",
    head=_HEAD,
    read=read,
    lacks="who is whose child, offsets, flags, locks, which files are mapped where, threads",
    remarks="`lsfd -J > DUMP`: what is open, and namespaces; `ps -ef` beside it tells the tree",
)
