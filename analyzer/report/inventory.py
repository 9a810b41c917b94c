"""What a dump of /proc has, and what it costs that it lacks the rest, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from analyzer.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Inventory = Mapping[str, Any]
"""As `procfs.inventory.take` makes it."""

COSTS: Final = {
    "stat": "when a process started is not known",
    "status": "which number a process has in its own pid namespace is not known",
    "fd": "no open file is known, so no leak of one can be seen",
    "fdinfo": "offsets, flags, locks, and what an epoll or inotify watches are not known",
    "ns": "no namespace is known, so no leak of one can be seen",
    "maps": "which files are mapped is not known",
    "mountinfo": "what is mounted is not known",
}
"""What it costs that a dump lacks a kind of file."""

CRIU: Final = "CRIU"
_LATER: Final = {"sock_diag": ""}  # what the first inventories did not tell
_ALONE: Final = (
    "only the process itself is known to be inside, and nobody to be outside; "
    "ps -ef > FOLDER/ps.txt, beside the other in one folder, tells them"
)
_SCRIPT: Final = "cranalyze procdump --script > procdump.sh"


def inventory_of(meta: Mapping[str, Any]) -> Inventory | None:
    """Return the inventory in a snapshot's meta, None where it is of no dump, or has none."""
    told = meta["source"].get("inventory")
    if not isinstance(told, Mapping) or not isinstance(told.get("files"), Mapping):
        return None
    return {**_LATER, **told}


def words(inventory: Inventory, pid: int | None) -> tuple[str, ...]:
    """Return what the dump has, then what each kind of file that it lacks costs, a line each.

    `pid` is whom it was read for, None for all.
    """
    files = inventory["files"]
    lacks = {name: cost for name, cost in COSTS.items() if not files.get(name)}
    lines = [_line(inventory, files), *_captures(inventory)]
    lines += [f"no {name}: {cost}" for name, cost in lacks.items()]
    if lacks and inventory.get("kcmp") != CRIU:
        options = "" if pid is None else f" -s -- -p {pid}"
        lines.append(f"to have all: {_SCRIPT}; ssh HOST sudo sh{options} < procdump.sh")
    return tuple(lines)


def _captures(inventory: Inventory) -> Iterator[str]:
    """Yield what the dump is made of, if of what tools printed."""
    captures = inventory.get("captures") or []
    if captures:
        yield f"made of what {', '.join(captures)} printed{_lacks(captures)}"
    if captures and not inventory.get("parents"):
        yield f"no parents: {_ALONE}"


def _lacks(names: Sequence[str]) -> str:
    """Return what the only capture lacks: what several lack together the files tell."""
    if len(names) > 1:
        return ""
    from analyzer.procfs.captures import registry  # for these dumps only

    return "".join(f", which lacks: {one.lacks}" for one in registry() if one.name == names[0])


def _line(inventory: Inventory, files: Mapping[str, int]) -> str:
    count = inventory["processes"]
    has = ", ".join(f"{name} {number(told)}" for name, told in files.items())
    processes = f"{number(count)} {'process' if count == 1 else 'processes'}"
    return "; ".join([processes, has, *_made(inventory)])


def _made(inventory: Inventory) -> Iterator[str]:
    if inventory.get("kcmp") == CRIU:
        yield "a checkpoint: all in it is inside, and who else shared with it is not in it"
        return
    if not inventory.get("kthreadd"):
        yield "no kthreadd: made inside a pid namespace, or not of all processes"
    uid = inventory.get("uid")
    who = "by whom is not known" if uid is None else "by root" if uid == 0 else f"by uid {uid}"
    yield f"made {who}"
    if inventory.get("seconds") is not None:
        yield f"took {number(inventory['seconds'])} s"
    for name, call in (("kcmp", "kcmp(2)"), ("sock_diag", "sock_diag(7)")):
        if inventory.get(name) not in {None, "", "none"}:
            yield f"{call} asked by {inventory[name]}"
    if inventory.get("whole") is False:
        yield "cut short"
    if inventory.get("subject"):
        yield f"made for process {inventory['subject']}: of others not all"
