"""What is to be said of a process that has ended, and is there still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from analyzer.snapshot.tables import Table

_DEAD: Final = ("Z", "X")  # state letters, proc_pid_stat(5)


def remark(tasks: Table, row: int) -> str:
    """Say that the process of a row is dead, and who ought to wait, "" if a thread of it lives.

    It keeps its number, and so its pid namespace, until its parent has waited for it (wait(2)).
    """
    if tasks.value("state", row) not in _DEAD:
        return ""
    threads = np.flatnonzero(tasks["tgid"] == tasks["tgid"][row])
    if any(tasks.value("state", int(at)) not in _DEAD for at in threads):
        return ""
    ppid = tasks["ppid"][row]
    parent = np.flatnonzero(tasks["tid"] == ppid)
    if not len(parent):
        return "dead (a zombie)"
    return f"dead (a zombie): {tasks['comm'][parent[0]]} ({ppid}) has not waited for it"
