"""KEYRING: struct key, a keyring that credentials name: of a session, a process or a thread.

Whoever has a keyring can read what the keys in it permit, and add and remove keys (keyrings(7)).
Keys know no container: only a user namespace keeps some of them apart.
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

_LONGEST: Final = 256


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    read = memory.gather(addresses, "key", {"serial": "serial", "name": "description"})
    data, good = memory.read(read["name"], _LONGEST)
    names = [row.tobytes().split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for row in data]
    rows = zip(names, read["serial"].tolist(), good.tolist(), strict=True)
    return np.array([f"{name} ({n})" if ok and name else str(n) for name, n, ok in rows], object)


def _state(memory: Memory, addresses: U64) -> Told:
    return fields(memory.gather(addresses, "key", {"key.serial": "serial", "key.owner": "uid.val"}))


_FACTS: Final = (
    Fact("key.serial", "number", "number of a key, as keyctl(1) calls it"),
    Fact("key.owner", "number", "user id of who owns a key"),
)

KIND: Final = Kind(
    name="KEYRING",
    struct="key",
    title="keyring",
    plural="keyrings",
    message="keyring",
    order=128,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    names=_names,
    state=State(_FACTS, _state),
    derived=True,
)
