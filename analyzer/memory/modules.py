"""Types that a module of the kernel brings, where it is not built in.

vmlinux's BTF does not know the structures of modules: each loaded module has a BTF of its own in
/sys/kernel/btf (since 5.11, CONFIG_DEBUG_INFO_BTF_MODULES), which continues that of vmlinux. Here
is which module has which of the structures that cranalyze reads; a module is looked into only when
vmlinux does not know the structure. What no loaded module knows has no objects either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from analyzer.memory.btf import Btf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from analyzer.memory.btf import Field

MODULES: Final = {
    "loop_device": "loop",
    "ovl_file": "overlay",
    "tun_file": "tun",
    "vsock_sock": "vsock",
}


class TypeSource(Protocol):
    """What answers a layout's questions: `Btf`, or `Types`."""

    def field(self, type_name: str, path: str) -> Field | None:
        """Find a field by its path."""

    def sizeof(self, type_name: str) -> int | None:
        """Return the size of a struct in bytes."""

    def enumerator(self, name: str, constant: str) -> int | None:
        """Return the value of a constant of an enum."""


class Types:
    """The types of vmlinux, and those of `MODULES`.

    `read` returns the BTF of a module, None when it is not loaded (or has none).
    """

    def __init__(self, vmlinux: Btf, read: Callable[[str], bytes | None]) -> None:
        """Join them; nothing of a module is read yet."""
        self._vmlinux = vmlinux
        self._read = read
        self._modules: dict[str, Btf | None] = {}

    def field(self, type_name: str, path: str) -> Field | None:
        """Find `path` in the struct or union `type_name`; see `Btf.field`."""
        found = self._vmlinux.field(type_name, path)
        module = self._module(type_name) if found is None else None
        return module.field(type_name, path) if module else found

    def sizeof(self, type_name: str) -> int | None:
        """Return the size of a struct or union in bytes; see `Btf.sizeof`."""
        found = self._vmlinux.sizeof(type_name)
        module = self._module(type_name) if found is None else None
        return module.sizeof(type_name) if module else found

    def enumerator(self, name: str, constant: str) -> int | None:
        """Return the value of `constant` in `enum name`, which no module is asked for."""
        return self._vmlinux.enumerator(name, constant)

    def _module(self, type_name: str) -> Btf | None:
        name = MODULES.get(type_name)
        if name is None:
            return None
        if name not in self._modules:
            data = self._read(name)
            self._modules[name] = Btf(data, self._vmlinux) if data else None
        return self._modules[name]


def loaded(folder: Path) -> tuple[str, ...]:
    """Return which modules of `MODULES` have a BTF in `folder` (/sys/kernel/btf), sorted.

    With another answer, the answers about their types are others too.
    """
    return tuple(sorted(n for n in set(MODULES.values()) if (folder / n).exists()))


def from_folder(folder: Path) -> Types:
    """Return the types of the kernel whose BTF is in `folder`. Raises OSError and BtfError."""

    def read(name: str) -> bytes | None:
        try:
            return (folder / name).read_bytes()
        except OSError:
            return None

    return Types(Btf((folder / "vmlinux").read_bytes()), read)
