"""What would release a thing: text to read, which nothing here ever runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK
from analyzer.core.pattern import pattern
from analyzer.core.text import spans
from analyzer.core.values import replace
from analyzer.lookup.value import AWAITED, ITSELF, OTHER_END, PERHAPS, Outcome, everyone
from analyzer.lookup.words.sysv import DESTROYED
from analyzer.procfs.places import LEAVE, following, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from analyzer.lookup.value import Answer, Held, Node
    from analyzer.procfs.people import Person

_RELEASED: Final = frozenset({ITSELF, OTHER_END, PERHAPS, AWAITED})
_IPCRM: Final = {"SHM": "m", "SEM": "s", "MSG": "q"}
_MOST_ENDED: Final = 4  # processes in one step
_INIT: Final = 1
_FORMAT: Final = pattern(r"\(format (.+)\)$")  # of binfmt_misc, which has the interpreter
_ON: Final = pattern(r"\((loop[0-9]+)\)$")  # how a mounted filesystem is called


def releases(answer: Answer, removals: Sequence[str] = (), remedies: Sequence[str] = ()) -> Answer:
    """Return the answer with what would release the thing: what has to go first is first.

    Who is dead has to be reaped, what is used is to be closed, and then it can be unmounted and its
    device detached. What nobody holds is removed by `removals`; `remedies` help in any case, and at
    once.
    """
    if answer.outcome is Outcome.FREE and removals:
        return replace(answer, next=tuple(removals))
    answer = replace(answer, following=tuple(dict.fromkeys(_following(answer.held))))
    steps = _Steps({one.pid: one for one in answer.people}, answer.notes, answer.following)
    reaped = [
        f"{one.parent_comm or 'its parent'} ({one.parent}) has to wait for {one.comm} ({one.pid})"
        + (", or end" if one.parent != _INIT else "")
        for one in answer.people
        if one.zombie
    ]
    steps.first = {place.pid for place in answer.places if place.pid}
    places = [place.release for place in answer.places if place.release]
    steps.devices = {match[1] for held in answer.held if (match := _ON.search(held.name or ""))}
    doomed = DESTROYED in answer.notes
    for held in answer.held:
        steps.removed.update(dict.fromkeys(() if doomed else _removed(held)))
        if not held.initial and held.part in _RELEASED:
            steps.free(held)
    known = dict.fromkeys([*remedies, *reaped, *places, *steps.said()])
    # Who has to end anyway need not go elsewhere first.
    spared = {f"{one}{LEAVE}" for one in known}
    return replace(answer, next=tuple(one for one in known if one not in spared))


class _Steps:
    """What has to be done, as it is met; `said` has it in an order in which it can be done."""

    def __init__(
        self,
        people: Mapping[int, Person],
        notes: Sequence[str],
        following: Collection[tuple[str, str]],
    ) -> None:
        self._people = people
        self._notes = notes
        self._following = following
        self._closed: dict[tuple[str, int], dict[int, None]] = {}
        self._ended: dict[str, None] = {}
        self._unmounted: dict[str, None] = {}
        self._detached: dict[str, bool] = {}
        self.devices: set[str] = set()
        self.first: set[int] = set()
        self.removed: dict[str, None] = {}

    def free(self, held: Held) -> None:
        if held.kind == "MOUNT":
            self._unmount(held.name, held.by)
        for node in held.by:
            self._undo(node, ())

    def said(self) -> Iterator[str]:
        yield from self.removed
        # Who has the lock, or is there by more than a descriptor, is first.
        order = sorted(self._closed.items(), key=lambda one: one[0][1] not in self.first)
        for (who, pid), slots in order:
            if f"{who} ({pid})" in self._ended:
                continue  # with it they are closed
            end = "" if pid == _INIT else ", or end it"
            yield f"close fd {', '.join(spans(slots))} of {who} ({pid}){end}"
        ended = list(self._ended)
        if len(ended) > _MOST_ENDED:
            yield f"end {', '.join(ended[:_MOST_ENDED])} and {len(ended) - _MOST_ENDED} more"
        else:
            yield from (f"end {who}" for who in ended)
        # A loop device that a file in here backs goes before the rest, one that this is on after.
        yield from (step for step, on in self._detached.items() if not on)
        yield from self._unmounted
        yield from (step for step, on in self._detached.items() if on)

    def _undo(self, node: Node, above: tuple[Node, ...]) -> None:
        if node.observer or node.kthread:
            return
        if node.kind == TASK:
            self._let_go(node, above)
            return
        if node.kind == "MOUNT":
            self._unmount(node.name, node.by)
        if (match := _FORMAT.search(node.words)) and any(space.initial for space in node.by):
            where = quoted(f"/proc/sys/fs/binfmt_misc/{match[1]}")
            self.removed[f"echo -1 > {where}"] = None
        if node.kind == "LOOP" and node.name:
            mounted = node.name.removeprefix("/dev/") in self.devices
            self._detached[f"losetup -d {quoted(node.name)}"] = mounted
        for one in node.by:
            self._undo(one, (*above, node))

    def _let_go(self, node: Node, above: tuple[Node, ...]) -> None:
        """Have a descriptor closed; else the process has to end."""
        pid = node.tgid or 0
        fd = next((one.slot for one in reversed(above) if one.association == "fd"), None)
        if fd is not None:
            self._closed.setdefault((node.process or "?", pid), {})[fd] = None
        else:
            self._end(node.process or "?", pid)

    def _end(self, comm: str, pid: int) -> None:
        # The dead cannot be ended, nor who waits for a child of vfork: that is said already.
        waits = any(note.startswith(f"{comm} ({pid}) waits for ") for note in self._notes)
        if pid != _INIT and not waits and not (pid in self._people and self._people[pid].zombie):
            self._ended[f"{comm} ({pid})"] = None

    def _unmount(self, point: str | None, spaces: tuple[Node, ...]) -> None:
        known = [one for one in spaces if one.kind == "MNT_NS" and (one.initial or one.members)]
        if point == "/":  # a root goes with those that are in it
            for pid in (pid for one in known for pid in one.members if pid in self._people):
                self._end(self._people[pid].comm, pid)
        elif point and point.startswith("/"):
            here = [one for one in known if (point, one.name) not in self._following]
            self._unmounted.update({unmount(point, one): None for one in here})


def _following(held: Iterable[Held]) -> Iterator[tuple[str, str]]:
    """Yield the points at which the host has something mounted, and who goes with it there."""
    mounts = [(one.name, one.by) for one in held if one.kind == "MOUNT"]
    mounts += [(n.name, n.by) for one in held for n in everyone(one.by) if n.kind == "MOUNT"]
    spaces: dict[str, list[Node]] = {}
    for point, by in mounts:
        spaces.setdefault(point or "", []).extend(one for one in by if one.kind == "MNT_NS")
    for point, some in spaces.items():
        if len(some) > 1 and any(one.initial for one in some):
            names = following(point)
            yield from ((point, one.name) for one in some if one.name in names)


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
