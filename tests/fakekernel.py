"""A kernel that was made up: the structs of a recorded BTF in a memory of our own.

    fake = FakeKernel()
    task = fake.task(5_000_010)
    fake.point(task, "nsproxy", fake.make("nsproxy", {"count.refs.counter": 1}))
    snapshot = kernel.collect(fake.memory(), Request(5_000_010))

It stands in for the BPF engine (`reader.Engine`), so the kernel source is tried without privilege,
and a test can change the memory between two reads (`between`). The numbers of its tasks are larger
than any that a process of the real machine can have.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from analyzer.memory.btf import Field
from analyzer.memory.fields import Layout
from analyzer.memory.programs import CHASE_END, CHASE_FAULT, CHASE_TORN, plausible
from analyzer.memory.reader import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.memory.bpf import U8, U64, Mask
    from analyzer.memory.btf import Btf

TABLE: Final = Path(__file__).parent / "data" / "btf" / "linux-6.18-amd64.json"
FIRST: Final = 5_000_000  # kernel.pid_max is 4,194,304 at most
_BASE: Final = 0xFFFF_8880_0000_0000
_SIZE: Final = 1 << 21
_ROOM: Final = 64  # beyond the last field that is known of a struct
_BATCH: Final = 100


class Answers:
    """Answers like a Btf, from a table; None for all that it was never asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def field(self, struct: str, path: str) -> Field | None:
        answer = self._answers.get(f"{struct}:{path}")
        return None if answer is None else Field(*answer)

    def sizeof(self, struct: str) -> int | None:
        return cast("int | None", self._answers.get(f"sizeof:{struct}"))

    def enumerator(self, enum: str, constant: str) -> int | None:
        return cast("int | None", self._answers.get(f"enum:{enum}:{constant}"))


@cache
def _table(path: Path) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """Return the answers of a recorded BTF, and how far the known fields of each struct reach."""
    answers: dict[str, Any] = json.loads(path.read_text())["answers"]
    sizes: dict[str, int] = {}
    for key, answer in answers.items():
        struct, _, name = key.partition(":")
        if isinstance(answer, list) and name:
            offset, size, *_ = answer
            sizes[struct] = max(sizes.get(struct, 0), offset + size)
    return answers, sizes


