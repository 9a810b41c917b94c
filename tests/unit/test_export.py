"""Exported tables, read back with what people read them with; and all or nothing on disk."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check.leaks import check
from analyzer.core import files as writing
from analyzer.core.errors import BadInputError
from analyzer.core.model import Rules
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.writers import export as writer
from analyzer.writers import folder as export
from analyzer.writers.export import Form, files, snapshot_name
from tests.build import Machine
from tests.each import each
from tests.unit.test_cli import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.snapshot.value import Snapshot

NASTY: Final = 'a\udcff\n\x1b[2J\u202e"quoted", =x\r'
HOSTS: Final = ("web1", "a/b", "..", "h=1", "100%", "\u00e9t\u00e9", "a b", "x\udcff\n")


def leaking(**meta: Any) -> Snapshot:  # noqa: ANN401 - as JSON
    made = Machine()
    made.task(77, comm="=cmd|' /C calc'!A0")
    made.task(100, 77, comm=NASTY, nspid=1)
    fds = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object(
        "FILE", 2, name=f"/srv/{NASTY}", ino=2**64 - 1, dev=0x801, address=0xFFFF_8880_0000_1234,
        holders=[(fds[0], "fd", 3), (fds[1], "fd", 7)],
    )  # fmt: skip
    made.object("FILE", None, name="-1+1", holders=[(fds[0], "fd", 4)])
    made.gap("pid 7", "openat", None, "not read")
    return made.snapshot(100, **meta)


def exported(snapshot: Snapshot, form: Form = Form.PARQUET) -> dict[str, bytes]:
    report = make(snapshot, check(snapshot), ReportOptions("export", brief=True))
    return dict(files(snapshot, report, form))


def tree(folder: Path, *snapshots: Snapshot, form: Form = Form.PARQUET) -> Path:
    for snapshot in snapshots:
        export.write(str(folder), exported(snapshot, form).items(), force=False)
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ds.dataset(folder, partitioning="hive").to_table().to_pylist()
    return found


def test_a_dataset_has_the_tables_by_date_and_host(tmp_path: Path) -> None:
    day = {"host": "web1", "collected_at": "2026-01-02T03:04:05Z"}
    tree(tmp_path, leaking(), leaking(**day), leaking(**day | {"monotonic_ns": 2}))
    assert {path.name for path in tmp_path.iterdir()} == set(writer.TABLES)
    found = rows(tmp_path / "verdicts")
    assert {(row["date"], row["host"]) for row in found} == {
        ("2026-01-02", "web1"),
        ("2009-04-24", "test"),
    }
    assert len({row["snapshot"] for row in found}) == 3, "two of one host and day do not collide"
    (leak,) = [row for row in found if row["host"] == "test" and row["refcount"] == 2]
    assert leak["verdict"] == "usage_leak"
    assert (leak["users"], leak["outside"], leak["unnamed"]) == (1, 1, 0)
    assert leak["held_outside"] == "=cmd|' /C calc'!A0 (77): fd 7"
    assert leak["bundle"] == "single"


def test_columns_have_types_that_others_can_read(tmp_path: Path) -> None:
    tree(tmp_path, leaking())
    table = ds.dataset(tmp_path / "objects", partitioning="hive").to_table()
    types = {field.name: str(field.type) for field in table.schema}
    assert types["ino"] == "uint64"
    assert types["kind"] == types["name"] == types["dev"] == types["address"] == "string"
    assert types["refcount"] == "int64"
    assert types["collected_at"] == "timestamp[us, tz=UTC]"
    found = {row["objref"]: row for row in table.to_pylist()}
    assert found[3]["ino"] == 2**64 - 1
    assert found[3]["dev"] == "8:1"
    assert found[3]["address"] == "0xffff888000001234"
    assert found[4]["refcount"] is None
    assert found[3]["name"] == "/srv/" + NASTY.replace("\udcff", r"\xff")


def test_every_column_of_the_schemas_is_there_and_empty_tables_are_too(tmp_path: Path) -> None:
    made = Machine()
    made.task(100)
    tree(tmp_path, made.snapshot(100))
    for name, schema in writer.TABLES.items():
        (path,) = (tmp_path / name).rglob("*.parquet")
        wanted = [column.name for column in (*writer.KEYS, *schema.columns)]
        assert pq.ParquetFile(path).schema_arrow.names == wanted


def test_what_is_not_known_is_null_and_never_0(tmp_path: Path) -> None:
    tree(tmp_path, leaking())
    (unknown,) = [row for row in rows(tmp_path / "verdicts") if row["name"] == "-1+1"]
    assert unknown["verdict"] == "unknown"
    assert unknown["refcount"] is None
    assert unknown["unnamed"] is None
    assert unknown["users"] == 1


def test_what_no_count_shows_and_what_is_known_of_it_are_tables(tmp_path: Path) -> None:
    made = Machine()
    made.task(77)
    made.task(100, 77)
    pipe = made.object("PIPE", None)
    made.relation("session", 100, 77, left_role=NASTY, detail=NASTY, impact="watches")
    made.relation("deleted-file", 100, pipe)
    made.fact(pipe, "unread", 7)
    made.fact(100, "local", NASTY)
    tree(tmp_path, made.snapshot(100))
    first, second = rows(tmp_path / "relations")
    printed = NASTY.replace("\udcff", r"\xff")
    assert (first["relation"], first["left"], first["right"]) == ("session", 100, 77)
    assert (first["impact"], first["detail"], first["left_role"]) == ("watches", printed, printed)
    assert (second["right_kind"], second["right"], second["impact"]) == ("PIPE", 1, None)
    assert (second["slot"], second["detail"]) == (None, None)
    told = {(row["kind"], row["ref"], row["fact"]): row for row in rows(tmp_path / "facts")}
    assert told["PIPE", 1, "unread"]["number"] == 7
    assert told["TASK", 100, "local"]["text"] == printed
    assert told["PIPE", 1, "unread"]["text"] is None


def test_pandas_reads_it(tmp_path: Path) -> None:
    tree(tmp_path, leaking())
    frame = pd.read_parquet(tmp_path / "verdicts", dtype_backend="pyarrow")
    assert frame.groupby("verdict").size().to_dict() == {
        "contained": 1,
        "unknown": 1,
        "usage_leak": 1,
    }
    assert set(frame["host"]) == {"test"}


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_can_be_called_anything(host: str, tmp_path: Path) -> None:
    tree(tmp_path, leaking(host=host))
    (row,) = rows(tmp_path / "snapshots")
    assert str(row["host"]) == host.replace("\udcff", r"\xff").replace("\n", r"\n")
    (day,) = (tmp_path / "snapshots").iterdir()
    assert len(list(day.iterdir())) == 1


def test_a_host_without_a_name_is_null_as_hive_has_it(tmp_path: Path) -> None:
    tree(tmp_path, leaking(host=""))
    assert list(tmp_path.rglob("host=__HIVE_DEFAULT_PARTITION__"))


@pytest.mark.parametrize("said", ["", "yesterday", "2026-99-01T00:00:00Z", "../../x"])
def test_a_time_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(BadInputError, match="no time"):
        exported(leaking(collected_at=said))


def test_a_date_is_of_utc() -> None:
    paths = list(exported(leaking(collected_at="2026-01-01T01:00:00+02:00")))
    assert each("/date=2025-12-31/" in path for path in paths)


def test_equal_snapshots_give_equal_bytes() -> None:
    for form in Form:
        assert exported(leaking(), form) == exported(leaking(), form)


# --- CSV


def sheet(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def table(snapshot: Snapshot, name: str) -> bytes:
    made = exported(snapshot, Form.CSV)
    return next(data for path, data in made.items() if path.startswith(f"{name}/"))


def test_csv_is_a_line_for_each_row() -> None:
    data = table(leaking(), "tasks")
    assert data.count(b"\r\n") == data.count(b"\n") == 3
    assert data.endswith(b"\r\n")
    found = sheet(data)
    assert [row["tid"] for row in found] == ["77", "100"]
    assert found[1]["comm"] == r'a\xff\n\e[2J\u202e"quoted", =x\r'
    assert found[0]["collected_at"] == "2009-04-24T12:00:00Z"


def test_csv_keeps_integers_where_some_are_missing() -> None:
    found = sheet(table(leaking(), "objects"))
    assert [row["refcount"] for row in found] == ["1", "1", "2", ""]
    assert found[2]["ino"] == str(2**64 - 1)
    frame = pd.read_csv(io.BytesIO(table(leaking(), "objects")), dtype_backend="numpy_nullable")
    assert str(frame["refcount"].dtype) == "Int64"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'"])
def test_no_cell_is_a_formula(start: str) -> None:
    made = Machine()
    made.task(100, comm=f"{start}1+1")
    (row,) = sheet(table(made.snapshot(100), "tasks"))
    assert row["comm"] == f"'{start}1+1"


@given(st.text(max_size=20) | st.binary(max_size=20).map(os.fsdecode))
def test_a_cell_is_read_back_as_it_prints(name: str) -> None:
    made = Machine()
    made.task(100, comm=name)
    (row,) = sheet(table(made.snapshot(100), "tasks"))
    assert row["comm"] == writer._cell(name)
    assert row["comm"].isprintable()
    assert row["comm"][:1] not in {"=", "+", "-", "@"}


# --- on disk


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    tree(tmp_path, leaking())
    other = next((tmp_path / "tasks").rglob("*.parquet"))
    other.write_bytes(b"mine")
    before = contents(tmp_path)
    with pytest.raises(BadInputError, match="written otherwise: --force"):
        tree(tmp_path, leaking())
    assert contents(tmp_path) == before
    paths = export.write(str(tmp_path), exported(leaking()).items(), force=True)
    assert len(paths) == len(writer.TABLES)
    assert other.read_bytes() != b"mine"


def test_again_is_the_same_and_another_check_of_it_adds_to_it(tmp_path: Path) -> None:
    tree(tmp_path, leaking())
    before = contents(tmp_path)
    tree(tmp_path, leaking())
    assert contents(tmp_path) == before
    seed = make(leaking(), check(leaking(), rules=Rules.SEED), ReportOptions("export", brief=True))
    paths = export.write(str(tmp_path), files(leaking(), seed, Form.PARQUET), force=False)
    assert len(paths) == len(writer.TABLES)
    assert contents(tmp_path).items() > before.items()
    assert [row["rules"] for row in rows(tmp_path / "checks")] == ["modern", "seed"]
    assert len(rows(tmp_path / "snapshots")) == 1


def test_a_failure_leaves_nothing_of_this_run_and_all_of_the_last(tmp_path: Path) -> None:
    folder = tree(tmp_path / "new" / "deep", leaking())
    before = sorted(folder.rglob("*"))

    def half() -> Iterator[tuple[str, bytes]]:
        yield from exported(leaking(host="other")).items()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.write(str(folder), half(), force=False)
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(KeyboardInterrupt):
        export.write(str(tmp_path / "gone" / "too"), half(), force=False)
    assert not (tmp_path / "gone").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    real, written = writing.write_file, 0

    def full(path: str, data: bytes, *, force: bool) -> None:
        nonlocal written
        written += 1
        if written == 4:
            raise BadInputError("cannot write: No space left on device")
        real(path, data, force=force)

    with mock.patch.object(export, "write_file", full), pytest.raises(BadInputError, match="space"):
        tree(tmp_path / "out", leaking())
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadInputError, match=r"cannot make the folder .*out"):
        tree(tmp_path / "out", leaking())
    assert (tmp_path / "out").read_text() == "mine"


# --- the command


def saved(folder: Path, name: str, snapshot: Snapshot) -> str:
    snapshot.save(folder / name)
    return name


def test_the_command_prints_what_it_wrote(tmp_path: Path) -> None:
    name = saved(tmp_path, "a.crz", leaking())
    ran = run("export", name, name, "--parquet", "out", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) == len(writer.TABLES)
    assert each((tmp_path / path).is_file() for path in ran.stdout.splitlines())
    (part,) = (tmp_path / "out" / "tasks").rglob("*.parquet")
    assert part.name == f"part-{snapshot_name(leaking())}.parquet"


def test_the_command_takes_one_form(tmp_path: Path) -> None:
    name = saved(tmp_path, "a.crz", leaking())
    for words in ((), ("--csv", "c", "--parquet", "p")):
        ran = run("export", name, *words, cwd=tmp_path)
        assert ran.returncode == 2
        assert "--parquet DIR or --csv DIR, one of them" in ran.stderr


def test_the_newest_snapshot_is_exported_by_default(tmp_path: Path) -> None:
    saved(tmp_path, "a.crz", leaking())
    ran = run("export", "--csv", "out", cwd=tmp_path)
    assert ran.returncode == 0
    assert list((tmp_path / "out").rglob("*.csv"))


def test_one_bad_file_leaves_nothing_of_the_good_ones(tmp_path: Path) -> None:
    good = saved(tmp_path, "a.crz", leaking())
    (tmp_path / "b.crz").write_bytes(b"no zip")
    ran = run("export", good, "b.crz", "--parquet", "out", cwd=tmp_path)
    assert ran.returncode == 2
    assert "b.crz is no snapshot" in ran.stderr
    assert not (tmp_path / "out").exists()


def test_a_whole_host_has_verdicts_only_with_a_pid(tmp_path: Path) -> None:
    snapshot = leaking(subject={"pid": None, "selector": "host"}, scope="host")
    name = saved(tmp_path, "host.crz", snapshot)
    ran = run("export", name, "--parquet", "out", cwd=tmp_path)
    assert ran.returncode == 0
    assert "no verdicts without --pid N" in ran.stderr
    assert not (tmp_path / "out" / "verdicts").exists()
    ran = run("export", name, "--pid", "100", "--parquet", "other", cwd=tmp_path)
    assert ran.returncode == 0
    (part,) = (tmp_path / "other" / "verdicts").rglob("*.parquet")
    assert pq.ParquetFile(part).read(columns=["pid"]).column("pid") == pa.chunked_array([[100] * 3])


def test_a_report_takes_one_form(tmp_path: Path) -> None:
    name = saved(tmp_path, "a.crz", leaking())
    for form, start in (("--markdown", "### not contained"), ("--junit", "<?xml")):
        ran = run("report", name, form, "--check", cwd=tmp_path)
        assert ran.returncode == 16
        assert ran.stdout.startswith(start)
        ran = run("report", name, form, "--check", "-o", f"./out{form}", cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (16, "")
        assert (tmp_path / f"out{form}").read_text().startswith(start)
    ran = run("report", name, "--markdown", "--junit", cwd=tmp_path)
    assert ran.returncode == 2
    assert "--markdown and --junit: say one of them" in ran.stderr
