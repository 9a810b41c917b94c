"""The symbols of a kernel, from a file beside its core: a vmlinux that has them, or a System.map.

Both say where the kernel was linked to be. A vmlinux is an ELF file (elf(5)) with a symbol table;
a System.map is what nm(1) says of it: address, type, name.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    Data = mmap.mmap

_MAGIC: Final = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_SECTIONS_AT, _SECTIONS = 0x28, 0x3A
_SECTION: Final = struct.Struct("<4xI16xQQI")  # type, offset, size, link
_SYMTAB: Final = 2  # SHT_SYMTAB
_SYMBOL: Final = np.dtype([("name", "<u4"), ("more", "<u4"), ("value", "<u8"), ("size", "<u8")])
_WORDS: Final = 3


def of_file(name: str, descriptor: int) -> list[tuple[str, int]]:
    """Return the symbols in the file called `name` that is open, with their addresses.

    Raises BadInputError where it has none.
    """
    found: list[tuple[str, int]] = []
    if os.fstat(descriptor).st_size:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            try:
                found = list(_of_elf(data) if data[: len(_MAGIC)] == _MAGIC else _of_map(data))
            except (struct.error, IndexError, OverflowError, ValueError) as error:
                raise BadInputError(f"{name} is no whole vmlinux, and no System.map") from error
    if len(found) <= 1:  # Debian's System.map is one line, which says where the real one is
        raise BadInputError(f"{name} has no symbols: it is no vmlinux with them, and no System.map")
    return found


def _of_map(data: Data) -> Iterator[tuple[str, int]]:
    for line in iter(data.readline, b""):
        words = line.split(None, _WORDS - 1)
        if len(words) != _WORDS:
            raise ValueError(line)
        yield words[2].rstrip().decode(), int(words[0], 16)


def _of_elf(data: Data) -> Iterator[tuple[str, int]]:
    (start,) = struct.unpack_from("<Q", data, _SECTIONS_AT)
    step, count = struct.unpack_from("<HH", data, _SECTIONS)
    sections = [_SECTION.unpack_from(data, start + step * index) for index in range(count)]
    for kind, offset, size, link in sections:
        if kind != _SYMTAB:
            continue
        _, names_at, names_size, _ = sections[link]
        names = data[names_at : names_at + names_size]
        table = np.frombuffer(data[offset : offset + size], _SYMBOL)
        for at, address in zip(table["name"].tolist(), table["value"].tolist(), strict=True):
            yield names[at : names.index(b"\0", at)].decode(), address
