"""`Memory.gather`: the fields of many kernel structures as numpy columns.

One call reads the same fields of all objects at once: neighbouring fields are read together, and
each field becomes a column, decoded by what BTF says of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np

from analyzer.core.errors import NotPermittedError
from analyzer.core.values import NamedTuple, dataclass
from analyzer.memory.log import Log
from analyzer.memory.programs import MAX_READ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    import numpy.typing as npt

    from analyzer.memory.bpf import U8, U64, Mask
    from analyzer.memory.btf import Field
    from analyzer.memory.fields import Layout
    from analyzer.memory.log import Answer

    I64 = npt.NDArray[np.int64]
    Column = npt.NDArray[Any]

Path = str | tuple[str, ...]

_FLAG: Final = np.dtype(np.bool_)
# Two fields further apart than this are cheaper to read one by one.
_NEIGHBOURS: Final = 128


class Engine(Protocol):
    """What reads the bytes: the BPF programs (`bpf.Engine`), or pages of a core (`pages.Pages`).

    See there what each does. `live` is the memory of the machine that we run on: it moves, one of
    its tasks is ours, and its /proc tells more of it. `lost` is how many pages that are asked for
    should have been kept and were not.
    """

    live: bool
    lost: int

    def current_task(self) -> int:
        """Return the address of our own thread's task_struct, of another machine that of any."""

    def symbol(self, name: str) -> int:
        """Return the address of what the kernel calls so, 0 where that is not known."""

    def works(self) -> bool:
        """Tell whether memory can (still) be read."""

    def read(self, addresses: U64, size: int) -> tuple[U8, Mask]:
        """Read `size` bytes at each of n addresses; the mask tells where that was possible."""

    def batches(self, addresses: U64, size: int) -> Iterator[tuple[int, U8, Mask]]:
        """Yield (first index, rows, mask), rows `size` rounded up to 8 bytes wide."""

    def chase(
        self, start: int, head: int, *, previous: int = 0, offset: int = 0, limit: int = 1 << 22
    ) -> tuple[U64, int]:
        """Follow a linked list; return its nodes, and why it stopped."""

    def close(self) -> None:
        """Free what it is made of."""


class MissingFieldError(NotPermittedError):
    """This kernel lacks a field that cranalyze cannot do without."""


