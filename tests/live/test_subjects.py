"""Containers of real runtimes, and of unshare(1), found by name and checked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.live.runtimes import RUNTIMES, oci, rootless
from tests.live.test_sides import OWN, unshared

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root", "tool:unshare")]

_SECONDS: Final = 60


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analyzer", *arguments],
        capture_output=True, text=True, check=False, timeout=_SECONDS,
    )  # fmt: skip


def told(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran(*arguments, "--json").stdout)
    return found


@contextmanager
def joined(pid: int) -> Iterator[int]:
    """Yield a process that joined the namespaces of another, as `podman exec` does."""
    command = ["nsenter", "-t", str(pid), "--pid", "--mount", "--uts", "--no-fork", "sleep", "1000"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while Path(f"/proc/{process.pid}/comm").read_text("utf-8") != "sleep\n":
                assert time.monotonic() < until
                time.sleep(0.01)
            yield process.pid
        finally:
            process.kill()


def test_a_pid_namespace_and_who_is_in_it() -> None:
    with unshared(*OWN, alone=True) as (_, root):
        inode = os.readlink(f"/proc/{root}/ns/pid")
        assert told("check", f"pidns:{inode}")["subject"]["pid"] == root
        assert told("check", str(root), "--members", "pidns")["subject"]["tasks"] == 1


def test_a_dump_is_of_what_was_named(tmp_path: Path) -> None:
    with unshared(*OWN, alone=True) as (_, root):
        name = f"pidns:{os.readlink(f'/proc/{root}/ns/pid')}"
        dump = tmp_path / "d.tar"
        assert ran("procdump", name, "-o", str(dump)).returncode == 0
        with subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL) as other:
            both = tmp_path / "b.tar"
            made = ran("procdump", str(root), str(other.pid), "-o", str(both))
            other.kill()
        assert made.returncode == 0, made.stderr
    assert told("check", "--proc", str(dump), name)["subject"]["pid"] == root
    found = told("check", "--proc", str(both), str(root), str(other.pid))["subject"]
    assert (found["roots"], found["tasks"]) == ([other.pid], 2)


@pytest.mark.needs("tool:nsenter")
def test_who_joined_is_a_member_by_its_namespace() -> None:
    with unshared(*OWN, alone=True) as (_, root), joined(root) as other:
        space = Path(f"/proc/{other}/ns/uts")
        assert os.readlink(space) == os.readlink(f"/proc/{root}/ns/uts")
        alone, both = (
            told("check", str(root), "--members", how)
            for how in ("descent", "cgroup" if _own_group(root) else "descent")
        )
        assert alone["subject"]["tasks"] <= both["subject"]["tasks"]
        one = told("check", str(root), str(other))
        assert one["subject"]["roots"] == [other]
        assert one["subject"]["tasks"] == 2
        leaks = {entry["kind"] for entry in one["objects"] if entry["gates"]}
        assert "UTS_NS" not in leaks


def _own_group(pid: int) -> bool:
    paths = [line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().split()]
    return any(path.strip("/") for path in paths)


def test_all_containers_are_a_line_each() -> None:
    with unshared(*OWN, alone=True) as (_, root), unshared(*OWN, alone=True) as (_, other):
        lines = ran("check", "--all-containers", "--json").stdout.splitlines()
        found = {one["subject"]["pid"]: one for one in map(json.loads, lines)}
        assert {root, other} <= found.keys()
        assert found[root]["subject"]["container_init"] is True
        assert found[root]["command"] == "check"
        text = ran("check", "--all-containers").stdout
        assert re.search(rf"sleep \({root}\) +{root} +1 ", text)


def test_quiet_says_nothing_and_exits_as_ever() -> None:
    with unshared(*OWN, alone=True) as (_, root):
        ended = ran("check", str(root), "--quiet")
        assert (ended.stdout, ended.stderr) == ("", "")
        assert ended.returncode == ran("check", str(root)).returncode


@pytest.mark.needs("tool:busybox", "tool:ldd")
@pytest.mark.parametrize("tool", ["runc", "crun"])
def test_a_container_of_an_oci_runtime(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    with oci(tool, tmp_path) as (name, pid):
        found = told("check", str(pid))
        assert found["subject"]["container_init"] is True
        assert [one for one in found["objects"] if one["gates"]] == []
        if _own_group(pid):  # the runtime made one of the container's name
            group = next(
                line.split(":", 2)[2]
                for line in Path(f"/proc/{pid}/cgroup").read_text().split()
                if name in line
            )
            assert told("check", f"cgroup:{group}")["subject"]["pid"] == pid


@pytest.mark.needs("tool:busybox", "tool:ldd")
@pytest.mark.parametrize("profile", RUNTIMES)
def test_a_clean_container_is_contained_and_a_leaking_one_is_not(
    profile: str, tmp_path: Path
) -> None:
    tool, run, leak = RUNTIMES[profile]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    with run(tmp_path / "clean") as pid:
        clean = ran("check", str(pid))
        found = told("check", str(pid))
        none = told("check", str(pid), "--profile", "none")
    assert found["profile"] == profile
    assert clean.stdout.startswith("contained, apart from what "), clean.stdout
    assert (clean.returncode, found["exit_code"], none["exit_code"]) == (0, 0, 16)
    assert len(clean.stdout.splitlines()) <= 40  # of a terminal 20, of any width
    with run(tmp_path / "leaking", *leak) as pid:
        found = told("check", str(pid))
    assert found["exit_code"] == 16
    gating = [one for one in found["findings"] if one["gates"]]
    assert any("/leak" in str(end["name"]) for one in gating for end in one.get("ends", ()))


@pytest.mark.needs("tool:busybox", "tool:ldd", "tool:podman", "tool:newuidmap", "tool:runuser")
def test_rootless_containers_are_in_one_user_namespace_by_design(tmp_path: Path) -> None:
    with rootless(tmp_path / "one") as pid:
        found = told("check", str(pid))
    assert (found["profile"], found["subject"]["container_init"]) == ("podman", True)
    by = {entry["kind"]: entry["waived"] for entry in found["objects"] if entry["waived"]}
    assert by["USER_NS"]["by"] == "podman"
    assert [one["kind"] for one in found["objects"] if one["gates"]] == []
    assert found["exit_code"] == 0
    with rootless(tmp_path / "other", "--volume", "/tmp:/leak") as pid:  # noqa: S108
        assert told("check", str(pid))["exit_code"] == 16


@pytest.mark.needs("tool:busybox", "tool:ldd", "tool:podman", "tool:nsenter")
def test_a_name_of_podmans_is_found_where_it_is_podmans(tmp_path: Path) -> None:
    with RUNTIMES["podman"][1](tmp_path) as pid:
        at = Path(f"/proc/{pid}/cgroup").read_text()
        container = re.search(r"libpod-([0-9a-f]{64})", at)
        assert container is not None
        one = told("check", f"podman:{container[1][:20]}")
        assert (one["subject"]["pid"], one["subject"]["container"]) == (pid, container[1])
        rows = ran("check", str(pid), "-o", "PID,CONTAINER,USER", "--profile", "none").stdout
        assert re.search(rf"^ *{pid} +{container[1][:12]} +\S+$", rows, re.MULTILINE)
