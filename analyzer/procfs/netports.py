"""Ports that the kernel itself keeps: connections that nobody has open (proc_net_tcp(5))."""

from __future__ import annotations

from collections import Counter
from typing import Final

from analyzer.procfs.glance import kept

_STATES: Final = {
    "06": "TIME_WAIT",
    "04": "FIN_WAIT1",
    "05": "FIN_WAIT2",
    "09": "LAST_ACK",
    "0B": "CLOSING",
}


def leftovers(protocol: str, port: int) -> tuple[str, ...]:
    """Return how many connections of a port, in our network namespace, are only the kernel's."""
    if protocol != "tcp":
        return ()
    return tuple(
        f"{count} of its connections in {state}: the kernel's own, they end by themselves"
        for state, count in kept("connections of nobody", _orphans).get(port, Counter()).items()
    )


def _orphans() -> dict[int, Counter[str]]:
    """Count the connections that nobody has open, by their ports and states."""
    found: dict[int, Counter[str]] = {}
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/self/net/{table}", encoding="ascii") as file:
                lines = [line.split() for line in file][1:]
        except OSError:
            continue
        for words in lines:
            if words[9] == "0" and words[3] in _STATES:
                port = int(words[1].rpartition(":")[2], 16)
                found.setdefault(port, Counter())[_STATES[words[3]]] += 1
    return found