class FakeKernel:
    """An arena of structs, and the engine that reads it.

    There are an idle task, process 1 and an observer (`FIRST`), all in one pid namespace.
    """

    def __init__(self, table: Path = TABLE) -> None:
        self._answers, self._sizes = _table(table)
        self.layout = Layout(lambda: cast("Btf", Answers(self._answers)))
        self.bytes = np.zeros(_SIZE, np.uint8)
        self._end = 64
        self.reads = 0
        self.between: Callable[[int], None] = lambda _: None
        self.namespace = self.make("pid_namespace")
        self._numbers: dict[int, int] = {}
        self.idle = self.make("task_struct")
        self.point(self.idle, "real_parent", self.idle)
        self.init = self.task(1, parent=self.idle)
        self.own = self.task(FIRST, parent=self.init)

    def memory(self) -> Memory:
        """Return this kernel's memory."""
        return Memory(self, self.layout)

    # What a test makes of it.

    def room(self, size: int) -> int:
        """Return the address of some zeros."""
        address = _BASE + self._end
        self._end += size + 63 & ~63
        assert self._end < _SIZE
        return address

    def make(self, struct: str, values: Mapping[str, int] | None = None) -> int:
        """Make a struct; return its address. `values` are by path."""
        address = self.room(self._sizes.get(struct, 0) + _ROOM)
        for path, value in (values or {}).items():
            self.put(address, struct, path, value)
        return address

    def put(self, address: int, struct: str, path: str, value: int) -> None:
        """Write one field."""
        field = self.layout.field(struct, path)
        assert field is not None, f"{struct}:{path}"
        self.write(address + field.offset, value, min(field.size, 8))

    def write(self, address: int, value: int, size: int = 8) -> None:
        """Write an integer."""
        data = np.frombuffer((value & (1 << 8 * size) - 1).to_bytes(size, "little"), np.uint8)
        self.bytes[address - _BASE :][:size] = data

    def point(self, task: int, field: str, target: int) -> int:
        """Let a field of a task point to something; return that."""
        self.put(task, "task_struct", field, target)
        return target

    def task(self, tid: int, *, parent: int = 0, leader: int = 0) -> int:
        """Make a task with a number, a child of `parent`, by default of process 1."""
        task = self.make("task_struct", {"pid": tid, "tgid": tid, "start_boottime": tid})
        self.point(task, "group_leader", leader or task)
        self.point(task, "real_parent", parent or self.init)
        self.put(task, "task_struct", "comm", int.from_bytes(b"fake", "little"))
        self.point(task, "thread_pid", self._pid(tid, task))
        return task

    def _pid(self, tid: int, task: int) -> int:
        pid = self.make("pid")
        numbers, tasks, links = (
            self._offset("pid", "numbers"),
            self._offset("pid", "tasks"),
            self._offset("task_struct", "thread_pid") + 8,
        )
        self.put(pid + numbers, "upid", "nr", tid)
        self.put(pid + numbers, "upid", "ns", self.namespace)
        self.write(pid + tasks, task + links)
        self._numbers[tid] = pid
        self.relist()
        return pid

    def nest(self, tid: int, namespace: int, number: int) -> None:
        """Give a task a number in a pid namespace below the first, too."""
        pid, numbers = self._numbers[tid], self._offset("pid", "numbers")
        second = pid + numbers + (self.layout.sizeof("upid") or 0)
        self.put(pid, "pid", "level", 1)
        self.put(second, "upid", "nr", number)
        self.put(second, "upid", "ns", namespace)

    def gone(self, tid: int) -> None:
        """Take a number off the table, as when its task is reaped."""
        del self._numbers[tid]
        self.relist()

    def relist(self) -> None:
        """Make the tree of numbers anew."""
        self.put(self.namespace, "pid_namespace", "idr.idr_rt.xa_head", self._node(18, 0, 0))

    def rebuild(self) -> None:
        """Let the tree of numbers be another one, of the same numbers, at each read from now on."""
        path = "idr.idr_rt.xa_head"
        trees = [self._node(18, 0, 0) for _ in range(16)]
        self.between = lambda read: self.put(
            self.namespace, "pid_namespace", path, trees[read % len(trees)]
        )

    def _node(self, shift: int, first: int, above: int) -> int:
        node = self.make("xa_node", {"shift": shift, "parent": above})
        slots = self._offset("xa_node", "slots")
        used = 0
        for slot in range(64):
            start = first + (slot << shift)
            if not any(start <= number < start + (1 << shift) for number in self._numbers):
                continue
            used += 1
            entry = self._node(shift - 6, start, node) if shift else self._numbers[start]
            self.write(node + slots + 8 * slot, entry)
        self.put(node, "xa_node", "count", used)
        return node | 2

    def _offset(self, struct: str, path: str) -> int:
        field = self.layout.field(struct, path)
        assert field is not None, f"{struct}:{path}"
        return field.offset

    # What reads it: `reader.Engine`.

    live, lost = True, 0

    def current_task(self) -> int:
        """Return the observer."""
        return self.own

    def symbol(self, name: str) -> int:  # noqa: ARG002 - none is known
        """Return 0: there is nothing but structs."""
        return 0

    def works(self) -> bool:
        """Say that it does."""
        return True

    def close(self) -> None:
        """Free nothing."""

    def read(self, addresses: U64, size: int) -> tuple[U8, Mask]:
        """Read the arena; everything beside it faults."""
        self.reads += 1
        self.between(self.reads)
        at = addresses - np.uint64(_BASE)
        ok = plausible(addresses) & (at < np.uint64(self._end)) & (at + np.uint64(size) < _SIZE)
        rows = np.where(ok, at, np.uint64(0)).astype(np.int64)[:, None] + np.arange(size)
        return np.where(ok[:, None], self.bytes[rows], np.uint8(0)), ok

    def batches(self, addresses: U64, size: int) -> Iterator[tuple[int, U8, Mask]]:
        """Read it in many batches, so that these are tried too."""
        wide = size + 7 & ~7
        for start in range(0, len(addresses), _BATCH):
            data, ok = self.read(addresses[start : start + _BATCH], size)
            rows = np.zeros((len(data), wide), np.uint8)
            rows[:, :size] = data
            yield start, rows, ok

    def chase(
        self, start: int, head: int, *, previous: int = 0, offset: int = 0, limit: int = 1 << 22
    ) -> tuple[U64, int]:
        """Follow a list."""
        nodes: list[int] = []
        cursor, before = start, previous
        while cursor != head and len(nodes) < limit:
            data, ok = self.read(np.array([cursor + offset], np.uint64), 16)
            following, back = (int(word) for word in data.view(np.uint64)[0])
            if not ok[0] or (previous and back != before) or cursor in nodes:
                why = CHASE_TORN if ok[0] else CHASE_FAULT
                return np.array(nodes, np.uint64), why
            nodes.append(cursor)
            cursor, before = following, cursor
        return np.array(nodes, np.uint64), CHASE_END
