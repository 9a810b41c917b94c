"""A core of a kernel's memory (a vmcore), read by drgn, without debug information.

drgn finds the pages: by the core's own page tables, in an ELF core or one of kdump's. Symbols are
the kernel's own (kallsyms), which the core's VMCOREINFO leads to since Linux 6.0 (f09bddbd8661
"vmcoreinfo: add kallsyms_num_syms symbol"); for an older kernel, a vmlinux or a System.map has
them. Where the fields are is told by the BTF that every kernel keeps in its memory, that of its
modules too (kernel/bpf/btf.c).
"""

from __future__ import annotations

import logging
import os
import platform
import re
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.memory import symbols
from analyzer.memory.btf import Btf, BtfError
from analyzer.memory.fields import Layout
from analyzer.memory.modules import Types
from analyzer.memory.pages import PAGE, LostPageError, Pages
from analyzer.memory.reader import Memory
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import drgn

_MOST_TYPES: Final = 1 << 28  # bytes of BTF, far above the largest
# What drgn and libkdumpfile say of an address that the page tables lead nowhere with, and of a page
# that makedumpfile(8) left out: one of a user, of a file or free, which holds no structure of the
# kernel's, or one of zeros. All else is that the file has not what it should have.
_LEFT_OUT: Final = "Excluded page"
_HOLE: Final = re.compile(r"\bnot (mapped|present)\b")
_OFFSET: Final = re.compile(rb"^KERNELOFFSET=([0-9a-f]+)$", re.MULTILINE)


def open_core(
    core: str, vmlinux: str | None = None, opened: Callable[[str], int | None] = lambda _: None
) -> Memory:
    """Return the memory that is kept in the file `core`.

    `vmlinux` has the symbols of a kernel that does not lead to its own: its vmlinux or System.map.
    `opened` returns the descriptor of a file that is open already. Raises BadInputError for what
    is no core of a kernel, or lacks what is needed.
    """
    program = _program(core, _descriptor(core, opened))
    named = _symbols(program, core, vmlinux, opened)
    engine = Pages(partial(_page, program), lambda name: named.get(name, 0))
    return Memory(engine, _layout(engine, core))


def _page(program: drgn.Program, address: int) -> bytes | None:
    """Return a page of memory, as `Pages` wants it."""
    import drgn

    try:
        data: bytes = program.read(address, PAGE)
    except drgn.FaultError as error:
        said = str(error)
        if _HOLE.search(said):
            return None
        if _LEFT_OUT in said:
            return bytes(PAGE)
        raise LostPageError from error
    return data


def _descriptor(name: str, opened: Callable[[str], int | None]) -> int:
    descriptor = opened(name)
    if descriptor is not None:
        return descriptor
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BadInputError(f"cannot read {name}: {error.strerror}") from error


def _program(core: str, descriptor: int) -> drgn.Program:
    """Return what drgn makes of a core; it closes the descriptor."""
    import drgn

    logging.getLogger("drgn").addHandler(logging.NullHandler())  # what fails is told here
    program = drgn.Program()
    try:
        program.set_core_dump(descriptor)
    except Exception as error:  # drgn has no narrower one for what libkdumpfile refuses
        raise BadInputError(f"{core} is no core of a kernel: {error}") from error
    if not program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
        raise BadInputError(f"{core} is no core of a kernel: it has no VMCOREINFO")
    kept = program.platform.arch.name.lower() if program.platform else ""
    if kept != platform.machine():
        raise BadInputError(f"{core} is of {kept}: read it on such a machine")
    return program


def _symbols(
    program: drgn.Program, core: str, vmlinux: str | None, opened: Callable[[str], int | None]
) -> Mapping[str, int]:
    """Return the addresses of symbols; what the compiler added to the name of one is left out."""
    named = _of_kallsyms(program, core) if vmlinux is None else _moved(program, vmlinux, opened)
    found = dict(named)
    if "init_task" not in found:
        raise BadInputError(
            f"the symbols of {core} lack init_task (they need CONFIG_KALLSYMS_ALL): name that "
            "kernel's own vmlinux or System.map with --vmlinux"
        )
    for name, address in named:
        found.setdefault(name.partition(".")[0], address)
    return found


def _moved(
    program: drgn.Program, vmlinux: str, opened: Callable[[str], int | None]
) -> list[tuple[str, int]]:
    """Return the symbols of a file, where the kernel was moved to when it booted (KASLR)."""
    descriptor = _descriptor(vmlinux, opened)
    try:
        linked = symbols.of_file(vmlinux, descriptor)
    finally:
        os.close(descriptor)
    by = _OFFSET.search(program["VMCOREINFO"].string_())
    offset = int(by[1], 16) if by else 0
    return [(name, address + offset) for name, address in linked]


def _of_kallsyms(program: drgn.Program, core: str) -> list[tuple[str, int]]:
    import drgn
    from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms

    try:
        program.register_symbol_finder("kallsyms", load_vmlinux_kallsyms(program), enable_index=0)
    except (LookupError, drgn.MissingDebugInfoError) as error:
        raise BadInputError(
            f"{core} does not lead to the symbols of its kernel (Linux 6.0 or later does): name "
            "its vmlinux or System.map with --vmlinux"
        ) from error
    except (ValueError, drgn.FaultError) as error:
        raise BadInputError(f"{core} is damaged or cut off: {error}") from error
    return [(symbol.name, symbol.address) for symbol in program.symbols()]


def _layout(engine: Pages, core: str) -> Layout:
    """Return the layout that the core itself tells."""
    start, end = engine.symbol("__start_BTF"), engine.symbol("__stop_BTF")
    data = _bytes(engine, start, end - start) if 0 < end - start < _MOST_TYPES else None
    if data is None:
        why = "it is cut off" if engine.lost else "that was built without CONFIG_DEBUG_INFO_BTF"
        raise BadInputError(f"{core} does not have the types of its kernel: {why}")
    try:
        modules = _modules(Memory(engine, Layout(lambda: Btf(data))))
        types = Types(data, lambda name: _bytes(engine, *modules.get(name, (0, 0))))
    except BtfError as error:
        raise BadInputError(f"{core}: {error}") from error
    return Layout(lambda: types)


def _modules(memory: Memory) -> Mapping[str, tuple[int, int]]:
    """Return where the types of each module are, and how many bytes (kernel/bpf/btf.c)."""
    head, link = memory.engine.symbol("btf_modules"), memory.layout.field("btf_module", "list")
    if not head or link is None:
        return {}  # a kernel without modules, or one that did not describe them (before 5.11)
    listed = rings(memory, np.array([head], np.uint64)).value - np.uint64(link.offset)
    kept = memory.gather(listed, "btf_module", {}, optional={"btf": "btf"})
    read = memory.gather(
        kept["btf"], "btf", {"data": "data", "size": "data_size"}, optional={"name": "name"}
    )
    names = (name.split(b"\0", 1)[0].decode(errors="replace") for name in read["name"])
    places = zip(read["data"].tolist(), read["size"].tolist(), strict=True)
    return dict(zip(names, places, strict=True))


def _bytes(engine: Pages, start: int, size: int) -> bytes | None:
    """Return what lies in the memory there, None where not all of it was kept."""
    first = start & ~7
    addresses = np.arange(first, start + size, PAGE, dtype=np.uint64)
    data, ok = engine.read(addresses, PAGE)
    return data.tobytes()[start - first :][:size] if size and ok.all() else None
