"""A snapshot: its tables, and what is known about their making.

`Snapshot.tasks`, `.objects`, `.references`, `.relations`, `.facts` and `.gaps` are pandas frames of
them, made when they are first asked for. The columns are those of `analyzer.core.model.SCHEMAS`
(each with its meaning and unit there); their dtypes follow from the type of the column:

======== ======================= ===================================================
type     dtype                   where values may be missing
======== ======================= ===================================================
i64      int64                   Int64 (`pd.NA`)
u64      uint64                  UInt64 (`pd.NA`)
bool     bool                    boolean (`pd.NA`)
category category of str         the same (NaN)
text     object: str             the same (None); bytes as os.fsdecode gives them
======== ======================= ===================================================

An unknown refcount is `pd.NA`, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from analyzer.core import extras
from analyzer.core.model import SCHEMAS
from analyzer.core.notebook import display
from analyzer.core.values import dataclass
from analyzer.snapshot.tables import build, empty

if TYPE_CHECKING:
    import os

    import pandas as pd

    from analyzer.core.model import ColumnSpec, Schema
    from analyzer.snapshot.tables import Table

Meta = Mapping[str, Any]

META_KEYS: Final[Mapping[str, tuple[type, ...]]] = {
    "format": (int,),
    "tool_version": (str,),
    "kernel": (str,),
    "machine": (str,),
    "boot_id": (str,),
    "host": (str,),
    "collected_at": (str,),
    "monotonic_ns": (int,),
    "subject": (dict,),
    "source": (dict,),
    "scope": (str,),
    "options": (dict,),
    "frozen": (bool,),
    "passes": (int,),
    "addresses": (str,),
}
"""The keys of `Snapshot.meta` and the types of their values."""


@dataclass(frozen=True)
class Snapshot:
    """The reference graph of a machine, or of a border, at one moment.

    `meta` has the keys of META_KEYS; `tables` are those of `model.SCHEMAS` by name; one that
    is not given is empty. The properties `tasks`, `objects`, `references`, `gaps`, `relations` and
    `facts` are the same as pandas frames.
    """

    meta: Meta
    tables: Mapping[str, Table]

    def __post_init__(self) -> None:
        """Add the tables that a source, or an older file, does not have: empty."""
        absent = {name: empty(SCHEMAS[name]) for name in SCHEMAS if name not in self.tables}
        if absent:
            object.__setattr__(self, "tables", {**self.tables, **absent})

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """Return the threads: tid, tgid, ppid (all i64), start_time (u64, ns since boot), ..."""
        return frame(self.tables["tasks"])

    @cached_property
    def objects(self) -> pd.DataFrame:
        """Return the kernel objects: objref (i64), kind (category), refcount (Int64), ..."""
        return frame(self.tables["objects"])

    @cached_property
    def references(self) -> pd.DataFrame:
        """Return who holds what: holder_kind, holder, target, association, slot, weight, ..."""
        return frame(self.tables["references"])

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """Return what could not be read: where, syscall, errno (Int64), effect."""
        return frame(self.tables["gaps"])

    @cached_property
    def relations(self) -> pd.DataFrame:
        """Return what is no counted reference: relation, left, right, roles, impact, detail."""
        return frame(self.tables["relations"])

    @cached_property
    def facts(self) -> pd.DataFrame:
        """Return the state of objects and tasks: kind, ref, fact, number (Int64) or text."""
        return frame(self.tables["facts"])

    def __repr__(self) -> str:
        """Say in one line of what it is, and how much."""
        pid = self.meta["subject"]["pid"]
        subject = "the whole machine" if pid is None else f"pid {pid}"
        rows = ", ".join(f"{len(table):,} {name}" for name, table in self.tables.items())
        return f"<Snapshot of {subject}: {rows}>"

    def _repr_html_(self) -> str:
        html: str = display("snapshot", self)
        return html

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the snapshot to `path` (see `analyzer.snapshot.crz.save`)."""
        from analyzer.snapshot import crz

        crz.save(self, path, force=force)


def frame(table: Table) -> pd.DataFrame:
    """Return a table as a pandas frame; the dtypes are in this module's docstring."""
    extras.need("a frame", "pandas")
    import pandas as pd

    return pd.DataFrame({spec.name: _series(table, spec) for spec in table.schema.columns})


def from_frame(schema: Schema, data: pd.DataFrame) -> Table:
    """Return the table of a frame that has the columns of `schema`, as `frame` makes it.

    Raises ValueError where a column that must be known is not there.
    """
    columns = {
        spec.name: _plain(data[spec.name]) for spec in schema.columns if spec.name in data.columns
    }
    return build(schema, columns)


_NULLABLE: Final = {"i64": "Int64", "u64": "UInt64", "bool": "boolean"}


def _series(table: Table, spec: ColumnSpec) -> pd.Series[Any]:
    import pandas as pd

    column = table[spec.name]
    if spec.type == "category":
        codes = column.tolist()
        words = pd.Index(table.vocabulary[spec.name], dtype=object)
        return pd.Series(pd.Categorical.from_codes(codes, categories=words))
    if not spec.nullable or spec.type == "text":
        return pd.Series(column, dtype=column.dtype)
    values = pd.Series(column, dtype=_NULLABLE[spec.type])
    return values.mask(~table.known(spec.name))


def _plain(series: pd.Series[Any]) -> list[Any]:
    missing = series.isna()
    return [None if gone else value for value, gone in zip(series.tolist(), missing, strict=True)]
