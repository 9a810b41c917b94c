"""Types that a module of the kernel brings, where it is not built in.

vmlinux's BTF does not know the structures of modules: each loaded module has a BTF of its own in
/sys/kernel/btf (since 5.11, CONFIG_DEBUG_INFO_BTF_MODULES), which continues that of vmlinux. Here
is which module has which of the structures that cranalyze reads; a module is looked into only when
vmlinux does not know the structure. What no loaded module knows has no objects either.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.memory.btf import Btf

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.memory.btf import Field

MODULES: Final = {
    "Node": "binfmt_misc",
    "autofs_sb_info": "autofs4",
    "fuse_chan": "fuse",
    "fuse_conn": "fuse",
    "fuse_dev": "fuse",
    "fuse_mount": "fuse",
    "_ioeventfd": "kvm",
    "kvm": "kvm",
    "kvm_kernel_irqfd": "kvm",
    "loop_device": "loop",
    "ovl_dir_file": "overlay",
    "ovl_file": "overlay",
    "ovl_fs": "overlay",
    "ovl_layer": "overlay",
    "tun_file": "tun",
    "tun_struct": "tun",
    "vsock_sock": "vsock",
}


class Types(Btf):
    """The types of vmlinux, whose BTF is `data`, and those of `MODULES`.

    `read` returns the BTF of a module, None when it is not loaded (or has none).
    """

    def __init__(self, data: bytes, read: Callable[[str], bytes | None]) -> None:
        """Index vmlinux; nothing of a module is read yet. Raises BtfError."""
        super().__init__(data)
        self._read = read
        self._modules: dict[str, Btf | None] = {}

    def field(self, type_name: str, path: str) -> Field | None:
        """Find `path` in the struct or union `type_name`; see `Btf.field`."""
        found = super().field(type_name, path)
        module = self._module(type_name) if found is None else None
        return module.field(type_name, path) if module else found

    def sizeof(self, type_name: str) -> int | None:
        """Return the size of a struct or union in bytes; see `Btf.sizeof`."""
        found = super().sizeof(type_name)
        module = self._module(type_name) if found is None else None
        return module.sizeof(type_name) if module else found

    def _module(self, type_name: str) -> Btf | None:
        name = MODULES.get(type_name)
        if name is None:
            return None
        if name not in self._modules:
            data = self._read(name)
            self._modules[name] = Btf(data, self) if data else None
        return self._modules[name]


def loaded(folder: str) -> tuple[str, ...]:
    """Return which modules of `MODULES` have a BTF in `folder` (/sys/kernel/btf), sorted.

    With another answer, the answers about their types are others too.
    """
    return tuple(sorted(n for n in set(MODULES.values()) if os.path.exists(f"{folder}/{n}")))


def from_folder(folder: str) -> Types:
    """Return the types of the kernel whose BTF is in `folder`. Raises OSError and BtfError."""

    def read(name: str) -> bytes | None:
        try:
            return _content(f"{folder}/{name}")
        except OSError:
            return None

    return Types(_content(f"{folder}/vmlinux"), read)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
