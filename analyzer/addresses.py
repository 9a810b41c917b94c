"""Kernel addresses told apart without being told: a salted hash, like printk's %p.

A raw kernel address gives the layout of the kernel away (KASLR). What matters for a reader is only
whether two addresses are the same, so tables carry SipHash-2-4 (Aumasson and Bernstein, 2012) of
them under a key that is random for each snapshot and thrown away.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analyzer import tables

if TYPE_CHECKING:
    from analyzer.snapshot import Snapshot

U64 = npt.NDArray[np.uint64]


def hashed(snapshot: Snapshot, key: bytes | None = None) -> Snapshot:
    """Return the snapshot with every address replaced by its hash under `key` (16 bytes)."""
    key = key or secrets.token_bytes(16)
    changed = dict(snapshot.tables)
    for name in ("tasks", "objects"):
        table = snapshot.tables[name]
        mask = {"address": table.missing["address"]} if "address" in table.missing else {}
        column = siphash(table["address"], key)
        changed[name] = tables.with_columns(table, {"address": column}, mask)
    return replace(snapshot, meta={**snapshot.meta, "addresses": "hashed"}, tables=changed)


def siphash(values: U64, key: bytes) -> U64:
    """Return SipHash-2-4 of each value, taken as eight little-endian bytes."""
    k0, k1 = np.frombuffer(key, "<u8")
    v = [
        np.full(len(values), k ^ np.uint64(constant), np.uint64)
        for k, constant in (
            (k0, 0x736F6D6570736575), (k1, 0x646F72616E646F6D),
            (k0, 0x6C7967656E657261), (k1, 0x7465646279746573),
        )
    ]  # fmt: skip
    for word in (values, np.full(len(values), 8 << 56, np.uint64)):
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= np.uint64(0xFF)
    _rounds(v, 4)
    result: U64 = v[0] ^ v[1] ^ v[2] ^ v[3]
    return result


def _rounds(v: list[U64], count: int) -> None:
    for _ in range(count):
        for a, b, turn, again in ((0, 1, 13, 32), (2, 3, 16, 0)):
            v[a] += v[b]
            v[b] = _rotated(v[b], turn) ^ v[a]
            v[a] = _rotated(v[a], again) if again else v[a]
        for a, b, turn, again in ((2, 1, 17, 32), (0, 3, 21, 0)):
            v[a] += v[b]
            v[b] = _rotated(v[b], turn) ^ v[a]
            v[a] = _rotated(v[a], again) if again else v[a]


def _rotated(values: U64, bits: int) -> U64:
    result: U64 = (values << np.uint64(bits)) | (values >> np.uint64(64 - bits))
    return result
