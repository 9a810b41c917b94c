"""Containers of real runtimes, and of unshare(1), found by name and checked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

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


@contextmanager
def oci(tool: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Run a container of an OCI runtime from a bundle of busybox; yield its name and pid."""
    name = f"cranalyze-{uuid.uuid4().hex[:8]}"
    bundle = folder / tool
    root = bundle / "rootfs"
    for part in ("bin", "proc", "dev", "sys", "tmp"):
        (root / part).mkdir(parents=True)
    busybox = shutil.which("busybox") or ""
    shutil.copy(busybox, root / "bin/sleep")
    said = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(0x", said):
        (root / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library.lstrip("/"))
    state = ["--root", str(folder / f"{tool}.state")]
    subprocess.run([tool, "spec"], cwd=bundle, check=True, capture_output=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["sleep", "1000"]}
    config["process"].pop("rlimits", None)
    (bundle / "config.json").write_text(json.dumps(config))
    try:
        # What the container inherits must not be ours: its errors go to the runtime's own log.
        log = folder / f"{tool}.log"
        made = subprocess.run(
            [tool, "--log", str(log), *state, "run", "--detach", "--bundle", str(bundle), name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False, timeout=_SECONDS,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"{tool} cannot run here: {log.read_text()[-200:] if log.exists() else ''}")
        asked = subprocess.run(
            [tool, *state, "state", name], capture_output=True, text=True, check=True
        )
        yield name, int(json.loads(asked.stdout)["pid"])
    finally:
        subprocess.run([tool, *state, "delete", "--force", name], check=False, capture_output=True)


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
