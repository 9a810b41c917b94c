"""TTY: struct tty_struct, a terminal, or one end of a pseudo-terminal.

Compared is `count`, the open files on it, as OpenVZ did (linux-cr compared the kref, which counts
something else: the sessions whose controlling terminal it is; under its rules so do we). The slave
end of a pseudo-terminal has one more as long as the master is open (drivers/tty/tty_io.c,
tty_release()). A master outside with its slave inside is the terminal that a container was started
from.

A controlling terminal is held by the processes of its session, and is counted in the kref alone:
it accounts for no open file.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.core.pattern import pattern
from analyzer.kinds._named_types import texts
from analyzer.kinds.base import (
    SINCE_LINUX_CR,
    Association,
    Counter,
    Edges,
    FileType,
    Kind,
    Known,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask, Told
    from analyzer.memory.reader import Memory

FILE: Final = Association("tty.file", "open on it", SINCE_LINUX_CR)
MASTER: Final = Association("tty.master", "the other end of", SINCE_LINUX_CR)
CONTROLLING: Final = Association("ctty", "has it as controlling terminal")

_SLAVE: Final = pattern(r"pts(\d+)$")
_TYPE: Final = 0o170000  # S_IFMT
_LONGEST: Final = 32  # of the name of a driver
# include/linux/tty_driver.h; since 6.17 an enum, whose numbers are others.
_PTY: Final = 4
_MASTER: Final = 1


def _are_ttys(memory: Memory, files: U64) -> Mask:
    """Recognise terminals, open or hung up, by what only their files have (tty_add_file())."""
    read = memory.gather(files, "file", {"inode": "f_inode", "data": "private_data"})
    inode = memory.gather(read["inode"], "inode", {"mode": "i_mode"})
    private = memory.gather(
        read["data"], "tty_file_private", {"file": "file", "before": "list.prev"}
    )
    device = inode.ok & (inode["mode"] & _TYPE == stat.S_IFCHR)
    likely = device & private.ok & (private["file"] == files)
    following, ok = memory.pointers(np.where(likely, private["before"], np.uint64(0)))
    listed = read["data"] + np.uint64(memory.offset("tty_file_private", "list"))
    mask: Mask = likely & ok & (following == listed)
    return mask


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"private": "private_data"})
    read = memory.gather(data["private"], "tty_file_private", {"tty": "tty", "file": "file"})
    at = np.flatnonzero(read.ok & (read["file"] == files))
    yield Edges(FILE, "TTY", at, read["tty"][at])


def of_tasks(memory: Memory, tasks: U64) -> Iterator[Edges]:
    """Yield the controlling terminal of each process, for its first thread."""
    read = memory.gather(tasks, "task_struct", {"signal": "signal", "leader": "group_leader"})
    leads = np.flatnonzero(read.ok & (read["leader"] == tasks))
    tty = memory.gather(read["signal"][leads], "signal_struct", {"tty": "tty"})
    has = tty.ok & (tty["tty"] != 0)
    none = np.zeros(int(has.sum()), np.int64)
    yield Edges(CONTROLLING, "TTY", leads[has], tty["tty"][has], weight=none)


def _walk(memory: Memory, ttys: U64) -> Iterator[Edges]:
    read = memory.gather(ttys, "tty_struct", {"driver": "driver", "link": "link"})
    driver = memory.gather(read["driver"], "tty_driver", {"type": "type", "subtype": "subtype"})
    pty = memory.layout.enumerator("tty_driver_type", "TTY_DRIVER_TYPE_PTY")
    is_pty = driver["type"] == (_PTY if pty is None else pty)
    master = driver.ok & is_pty & (driver["subtype"] == _MASTER)
    at = np.flatnonzero(read.ok & master & (read["link"] != 0))
    yield Edges(MASTER, "TTY", at, read["link"][at])


def _names(memory: Memory, ttys: U64) -> npt.NDArray[np.object_]:
    """Return the devices: a slave's `name` is pts3 for /dev/pts/3, its master's ptm3."""
    read = memory.gather(ttys, "tty_struct", {"name": "name"})
    words = [name.split(b"\0", 1)[0].decode("utf-8", "replace") for name in read["name"]]
    return np.array(
        [_SLAVE.sub(r"pts/\1", f"/dev/{word}") if word else "" for word in words], object
    )


def _state(memory: Memory, ttys: U64) -> Told:
    read = memory.gather(ttys, "tty_struct", {"index": "index", "driver": "driver", "link": "link"})
    driver = memory.gather(read["driver"], "tty_driver", {"name": "driver_name"})
    words, good = memory.read(driver["name"] & ~np.uint64(7), _LONGEST)
    shift = (driver["name"] & np.uint64(7)).tolist()
    called = [
        raw.tobytes()[skip:].split(b"\0", 1)[0].decode("utf-8", "replace") if there else ""
        for raw, skip, there in zip(words, shift, good & driver.ok, strict=True)
    ]
    return {
        "tty.index": Known(read["index"], read.ok),
        "tty.driver": texts(called),
        "tty.other": _names(memory, np.where(read.ok, read["link"], np.uint64(0))),
    }


_FACTS: Final = (
    Fact("tty.index", "number", "number of a terminal within its driver"),
    Fact("tty.driver", "text", "driver of a terminal: pty_master, pty_slave, serial, ..."),
    Fact("tty.other", "text", "other end of a pseudo-terminal"),
)

KIND: Final = Kind(
    name="TTY",
    struct="tty_struct",
    title="terminal",
    plural="terminals",
    message="tty",
    order=94,
    rank=45,
    counters=(Counter("count"),),
    old_counters=(Counter("kref.refcount.refs.counter"),),
    rules=SINCE_LINUX_CR,
    walk=_walk,
    walk_associations=(MASTER,),
    names=_names,
    file_types=(FileType("tty", None, _of_files, (FILE,), _are_ttys),),
    state=State(_FACTS, _state),
    leaked=Impact.SHARED_STATE,
)
