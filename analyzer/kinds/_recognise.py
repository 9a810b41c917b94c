"""Learn what the kernel's `f_op` tables mean from files of our own.

The kind of an open file is known by its `f_op`, the address of a table in the kernel. Rather than
ask the symbol table for it (which may be hidden), we open one file of each kind ourselves, find it
through our own descriptor table, and read its `f_op`. The files stay open for as long as we read
(`samples`): the memory of one that is closed is soon another's, who would be told for it.

On a machine that is not ours we have no files. A core of it has the symbol table.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from analyzer.kinds.base import U64, FileType
    from analyzer.memory.distinct import Rows
    from analyzer.memory.reader import Memory

_SHOWN: Final = 4  # files of each `f_op`: some may be closed by the time that they are asked
_NO_ROWS: Final = np.empty(0, np.int64)

_learnt: WeakKeyDictionary[Memory, Mapping[str, int]] = WeakKeyDictionary()


@contextmanager
def samples(memory: Memory, types: Sequence[FileType]) -> Iterator[None]:
    """Learn the types of files before anything is read, and keep the samples open meanwhile.

    So they are ours, in our own table, for all readings; in no table that is read are they closed
    and made again as somebody else's.
    """
    with ExitStack() as stack:
        if memory not in _learnt:
            _learnt[memory] = _learn(memory, types, stack)
        yield


def file_operations(memory: Memory, types: Sequence[FileType]) -> Mapping[str, int]:
    """Return the address of the `f_op` of each type of file, by name.

    One that cannot be made here (no such feature, no permission), has no sample or no symbol is 0,
    which no file has.
    """
    with samples(memory, types):
        return _learnt[memory]


def recognised(
    memory: Memory, types: Sequence[FileType], files: U64, rows: Mapping[int, Rows]
) -> Mapping[str, set[int]]:
    """Return the `f_op` of each type that has no sample, by name, as found among `files`.

    `rows` has which files have each `f_op`; a few of these are shown to the types.
    """
    asking = {file_type.name: file_type.recognise for file_type in types if file_type.recognise}
    few = [at[:_SHOWN] for at in rows.values()] if asking else []
    at = np.concatenate([_NO_ROWS, *few])
    shown, theirs = files[at], np.repeat(np.array([*rows], np.uint64), [*map(len, few)])
    told = {name: recognise(memory, shown) for name, recognise in asking.items()}
    # One that is another file by now told of that.
    now = memory.gather(shown, "file", {"ops": "f_op"})
    same = now.ok & (now["ops"] == theirs)
    return {name: set(theirs[same & mask].tolist()) for name, mask in told.items()}


def of_one(rows: Mapping[int, Rows], ops: Iterable[int]) -> Rows:
    """Return the files that have one of some `f_op`, in their order; `rows` has those of each."""
    return np.sort(np.concatenate([_NO_ROWS, *(rows[one] for one in ops if one in rows)]))


def _learn(memory: Memory, types: Sequence[FileType], stack: ExitStack) -> Mapping[str, int]:
    if not memory.engine.live:
        return {one.name: _called(memory, one.symbols) for one in types}
    fds = {file_type.name: _sample(stack, file_type) for file_type in types}
    files = _own_files(memory, list(fds.values()))
    ops = memory.gather(files, "file", {"ops": "f_op"})["ops"]
    return {name: int(op) for name, op in zip(fds, ops, strict=True)}


def _called(memory: Memory, symbols: Sequence[str]) -> int:
    return next(filter(None, map(memory.engine.symbol, symbols)), 0)


def _sample(stack: ExitStack, file_type: FileType) -> int:
    if file_type.sample is None:
        return -1
    try:
        fd = file_type.sample()
    except OSError:
        return -1
    stack.callback(os.close, fd)
    return fd


def _own_files(memory: Memory, fds: list[int]) -> U64:
    task = np.array([memory.engine.current_task()], np.uint64)
    files = memory.gather(task, "task_struct", {"files": "files"})["files"]
    fdt = memory.gather(files, "files_struct", {"fdt": "fdt"})["fdt"]
    table = memory.gather(fdt, "fdtable", {"fd": "fd"})["fd"]
    wanted = np.array(fds, np.int64)
    slots = np.where(wanted >= 0, table + (wanted * 8).astype(np.uint64), np.uint64(0))
    return memory.pointers(slots)[0]
