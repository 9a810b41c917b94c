"""Kernel addresses told apart without being told: a salted hash, like printk's %p.

A raw kernel address gives the layout of the kernel away (KASLR). What matters for a reader is only
whether two addresses are the same, so tables carry SipHash-2-4 (Aumasson and Bernstein, 2012) of
them under a key. So it is with where the mappings of a process start.

So that snapshots of one boot can be compared, there is one key for each boot, as for printk's: it
is derived from the boot id and a secret that only its owner (root) can read,
``/run/cranalyze/address.key``, or in the folder that systemd made for the service
(``$RUNTIME_DIRECTORY``). Where no secret can be kept, the key is random and thrown away with the
snapshot. `meta["address_key"]` tells keys apart without telling them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.digest import blake2b
from analyzer.core.files import whole_in
from analyzer.core.values import replace
from analyzer.kinds import slotted
from analyzer.kinds.base import Slot
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Column = npt.NDArray[Any]
    Mask = npt.NDArray[np.bool_]
    Rows = npt.NDArray[np.intp]
    U64 = npt.NDArray[np.uint64]

KEY_BYTES: Final = 16
KEY_FILE: Final = "address.key"
_RUNTIME: Final = "/run/cranalyze"
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_AT_ONCE: Final = 1 << 14  # values


def hashed(snapshot: Snapshot, key: bytes | None = None) -> Snapshot:
    """Return the snapshot with every known address replaced by its hash under `key` (16 bytes).

    Without one, a random key is used and thrown away.
    """
    key = key or os.urandom(KEY_BYTES)
    changed = dict(snapshot.tables)
    for name in ("tasks", "objects"):
        table = snapshot.tables[name]
        known = np.flatnonzero(table.known("address"))
        changed[name] = _with(table, "address", lambda at: siphash(at, key), known)
    changed["references"] = _mappings_hashed(snapshot.tables["references"], key)
    meta = {**snapshot.meta, "addresses": "hashed", "address_key": key_id(key)}
    return replace(snapshot, meta=meta, tables=changed)


def mappings_hashed(snapshot: Snapshot, key: bytes | None = None) -> Snapshot:
    """Return the snapshot with a hash for where each mapping starts, as `hashed` does it too.

    The addresses of a process give its own layout away (ASLR).
    """
    references = _mappings_hashed(snapshot.tables["references"], key or os.urandom(KEY_BYTES))
    return replace(snapshot, tables={**snapshot.tables, "references": references})


def told(snapshot: Snapshot, chosen: Mask) -> Snapshot:
    """Return the snapshot with the addresses of the chosen objects alone.

    Where a mapping starts is known of the chosen ones too, and of no others.
    """
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    slots = np.ones(len(references), np.bool_)
    rows = _mappings(references)
    slots[rows] = chosen[references["target"][rows] - 1]
    return replace(
        snapshot,
        tables={
            **snapshot.tables,
            "objects": _only(objects, "address", chosen),
            "references": _only(references, "slot", slots),
        },
    )


def _mappings_hashed(table: Table, key: bytes) -> Table:
    # A slot has a sign.
    def hashed_slots(slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return (siphash(slots.astype(np.uint64), key) >> np.uint64(1)).astype(np.int64)

    return _with(table, "slot", hashed_slots, _mappings(table))


def _mappings(table: Table) -> Rows:
    return table.rows("association", *slotted(Slot.ADDRESS))


def _with(table: Table, name: str, change: Callable[[Column], Column], rows: Rows) -> Table:
    """Return the table with what is known of a column changed, in those of the rows."""
    known = rows[table.known(name)[rows]]
    if not len(known):
        return table
    column = table[name].copy()
    column[known] = change(column[known])
    mask = {name: table.missing[name]} if name in table.missing else {}
    return tables.with_columns(table, {name: column}, mask)


def _only(table: Table, name: str, rows: Mask) -> Table:
    """Return the table with a column known in those rows alone."""
    column = np.where(rows, table[name], table[name].dtype.type(0))
    return tables.with_columns(table, {name: column}, {name: ~(rows & table.known(name))})


def key_id(key: bytes) -> str:
    """Return eight hex digits that are equal for equal keys and do not give a key away."""
    return blake2b(key, digest_size=4, person=b"cranalyze key id").hexdigest()


def boot_key(boot_id: str, folder: str | None = None) -> bytes | None:
    """Return the key of this boot, making its secret if there is none; None if none can be kept.

    `folder` is where the secret is kept, by default that of the service or of the machine. It must
    be ours and nobody else's to write, and the secret ours alone to read.
    """
    place = folder or os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or _RUNTIME
    secret = None
    with contextlib.suppress(OSError):
        secret = _secret(place)
    # Where /run outlives a boot, the key still does not.
    return secret and blake2b(boot_id.encode(), digest_size=KEY_BYTES, key=secret).digest()


def _secret(place: str) -> bytes | None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(place, 0o700)
    folder = os.open(place, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _is_ours(os.fstat(folder), _OTHERS_WRITE):
            return None
        with contextlib.suppress(FileNotFoundError):
            return _read(folder)
        with contextlib.suppress(FileExistsError):  # somebody was faster: theirs it is
            _make(folder)
        return _read(folder)
    finally:
        os.close(folder)


def _is_ours(status: os.stat_result, forbidden: int) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & forbidden


def _read(folder: int) -> bytes | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(KEY_FILE, flags, dir_fd=folder)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not _is_ours(status, _OTHERS):
            return None
        secret = file.read(KEY_BYTES + 1)
    return secret if len(secret) == KEY_BYTES else None


def _make(folder: int) -> None:
    with whole_in(folder, KEY_FILE, force=False) as file:
        file.write(os.urandom(KEY_BYTES))


def siphash(values: U64, key: bytes) -> U64:
    """Return SipHash-2-4 of each value, taken as eight little-endian bytes."""
    # A part at a time: so all columns of it stay in the processor's cache.
    parts = [_siphash(values[at : at + _AT_ONCE], key) for at in range(0, len(values), _AT_ONCE)]
    return np.concatenate([values[:0], *parts])


def _siphash(values: U64, key: bytes) -> U64:
    k0, k1 = np.frombuffer(key, "<u8")
    v = [
        np.full(len(values), k ^ np.uint64(constant), np.uint64)
        for k, constant in (
            (k0, 0x736F6D6570736575),
            (k1, 0x646F72616E646F6D),
            (k0, 0x6C7967656E657261),
            (k1, 0x7465646279746573),
        )
    ]
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
