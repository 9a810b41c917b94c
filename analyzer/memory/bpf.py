"""The engine: three tiny BPF programs (`programs`) that copy kernel memory into a shared buffer.

They are run with BPF_PROG_TEST_RUN, never attached to anything. No compiler, no libbpf, no tracefs:
bpf(2) through ctypes.

Program types, in the order tried: BPF_PROG_TYPE_RAW_TRACEPOINT (test run since 5.10, 1b4d60ec162f
"bpf: Enable BPF_PROG_TEST_RUN for raw_tracepoint"), BPF_PROG_TYPE_SYSCALL (5.14, 79a7f8bdb159
"bpf: Introduce bpf_sys_bpf() helper and program type").

The programs are licensed "Dual MIT/GPL", as `bpf_probe_read_kernel` demands a GPL-compatible one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import resource
import time
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from analyzer.core import syscall
from analyzer.core.errors import NotPermittedError
from analyzer.memory import programs
from analyzer.memory.programs import BUFFER, CHASE_MORE, CHASE_TORN, MAX_READ, NODES, OUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    U64 = npt.NDArray[np.uint64]
    U8 = npt.NDArray[np.uint8]
    Mask = npt.NDArray[np.bool_]

MAP_CREATE, PROG_LOAD, PROG_TEST_RUN = 0, 5, 10
_ARRAY_MAP, _MMAPABLE = 2, 1 << 10
_RAW_TRACEPOINT, _SYSCALL_PROGRAM, _SLEEPABLE = 17, 31, 1 << 4
_LICENSE: Final = b"Dual MIT/GPL\0"
_LOG_SIZE: Final = 1 << 16

_CACHE_FRIENDLY: Final = 512 << 10
# Tried again, after these pauses: a signal came (the kernel says EAGAIN for it too), or there was
# no memory at that moment.
_PASSING: Final = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOMEM})
_PAUSES: Final = (0.0, 0.0, 0.001, 0.01, 0.1)  # seconds


class _MapCreate(ctypes.Structure):
    _fields_ = [
        ("map_type", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("numa_node", ctypes.c_uint32),
        ("map_name", ctypes.c_char * 16),
    ]


class _ProgLoad(ctypes.Structure):
    _fields_ = [
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
    ]


class _TestRun(ctypes.Structure):
    _fields_ = [
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
    ]


def _bpf(command: int, attr: ctypes.Structure) -> int:
    at, size = ctypes.c_void_p(ctypes.addressof(attr)), ctypes.sizeof(attr)
    return _patiently(lambda: syscall.call("bpf", command, at, size))


def _patiently(call: Callable[[], int]) -> int:
    """Call again what a signal, or a moment without memory, made fail; OSError after some tries."""
    for pause in _PAUSES:
        try:
            return call()
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            time.sleep(pause)
    return call()


class Program:
    """One loaded program: `run(...)` puts up to six integers in its context and runs it once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._context = (ctypes.c_uint64 * 6)()
        self._attr = _TestRun(
            prog_fd=fd,
            ctx_size_in=ctypes.sizeof(self._context),
            ctx_in=ctypes.addressof(self._context),
        )
        # Bound once: this is the hot path.
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._args = (
            ctypes.c_long(syscall.number("bpf")),
            ctypes.c_int(PROG_TEST_RUN),
            ctypes.byref(self._attr),
            ctypes.c_uint(ctypes.sizeof(self._attr)),
        )

    def run(self, *arguments: int) -> int:
        """Run the program on `arguments` and return its 32-bit result; LoadError when refused."""
        for i, argument in enumerate(arguments):
            self._context[i] = argument
        if self._call(*self._args) < 0:
            self._run_again(ctypes.get_errno())
        return int(self._attr.retval)

    def _run_again(self, code: int) -> None:
        for pause in _PAUSES:
            if code not in _PASSING:
                break
            time.sleep(pause)
            if self._call(*self._args) >= 0:
                return
            code = ctypes.get_errno()
        raise LoadError("bpf(BPF_PROG_TEST_RUN)", code)

    def close(self) -> None:
        """Close the program's descriptor; the kernel then frees it."""
        os.close(self._fd)


