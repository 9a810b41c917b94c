"""A fleet: snapshots checked where they are, by one process or by several; what they share."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.dataset as ds
import pytest

from analyzer.core.files import write_file
from analyzer.fleet import engine, places, plots, rows, summary
from analyzer.fleet.check import Came
from analyzer.plots import base
from analyzer.snapshot import crz
from analyzer.sources.privacy import Redaction
from scripts.docs.fleet import RECIPES
from tests.build import Machine
from tests.schema import faults
from tests.unit.test_cli import Ran, environment, run
from tests.unit.test_diff import APP, LAUNCHER, later, machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.fleet.places import Found

if find_spec("fsspec") is None:
    pytest.skip("fsspec is not installed", allow_module_level=True)

ROOT: Final = Path(__file__).parents[2]
DAY: Final = "2026-11-1{}T12:00:00Z"
BOOT: Final = "{:08x}-0000-4000-8000-000000000000"


def saved(path: Path, made: Machine, host: int, day: int = 0, **meta: Any) -> None:  # noqa: ANN401 - as JSON
    known = {
        "host": f"web{host}", "boot_id": BOOT.format(host), "collected_at": DAY.format(day),
        "monotonic_ns": day * 10**12,
    }  # fmt: skip
    made.snapshot(100, **known | meta).save(path)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Three hosts on two days: what one has is clean on the first."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for host in range(3):
        for day in range(2):
            saved(folder / f"{host}-{day}.crz", later() if day else machine(), host, day)
    return folder


def checked(fleet: Path, below: str = "") -> Ran:
    out = str(fleet.parent / "out")
    return run("fleet", "check", f"{fleet}/{below}", "-o", out, "--workers", "0")


def found(out: Path) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = ds.dataset(
        out, partitioning=ds.partitioning(flavor="hive"), exclude_invalid_files=False
    ).to_table().to_pylist()  # fmt: skip
    return sorted(told, key=lambda row: (row["source_url"], row["row"], row["kind"] or ""))


def files(out: Path) -> dict[str, bytes]:
    """Return what is in the files of a folder; a killed worker may leave a hidden one."""
    every = (path for path in out.rglob("[!.]*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in every}


def newer(path: Path, to: Path) -> None:
    """Write the snapshot of a version that is not there yet."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == crz.MANIFEST:
                data = json.dumps(json.loads(data) | {"schema": 99}).encode()
            new.writestr(name, data)
    to.write_bytes(out.getvalue())


def test_each_snapshot_is_a_file_by_date_and_host_with_all_that_was_found(fleet: Path) -> None:
    ran = checked(fleet)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "6 of 6 snapshots are new: 6 with leaks\n"
    told = found(fleet.parent / "out")
    checks = [row for row in told if row["row"] == "check"]
    assert [(str(row["date"]), row["host"]) for row in checks] == [
        (f"2026-11-1{day}", f"web{host}") for host in range(3) for day in range(2)
    ]
    assert {row["boot_id"] for row in checks} == {BOOT.format(host) for host in range(3)}
    (own,) = [
        row for row in told
        if row["name"] == "/srv/own" and row["source_url"] == str(fleet / "1-1.crz")
    ]  # fmt: skip
    assert (own["row"], own["kind"], own["verdict"]) == ("leak", "FILE", "usage_leak")
    assert (own["holders"], own["association"], own["workload"]) == ("launcher", "fd", "app")
    assert own["words"] == "launcher (77): fd 9"
    every = [row["signature"] for row in told if row["name"] == "/srv/own"]
    assert (len(every), len(set(every))) == (3, 1), "it is the same on all hosts"


def test_what_was_checked_is_not_read_again_and_what_is_new_is_added(fleet: Path) -> None:
    checked(fleet)
    before = files(fleet.parent / "out")
    assert checked(fleet).stdout == "0 of 6 snapshots are new\n"
    saved(fleet / "3-0.crz", machine(), 3)
    assert checked(fleet, "*.crz").stdout == "1 of 7 snapshots are new: 1 with leaks\n"
    after = files(fleet.parent / "out")
    assert len(after) == len(before) + 2
    assert {name: after[name] for name in before} == before
    (fleet / "copy.crz").write_bytes((fleet / "3-0.crz").read_bytes())
    checked(fleet)
    parts = [name for name in files(fleet.parent / "out") if "/part-" in name]
    assert len(parts) == 7, "a copy is the same snapshot"


