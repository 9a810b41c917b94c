"""System calls in progress, and the kernel stacks of the threads that are in them.

The registers of the program are saved at the top of its thread's kernel stack on the way in
(`struct pt_regs`); `ax` is -ENOSYS there until the call returns (arch/x86/entry). Where exactly, we
learn from our own thread, which is in bpf(2) while it reads itself; of another machine, from all
that could be in a call, which agree. Of a thread that sleeps, the part of the stack in use starts
at `thread.sp`.

Of one that runs, all of its stack is taken, with what earlier calls left there.

x86-64 only: other machines keep their registers otherwise, and nothing is read there. Left out too
are threads that are stopped, and the system calls of 32-bit programs.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np

from analyzer.core import syscall
from analyzer.core.values import dataclass
from analyzer.memory.walk import arrays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.memory.bpf import U64, Mask
    from analyzer.memory.reader import Columns, Memory, Path
    from analyzer.memory.walk import I64

_PF_KTHREAD: Final = 0x00200000
_STOPPED: Final = 0x4 | 0x8 | 0x80  # stopped, traced, dead (include/linux/sched.h)
_TS_COMPAT: Final = 2  # arch/x86/include/asm/thread_info.h
_USER_CS: Final = 0x33  # of a 64-bit program (arch/x86/include/asm/segment.h)
_NOT_YET: Final = np.uint64((1 << 64) - errno.ENOSYS)
# THREAD_SIZE (16 KiB, 32 with KASAN) less what is free above the registers (16 with FRED).
_SIZES: Final = (1 << 14, 1 << 15)
_FREE: Final = (0, 16)
_BLOCK: Final = 512  # stacks are read in blocks that divide them, so that no read leaves one
_MOST_CALLS: Final = 1024
_ARGUMENTS: Final = ("di", "si", "dx")

_TASK: Final[Mapping[str, Path]] = {
    "stack": "stack", "sp": "thread.sp", "flags": "flags", "on_cpu": "on_cpu",
    "state": ("__state", "state"), "status": "thread_info.status",
    "slept": "nvcsw", "preempted": "nivcsw",
}  # fmt: skip
_NEEDED: Final = (
    ("pt_regs", "orig_ax"),
    ("task_struct", "thread.sp"),
    ("task_struct", "on_cpu"),
    ("task_struct", "thread_info.status"),
)


@dataclass(frozen=True)
class _Frame:
    """Where the registers are, from the lowest address of a stack, and the size of stacks."""

    registers: int
    size: int


@dataclass(frozen=True)
class Calls:
    """System calls in progress: `row` of the task, its address, the number of the call.

    `arguments` are the first three, of 32 bits each (descriptors are no wider). The stack is in use
    from `low` to `high`. `switches` is how often the thread had given up the processor.
    """

    row: I64
    task: U64
    number: I64
    arguments: I64
    low: U64
    high: U64
    switches: U64
    running: Mask

    def take(self, rows: Mask) -> Calls:
        """Return the chosen ones."""
        return Calls(
            self.row[rows], self.task[rows], self.number[rows], self.arguments[rows],
            self.low[rows], self.high[rows], self.switches[rows], self.running[rows],
        )  # fmt: skip

    def unmoved(self, memory: Memory) -> Mask:
        """Tell which threads were not switched since: what was read of a sleeping one is whole."""
        now = memory.gather(self.task, "task_struct", _TASK)
        same = (now["on_cpu"] != 0) == self.running
        mask: Mask = now.ok & same & (_switches(now) == self.switches)
        return mask


@dataclass(frozen=True)
class Words:
    """Words on stacks: the index of the call, where the word is, what it is."""

    call: I64
    address: U64
    value: U64


_learnt: WeakKeyDictionary[Memory, _Frame | None] = WeakKeyDictionary()


def in_progress(memory: Memory, tasks: U64) -> Calls | None:
    """Return the system calls that threads among `tasks` are in; None where we cannot tell."""
    if memory not in _learnt:
        _learnt[memory] = _learn(memory, tasks)
    frame = _learnt[memory]
    return None if frame is None else _read(memory, tasks, frame)


def words(memory: Memory, calls: Calls) -> Words:
    """Read what is on the stacks; words that are 0 are left out."""
    blocks = (calls.high - calls.low + np.uint64(_BLOCK - 1)) // np.uint64(_BLOCK)
    base = calls.high - blocks * np.uint64(_BLOCK)
    found = arrays(memory, base, (blocks * np.uint64(_BLOCK // 8)).astype(np.int64))
    address = base[found.owner] + (found.index * 8).astype(np.uint64)
    used = address >= calls.low[found.owner]
    return Words(found.owner[used], address[used], found.value[used])


def _learn(memory: Memory, tasks: U64) -> _Frame | None:
    size = memory.layout.sizeof("pt_regs")
    if size is None or not all(memory.has(*needed) for needed in _NEEDED):
        return None
    who = np.array([memory.engine.current_task()], np.uint64) if memory.engine.live else tasks
    stack = memory.gather(who, "task_struct", {"stack": "stack"})["stack"]
    frames = [_Frame(top - free - size, top) for top in _SIZES for free in _FREE]
    right = [_in_call(memory, stack + np.uint64(frame.registers)) for frame in frames]
    return frames[int(np.argmax(right))] if any(right) else None


def _in_call(memory: Memory, registers: U64) -> int:
    """Count the places where the registers are saved of who is in a call: where we are, in ours."""
    number, _, within = _saved(memory, registers)
    if memory.engine.live:
        within &= number == syscall.number("bpf")
    return int(within.sum())


def _read(memory: Memory, tasks: U64, frame: _Frame) -> Calls:
    read = memory.gather(tasks, "task_struct", _TASK)
    low = np.where(read["on_cpu"] != 0, read["stack"], read["sp"])
    high = read["stack"] + np.uint64(frame.size)
    apt = read.ok & (read["flags"] & _PF_KTHREAD == 0) & (read["state"] & _STOPPED == 0)
    apt &= (read["status"] & _TS_COMPAT == 0) & (low >= read["stack"]) & (low < high)
    row = np.flatnonzero(apt)
    number, arguments, within = _saved(memory, read["stack"][row] + np.uint64(frame.registers))
    row = row[within]
    return Calls(
        row, tasks[row], number[within], arguments[within],
        low[row], high[row], _switches(read)[row], read["on_cpu"][row] != 0,
    )  # fmt: skip


def _saved(memory: Memory, addresses: U64) -> tuple[I64, I64, Mask]:
    """Read saved registers: the number of the call, its arguments, whether it is in progress."""
    fields = {name: name for name in ("ax", "cs", *_ARGUMENTS)}
    saved = memory.gather(addresses, "pt_regs", {"number": "orig_ax", **fields})
    within = saved.ok & (saved["ax"] == _NOT_YET) & (saved["cs"] == _USER_CS)
    within &= saved["number"] < _MOST_CALLS  # an interrupt has a negative one
    arguments = np.stack([saved[name] for name in _ARGUMENTS], axis=1) & np.uint64(0xFFFFFFFF)
    number: I64 = saved["number"].astype(np.int64)
    return number, arguments.astype(np.int64), within


def _switches(read: Columns) -> U64:
    total: U64 = read["slept"].astype(np.uint64) + read["preempted"].astype(np.uint64)
    return total