class LoadError(NotPermittedError):
    """bpf(2) refused a map or a program; `errno` is its reason and `log` the verifier's words."""

    def __init__(self, what: str, code: int, log: str = "") -> None:
        """Describe the refusal of `what` with error number `code`."""
        said = f"; the verifier says: {' | '.join(log.split(chr(10))[-4:])}" if log else ""
        super().__init__(f"{what}: {os.strerror(code)}{said}")
        self.errno = code
        self.log = log


def together(batches: Iterable[tuple[int, U8, Mask]], count: int, size: int) -> tuple[U8, Mask]:
    """Return the rows of all batches as one array, (count, size), and their masks as one."""
    data = np.empty((count, size), np.uint8)
    ok = np.empty(count, np.bool_)
    for start, rows, good in batches:
        data[start : start + len(rows)] = rows[:, :size]
        ok[start : start + len(rows)] = good
    return data, ok


class Engine:
    """The loaded programs and the buffer they share; a context manager that frees both."""

    live, lost = True, 0

    def __init__(self) -> None:
        """Load the programs. Raise LoadError when the kernel refuses."""
        self._map_fd = _create_map()
        self._programs: list[Program] = []
        self._in: U64 = np.empty(0, np.uint64)
        self._out: U8 = np.empty(0, np.uint8)
        try:
            self._buffer = mmap.mmap(self._map_fd, BUFFER, mmap.MAP_SHARED)
            self._in = np.frombuffer(self._buffer, np.uint64, OUT // 8)
            self._out = np.frombuffer(self._buffer, np.uint8, offset=OUT)
            self.program_type, self._current = _usable(self._map_fd)
            self._programs.append(self._current)
            self._gather = self._load(programs.gather, b"crz_gather")
            self._chase = self._load(programs.chase, b"crz_chase")
        except BaseException:
            self.close()
            raise

    def _load(self, make: Callable[..., bytes], name: bytes) -> Program:
        try:
            fd = _load_program(make(self._map_fd, bounded=False), name, self.program_type)
        except LoadError:  # before 6.9
            fd = _load_program(make(self._map_fd, bounded=True), name, self.program_type)
        self._programs.append(Program(fd))
        return self._programs[-1]

    def __enter__(self) -> Self:
        """Return the engine itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free programs and buffer."""
        self.close()

    def close(self) -> None:
        """Free programs and buffer; harmless when done twice."""
        for program in self._programs:
            program.close()
        self._programs = []
        if self._map_fd >= 0:
            os.close(self._map_fd)
            self._map_fd = -1
        # mmap keeps a descriptor of its own, and cannot be closed under a view of it.
        self._in, self._out = np.empty(0, np.uint64), np.empty(0, np.uint8)
        with contextlib.suppress(BufferError, AttributeError):
            self._buffer.close()

    def current_task(self) -> int:
        """Return the address of our own thread's task_struct."""
        self._current.run()
        return int(self._out[:8].view(np.uint64)[0])

    def symbol(self, name: str) -> int:  # noqa: ARG002 - the kernel may hide its symbols
        """Return 0: no symbol is known, nor needed."""
        return 0

    def works(self) -> bool:
        """Tell whether we may (still) run the programs."""
        try:
            self._current.run()
        except LoadError:
            return False
        return True

    def read(self, addresses: U64, size: int) -> tuple[U8, Mask]:
        """Read `size` bytes at each of n addresses.

        Returns an (n, size) uint8 array and a mask of n: False where the address is no aligned
        kernel address or the read faulted (those rows are zero). `size` is 1 to 4096 bytes.
        """
        return together(self.batches(addresses, size), len(addresses), size)

    def batches(self, addresses: U64, size: int) -> Iterator[tuple[int, U8, Mask]]:
        """Yield (first index, rows, mask) as `read` would return them, a buffer full at a time.

        The rows are a view of the shared buffer, `size` rounded up to 8 bytes wide: take what is
        needed before asking for the next batch.
        """
        step = (size + 7) & ~7
        # Small batches stay in the processor's cache.
        batch = min(OUT // 8, _CACHE_FRIENDLY // step + 1, (BUFFER - OUT - MAX_READ) // step)
        for start in range(0, len(addresses), batch):
            wanted = addresses[start : start + batch]
            count = len(wanted)
            self._in[:count] = wanted
            done = 0
            while done < count:
                done += self._gather.run(8 * done, count - done, step, OUT + done * step)
            yield start, self._out[: count * step].reshape(count, step), self._in[:count] == 0

    def chase(
        self, start: int, head: int, *, previous: int = 0, offset: int = 0, limit: int = 1 << 22
    ) -> tuple[U64, int]:
        """Follow a linked list from node `start` until `head` (0 for one that ends in NULL).

        A node is the address that the links hold; the link itself is `offset` bytes into it.
        With `previous`, the word after the link is verified to be the back link (list_head,
        hlist_node). Returns the nodes and CHASE_END, or what was read and why it stopped
        (CHASE_FAULT, CHASE_TORN, CHASE_WILD, or CHASE_MORE beyond `limit` nodes).
        """
        parts: list[U64] = []
        cursor, found, verify = start, 0, int(previous != 0)
        status = CHASE_MORE
        while status == CHASE_MORE and found < limit:
            end = self._chase.run(cursor, previous, head, offset, verify, NODES)
            state = self._out[: end - OUT].view(np.uint64).copy()
            status, cursor, previous = (int(word) for word in state[:3])
            again = np.flatnonzero(state[3:] == start)
            if len(again) > (not parts):  # a ring that the end is no part of: memory was reused
                status = CHASE_TORN
            parts.append(state[3:])
            found += len(parts[-1])
        return np.concatenate(parts), status


def _create_map() -> int:
    attr = _MapCreate(
        map_type=_ARRAY_MAP,
        key_size=4,
        value_size=BUFFER,
        max_entries=1,
        map_flags=_MMAPABLE,
        map_name=b"crz_buffer",
    )
    try:
        return _bpf(MAP_CREATE, attr)
    except OSError as first:
        # Before 5.11 maps count against RLIMIT_MEMLOCK.
        if first.errno != errno.EPERM or not _raise_memlock():
            raise LoadError("bpf(BPF_MAP_CREATE)", first.errno or 0) from first
    try:
        return _bpf(MAP_CREATE, attr)
    except OSError as again:
        raise LoadError("bpf(BPF_MAP_CREATE)", again.errno or 0) from again


def _raise_memlock() -> bool:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    wanted = BUFFER * 2
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return False
    ceiling = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (wanted, ceiling))
    except (OSError, ValueError):
        return False
    return True


def _load_program(code: bytes, name: bytes, program_type: int, *, log: bool = False) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(_LICENSE)
    words = ctypes.create_string_buffer(_LOG_SIZE if log else 1)
    attr = _ProgLoad(
        prog_type=program_type,
        insn_cnt=len(code) // 8,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(license_),
        log_level=int(log),
        log_size=_LOG_SIZE if log else 0,
        log_buf=ctypes.addressof(words) if log else 0,
        prog_flags=_SLEEPABLE if program_type == _SYSCALL_PROGRAM else 0,
        prog_name=name,
    )
    try:
        return _bpf(PROG_LOAD, attr)
    except OSError as error:
        if not log and error.errno in (errno.EINVAL, errno.EACCES):
            return _load_program(code, name, program_type, log=True)  # again, for its log
        said = words.value.decode(errors="replace").strip() if log else ""
        raise LoadError("bpf(BPF_PROG_LOAD)", error.errno or 0, said) from error


def _usable(map_fd: int) -> tuple[int, Program]:
    """Find a program type that this kernel both loads and test-runs, with the `current` of it."""
    failure: LoadError | None = None
    code = programs.current(map_fd)
    for program_type in (_RAW_TRACEPOINT, _SYSCALL_PROGRAM):
        try:
            program = Program(_load_program(code, b"crz_current", program_type))
        except LoadError as error:
            failure = failure or error
            continue
        try:
            program.run()
        except LoadError as error:
            failure = failure or error
            program.close()
        else:
            return program_type, program
    assert failure is not None  # noqa: S101 - two types were tried and neither returned
    raise failure
