"""Snapshots made in code, row by row, for tests that need no kernel.

    machine = Machine()
    machine.task(100)
    shell = machine.object("FILE_TABLE", 1, holders=[(100, "files")])
    machine.object("FILE", 2, name="/etc/passwd", holders=[(shell, "fd", 3)])
    snapshot = machine.snapshot(pid=100)

A holder is a tid (int) or an `Obj`; a task's start, comm and so on have plain defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyzer.core import model
from analyzer.snapshot.tables import Table, build
from analyzer.snapshot.value import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Obj:
    """An object of a machine that is being built."""

    objref: int
    kind: str


Holder = tuple[Any, ...]  # (tid or Obj, association[, slot[, weight[, detail]]])


@dataclass
class Machine:
    """Rows of the tables."""

    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: [] for name in model.SCHEMAS}
    )

    def task(self, tid: int, ppid: int = 1, **more: object) -> int:
        row = {
            "tid": tid, "tgid": tid, "ppid": ppid, "start_time": tid * 1000, "comm": f"task{tid}",
            "kthread": False, "state": "S", "nspid": tid, "observer": False,
        }  # fmt: skip
        self.rows["tasks"].append(row | more)
        return tid

    def object(
        self, kind: str, refcount: int | None, *, holders: Sequence[Holder] = (), **more: object
    ) -> Obj:
        made = Obj(len(self.rows["objects"]) + 1, kind)
        row = {"objref": made.objref, "kind": kind, "refcount": refcount, "initial": False,
               "stable": True, "address": 0xFFFF_8880_0000_0000 + made.objref * 64}  # fmt: skip
        self.rows["objects"].append(row | more)
        for holder in holders:
            self.reference(made, *holder)
        return made

    def reference(
        self,
        target: Obj,
        holder: int | Obj,
        association: str,
        slot: int | None = None,
        weight: int = 1,
        detail: str | None = None,
    ) -> None:
        by_object = isinstance(holder, Obj)
        self.rows["references"].append(
            {
                "holder_kind": holder.kind if by_object else model.TASK,  # type: ignore[union-attr]
                "holder": holder.objref if by_object else holder,  # type: ignore[union-attr]
                "target": target.objref,
                "association": association,
                "slot": slot,
                "weight": weight,
                "detail": detail,
            }
        )

    def relation(
        self,
        relation: str,
        left: int | Obj,
        right: int | Obj,
        **more: Any,  # noqa: ANN401 - columns differ in type
    ) -> None:
        ends: dict[str, Any] = {}
        for name, end in (("left", left), ("right", right)):
            ends[f"{name}_kind"] = end.kind if isinstance(end, Obj) else model.TASK
            ends[name] = end.objref if isinstance(end, Obj) else end
        row = {"relation": relation, "stable": True} | ends
        self.rows["relations"].append(row | more)

    def fact(self, of: int | Obj, fact: str, value: int | str) -> None:
        is_text = isinstance(value, str)
        self.rows["facts"].append(
            {
                "kind": of.kind if isinstance(of, Obj) else model.TASK,
                "ref": of.objref if isinstance(of, Obj) else of,
                "fact": fact,
                "number": None if is_text else value,
                "text": value if is_text else None,
            }
        )

    def gap(self, where: str, syscall: str, errno: int | None, effect: str) -> None:
        self.rows["gaps"].append(
            {"where": where, "syscall": syscall, "errno": errno, "effect": effect}
        )

    def snapshot(self, pid: int | None = None, **meta: Any) -> Snapshot:  # noqa: ANN401 - as JSON
        return Snapshot(
            {**META, "subject": {"pid": pid, "start_time": None, "selector": str(pid)}} | meta,
            {name: table(name, rows) for name, rows in self.rows.items()},
        )


META: dict[str, Any] = {
    "format": model.SNAPSHOT_FORMAT,
    "tool_version": "0.0.0",
    "kernel": "6.18.0",
    "machine": "x86_64",
    "boot_id": "00000000-0000-4000-8000-000000000000",
    "host": "test",
    "collected_at": "2009-04-24T12:00:00Z",
    "monotonic_ns": 1,
    "subject": {"pid": None, "start_time": None, "selector": ""},
    "source": {"name": "kernel", "capabilities": {"refcounts": True}, "notes": []},
    "scope": "border",
    "options": {"thorough": True},
    "frozen": False,
    "passes": 2,
    "addresses": "raw",
}


def table(name: str, rows: Sequence[dict[str, Any]]) -> Table:
    """Build one table of rows; what a row does not name is missing."""
    schema = model.SCHEMAS[name]
    return build(
        schema, {spec.name: [row.get(spec.name) for row in rows] for spec in schema.columns}
    )
