"""What would release a thing: text to read, which nothing here ever runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK
from analyzer.core.values import replace
from analyzer.lookup.value import ITSELF, OTHER_END
from analyzer.procfs.places import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.value import Answer, Held, Node

_MOST: Final = 4
_RELEASED: Final = frozenset({ITSELF, OTHER_END})
_IPCRM: Final = {"SEM": "s", "MSG": "q"}
_FREE: Final = frozenset({"NSPROXY", "CRED"})


def releases(answer: Answer) -> Answer:
    """Return the answer with what would release the thing, the nearest first."""
    zombies = {one.pid: one for one in answer.people if one.zombie}
    steps: dict[str, None] = {}
    for pid, one in zombies.items():
        who = f"{one.parent_comm or 'its parent'} ({one.parent})"
        steps[f"{who} has to wait for {one.comm} ({pid}), or end"] = None
    for place in answer.places:
        if place.release:
            steps[place.release] = None
    descriptors: dict[str, dict[int, None]] = {}
    for held in answer.held:
        steps.update(dict.fromkeys(_removed(held)))
        if not held.initial and held.part in _RELEASED:
            if held.kind == "MOUNT" and held.name and held.name.startswith("/"):
                spaces = [one for one in held.by if one.initial or one.members]
                steps.update({unmount(held.name, one): None for one in spaces})
            for node in held.by:
                steps.update(dict.fromkeys(_steps(node, (), descriptors)))
    # The dead cannot be ended: who has to wait for them is said already.
    for one in zombies.values():
        steps.pop(f"end {one.comm} ({one.pid})", None)
    closing = {
        f"close fd {', '.join(map(str, sorted(slots)))} of {who}, or end it": None
        for who, slots in descriptors.items()
    }
    return replace(answer, next=(*steps, *closing)[:_MOST])


def _steps(
    node: Node, above: tuple[Node, ...], descriptors: dict[str, dict[int, None]]
) -> Iterator[str]:
    """Yield what would undo a holder; what is a descriptor goes to `descriptors`, by process."""
    if node.observer:
        return
    if node.kind == TASK:
        who = f"{node.process} ({node.tgid})"
        fd = next((one.slot for one in reversed(above) if one.association == "fd"), None)
        if fd is not None:
            descriptors.setdefault(who, {})[fd] = None
        elif not above or above[-1].kind not in _FREE:
            yield f"end {who}"
        return
    if node.kind == "MOUNT" and node.name and node.name.startswith("/"):
        yield from (unmount(node.name, one) for one in node.by if one.initial or one.members)
    if node.kind == "LOOP" and node.name:
        yield f"losetup -d {node.name}"
    for one in node.by:
        yield from _steps(one, (*above, node), descriptors)


def _removed(held: Held) -> Iterator[str]:
    """Yield what removes an object of System V IPC: nobody has one open."""
    flag, name = _IPCRM.get(held.kind, ""), held.name or ""
    spaces = [node for node in held.by if node.kind == "IPC_NS"]
    if flag and name and spaces:
        number = name.partition(" (")[0].rpartition(" ")[2]
        members = next((one.members for one in spaces if one.members), ())
        enter = f"nsenter --ipc=/proc/{members[0]}/ns/ipc " if members else ""
        if members or any(one.initial for one in spaces):
            yield f"{enter}ipcrm -{flag} {number}"


def unmount(point: str, space: Node) -> str:
    """Return how to unmount what is mounted at a point of a mount namespace."""
    enter = "" if space.initial else f"nsenter --mount=/proc/{space.members[0]}/ns/mnt "
    return f"{enter}umount {quoted(point)}"
