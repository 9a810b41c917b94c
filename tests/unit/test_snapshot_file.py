"""The snapshot file: it keeps everything, and refuses everything that is not one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.core import files
from analyzer.core.errors import BadInputError
from analyzer.core.model import SCHEMAS, ColumnSpec, Schema
from analyzer.snapshot import columnar, crz
from analyzer.snapshot.tables import Table, build
from analyzer.snapshot.value import Snapshot, frame, from_frame
from tests.build import Machine, Obj

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Members = dict[str, bytes]

HOSTILE = "a\udcff\n\x1b[2J\u202e\x00é"


def machine() -> Machine:
    made = Machine()
    made.task(100, comm=HOSTILE)
    made.task(101, 100, cgroup="/a.slice", address=2**64 - 1)
    fds = made.object("FILE_TABLE", 2, holders=[(100, "files"), (101, "files")])
    made.object("FILE", None, name=HOSTILE, deleted=True, holders=[(fds, "fd", 3, 1, "cloexec")])
    made.object("FILE", 1, ino=2**64 - 1, holders=[(fds, "fd", 4)])
    made.relation("deleted-file", Obj(2, "FILE"), Obj(3, "FILE"), detail=HOSTILE, slot=7)
    made.relation("session", 101, 100, left_role="session", stable=False, impact="pins")
    made.fact(Obj(3, "FILE"), "size", 2**62)
    made.fact(101, "exe", HOSTILE)
    made.gap("pid 7", "openat", 13, "not read")
    made.gap("pid 8", "", None, "")
    return made


def rows(table: Table) -> list[dict[str, Any]]:
    return [table.row(index) for index in range(len(table))]


def assert_same(one: Snapshot, two: Snapshot) -> None:
    for name in SCHEMAS:
        assert rows(one.tables[name]) == rows(two.tables[name])


# --- what is kept


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    snapshot = machine().snapshot(100)
    snapshot.save(tmp_path / "a.crz")
    back = crz.load(tmp_path / "a.crz")
    assert_same(snapshot, back)
    assert back.meta == {**snapshot.meta, "rows": {n: len(t) for n, t in snapshot.tables.items()}}


def test_an_empty_machine_comes_back() -> None:
    back = crz.unpack(crz.pack(Machine().snapshot()))
    assert [len(table) for table in back.tables.values()] == [0, 0, 0, 0, 0, 0]


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i64": st.integers(-(2**63), 2**63 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "category": st.sampled_from(["FILE", "MM", "é", ""]),
    "text": st.binary(max_size=12).map(os.fsdecode),
}


def column(spec: ColumnSpec) -> st.SearchStrategy[Any]:
    values = VALUES[spec.type]
    return st.none() | values if spec.nullable else values


@st.composite
def tables(draw: st.DrawFn, schema: Schema) -> Table:
    row = st.fixed_dictionaries({spec.name: column(spec) for spec in schema.columns})
    drawn = draw(st.lists(row, max_size=6))
    return build(schema, {s.name: [row[s.name] for row in drawn] for s in schema.columns})


@given(st.sampled_from(list(SCHEMAS.values())).flatmap(tables))
def test_any_table_survives_parquet(table: Table) -> None:
    data = columnar.to_parquet(table)
    assert rows(columnar.from_parquet(data, table.schema, len(table), "x")) == rows(table)


@given(st.sampled_from(list(SCHEMAS.values())).flatmap(tables))
def test_any_table_survives_pandas(table: Table) -> None:
    assert rows(from_frame(table.schema, frame(table))) == rows(table)


def test_what_is_as_alike_as_can_be_is_not_taken_for_a_bomb() -> None:
    count = 200_000
    facts = np.tile(np.arange(3, dtype=np.int16), count)
    table = build(
        SCHEMAS["facts"],
        {
            "kind": np.zeros(3 * count, np.int16),
            "ref": np.repeat(np.arange(count), 3),
            "fact": facts,
            "number": np.zeros(3 * count, np.int64),
        },
        vocabulary={"kind": ("FILE",), "fact": ("open.mode", "pos", "mnt_id")},
    )
    again = columnar.from_parquet(columnar.to_parquet(table), table.schema, len(table), "x")
    assert np.array_equal(again["ref"], table["ref"])


def test_frames_have_the_dtypes_that_are_documented() -> None:
    snapshot = machine().snapshot(100)
    objects = snapshot.objects
    names = ("objref", "refcount", "ino", "deleted")
    assert {name: str(objects[name].dtype) for name in names} == {
        "objref": "int64",
        "refcount": "Int64",
        "ino": "UInt64",
        "deleted": "boolean",
    }
    assert str(objects["kind"].dtype) == "category"
    assert objects["refcount"].isna().tolist() == [False, True, False]
    assert objects["ino"][2] == 2**64 - 1
    assert snapshot.tasks["comm"][0] == HOSTILE
    assert snapshot.gaps["errno"].isna().tolist() == [False, True]
    assert len(snapshot.references) == 4


def test_other_tools_can_read_a_member_in_place(tmp_path: Path) -> None:
    machine().snapshot(100).save(tmp_path / "a.crz")
    with zipfile.ZipFile(tmp_path / "a.crz") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        read = pq.read_table(io.BytesIO(archive.read("objects.parquet")))
        assert read.column("name").to_pylist()[1] == os.fsencode(HOSTILE)
        manifest = json.loads(archive.read("manifest.json"))
        assert manifest["members"]["objects.parquet"]["rows"] == 3


def test_equal_snapshots_are_equal_files() -> None:
    assert crz.pack(machine().snapshot(100)) == crz.pack(machine().snapshot(100))


# --- how it is written


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "a.crz"
    path.write_text("precious")
    with pytest.raises(BadInputError, match="exists: --force"):
        crz.save(machine().snapshot(100), path)
    assert path.read_text() == "precious"
    crz.save(machine().snapshot(100), path, force=True)
    assert len(crz.load(path).tables["tasks"]) == 2


def test_what_comes_into_being_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.crz"
    monkeypatch.setattr(crz, "refuse_target", lambda *_, **__: path.write_text("precious"))
    monkeypatch.setattr(files, "refuse_target", lambda *_, **__: None)
    with pytest.raises(BadInputError, match="exists: --force"):
        crz.save(machine().snapshot(100), path)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["a.crz"]


def test_a_file_is_private_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    crz.save(machine().snapshot(100), tmp_path / "a.crz")
    assert os.listdir(tmp_path) == ["a.crz"]
    assert stat.S_IMODE((tmp_path / "a.crz").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (".", "is a folder"),
        ("no/such/a.crz", "there is no folder"),
        ("/dev/full", "no regular file"),
    ],
)
def test_where_nothing_can_be_written_is_said(
    path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match=said):
        crz.save(machine().snapshot(100), path)
    assert os.listdir(tmp_path) == []


def test_a_device_is_not_replaced_by_force() -> None:
    with pytest.raises(BadInputError, match="no regular file"):
        crz.save(machine().snapshot(100), "/dev/full", force=True)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fdopen

    def full(fd: int, mode: str) -> IO[bytes]:
        os.dup2(device, fd)
        return cast("IO[bytes]", real(fd, mode))

    device = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "fdopen", full)
    try:
        with pytest.raises(BadInputError, match="No space left on device: free some space"):
            crz.save(machine().snapshot(100), tmp_path / "a.crz")
    finally:
        os.close(device)
    assert os.listdir(tmp_path) == []


@pytest.mark.needs("root")
def test_under_sudo_the_file_belongs_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "4321")
    monkeypatch.setenv("SUDO_GID", "8765")
    crz.save(machine().snapshot(100), tmp_path / "a.crz")
    found = (tmp_path / "a.crz").stat()
    assert (found.st_uid, found.st_gid) == (4321, 8765)


def test_a_snapshot_goes_through_a_pipe(tmp_path: Path) -> None:
    crz.save(machine().snapshot(100), tmp_path / "a.crz")
    code = "from analyzer.snapshot import crz; crz.save(crz.load('-'), '-')"
    with open(tmp_path / "a.crz", "rb") as file:
        ran = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, check=True
        )
    assert_same(crz.unpack(ran.stdout), machine().snapshot(100))


# --- what is refused


def members() -> Members:
    with zipfile.ZipFile(io.BytesIO(crz.pack(machine().snapshot(100)))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(content: Members, how: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return out.getvalue()


def change(edit: Callable[[dict[str, Any]], Any]) -> Members:
    """Change the manifest."""
    content = members()
    manifest = json.loads(content["manifest.json"])
    edit(manifest)
    return content | {"manifest.json": json.dumps(manifest).encode()}


def replace(table: str, data: bytes, count: int | None = None) -> Members:
    """Replace a table by other Parquet, with everything in the manifest right."""

    def edit(manifest: dict[str, Any]) -> None:
        entry = manifest["members"][f"{table}.parquet"]
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        entry["rows"] = pq.read_metadata(io.BytesIO(data)).num_rows if count is None else count

    return change(edit) | {f"{table}.parquet": data}


def edited(table: str, edit: Callable[[Any], Any]) -> Members:
    out = io.BytesIO()
    pq.write_table(edit(pq.read_table(io.BytesIO(members()[f"{table}.parquet"]))), out)
    return replace(table, out.getvalue())


def with_column(table: str, name: str, values: pa.Array) -> Members:
    def edit(found: pa.Table) -> pa.Table:
        return found.set_column(found.column_names.index(name), name, values)

    return edited(table, edit)


def numbered(table: str, name: str, value: int) -> bytes:
    """Put a number into every row of a column."""

    def edit(found: pa.Table) -> pa.Table:
        at = found.column_names.index(name)
        return found.set_column(at, name, pa.array([value] * len(found), found.schema.types[at]))

    return zipped(edited(table, edit))


def remade(path: str, value: object) -> bytes:
    """Put a value into the meta."""

    def edit(manifest: dict[str, Any]) -> None:
        place = manifest["meta"]
        *folders, last = path.split(".")
        for folder in folders:
            place = place[folder]
        place[last] = value

    return zipped(change(edit))


def bomb(count: int) -> bytes:
    """Return Parquet of so many rows in a few bytes, all columns all null."""
    out = io.BytesIO()
    fields = [pa.field(name, pa.null()) for name in ("a", "b")]
    writer = pq.ParquetWriter(out, pa.schema(fields), compression="zstd")
    step = 10_000_000
    for _ in range(count // step):
        writer.write_table(pa.table({name: pa.nulls(step) for name in ("a", "b")}))
    writer.close()
    return out.getvalue()


def encrypted() -> bytes:
    data = bytearray(zipped(members()))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def twice() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members().items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("tasks.parquet", b"")
    return out.getvalue()


def lying() -> bytes:
    """Return a stored member that claims to unpack to four gigabytes."""
    data = bytearray(zipped(members()))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = b"\xf0\xff\xff\xff"
    return bytes(data)


whole = crz.pack(machine().snapshot(100))

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"root:x:0:0:root:/root:/bin/bash\n", "is no snapshot, or is cut short"),
    "cut": (lambda: whole[: len(whole) // 2], "is no snapshot, or is cut short"),
    "cut by one": (lambda: whole[:-1], "is no snapshot, or is cut short"),
    "no manifest": (lambda: zipped({"a": b""}), "no manifest.json"),
    "bad manifest": (lambda: zipped(members() | {"manifest.json": b"{"}), "is not JSON"),
    "deep manifest": (lambda: zipped(members() | {"manifest.json": b"[" * 99999}), "is not JSON"),
    "list": (lambda: zipped(members() | {"manifest.json": b"[]"}), "names no schema version"),
    "no version": (lambda: zipped(change(lambda m: m.pop("schema"))), "names no schema version"),
    "true": (lambda: zipped(change(lambda m: m.update(schema=True))), "names no schema version"),
    "future": (lambda: zipped(change(lambda m: m.update(schema=99))), "schema version 99.*upgrade"),
    "no meta": (lambda: zipped(change(lambda m: m.pop("meta"))), "lacks meta or members"),
    "bad meta": (lambda: zipped(change(lambda m: m["meta"].update(host=7))), "meta.host"),
    "bad pid": (
        lambda: zipped(change(lambda m: m["meta"]["subject"].update(pid="1"))),
        "no number",
    ),
    **{
        f"{table}.{name} {value}": (partial(numbered, table, name, value), said)
        for table, name, value, said in (
            ("gaps", "errno", 1 << 31, "gaps.errno is 2147483648; it can be 0 to 4095"),
            ("objects", "mode", -5, "objects.mode is -5"),
            ("objects", "mode", 1 << 40, "objects.mode is 1099511627776"),
            ("references", "slot", -4, r"references.slot \(of fd\) is -4"),
            ("references", "slot", -1, r"references.slot \(of fd\) is -1"),
            ("references", "weight", 1 << 62, "references.weight is 4611686018427387904"),
            ("tasks", "tid", 1 << 31, "tasks.tid is 2147483648"),
        )
    },
    **{
        f"{path} {value}": (partial(remade, path, value), said)
        for path, value, said in (
            ("frozen_seconds", "soon", "frozen_seconds is no time"),
            ("frozen_seconds", [1], "frozen_seconds is no time"),
            ("frozen_seconds", None, "frozen_seconds is no time"),
            ("frozen_seconds", float("nan"), "is not JSON"),
            ("frozen_seconds", float("inf"), "is not JSON"),
            ("host", "\ud800", "is not JSON"),
            ("incomplete", "yes", "incomplete is not true or false"),
            ("source.capabilities", 7, "source.capabilities are not"),
            ("subject.pid", 1 << 40, "subject.pid is no number"),
            ("monotonic_ns", -1, "monotonic_ns is no time"),
            ("subject", {}, "subject.pid is missing"),
        )
    },
    "state": (
        lambda: zipped(with_column("tasks", "state", pa.array(["S", "\x1b"]).dictionary_encode())),
        r"tasks.state '\\x1b' is no letter",
    ),
    "bad notes": (lambda: zipped(change(lambda m: m["meta"]["source"].update(notes=7))), "notes"),
    "no member": (lambda: zipped(change(lambda m: m["members"].pop("gaps.parquet"))), "is missing"),
    "no table": (
        lambda: zipped({k: v for k, v in members().items() if k != "gaps.parquet"}),
        "gaps.parquet is missing",
    ),
    "hash": (lambda: zipped(members() | {"gaps.parquet": b"x"}), "does not match its SHA-256"),
    "no rows": (
        lambda: zipped(change(lambda m: m["members"]["gaps.parquet"].update(rows="2"))),
        "does not state the rows",
    ),
    "rows": (
        lambda: zipped(change(lambda m: m["members"]["gaps.parquet"].update(rows=1))),
        "2 rows where the manifest states 1",
    ),
    "no parquet": (lambda: zipped(replace("gaps", b"nonsense", 2)), "not a readable Parquet table"),
    "dtype": (
        lambda: zipped(with_column("tasks", "tid", pa.array([1.5, 2.5]))),
        "column tid is double, not int64",
    ),
    "text dtype": (
        lambda: zipped(with_column("tasks", "comm", pa.array(["a", "b"]))),
        "column comm is",
    ),
    "no column": (
        lambda: zipped(edited("tasks", lambda t: t.drop_columns(["tid"]))),
        "column tid is there 0 times",
    ),
    "nulls": (
        lambda: zipped(with_column("tasks", "tid", pa.array([1, None], pa.int64()))),
        "column tid lacks values",
    ),
    "same tid": (
        lambda: zipped(with_column("tasks", "tid", pa.array([100, 100], pa.int64()))),
        "tasks.tid has the same value twice",
    ),
    "same objref": (
        lambda: zipped(with_column("objects", "objref", pa.array([1, 1, 2], pa.int64()))),
        "objects.objref is 1 in row 2",
    ),
    "lost target": (
        lambda: zipped(with_column("references", "target", pa.array([9, 1, 2, 3], pa.int64()))),
        "references.target names 9",
    ),
    "lost holder": (
        lambda: zipped(with_column("references", "holder", pa.array([9, 101, 1, 1], pa.int64()))),
        r"references.holder \(of tasks\) names 9",
    ),
    "weight": (
        lambda: zipped(with_column("references", "weight", pa.array([1, 1, 1, -1], pa.int64()))),
        "weight is -1; it can be 0 to 4294967296",
    ),
    "unknown kind": (
        lambda: zipped(
            with_column("objects", "kind", pa.array(["FILE", "X\x1b", "MM"]).dictionary_encode())
        ),
        "is unknown to this version",
    ),
    "bomb": (lambda: zipped(replace("gaps", bomb(90_000_000))), "90,000,000 rows in .* bytes"),
    "giant word": (
        lambda: zipped(with_column("tasks", "comm", pa.array([bytes(1 << 20), b"x"]))),
        "column comm has a text of 1,048,576 bytes",
    ),
    "path": (lambda: zipped(members() | {"../../etc/cron.d/x": b""}), "is a path, not a table"),
    "absolute": (lambda: zipped(members() | {"/etc/x": b""}), "is a path, not a table"),
    "crowd": (
        lambda: zipped(members() | {f"t{n}": b"" for n in range(99)}),
        "106 members; a snapshot has 7",
    ),
    "deflated": (
        lambda: zipped(members(), zipfile.ZIP_DEFLATED),
        "is compressed, where snapshots store",
    ),
    "encrypted": (encrypted, "is encrypted"),
    "twice": (twice, "is there twice"),
    "lying": (lying, "lies about its size|is no snapshot"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_snapshot_gets_one_line(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(BadInputError, match=said) as caught:
        crz.unpack(make(), "bad.crz")
    text = str(caught.value)
    assert text.startswith("bad.crz")
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 300


def test_an_unknown_column_is_ignored_and_a_nullable_one_may_be_absent() -> None:
    content = edited(
        "objects",
        lambda t: t.drop_columns(["deleted"]).append_column("later", pa.array([1, 2, 3])),
    )
    objects = crz.unpack(zipped(content)).tables["objects"]
    assert not objects.known("deleted").any()
    assert "later" not in objects.columns


def complaint(data: bytes) -> str:
    """Return what is said of a file, nothing if it is read."""
    try:
        crz.unpack(data)
    except BadInputError as error:
        return str(error)
    return ""


@given(st.data())
def test_damage_anywhere_is_one_line_or_no_damage(data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert "\n" not in complaint(bytes(damaged))


@pytest.mark.parametrize(
    ("name", "said"),
    [("absent.crz", "No such file"), (".", "Is a directory"), ("a\0b", "cannot read")],
)
def test_what_cannot_be_read_is_said(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match=said):
        crz.load(name)


def test_a_file_beyond_the_limit_is_not_even_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crz, "MAX_FILE", 100)
    (tmp_path / "a.crz").write_bytes(whole)
    with pytest.raises(BadInputError, match="is larger than"):
        crz.load(tmp_path / "a.crz")


@given(st.sampled_from(list(SCHEMAS)), st.data())
def test_parquet_damaged_with_a_right_hash_is_one_line_too(table: str, data: st.DataObject) -> None:
    content = members()[f"{table}.parquet"]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    count = pq.read_metadata(io.BytesIO(content)).num_rows
    assert "\n" not in complaint(zipped(replace(table, bytes(damaged), count)))
