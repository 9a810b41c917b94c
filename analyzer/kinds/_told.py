"""What kinds tell of their objects alike: facts that are fields, and the names of System V's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.kinds.base import Known

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import Told
    from analyzer.memory.reader import Columns


def fields(read: Columns) -> Told:
    """Return columns that are called as facts as these: unknown where they could not be read."""
    return {name: Known(values, read.ok) for name, values in read.values.items()}


def ipc_names(word: str, read: Columns) -> npt.NDArray[np.object_]:
    """Return "WORD 7 (key 0x0000002a)" of the columns `id` and `key`, as ipcs(1) has them."""
    pairs = zip(read["id"].tolist(), read["key"].tolist(), strict=True)
    return np.array([f"{word} {n} (key {key & 0xFFFFFFFF:#010x})" for n, key in pairs], object)