def test_what_cannot_be_read_is_a_row_and_ends_nothing(fleet: Path) -> None:
    good = fleet / "0-0.crz"
    newer(good, fleet / "newer.crz")
    (fleet / "cut.crz").write_bytes(good.read_bytes()[:-100])
    (fleet / "empty.crz").touch()
    with zipfile.ZipFile(fleet / "foreign.crz", "w") as foreign:
        foreign.writestr("a\x1b[2J", "b")
    Machine().snapshot().save(fleet / "host.crz")
    ran = checked(fleet)
    assert ran.returncode == 0
    assert ran.stdout == "11 of 11 snapshots are new: 6 with leaks, 5 unread\n"
    assert ran.stderr.startswith("cranalyze: 5 could not be read")
    unread = {
        Path(row["source_url"]).stem: row
        for row in found(fleet.parent / "out")
        if row["row"] == "unread"
    }
    assert set(unread) == {"newer", "cut", "empty", "foreign", "host"}
    assert "has schema version 99" in unread["newer"]["words"]
    assert "is empty" in unread["empty"]["words"]
    assert "no container" in unread["host"]["words"]
    assert all(row["date"] is None and row["host"] is None for row in unread.values())
    assert checked(fleet).stdout == "0 of 11 snapshots are new\n"
    good.rename(fleet / "cut.crz")
    assert checked(fleet).stdout == "1 of 10 snapshots are new: 1 with leaks\n"
    left = {row["source_url"] for row in found(fleet.parent / "out") if row["row"] == "unread"}
    assert str(fleet / "cut.crz") not in left, "it is whole now"


