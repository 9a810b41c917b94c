"""Which tasks and descriptors share one object, told by kcmp(2), by a record of it, or by nobody.

A snapshot of the live machine asks the kernel (`ByKcmp`). A dump made by cranalyze carries the
answers in cranalyze/identities (`Recorded`), one a line::

    FILES 1234 5            task 1234 uses descriptor table number 5
    FILE 1234 7 12          its descriptor 7 is open file number 12
    FILE 1234 8 error 1     it could not be compared: errno 1

Any other dump has none (`Presumed`): then nothing is said to be shared between processes.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, Protocol

from analyzer.core.model import GAPS
from analyzer.procfs.kcmp import Classes, Member, What, classify, comparer
from analyzer.procfs.parse import in_column, malformed, passed_over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.core.errors import BadInputError

PATH: Final = "cranalyze/identities"
_ERRNO: Final = GAPS.column("errno")


class Identity(Protocol):
    """Tells what is one object; `certain` unless it only presumes."""

    certain: bool

    def classes(self, what: What, members: Sequence[Member], pivots: int | None = None) -> Classes:
        """Put members into classes of those that share one object, as `kcmp.classify` does."""
        ...


class ByKcmp:
    """The running kernel's answers."""

    certain = True

    def classes(self, what: What, members: Sequence[Member], pivots: int | None = None) -> Classes:
        """Do as `Identity.classes`."""
        return classify(comparer(what), members, pivots)


class Recording:
    """The answers of another one, kept so that a dump can carry them.

    A member keeps its number when it is asked for again: a thread is compared with those of its
    process, and then one of them, for all, with other processes.
    """

    def __init__(self, inner: Identity) -> None:
        self.certain = inner.certain
        self._inner = inner
        self._number: dict[tuple[What, Member], int] = {}
        self._same: list[int] = []  # by number, another one of the same object, or itself
        self._failed: dict[tuple[What, Member], int] = {}

    def classes(self, what: What, members: Sequence[Member], pivots: int | None = None) -> Classes:
        """Do as `Identity.classes`."""
        result = self._inner.classes(what, members, pivots)
        first: dict[int, int] = {}
        for index, (member, number) in enumerate(zip(members, result.number, strict=True)):
            mine = self._number.setdefault((what, member), len(self._same))
            if mine == len(self._same):
                self._same.append(mine)
            if number >= 0:
                self._same[self._root(mine)] = self._root(first.setdefault(number, mine))
            if index in result.failed:
                self._failed[what, member] = result.failed[index]
        return result

    def _root(self, number: int) -> int:
        while self._same[number] != number:
            number = self._same[number]
        return number

    def text(self) -> str:
        """Return the content of cranalyze/identities."""
        lines = []
        for key, number in self._number.items():
            code = self._failed.get(key)
            answer = str(self._root(number)) if code is None else f"error {code}"
            lines.append(f"{_key(*key)} {answer}\n")
        return "".join(lines)


class Recorded:
    """The answers that a dump carries: class numbers by member, errnos where there was none."""

    certain = True

    def __init__(
        self,
        number: Mapping[What, Mapping[int, Mapping[int, int]]],
        failed: Mapping[What, Mapping[Member, int]],
    ) -> None:
        self._number = number
        self._failed = failed

    def classes(self, what: What, members: Sequence[Member], pivots: int | None = None) -> Classes:
        """Do as `Identity.classes`."""
        result = Classes([])
        number, failed = self._number[what], self._failed[what]
        seen: dict[int | Member, int] = {}
        for index, member in enumerate(members):
            tid, fd = member
            key: int | Member = number.get(tid, {}).get(fd, member)
            if key == member:
                result.failed[index] = failed.get(member, errno.ENODATA)
            if pivots is None or index < pivots:
                seen.setdefault(key, len(seen))
            result.number.append(seen.get(key, -1))
        return result


class Presumed:
    """No answers: nothing is said to be shared."""

    certain = False

    def classes(self, what: What, members: Sequence[Member], pivots: int | None = None) -> Classes:
        """Do as `Identity.classes`."""
        del what
        count = len(members) if pivots is None else pivots
        return Classes([index if index < count else -1 for index in range(len(members))])


def parse(data: bytes, where: str, lost: list[BadInputError] | None = None) -> Recorded:
    """Parse cranalyze/identities; BadInputError for a malformed line.

    With `lost` it is passed over and kept there: its member is one that nobody could ask for.
    """
    number: dict[What, dict[int, dict[int, int]]] = {what: {} for what in What}
    failed: dict[What, dict[Member, int]] = {what: {} for what in What}
    for line, text in enumerate(data.splitlines(), 1):
        try:
            what, member, answer = _line(text.split())
            if answer[0] == b"error":
                failed[what][member] = in_column(answer[1], _ERRNO)
            else:
                number[what].setdefault(member[0], {})[member[1]] = int(answer[0])
        except (ValueError, KeyError, IndexError):
            error = malformed(where, line, "expected KIND TID [FD] NUMBER or error ERRNO")
            passed_over(error, lost)
    return Recorded(number, failed)


def _key(what: What, member: Member) -> str:
    return (
        f"{what.name} {member[0]} {member[1]}" if what is What.FILE else f"{what.name} {member[0]}"
    )


def _line(word: list[bytes]) -> tuple[What, Member, list[bytes]]:
    what = What[word[0].decode("ascii", "replace")]
    if what is What.FILE:
        return what, (int(word[1]), int(word[2])), word[3:]
    return what, (int(word[1]), 0), word[2:]
