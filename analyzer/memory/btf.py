"""BTF: where the fields of the kernel's structures are.

`/sys/kernel/btf/vmlinux` describes every type of the running kernel in a few megabytes
(Documentation/bpf/btf.rst). A module's file in the same directory continues it: its type ids and
its string offsets start where those of vmlinux end.

`Btf.field("file", "f_ref.refcnt.counter")` finds a field by its path through nested and anonymous
members; `None` says that this kernel has no such field, which is how code feature-detects instead
of comparing versions. `Layout` answers the same questions from a small cache, so that the second
run on a kernel does not parse the file at all.
"""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.core.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = 0xEB9F

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF = range(1, 9)
VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT = range(9, 17)
DECL_TAG, TYPE_TAG, ENUM64 = range(17, 20)

_ALIASES: Final = frozenset({TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG})
# Words that follow the three words every type starts with: fixed, and per element.
_FIXED: Final = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}
_PER_ELEMENT: Final = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}
_STEP: Final = pattern(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")
_POINTER_SIZE: Final = 8
_MOST_BYTES: Final = 1 << 28  # of a structure, far above the largest
_MOST_NESTED: Final = 32  # MAX_RESOLVE_DEPTH in kernel/bpf/btf.c


class BtfError(ValueError):
    """The data is not BTF, or not of a form that this reader knows."""


class Field(NamedTuple):
    """Where a field is, in bytes from the start of its structure, and how to decode it.

    `bits` is 0 for an ordinary field; for a bitfield it is the width, and `shift` the number of
    bits to shift the little-endian integer of `size` bytes at `offset` to the right. `elements` is
    the length of an array (`size` then covers all of it), 0 for anything else.
    """

    offset: int
    size: int
    signed: bool = False
    pointer: bool = False
    elements: int = 0
    shift: int = 0
    bits: int = 0


class Btf:
    """The types in one BTF blob; `base` is vmlinux when `data` belongs to a module."""

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        """Index `data`. Raise BtfError when it is not little-endian BTF version 1."""
        if len(data) < 24 or struct.unpack_from("<H", data)[0] != MAGIC:  # noqa: PLR2004
            msg = "not BTF data (wrong magic number or byte order)"
            raise BtfError(msg)
        header_len, type_off, type_len, str_off, str_len = struct.unpack_from("<5I", data, 4)
        types_at, strings_at = header_len + type_off, header_len + str_off
        if strings_at + str_len > len(data) or types_at + type_len > len(data):
            msg = f"truncated BTF data ({len(data)} bytes)"
            raise BtfError(msg)
        self._base = base
        self._strings = data[strings_at : strings_at + str_len]
        self._string_base = base.string_end if base else 0
        if type_len % 4:
            msg = "damaged BTF data: the type section is no whole number of words"
            raise BtfError(msg)
        self._words = memoryview(data[types_at : types_at + type_len]).cast("I")
        self._first_id = base.end_id if base else 1
        self._at = _index(self._words)
        self._by_name: dict[str, list[int]] = {}

    @property
    def end_id(self) -> int:
        """One past the last type id."""
        return self._first_id + len(self._at)

    @property
    def string_end(self) -> int:
        """One past the last string offset."""
        return self._string_base + len(self._strings)

    def field(self, type_name: str, path: str) -> Field | None:
        """Find `path` ("f_path.mnt", "ids[2].ipcs_idr") in the struct or union `type_name`."""
        steps = _steps(path)
        with _undamaged():
            for type_id in self._named(type_name):
                found = self._resolve(type_id, steps)
                if found is not None:
                    return found
        return None

    def sizeof(self, type_name: str) -> int | None:
        """Return the size of a struct or union in bytes, None when there is none of that name."""
        with _undamaged():
            ids = self._named(type_name)
            return self._size(ids[0]) if ids else None

    def enumerator(self, name: str, constant: str) -> int | None:
        """Return the value of `constant` in `enum name`."""
        with _undamaged():
            for type_id in self._ids_named(name):
                kind, count, at = self._head(type_id)
                if kind != ENUM:
                    continue
                for word in range(at + 3, at + 3 + 2 * count, 2):
                    if self._string(self._words_of(type_id)[word]) == constant:
                        return self._words_of(type_id)[word + 1]
        return None

    def _owner(self, type_id: int) -> Btf:
        return self if self._base is None or type_id >= self._first_id else self._base

    def _words_of(self, type_id: int) -> memoryview[int]:
        return self._owner(type_id)._words

    def _head(self, type_id: int) -> tuple[int, int, int]:
        owner = self._owner(type_id)
        if type_id < owner._first_id:
            raise IndexError(type_id)
        at = owner._at[type_id - owner._first_id]
        info = owner._words[at + 1]
        return (info >> 24) & 0x1F, info & 0xFFFF, at

    def _string(self, offset: int) -> str:
        if self._base is not None and offset < self._string_base:
            return self._base._string(offset)
        start = offset - self._string_base
        end = self._strings.find(b"\0", start) if 0 <= start < len(self._strings) else -1
        if end < 0:
            raise IndexError(offset)
        return self._strings[start:end].decode()

    def _ids_named(self, name: str) -> list[int]:
        if name not in self._by_name:
            self._by_name[name] = self._scan_for(name)
        found = self._by_name[name]
        return found if self._base is None else [*found, *self._base._ids_named(name)]

    def _scan_for(self, name: str) -> list[int]:
        # BTF strings are deduplicated, so one offset stands for the name (a module's types may
        # also use a string of vmlinux).
        offsets = set(self._offsets_of(name))
        words = self._words
        return [self._first_id + i for i, at in enumerate(self._at) if words[at] in offsets]

    def _offsets_of(self, name: str) -> Iterator[int]:
        position = self._strings.find(b"\0" + name.encode() + b"\0")
        if position >= 0:
            yield position + 1 + self._string_base
        if self._base is not None:
            yield from self._base._offsets_of(name)

    def _named(self, name: str) -> list[int]:
        resolved = [self._strip(type_id) for type_id in self._ids_named(name)]
        return [t for t in resolved if t and self._head(t)[0] in (STRUCT, UNION)]

    def _strip(self, type_id: int) -> int:
        for _ in range(_MOST_NESTED):
            if not type_id:
                return 0
            kind, _, at = self._head(type_id)
            if kind not in _ALIASES:
                return type_id
            type_id = self._words_of(type_id)[at + 2]
        msg = "damaged BTF data: a type that is an alias of itself"
        raise BtfError(msg)

    def _size(self, type_id: int) -> int:
        elements = 1
        for _ in range(_MOST_NESTED):
            type_id = self._strip(type_id)
            if not type_id:
                return 0
            kind, _, at = self._head(type_id)
            words = self._words_of(type_id)
            if kind != ARRAY:
                return elements * (_POINTER_SIZE if kind == PTR else words[at + 2])
            type_id, elements = words[at + 3], elements * words[at + 5]
        msg = "damaged BTF data: an array of itself"
        raise BtfError(msg)

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int, int]]:
        _, count, at = self._head(type_id)
        words = self._words_of(type_id)
        bitfields = bool(words[at + 1] >> 31)
        for word in range(at + 3, at + 3 + 3 * count, 3):
            where = words[word + 2]
            bits, offset = (where >> 24, where & 0xFFFFFF) if bitfields else (0, where)
            yield self._string(words[word]), words[word + 1], offset, bits

    def _member(self, type_id: int, name: str, seen: set[int]) -> tuple[int, int, int] | None:
        seen.add(type_id)  # what was looked into once, in vain, need not be again
        for member, member_type, bit_offset, bits in self._members(type_id):
            if member == name:
                return member_type, bit_offset, bits
            if not member:
                inner_type = self._strip(member_type)
                new = bool(inner_type) and inner_type not in seen
                inner = self._member(inner_type, name, seen) if new else None
                if inner is not None:
                    return inner[0], bit_offset + inner[1], inner[2]
        return None

    def _resolve(self, type_id: int, steps: list[tuple[str, int | None]]) -> Field | None:
        bit_offset = bits = 0
        for name, index in steps:
            type_id = self._strip(type_id)
            kind = self._head(type_id)[0] if type_id else 0
            if name and kind in (STRUCT, UNION):
                found = self._member(type_id, name, set())
                if found is None:
                    return None
                type_id, step, bits = found
                bit_offset += step
            elif index is not None and kind == ARRAY:
                element = self._words_of(type_id)[self._head(type_id)[2] + 3]
                bit_offset += 8 * index * self._size(element)
                type_id = element
            else:
                return None
        return self._field(type_id, bit_offset, bits)

    def _field(self, type_id: int, bit_offset: int, bits: int) -> Field:
        type_id = self._strip(type_id)
        size = self._size(type_id)
        kind, _, at = self._head(type_id) if type_id else (0, 0, 0)
        words = self._words_of(type_id)
        if bits:
            unit = 8 * max(size, 1)
            return _sane(
                Field(bit_offset // unit * (unit // 8), size, shift=bit_offset % unit, bits=bits)
            )
        return _sane(
            Field(
                offset=bit_offset // 8,
                size=size,
                signed=kind == INT and bool((words[at + 3] >> 24) & 1),
                pointer=kind == PTR,
                elements=words[at + 5] if kind == ARRAY else 0,
            )
        )


def sane(*numbers: int) -> bool:
    """Tell whether these can say where a field of a structure of the kernel is."""
    return all(0 <= number < _MOST_BYTES for number in numbers)


def _sane(field: Field) -> Field:
    if not sane(field.offset, field.size, field.elements, field.shift, field.bits):
        msg = f"damaged BTF data: a field of {field.size} bytes at {field.offset}"
        raise BtfError(msg)
    return field


@contextlib.contextmanager
def _undamaged() -> Iterator[None]:
    """Turn what ids and offsets that lead nowhere make Python raise into a BtfError."""
    try:
        yield
    except (IndexError, UnicodeDecodeError, RecursionError) as error:
        msg = f"damaged BTF data: {type(error).__name__}"
        raise BtfError(msg) from error


def _index(words: memoryview[int]) -> list[int]:
    at, end, starts = 0, len(words), []
    fixed = [_FIXED.get(kind, 0) + 3 for kind in range(32)]
    per = [_PER_ELEMENT.get(kind, 0) for kind in range(32)]
    while at < end:
        starts.append(at)
        info = words[at + 1] if at + 1 < end else 0
        kind = (info >> 24) & 0x1F
        at += fixed[kind] + per[kind] * (info & 0xFFFF)
    if at != end:
        msg = "damaged BTF data: the type section does not end with a type"
        raise BtfError(msg)
    return starts


def _steps(path: str) -> list[tuple[str, int | None]]:
    steps = [(name, int(index) if index else None) for name, index in _STEP.findall(path)]
    if "".join(f".{n}" if n else f"[{i}]" for n, i in steps).lstrip(".") != path:
        msg = f"not a field path: {path!r}"
        raise ValueError(msg)
    return steps
