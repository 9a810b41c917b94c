"""Rules: which findings are known, and by whom. Profiles and policies are made of them.

A rule is a conjunction: every condition that it states has to hold, of everything that is inside,
and of every holder outside. What is not known does not hold. A rule changes no verdict and no
number: it decides what gates, and under which line a finding is told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from analyzer.core.values import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

ANY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class Outsider:
    """Who holds something from outside: a process, or (`place`) a thing that needs none.

    `exe` is the path of its program, `relations` what it is to the subject: parent, ancestor, pod.
    """

    command: str = ""
    exe: str = ""
    unit: str = ""
    container: str = ""
    relations: frozenset[str] = ANY
    place: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Item:
    """One finding, or one inside end of it, as rules see it; "" and None are not known.

    `path` is what the machine calls a file or the source of a mount, `point` where it is mounted
    inside. `access` is "ro" or "rw"; `direction` is "in", "out" or "both", as seen from inside.
    `state` of a namespace is "host", "pinned" (by files alone), or "parent": its parent has it too.
    """

    kind: str = ""
    relation: str = ""
    impact: str = ""
    side: str = ""
    slots: tuple[int, ...] = ()
    only_slots: bool = False
    direction: str = ""
    path: str = ""
    name: str = ""
    point: str = ""
    fstype: str = ""
    access: str = ""
    propagation: str = ""
    opath: bool | None = None
    directory: bool | None = None
    state: str = ""
    outsiders: tuple[Outsider, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One rule. `says` is what it is called where what it covers is told: "stdout to conmon".

    Of the conditions, sets and tuples hold where one of theirs does, patterns as fnmatch(3) with a
    ``*`` that passes slashes; `fd` are ranges of descriptors, (0, 2). `most` is how many findings
    it covers. `holder_*` and `pinned_at` are asked of every holder outside.
    """

    says: str
    owner: str = ""
    expires: date | None = None
    subject: str = ""
    kinds: frozenset[str] = ANY
    relations: frozenset[str] = ANY
    impacts: frozenset[str] = ANY
    side: str = ""
    fd: tuple[tuple[int, int], ...] = ()
    direction: str = ""
    path: tuple[str, ...] = ()
    name: str = ""
    point: str = ""
    access: str = ""
    opath: bool | None = None
    directory: bool | None = None
    fstype: str = ""
    propagation: str = ""
    namespace: str = ""
    pinned_at: tuple[str, ...] = ()
    holder_exe: str = ""
    holder_command: tuple[str, ...] = ()
    holder_unit: str = ""
    holder_container: str = ""
    holder_is: str = ""
    most: int | None = None
    allow_all: bool = field(default=False, compare=False)

    @property
    def expired(self) -> bool:
        """Tell whether its time is over."""
        return self.expires is not None and self.expires < datetime.now(UTC).date()

    def covers(self, item: Item) -> bool:
        """Tell whether all that this rule states holds of an item."""
        return self._what(item) and self._where(item) and self._who(item)

    def _what(self, item: Item) -> bool:
        return (
            (not self.kinds or item.kind in self.kinds)
            and (not self.relations or item.relation in self.relations)
            and (not self.impacts or item.impact in self.impacts)
            and (not self.side or item.side == self.side)
            and (not self.namespace or item.state == self.namespace)
        )

    def _where(self, item: Item) -> bool:
        plain = (
            (self.direction, item.direction), (self.access, item.access),
            (self.propagation, item.propagation),
        )  # fmt: skip
        flags = ((self.opath, item.opath), (self.directory, item.directory))
        globs = (
            (self.point, item.point), (self.fstype, item.fstype), (self.name, item.name),
        )  # fmt: skip
        return (
            all(not wanted or wanted == there for wanted, there in plain)
            and all(wanted is None or wanted is there for wanted, there in flags)
            and all(not wanted or (there and like(there, (wanted,))) for wanted, there in globs)
            and (not self.path or bool(item.path and like(item.path, self.path)))
            and (not self.fd or self._slots(item))
        )

    def _slots(self, item: Item) -> bool:
        inside = [any(low <= slot <= high for low, high in self.fd) for slot in item.slots]
        return item.only_slots and bool(inside) and all(inside)

    def _who(self, item: Item) -> bool:
        asked = (
            self.holder_exe, self.holder_command, self.holder_unit, self.holder_container,
            self.holder_is, self.pinned_at,
        )  # fmt: skip
        if not any(asked):
            return True
        return bool(item.outsiders) and all(map(self._held_by, item.outsiders))

    def _held_by(self, one: Outsider) -> bool:
        if one.place:
            return bool(self.pinned_at) and like(one.place, self.pinned_at)
        if self.pinned_at and not self._of_process:
            return False
        globs = (
            (self.holder_exe, one.exe), (self.holder_unit, one.unit),
            (self.holder_container, one.container),
        )  # fmt: skip
        return (
            all(not wanted or bool(there and like(there, (wanted,))) for wanted, there in globs)
            and (not self.holder_command or like(one.command, self.holder_command))
            and (not self.holder_is or self.holder_is in one.relations)
        )

    @property
    def _of_process(self) -> bool:
        asked = (self.holder_exe, self.holder_command, self.holder_unit, self.holder_container)
        return any(asked) or bool(self.holder_is)


def like(text: str, patterns: Sequence[str]) -> bool:
    """Tell whether a text is like one of some patterns (fnmatch(3), a star passes slashes)."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)
