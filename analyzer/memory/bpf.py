"""The engine: three tiny BPF programs, assembled here, that copy kernel memory into a buffer.

`gather` reads the bytes at an array of kernel addresses, `chase` follows a linked list, `current`
tells where our own task_struct is. They are run with BPF_PROG_TEST_RUN (never attached to
anything), use `bpf_probe_read_kernel` (which cannot fault the kernel) and take no reference to
what they read. No compiler, no libbpf, no tracefs: bpf(2) through ctypes.

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
import platform
import resource
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from analyzer.core import syscall
from analyzer.core.errors import NotPermittedError

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

# The buffer that programs and Python share: addresses in, bytes out. A value larger than
# KMALLOC_MAX_SIZE (4 MiB) is refused by older kernels.
_BUFFER: Final = 4 << 20
_OUT: Final = 64 << 10
MAX_READ: Final = 4096
_CACHE_FRIENDLY: Final = 512 << 10
# Steps of one run. The verifier follows the loop step by step, so loading takes longer the more
# there are (and 8192 are refused); throughput hardly changes above these.
_READS: Final = 128
_LINKS: Final = 64

# Tried again, after these pauses: a signal came (the kernel says EAGAIN for it too), or there was
# no memory at that moment.
_PASSING: Final = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOMEM})
_PAUSES: Final = (0.0, 0.0, 0.001, 0.01, 0.1)  # seconds

# Kernel half of the address space, for 4- and 5-level page tables and aarch64 alike. Error
# pointers (the last page) are not addresses. aarch64 may keep a tag in the top byte (KASAN, MTE:
# Documentation/arch/arm64/tagged-pointers.rst); bit 55 tells the half.
_TAG: Final = 0xFF00_0000_0000_0000 if platform.machine() == "aarch64" else 0
LOWEST_ADDRESS: Final = 1 << 55 if _TAG else 0xFF00_0000_0000_0000
_ERRORS: Final = -4096
_HIGHEST_ADDRESS: Final = np.uint64((1 << 64) + _ERRORS)
_UNALIGNED: Final = np.uint64(7)

_FN_MAP_VALUE: Final = 2  # BPF_PSEUDO_MAP_VALUE
_PROBE_READ_KERNEL, _GET_CURRENT_TASK = 113, 35

# Why a chase stopped.
CHASE_END, CHASE_MORE, CHASE_FAULT, CHASE_TORN, CHASE_WILD = range(5)


def _insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, dst | src << 4, off, imm)


def _number(dst: int, value: int) -> bytes:
    low, high = struct.unpack("<ii", struct.pack("<Q", value))
    return _insn(0x18, dst, imm=low) + _insn(0, imm=high)


def _map_value(dst: int, map_fd: int, offset: int = 0) -> bytes:
    return _insn(0x18, dst, _FN_MAP_VALUE, 0, map_fd) + _insn(0, imm=offset)


class _Assembler:
    """Instructions with forward labels; only what the three programs need."""

    def __init__(self) -> None:
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def emit(self, *instructions: bytes) -> None:
        for instruction in instructions:
            self._code += instruction

    def jump(self, code: int, label: str, dst: int = 0, src: int = 0, imm: int = 0) -> None:
        self._jumps.append((len(self._code), label))
        self.emit(_insn(code, dst, src, 0, imm))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def finish(self) -> bytes:
        for at, label in self._jumps:
            struct.pack_into("<h", self._code, at + 2, (self._labels[label] - at) // 8 - 1)
        return bytes(self._code)


_MOV_X, _MOV_K, _ADD_X, _ADD_K, _AND_K, _OR_X = 0xBF, 0xB7, 0x0F, 0x07, 0x57, 0x4F
_LOAD, _STORE = 0x79, 0x7B  # *(u64 *)
_JA, _JEQ_X, _JNE_X, _JNE_K, _JGT_K, _JGE_X, _JGE_K, _JLT_X, _JLT_K, _JEQ_K = (
    0x05, 0x1D, 0x5D, 0x55, 0x25, 0x3D, 0x35, 0xAD, 0xA5, 0x15,
)  # fmt: skip
_CALL, _EXIT, _MAY_GOTO = 0x85, 0x95, 0xE5
_R0, _R1, _R2, _R3, _R4, _R5, _R6, _R7, _R8, _R9, _FP = range(11)


def _gather_program(map_fd: int, *, bounded: bool) -> bytes:
    # Context: in_offset, count, size, out_offset. Each address is replaced by the helper's result;
    # in the place of an implausible one (see `plausible`) 0 is read, which always faults.
    # Returns how many were read: all, but of a `bounded` one no more than _READS.
    a = _Assembler()
    a.emit(
        _insn(_LOAD, _R2, _R1, 8),
        _insn(_STORE, _FP, _R2, -8),
        _insn(_LOAD, _R7, _R1, 0),
        _insn(_LOAD, _R9, _R1, 16),
        _insn(_LOAD, _R8, _R1, 24),
        _insn(_MOV_K, _R6),
    )
    a.jump(_JGT_K, "done", _R9, imm=MAX_READ)
    a.label("next")
    a.emit(_insn(_LOAD, _R1, _FP, -8))
    a.jump(_JGE_X, "done", _R6, _R1)
    a.jump(_JGT_K, "done", _R7, imm=_OUT - 8)
    a.jump(_JGT_K, "done", _R8, imm=_BUFFER - MAX_READ)
    a.emit(
        _map_value(_R3, map_fd),
        _insn(_ADD_X, _R3, _R7),
        _insn(_LOAD, _R3, _R3),
        _insn(_MOV_X, _R4, _R3),
        _number(_R5, _TAG),
        _insn(_OR_X, _R4, _R5),
        _number(_R5, _TAG | LOWEST_ADDRESS),
    )
    a.jump(_JLT_X, "implausible", _R4, _R5)
    a.jump(_JGE_K, "implausible", _R4, imm=_ERRORS)
    a.emit(_insn(_AND_K, _R4, imm=7))
    a.jump(_JEQ_K, "plausible", _R4)
    a.label("implausible")
    a.emit(_insn(_MOV_K, _R3))
    a.label("plausible")
    a.emit(
        _map_value(_R1, map_fd),
        _insn(_ADD_X, _R1, _R8),
        _insn(_MOV_X, _R2, _R9),
        _insn(_CALL, imm=_PROBE_READ_KERNEL),
        _map_value(_R3, map_fd),
        _insn(_ADD_X, _R3, _R7),
        _insn(_STORE, _R3, _R0),
        _insn(_ADD_K, _R7, imm=8),
        _insn(_ADD_X, _R8, _R9),
        _insn(_ADD_K, _R6, imm=1),
    )
    if bounded:
        a.jump(_JLT_K, "next", _R6, imm=_READS)
    else:
        a.jump(_MAY_GOTO, "done")
        a.jump(_JA, "next")
    a.label("done")
    a.emit(_insn(_MOV_X, _R0, _R6), _insn(_EXIT))
    return a.finish()


def _chase_program(map_fd: int) -> bytes:
    # Context: start, previous, head, offset of the link in a node, whether to verify back links,
    # lowest address. Out: status, cursor, previous, then the nodes; returns their number.
    status, cursor, nodes = _OUT, _OUT + 8, _OUT + 24
    a = _Assembler()
    a.emit(
        _insn(_LOAD, _R7, _R1, 0),
        _insn(_LOAD, _R8, _R1, 8),
        _insn(_LOAD, _R2, _R1, 16),
        _insn(_STORE, _FP, _R2, -24),
        _insn(_LOAD, _R2, _R1, 24),
        _insn(_STORE, _FP, _R2, -32),
        _insn(_LOAD, _R2, _R1, 40),
        _insn(_STORE, _FP, _R2, -40),
        _insn(_LOAD, _R9, _R1, 32),
        _insn(_MOV_K, _R6),
    )
    a.label("next")
    a.emit(_insn(_LOAD, _R1, _FP, -24))
    a.jump(_JEQ_X, "end", _R7, _R1)
    a.emit(_insn(_LOAD, _R1, _FP, -40))
    a.jump(_JLT_X, "wild", _R7, _R1)
    a.emit(_insn(_MOV_X, _R1, _R7), _insn(_AND_K, _R1, imm=7))
    a.jump(_JNE_K, "wild", _R1)
    a.emit(
        _insn(_MOV_X, _R3, _R7),
        _insn(_LOAD, _R1, _FP, -32),
        _insn(_ADD_X, _R3, _R1),
        _insn(_MOV_X, _R1, _FP),
        _insn(_ADD_K, _R1, imm=-16),
        _insn(_MOV_K, _R2, imm=16),
        _insn(_CALL, imm=_PROBE_READ_KERNEL),
    )
    a.jump(_JNE_K, "fault", _R0)
    a.jump(_JEQ_K, "verified", _R9)
    a.emit(_insn(_LOAD, _R1, _FP, -8))
    a.jump(_JNE_X, "torn", _R1, _R8)
    a.label("verified")
    a.emit(
        _map_value(_R3, map_fd, nodes),
        _insn(_MOV_X, _R1, _R6),
        _insn(0x67, _R1, imm=3),
        _insn(_ADD_X, _R3, _R1),
        _insn(_STORE, _R3, _R7),
        _insn(_MOV_X, _R8, _R7),
        _insn(_LOAD, _R7, _FP, -16),
        _insn(_ADD_K, _R6, imm=1),
    )
    a.jump(_JLT_K, "next", _R6, imm=_LINKS)
    for label, reason in (
        ("more", CHASE_MORE),
        ("end", CHASE_END),
        ("fault", CHASE_FAULT),
        ("torn", CHASE_TORN),
        ("wild", CHASE_WILD),
    ):
        a.label(label)
        a.emit(_insn(_MOV_K, _R2, imm=reason))
        a.jump(_JA, "done")
    a.label("done")
    a.emit(
        _map_value(_R3, map_fd, status),
        _insn(_STORE, _R3, _R2),
        _map_value(_R3, map_fd, cursor),
        _insn(_STORE, _R3, _R7),
        _insn(_STORE, _R3, _R8, 8),
        _insn(_MOV_X, _R0, _R6),
        _insn(_EXIT),
    )
    return a.finish()


def _current_program(map_fd: int) -> bytes:
    return b"".join(
        (
            _insn(_CALL, imm=_GET_CURRENT_TASK),
            _map_value(_R3, map_fd, _OUT),
            _insn(_STORE, _R3, _R0),
            _insn(_MOV_K, _R0),
            _insn(_EXIT),
        )
    )


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
            self._buffer = mmap.mmap(self._map_fd, _BUFFER, mmap.MAP_SHARED)
            self._in = np.frombuffer(self._buffer, np.uint64, _OUT // 8)
            self._out = np.frombuffer(self._buffer, np.uint8, offset=_OUT)
            self.program_type = _usable_type(self._map_fd)
            self._gather = self._load_gather()
            self._chase = self._load(_chase_program, b"crz_chase")
            self._current = self._load(_current_program, b"crz_current")
        except BaseException:
            self.close()
            raise

    def _load(self, make: Callable[[int], bytes], name: bytes) -> Program:
        program = Program(_load_program(make(self._map_fd), name, self.program_type))
        self._programs.append(program)
        return program

    def _load_gather(self) -> Program:
        try:
            return self._load(partial(_gather_program, bounded=False), b"crz_gather")
        except LoadError:  # before 6.9
            return self._load(partial(_gather_program, bounded=True), b"crz_gather")

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
        batch = min(_OUT // 8, _CACHE_FRIENDLY // step + 1, (_BUFFER - _OUT - MAX_READ) // step)
        for start in range(0, len(addresses), batch):
            wanted = addresses[start : start + batch]
            count = len(wanted)
            self._in[:count] = wanted
            done = 0
            while done < count:
                done += self._gather.run(8 * done, count - done, step, _OUT + done * step)
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
            count = self._chase.run(cursor, previous, head, offset, verify, LOWEST_ADDRESS)
            state = self._out[: 8 * (count + 3)].view(np.uint64).copy()
            status, cursor, previous = (int(word) for word in state[:3])
            again = np.flatnonzero(state[3:] == start)
            if len(again) > (not parts):  # a ring that the end is no part of: memory was reused
                status = CHASE_TORN
            parts.append(state[3:])
            found += count
        return np.concatenate(parts), status


def plausible(addresses: U64) -> Mask:
    """Tell which of the values can be the address of a kernel object: kernel half, 8-aligned."""
    return in_kernel_half(addresses, _TAG)


def in_kernel_half(addresses: U64, tag: int) -> Mask:
    """Do as `plausible` where the bits of `tag` may be anything in the address of an object."""
    whole = addresses | np.uint64(tag) if tag else addresses
    lowest = np.uint64(tag | 1 << 55 if tag else LOWEST_ADDRESS)
    # What is below wraps around.
    ok: Mask = whole - lowest < _HIGHEST_ADDRESS - lowest
    ok &= addresses & _UNALIGNED == 0
    return ok


def _create_map() -> int:
    attr = _MapCreate(
        map_type=_ARRAY_MAP,
        key_size=4,
        value_size=_BUFFER,
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
    wanted = _BUFFER * 2
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


def _usable_type(map_fd: int) -> int:
    """Find a program type that this kernel both loads and test-runs."""
    failure: LoadError | None = None
    for program_type in (_RAW_TRACEPOINT, _SYSCALL_PROGRAM):
        try:
            program = Program(_load_program(_current_program(map_fd), b"crz_probe", program_type))
        except LoadError as error:
            failure = failure or error
            continue
        try:
            program.run()
        except LoadError as error:
            failure = failure or error
        else:
            return program_type
        finally:
            program.close()
    assert failure is not None  # noqa: S101 - two types were tried and neither returned
    raise failure