def test_a_clock_that_jumps_makes_other_days_and_no_time_is_a_row(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    times = ("1970-01-01T00:00:05Z", "9999-12-31T23:59:59Z", "2026-11-10T01:00:00+09:00", "",
             "0001-01-01T00:00:00Z", "2026-11-10T25:00:00Z")  # fmt: skip
    for number, at in enumerate(times):
        saved(folder / f"{number}.crz", machine(), 7, boot_id=BOOT.format(7), collected_at=at)
    assert checked(folder).stdout == "6 of 6 snapshots are new: 3 with leaks, 3 unread\n"
    found = told(folder)
    assert (found["summary"]["first"], found["summary"]["last"]) == (times[0], times[1])
    assert found["hosts"] == ["web7"]
    fleet = summary.summary(summary.load(str(tmp_path / "out")))
    assert sorted(fleet.days) == ["1970-01-01", "2026-11-09", "9999-12-31"]
    for plot in plots.PLOTS.values():
        assert base.render(plot, fleet, "svg")


def test_snapshots_of_every_schema_are_checked(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    older = [*(ROOT / "tests" / "data").glob("snapshot-schema-*.crz")]
    for path in older:
        shutil.copy(path, folder)
    assert older
    assert "unread" not in checked(folder).stdout


def test_a_disk_that_is_full_ends_it_and_what_was_kept_stays(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = iter(range(5))

    def write(path: str, data: bytes, *, force: bool) -> None:
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_file(path, data, force=force)

    monkeypatch.setattr("analyzer.fleet.places.write_file", write)
    ran = checked(fleet)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.endswith("No space left on device: free some space, or write elsewhere\n")
    monkeypatch.undo()
    assert checked(fleet).stdout == "4 of 6 snapshots are new: 4 with leaks\n"
    assert len([name for name in files(fleet.parent / "out") if "/part-" in name]) == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_looked_into_is_told(fleet: Path) -> None:
    (fleet / "locked").mkdir(mode=0)
    (fleet / "0-0.crz").chmod(0)
    try:
        ran = checked(fleet)
        assert ran.stdout == "6 of 6 snapshots are new: 5 with leaks, 1 unread\n"
        assert f"cannot look into {fleet / 'locked'}: no permission\n" in ran.stderr
        (fleet / "0-0.crz").chmod(0o600)
        assert checked(fleet).stdout == "1 of 6 snapshots are new: 1 with leaks\n"
        for below in ("locked", "locked/a.crz"):
            alone = checked(fleet, below)
            assert (alone.returncode, alone.stdout) == (4, "")
            assert alone.stderr == f"cranalyze: cannot look into {fleet}/{below}: no permission\n"
    finally:
        (fleet / "locked").chmod(0o700)


def test_in_a_snapshot_of_a_whole_host_each_container_is_judged(tmp_path: Path) -> None:
    made = Machine()
    made.task(1, 0, comm="init")
    for tid, ident in ((20, "a1" * 32), (30, "c2" * 32)):
        made.task(tid, comm="nginx", nspid=1, cgroup=f"/docker/{ident}")
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (1, 20, 30)]
    made.object("FILE", 2, name="/srv/log", ino=5, dev=1, mode=0o100644,
                holders=[(tables[0], "fd", 3), (tables[1], "fd", 3)])  # fmt: skip
    folder = tmp_path / "snapshots"
    folder.mkdir()
    made.snapshot(scope="host").save(folder / "host.crz")
    assert checked(folder).stdout == "1 of 1 snapshots are new: 1 with leaks\n"
    checks = [row for row in found(tmp_path / "out") if row["row"] == "check"]
    assert [(row["pid"], row["status"], row["workload"]) for row in checks] == [
        (20, "leaks", "docker container of nginx"),
        (30, "contained", "docker container of nginx"),
    ]
    said = reported(folder).stdout
    assert "\n2 checks of 1 snapshot, 2009-04-24: 1 contained and 1 with leaks\n" in said


def test_an_image_is_what_a_container_is_called_by_on_all_hosts(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for host, version in enumerate(("1.25", "1.25", "1.26")):
        image = f"docker.io/library/nginx:{version}"
        saved(folder / f"{host}.crz", machine(), host, images={"100": image})
    checked(folder)
    troubles = told(folder)["troubles"]
    assert {(one["workload"][-10:], *one["hosts"]) for one in troubles} == {
        ("nginx:1.25", "web0", "web1"), ("nginx:1.26", "web2"),
    }  # fmt: skip
    assert "in docker.io/library/nginx:1.26" in reported(folder).stdout


def test_hosts_whose_names_are_hashed_under_one_key_have_the_same_signatures(
    tmp_path: Path,
) -> None:
    folder, key = tmp_path / "snapshots", tmp_path / "key"
    folder.mkdir()
    key.write_text("k" * 32)
    key.chmod(0o600)
    for host in range(2):
        made = machine().snapshot(
            100, host=f"web{host}", boot_id=BOOT.format(host), collected_at=DAY.format(0),
            images={"100": "nginx:1"},
        )  # fmt: skip
        Redaction.under(str(key)).snapshot(made).save(folder / f"{host}.crz")
    checked(folder)
    (log,) = told(folder)["troubles"]
    assert len(log["hosts"]) == 2
    assert not {"web", "nginx", "srv", "launcher"} & set(re.findall("[a-z]+", json.dumps(log)))


def test_a_store_is_read_and_written_as_a_folder_is(fleet: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    store = MemoryFileSystem()
    for path in fleet.iterdir():
        store.pipe_file(f"/raw/a/{path.name}", path.read_bytes())
    try:
        for url in ("memory://raw", "memory://raw/*/*.crz"):
            words = ("fleet", "check", url, "-o", "memory://results/r", "--workers", "0")
            said = "6 of 6 snapshots are new: 6 with leaks" if url.endswith("raw") else "0 of 6"
            assert run(*words).stdout.startswith(said)
        there = json.loads(run("fleet", "report", "memory://results/r/", "--json").stdout)
        checked(fleet)
        assert there == told(fleet)
    finally:
        store.store.clear()
        store.pseudo_dirs[:] = [""]


def test_two_hosts_of_one_name_are_two(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for boot in range(2):
        saved(folder / f"{boot}.crz", machine(), 7, boot_id=BOOT.format(boot))
    checked(folder)
    assert len([name for name in files(tmp_path / "out") if "host=web7" in name]) == 2


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("/run/user/1000/bus", "/run/user/*/bus"),
        ("pipe:[1234]", "pipe:[*]"),
        ("/overlay/3f2a9c0d11e4/merged", "/overlay/*/merged"),
        ("/pods/6bb20a1c-1f2e-4a51-9d3b-0f6f6f2f9a10/x", "/pods/*/x"),
        ("/srv/feedface/defaced", "/srv/feedface/defaced"),
        ("kworker/0:1", "kworker/*:*"),
    ],
)
def test_numbers_and_ids_are_not_part_of_a_signature(name: str, folded: str) -> None:
    assert rows._FOLDED.sub("*", name) == folded


def test_a_failure_is_one_line(fleet: Path) -> None:
    """No snapshot, a store that is not known, a place that cannot be written, no scheduler."""
    out = str(fleet.parent / "out")
    (fleet.parent / "file").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        nobody = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        for words, said in (
            ((f"{fleet}/none", "-o", out), "no snapshot (*.crz) is at"),
            (("nix://x", "-o", out), "Protocol not known: nix"),
            ((str(fleet), "-o", str(fleet.parent / "file")), "Not a directory"),
            ((str(fleet), "-o", out, "--scheduler", nobody), "--workers are of this machine"),
        ):
            ran = run("fleet", "check", *words, "--workers", "0")
            assert ran.returncode == 2, said
            (line,) = ran.stderr.splitlines()
            assert said in line
            assert ran.stdout == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_not_permitted(fleet: Path) -> None:
    locked = fleet.parent / "locked"
    locked.mkdir(mode=0o500)
    ran = run("fleet", "check", str(fleet), "-o", str(locked / "out"), "--workers", "0")
    assert ran.returncode == 4
    assert ran.stderr.endswith("no permission\n")


# --- what they have in common


def reported(fleet: Path, *words: str) -> Ran:
    return run("fleet", "report", str(fleet.parent / "out"), *words, COLUMNS="80")


def told(fleet: Path, *words: str) -> Any:  # noqa: ANN401 - as JSON
    return json.loads(reported(fleet, "--json", *words).stdout)


def strange() -> Machine:
    """The machine of a host that is unlike the others."""
    made = machine()
    for fd in range(4):
        made.object("FILE", 2, name=f"/srv/{'abcd'[fd]}", ino=50 + fd, dev=1, mode=0o100644,
                    holders=[(LAUNCHER, "fd", 20 + fd), (APP, "fd", 20 + fd)])  # fmt: skip
    return made


def test_the_same_trouble_is_told_once_with_its_hosts_and_days(fleet: Path) -> None:
    checked(fleet)
    found = told(fleet)
    assert faults("fleet", found) == []
    assert (found["status"], found["hosts"]) == ("leaks", ["web0", "web1", "web2"])
    assert found["summary"]["leaks"] == 6
    own, log = sorted(found["troubles"], key=lambda one: one["times"])
    assert (own["name"], own["times"], log["name"], log["times"]) == ("/srv/own", 3, "/srv/log", 6)
    assert own["hosts"] == found["hosts"]
    assert own["first"] == own["last"] == DAY.format(1)
    assert (log["first"], log["last"]) == (DAY.format(0), DAY.format(1))
    said = reported(fleet).stdout
    assert all(len(line) <= 80 for line in said.splitlines())
    assert said.startswith(
        "2 signatures that decide, on 3 hosts\n6 checks of 6 snapshots, 2026-11-10 to"
    )
    assert "* open file /srv/own, in app (shared state)\n  outside  launcher (fd)\n" in said


def test_what_was_told_before_a_day_is_not_new_since(fleet: Path) -> None:
    checked(fleet)
    assert [one["name"] for one in told(fleet, "--since", "2026-11-11")["troubles"]] == ["/srv/own"]
    said = reported(fleet, "--since", "2026-11-12").stdout
    assert said.startswith("nothing new since 2026-11-12, on 3 hosts\n")
    wrong = reported(fleet, "--since", "soon")
    assert (wrong.returncode, wrong.stderr) == (
        2, "cranalyze: soon is no date: 2026-01-31 is one\n",
    )  # fmt: skip


def test_a_host_that_is_unlike_the_others_is_told(fleet: Path) -> None:
    checked(fleet)
    assert told(fleet)["unlike"] == []
    saved(fleet / "3.crz", strange(), 3)
    checked(fleet)
    found = told(fleet)
    (unlike,) = found["unlike"]
    names = {one["signature"]: one["name"] for one in found["troubles"]}
    assert unlike["host"] == "web3"
    assert sorted(names[one] for one in unlike["has"]) == [f"/srv/{word}" for word in "abcd"]
    assert [names[one] for one in unlike["lacks"]] == ["/srv/own"]
    assert "* web3 is unlike the others\n  has " in reported(fleet).stdout


def test_boots_of_one_name_are_one_host_unless_they_were_at_one_time(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for day in range(4):
        saved(folder / f"{day}.crz", machine(), 7, day, boot_id=BOOT.format(day))
    checked(folder)
    assert told(folder)["hosts"] == ["web7"]
    saved(folder / "again.crz", machine(), 7, 3, boot_id=BOOT.format(1), monotonic_ns=5)
    checked(folder)
    assert told(folder)["hosts"] == ["web7 (boot 00000000)", "web7 (boot 00000002)"]


def test_what_could_not_be_read_is_told_with_why(fleet: Path) -> None:
    (fleet / "bad\n.crz").touch()
    checked(fleet)
    (unread,) = told(fleet)["unread"]
    assert unread["url"] == str(fleet / "bad\n.crz")
    assert "is empty" in unread["why"]
    assert "* 1 snapshot could not be read\n" in reported(fleet).stdout


def test_the_page_has_hosts_and_days_by_signature(fleet: Path) -> None:
    """Nothing on it is loaded from anywhere."""
    saved(fleet / "3.crz", strange(), 3)
    checked(fleet)
    target = fleet.parent / "fleet.html"
    ran = reported(fleet, "--html", str(target))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    page = target.read_text("utf-8")
    for title in ("Signatures", "Hosts by signature", "Signatures over time", "Unlike the others"):
        assert f">{title}</h2>" in page
    assert page.count("2026-11-1") >= 2
    assert "<script" not in page
    assert "://" not in re.sub(r"http://www.w3.org/2000/svg", "", page)
    again = reported(fleet, "--html", str(target))
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_a_host_that_boots_twice_a_day_is_counted_once_that_day(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for hour in range(2):
        at = f"2026-11-10T0{hour}:00:00Z"
        saved(folder / f"{hour}.crz", machine(), 7, boot_id=BOOT.format(hour), collected_at=at)
    checked(folder)
    fleet = summary.summary(summary.load(str(tmp_path / "out")))
    assert fleet.days == {"2026-11-10": 1}
    assert {tuple(one.days.items()) for one in fleet.troubles} == {(("2026-11-10", 1),)}


@pytest.mark.parametrize("kind", ["hosts", "days"])
def test_the_fleet_is_drawn(fleet: Path, kind: str) -> None:
    checked(fleet)
    target = fleet.parent / "fleet.svg"
    ran = run("fleet", "plot", str(fleet.parent / "out"), "--kind", kind, "-o", str(target))
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == f"cranalyze: wrote {target}: the plot {kind}\n"
    assert "2 signatures that decide, on 3 hosts" in target.read_text()


def test_a_plot_that_is_not_known_or_would_overwrite_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    wrong = run("fleet", "plot", str(tmp_path), "--kind", "pie", "-o", str(target))
    assert (wrong.returncode, wrong.stderr) == (
        2, "cranalyze: there is no plot of a fleet pie; there are: days, hosts\n",
    )  # fmt: skip
    assert "-o FILE.png" in run("fleet", "plot", str(tmp_path)).stderr
    target.touch()
    assert "exists" in run("fleet", "plot", str(tmp_path), "-o", str(target)).stderr


def test_without_results_there_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ran = reported(tmp_path / "x", "--json")
    assert ran.returncode == 2
    assert ran.stderr.startswith("cranalyze: no results are in ")
    assert faults("fleet", json.loads(ran.stdout)) == []


# --- workers, and what becomes of one that is killed

KILLS: Final = """
import os, signal, sys
from analyzer.fleet import engine
from analyzer.fleet.check import new
from analyzer.fleet.places import Folder, find

if __name__ == "__main__":
    todo = new(find(sys.argv[1])[0], Folder(sys.argv[2]))
    with engine.own(2) as client:
        done = 0
        for came in engine.spread(todo, sys.argv[2], client):
            done += 1
            if done == 20:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        print(done)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
def test_two_workers_of_which_one_is_killed_find_what_one_process_finds(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for number in range(300):
        made = later() if number % 3 else machine()
        saved(folder / f"{number}.crz", made, number % 100, number // 100)
    (folder / "bad.crz").write_text("x")
    checked(folder)
    ran = subprocess.run(
        [sys.executable, "-c", KILLS, str(folder), str(tmp_path / "spread")],
        cwd=ROOT,
        env=environment(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "301\n"), ran.stderr
    assert files(tmp_path / "spread") == files(tmp_path / "out")


class Done(list[Any]):
    """What is done, as Dask has it: more may be added while it is looked through."""

    add = list[Any].append


@dataclass
class Task:
    key: str
    run: Callable[[], Any]
    deadly: bool

    def result(self) -> Any:  # noqa: ANN401 - as Dask's
        from distributed import KilledWorker

        if self.deadly:
            raise KilledWorker(self.key, None, 3)
        return self.run()

    def release(self) -> None:
        """Forget it."""


class Client:
    """Workers that one of the snapshots kills, whoever touches it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def nthreads(self) -> dict[str, int]:
        return {"a": 1, "b": 1}

    def submit(self, run: Any, batch: list[Found], *more: Any, pure: bool) -> Task:  # noqa: ANN401
        assert not pure
        self.sizes.append(len(batch))
        deadly = any(one.url.endswith("deadly.crz") for one in batch)
        return Task(f"{len(self.sizes)}", lambda: run(batch, *more), deadly)


@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
def test_what_kills_every_worker_is_unread_and_what_was_beside_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for number in range(30):
        saved(folder / f"{number}.crz", machine(), number)
    (folder / "0deadly.crz").write_bytes(b"x")
    monkeypatch.setattr("distributed.as_completed", Done)
    client = Client()
    came = [*engine.spread(places.find(str(folder))[0], str(tmp_path / "out"), client)]
    assert len(came) == 31
    assert came.count(Came.UNREAD) == 1
    assert client.sizes[:3] == [3, 3, 3]
    assert client.sizes.count(1) == 4, "those of its task, and one that is left over"
    (unread,) = told(folder)["unread"]
    assert "every worker that read it was killed" in unread["why"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
def test_a_scheduler_that_is_not_there_is_one_line(fleet: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        words = ["fleet", "check", str(fleet), "-o", str(fleet.parent / "out")]
        ran = subprocess.run(
            [sys.executable, "-m", "analyzer", *words, "--scheduler", address],
            cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr == f"cranalyze: no scheduler answers at {address}\n"


# --- what others ask


def test_the_queries_of_the_documentation_run(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb: Any = pytest.importorskip("duckdb")
    (fleet / "bad.crz").touch()
    saved(fleet / "image.crz", machine(), 2, 2, images={"100": "nginx:1.25"})
    checked(fleet)
    (fleet.parent / "out").rename(fleet.parent / "fleet")
    monkeypatch.chdir(fleet.parent)
    first, *others = RECIPES.values()
    duckdb.sql(first)
    leaks, images, new, alone, unread = (duckdb.sql(query).fetchall() for query in others)
    assert leaks[0][5] == 3
    assert images == [("nginx", ["nginx:1.25"], 1, 1)]
    assert {row[1] for row in new} >= {"/srv/own"}
    assert alone == [("web2", "FILE", "/srv/log", "launcher")], "that image"
    assert unread[0][0] == str(fleet / "bad.crz")
