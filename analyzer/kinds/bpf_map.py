"""BPF_MAP: struct bpf_map, memory that BPF programs and whoever has a descriptor of it share.

It lives as long as a descriptor, a program that uses it, a pin in a bpf filesystem or another map
holds it (kernel/bpf/syscall.c). Its count is not compared: the pins are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.kinds._told import fields
from analyzer.kinds.base import Judged, Kind, State

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    read = memory.gather(addresses, "bpf_map", {"id": "id", "name": "name"})
    names = [name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for name in read["name"]]
    pairs = zip(names, read["id"].tolist(), strict=True)
    return np.array([f"{name} (id {n})" if name else f"id {n}" for name, n in pairs], object)


def _state(memory: Memory, addresses: U64) -> Told:
    return fields(
        memory.gather(addresses, "bpf_map", {"bpf.map": "id", "bpf.entries": "max_entries"})
    )


_FACTS: Final = (
    Fact("bpf.map", "number", "number of a BPF map, as bpftool(8) calls it"),
    Fact("bpf.entries", "number", "how many entries a BPF map can have"),
)

KIND: Final = Kind(
    name="BPF_MAP",
    struct="bpf_map",
    title="BPF map",
    plural="BPF maps",
    message="bpf_map",
    order=97,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    names=_names,
    state=State(_FACTS, _state),
    derived=True,
)
