"""kcmp(2): whether two tasks, or two descriptors, share one kernel object.

The system call answers 0 for the same object, 1 and 2 for a stable order of different ones, so that
n members are put into classes with O(n log n) calls; 3 is "different, order unknown". It may refuse
a task (EPERM) and a task may go away meanwhile (ESRCH, EBADF): such a member gets a class of its
own and is told as uncertain. Nobody else's answer depends on it.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import Final, Generic, TypeVar

from analyzer.core.syscall import number

Member = tuple[int, int]
"""A task and a descriptor of it, (tid, fd); the second is 0 where tasks are compared."""

_T = TypeVar("_T")
Compare = Callable[[_T, _T], int]

EQUAL: Final = 0
LESS: Final = 1
UNORDERED: Final = 3


class What(IntEnum):
    """What is compared: enum kcmp_type, include/uapi/linux/kcmp.h."""

    FILE = 0
    VM = 1
    FILES = 2
    FS = 3
    SIGHAND = 4


@dataclass
class Classes:
    """The class of each member, numbered from 0 as they are met; -1: equal to no pivot.

    `failed` has the members (by index) that could not be compared, with the errno.
    """

    number: list[int]
    failed: dict[int, int] = field(default_factory=dict)


@cache
def comparer(what: What) -> Compare[Member]:
    """Return a function that compares two members by kcmp(2); it raises OSError."""
    # A library object of our own: the argument types of another's would bind everybody.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.syscall.argtypes = [ctypes.c_long] * 6
    syscall, call, kind = libc.syscall, number("kcmp"), int(what)

    def compare(one: Member, other: Member) -> int:
        answer: int = syscall(call, one[0], other[0], kind, one[1], other[1])
        if answer < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return answer

    return compare


def classify(compare: Compare[_T], members: Sequence[_T], pivots: int | None = None) -> Classes:
    """Put `members` into classes of equal ones.

    With `pivots`, only the first so many are told apart; each of the others is given the class of
    the pivot that it equals, or -1. A member that `compare` fails for has a class of its own (-1
    when it is no pivot) and is in `failed`.
    """
    sorter = _Sorter(compare, members)
    count = len(members) if pivots is None else pivots
    for index in range(len(members)):
        sorter.place(index, keep=index < count)
    return sorter.result


class _Sorter(Generic[_T]):
    """`_order` has one living member (by index) of each class so far."""

    def __init__(self, compare: Compare[_T], members: Sequence[_T]) -> None:
        self._compare = compare
        self._members = members
        self._order: list[int] = []
        self._ordered = True
        self._classes = 0
        self.result = Classes([-1] * len(members))

    def place(self, index: int, *, keep: bool) -> None:
        """Find the class of a member, or make one for it if it is to be kept."""
        while not self._placed(index, keep=keep):
            pass  # somebody else is not to be asked any more: try again without

    def _placed(self, index: int, *, keep: bool) -> bool:
        try:
            at, equal = self._find(index)
        except OSError as error:
            return not self._blame(index, error, keep=keep)
        if equal:
            self.result.number[index] = self.result.number[self._order[at]]
        elif keep:
            self._order.insert(at, index)
            self._new_class(index)
        return True

    def _new_class(self, index: int) -> None:
        self.result.number[index] = self._classes
        self._classes += 1

    def _find(self, index: int) -> tuple[int, bool]:
        low, high = 0, len(self._order)
        while low < high and self._ordered:
            middle = (low + high) // 2
            answer = self._ask(index, self._order[middle])
            if answer == EQUAL:
                return middle, True
            if answer == LESS:
                high = middle
            else:
                low = middle + 1
        if self._ordered:
            return low, False
        return self._search(index)

    def _search(self, index: int) -> tuple[int, bool]:
        for at, other in enumerate(self._order):
            if self._ask(index, other) == EQUAL:
                return at, True
        return len(self._order), False

    def _ask(self, index: int, other: int) -> int:
        try:
            answer = self._compare(self._members[index], self._members[other])
        except OSError as error:
            raise _PairError(error.errno or errno.EPERM, other) from error
        if answer == UNORDERED:
            self._ordered = False
        return answer

    def _blame(self, index: int, error: OSError, *, keep: bool) -> bool:
        """Find out who is not to be asked any more; tell whether `index` is still to be placed."""
        other = error.other if isinstance(error, _PairError) else index
        mine, theirs = self._fails(index), self._fails(other)
        if theirs:
            self._replace(other)
        if mine or not theirs:
            self.result.failed[index] = mine or error.errno or errno.EPERM
            if keep:
                self._new_class(index)
            return False
        return True

    def _replace(self, lost: int) -> None:
        """Let another member stand for the class of one that went away."""
        number = self.result.number
        others = (i for i, n in enumerate(number) if n == number[lost] and not self._fails(i))
        at = self._order.index(lost)
        heir = next(others, None)
        self._order[at : at + 1] = [] if heir is None else [heir]

    def _fails(self, index: int) -> int:
        try:
            self._compare(self._members[index], self._members[index])
        except OSError as error:
            return error.errno or errno.EPERM
        return 0


class _PairError(OSError):
    def __init__(self, code: int, other: int) -> None:
        super().__init__(code, os.strerror(code))
        self.other = other
