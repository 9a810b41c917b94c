"""Three tiny BPF programs, assembled here, that copy kernel memory into a buffer (`bpf` runs them).

`gather` reads the bytes at an array of kernel addresses, `chase` follows a linked list, `current`
tells where our own task_struct is. They use `bpf_probe_read_kernel`, which cannot fault the kernel,
and take no reference to what they read.
"""

from __future__ import annotations

import platform
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    U64 = npt.NDArray[np.uint64]
    Mask = npt.NDArray[np.bool_]

# The buffer that programs and Python share: addresses in, bytes out. The kernel clears it.
BUFFER: Final = 1 << 20
OUT: Final = 64 << 10
MAX_READ: Final = 4096
NODES: Final = OUT + 24
"""Where the nodes of a chase begin, after status, cursor and previous."""
# Steps of one run of a `bounded` loop. The verifier follows it step by step, so loading takes
# longer the more there are (and 8192 are refused); throughput hardly changes above these.
_READS: Final = 128
_LINKS: Final = 64
# A list may be a ring that does not end where it should: this many nodes are enough of it.
_MOST_LINKS: Final = 512

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


def gather(map_fd: int, *, bounded: bool) -> bytes:
    """Return the program that reads `size` bytes at each of `count` addresses.

    Its context: in_offset, count, size, out_offset. Each address is replaced by the helper's
    result; in the place of an implausible one (see `plausible`) 0 is read, which always faults. It
    returns how many were read: all of them, of a `bounded` one no more than 128.
    """
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
    a.jump(_JGT_K, "done", _R7, imm=OUT - 8)
    a.jump(_JGT_K, "done", _R8, imm=BUFFER - MAX_READ)
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
    _again(a, _R6, _READS if bounded else None, "done")
    a.label("done")
    a.emit(_insn(_MOV_X, _R0, _R6), _insn(_EXIT))
    return a.finish()


def _again(a: _Assembler, counter: int, steps: int | None, done: str) -> None:
    """Go on with the "next" step: with no more than so many, or as long as the kernel lets us.

    Only since 6.9 ("bpf: Introduce may_goto instruction") a loop need not have a bound.
    """
    if steps is not None:
        a.jump(_JLT_K, "next", counter, imm=steps)
        return
    a.jump(_MAY_GOTO, done)
    a.jump(_JA, "next")


def chase(map_fd: int, *, bounded: bool) -> bytes:
    """Return the program that follows a linked list.

    Its context: start, previous, head, offset of the link in a node, whether to verify back links,
    `NODES`. Out come status, cursor, previous, then at NODES the nodes; it returns where they end.
    """
    status, cursor = OUT, OUT + 8
    a = _Assembler()
    a.emit(
        _insn(_LOAD, _R7, _R1, 0),
        _insn(_LOAD, _R8, _R1, 8),
        _insn(_LOAD, _R2, _R1, 16),
        _insn(_STORE, _FP, _R2, -24),
        _insn(_LOAD, _R2, _R1, 24),
        _insn(_STORE, _FP, _R2, -32),
        _insn(_LOAD, _R2, _R1, 32),
        _insn(_STORE, _FP, _R2, -40),
        # A number that the verifier does not know: one that it counts makes each step another one.
        _insn(_LOAD, _R6, _R1, 40),
        _insn(_MOV_K, _R9),
    )
    a.label("next")
    a.emit(_insn(_LOAD, _R1, _FP, -24))
    a.jump(_JEQ_X, "end", _R7, _R1)
    a.emit(_number(_R1, LOWEST_ADDRESS))
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
    a.emit(_insn(_LOAD, _R1, _FP, -40))
    a.jump(_JEQ_K, "verified", _R1)
    a.emit(_insn(_LOAD, _R1, _FP, -8))
    a.jump(_JNE_X, "torn", _R1, _R8)
    a.label("verified")
    a.jump(_JGT_K, "more", _R6, imm=NODES + 8 * (_MOST_LINKS - 1))
    a.emit(
        _map_value(_R3, map_fd),
        _insn(_ADD_X, _R3, _R6),
        _insn(_STORE, _R3, _R7),
        _insn(_MOV_X, _R8, _R7),
        _insn(_LOAD, _R7, _FP, -16),
        _insn(_ADD_K, _R6, imm=8),
        _insn(_ADD_K, _R9, imm=1),
    )
    _again(a, _R9, _LINKS if bounded else None, "more")
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


def current(map_fd: int) -> bytes:
    """Return the program that tells where our own task_struct is."""
    return b"".join(
        (
            _insn(_CALL, imm=_GET_CURRENT_TASK),
            _map_value(_R3, map_fd, OUT),
            _insn(_STORE, _R3, _R0),
            _insn(_MOV_K, _R0),
            _insn(_EXIT),
        )
    )


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