@dataclass(frozen=True)
class Columns:
    """Columns by name, each of n values, and the mask of the objects that could be read."""

    values: Mapping[str, Column]
    ok: Mask

    def __getitem__(self, name: str) -> Column:
        """Return the column `name`."""
        return self.values[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether this kernel has the field `name`."""
        return name in self.values


class _Piece(NamedTuple):
    """Neighbouring fields, which are read together: where from, how much, and what is where."""

    base: np.uint64
    size: int
    row: np.dtype[Any]


class _Plan(NamedTuple):
    """How fields of a struct are read: the same for all that is asked the same."""

    fields: Mapping[str, Field]
    dtypes: Mapping[str, np.dtype[Any]]
    pieces: tuple[_Piece, ...]


class Memory:
    """The kernel's memory: an engine that reads it and a layout that explains it."""

    def __init__(self, engine: Engine, layout: Layout) -> None:
        """Join the two; the memory owns the engine and closes it."""
        self.engine = engine
        self.layout = layout
        self._plans: dict[object, _Plan] = {}
        self._log: Log | None = None

    def __enter__(self) -> Self:
        """Return the memory itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Free the engine."""
        self.close()

    def close(self) -> None:
        """Free the engine and remember the layout."""
        self.layout.save()
        self.engine.close()

    def offset(self, struct_name: str, path: Path) -> int:
        """Return the offset of a field in bytes; MissingFieldError when there is none."""
        return self._required(struct_name, path).offset

    def has(self, struct_name: str, path: Path) -> bool:
        """Tell whether this kernel has the field."""
        return self.layout.first(struct_name, _paths(path)) is not None

    def _required(self, struct_name: str, path: Path) -> Field:
        found = self.layout.first(struct_name, _paths(path))
        if found is None:
            msg = f"this kernel's struct {struct_name} has no field {' or '.join(_paths(path))}"
            raise MissingFieldError(msg)
        return found[1]

    def gather(
        self,
        addresses: U64,
        struct_name: str,
        fields: Mapping[str, Path],
        optional: Mapping[str, Path] | None = None,
        whether: Mapping[str, Path] | None = None,
    ) -> Columns:
        """Read `fields` (column name -> path, or paths newest kernel first) at n addresses.

        Integers and pointers become columns of their own width and sign (pointers uint64),
        bitfields are shifted and masked, arrays of bytes become `S` columns and other arrays
        (n, elements) ones. A column of `optional` is left out where the kernel has no such field;
        a missing one of `fields` raises MissingFieldError. One of `whether` tells only that a field
        is not 0: a log (`logged`) holds though such a pointer leads elsewhere.
        """
        may_lack, flags = optional or {}, whether or {}
        asked = struct_name, *fields.items(), None, *may_lack.items(), None, *flags.items()
        if asked not in self._plans:
            needed = {**fields, **flags}
            wanted = {name: self._required(struct_name, path) for name, path in needed.items()}
            for name, path in may_lack.items():
                found = self.layout.first(struct_name, _paths(path))
                if found is not None:
                    wanted[name] = found[1]
            self._plans[asked] = _plan(wanted, flags)
        return self._gather(addresses, self._plans[asked])

    def gather_fields(self, addresses: U64, fields: Mapping[str, Field]) -> Columns:
        """Read resolved `fields` at n addresses; see `gather`."""
        return self._gather(addresses, _plan(fields))

    def read(self, addresses: U64, size: int) -> tuple[U8, Mask]:
        """Read `size` bytes at each of n addresses; the mask tells where that was possible."""
        data, ok = self._answer(partial(self.engine.read, addresses, size))
        return data, ok

    def pointers(self, addresses: U64) -> tuple[U64, Mask]:
        """Read one pointer at each of n addresses."""
        data, ok = self.read(addresses, 8)
        return data.view(np.uint64)[:, 0], ok

    def words(self, addresses: U64, size: int) -> tuple[I64, I64, U64, Mask]:
        """Read what is not 0 of the words in blocks of `size` bytes.

        Returns for each the index of its block, its place in that, and itself; and a mask of the
        blocks that could be read.
        """
        block, place, value, ok = self._answer(partial(self._words, addresses, size))
        return block, place, value, ok

    def chase(
        self, start: int, head: int, *, previous: int = 0, offset: int = 0, limit: int = 1 << 22
    ) -> tuple[U64, int]:
        """Follow a linked list; see `bpf.Engine.chase`."""

        def ask() -> Answer:
            nodes, why = self.engine.chase(
                start, head, previous=previous, offset=offset, limit=limit
            )
            return nodes, np.array(why)

        nodes, why = self._answer(ask)
        return nodes, int(why)

    @contextmanager
    def logged(self) -> Iterator[Log]:
        """Keep all that is asked from here on, and the answers."""
        self._log, before = Log(), self._log
        try:
            yield self._log
        finally:
            self._log = before

    def _answer(self, ask: Callable[[], Answer]) -> Answer:
        return ask() if self._log is None else self._log.keep(ask)

    def _gather(self, addresses: U64, plan: _Plan) -> Columns:
        ok, *raw = self._answer(partial(self._columns, addresses, plan))
        fields = zip(plan.fields.items(), raw, strict=True)
        return Columns({name: _decoded(column, field) for (name, field), column in fields}, ok)

    def _columns(self, addresses: U64, plan: _Plan) -> Answer:
        """Return where all fields could be read, and the raw fields."""
        count = len(addresses)
        raw = {name: np.empty(count, dtype) for name, dtype in plan.dtypes.items()}
        ok = np.ones(count, np.bool_)
        for piece in plan.pieces:
            # Objects are 8-aligned, and so must be what is asked for: base is.
            for start, rows, good in self.engine.batches(addresses + piece.base, piece.size):
                records = rows.view(piece.row)[:, 0]
                for name in piece.row.names or ():
                    raw[name][start : start + len(rows)] = records[name]
                ok[start : start + len(rows)] &= good
        return ok, *raw.values()

    def _words(self, addresses: U64, size: int) -> Answer:
        ok = np.empty(len(addresses), np.bool_)
        none = np.empty(0, np.int64)
        found: list[tuple[I64, I64, U64]] = [(none, none, np.empty(0, np.uint64))]
        for start, rows, good in self.engine.batches(addresses, size):
            words = rows.view(np.uint64)
            block, place = np.nonzero(words)
            found.append((start + block, place, words[block, place]))
            ok[start : start + len(rows)] = good
        return *map(np.concatenate, zip(*found, strict=True)), ok


def _paths(path: Path) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else path


def _dtype(field: Field) -> np.dtype[Any]:
    if field.elements:
        element = field.size // field.elements
        if element == 1:
            return np.dtype(f"S{field.size}")
        return np.dtype((np.dtype(f"u{element}"), (field.elements,)))
    return np.dtype(f"{'i' if field.signed else 'u'}{field.size}")


def _plan(fields: Mapping[str, Field], flags: Iterable[str] = ()) -> _Plan:
    dtypes = {name: _dtype(field) for name, field in fields.items()}
    pieces = [
        _Piece(
            np.uint64(base),
            size,
            np.dtype(
                {
                    "names": names,
                    "formats": [dtypes[name] for name in names],
                    "offsets": [fields[name].offset - base for name in names],
                    "itemsize": (size + 7) & ~7,
                }
            ),
        )
        for base, size, names in _spans(fields)
    ]
    return _Plan(fields, {**dtypes, **dict.fromkeys(flags, _FLAG)}, tuple(pieces))


def _decoded(column: Column, field: Field) -> Column:
    if not field.bits:
        return column
    mask = column.dtype.type((1 << field.bits) - 1)
    result: Column = (column >> column.dtype.type(field.shift)) & mask
    return result


def _spans(fields: Mapping[str, Field]) -> list[tuple[int, int, list[str]]]:
    """Group fields into (first offset, size, names), one read each."""
    spans: list[tuple[int, int, list[str]]] = []
    for name, field in sorted(fields.items(), key=lambda item: item[1].offset):
        end = field.offset + field.size
        if spans:
            base, size, names = spans[-1]
            near = field.offset - (base + size) <= _NEIGHBOURS
            if near and end - base <= MAX_READ:
                spans[-1] = (base, max(size, end - base), [*names, name])
                continue
        base = field.offset & ~7
        spans.append((base, end - base, [name]))
    return spans
