"""`who --kind` and `--deleted` on the real machine: of what is made here, and of nothing else."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.schema import faults

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.bpf]

SIZE = 3 << 20


def listed(*options: str) -> dict[str, Any]:
    """Return what the command says as JSON."""
    command = [sys.executable, "-m", "analyzer", "who", *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    document: dict[str, Any] = json.loads(done.stdout)
    assert faults("who", document) == []
    return document


def of_us(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the things that we hold, and nobody else, worst first."""
    return [
        one
        for one in document["things"]
        if [holder["pid"] for holder in one["holders"]] == [os.getpid()]
    ]


def test_inotify_is_listed_with_its_watches_and_the_limits_of_its_user(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    try:
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            assert libc.inotify_add_watch(fd, os.fsencode(tmp_path / name), 2) > 0
        document = listed("--kind", "inotify")
    finally:
        os.close(fd)
    assert [(one["amount"], one["holders"][0]["fds"]) for one in of_us(document)] == [(3, [fd])]
    (total,) = [one for one in document["processes"] if one["pids"] == [os.getpid()]]
    assert (total["things"], total["amount"]) == (1, 3)
    limits = {one["name"]: one for one in document["limits"] if one["whose"] == "root"}
    with open("/proc/sys/fs/inotify/max_user_watches") as file:
        assert limits["fs.inotify.max_user_watches"]["most"] == int(file.read())
    assert limits["fs.inotify.max_user_watches"]["used"] >= 3
    assert limits["fs.inotify.max_user_instances"]["used"] >= 1


def test_memfds_pseudo_terminals_and_eventfds_are_types_of_their_own() -> None:
    memfd, (master, slave), event = os.memfd_create("held"), os.openpty(), os.eventfd(4)
    name = os.ttyname(slave)
    os.write(memfd, bytes(8192))
    try:
        found = {kind: of_us(listed("--kind", kind)) for kind in ("memfd", "pty", "eventfd")}
    finally:
        for fd in (memfd, master, slave, event):
            os.close(fd)
    assert [memfd] in [one["holders"][0]["fds"] for one in found["memfd"]]
    assert name in [one["facts"]["tty.other"] for one in found["pty"]]
    assert (4, [event]) in [
        (one["facts"]["eventfd.count"], one["holders"][0]["fds"]) for one in found["eventfd"]
    ]


def test_deleted_files_are_listed_by_size_with_who_must_close_what(tmp_path: Path) -> None:
    path = tmp_path / "a file\x1b[31m"
    with path.open("wb") as file:
        file.write(bytes(SIZE))
        file.flush()
        path.unlink()
        document = listed("--deleted", "--larger", "2M")
        (mine,) = [one for one in of_us(document) if one["name"] == f"{path} (deleted)"]
        larger = listed("--deleted", "--larger", "1T")
        fd = file.fileno()
    assert mine["amount"] >= SIZE
    assert mine["holders"][0]["fds"] == [fd]
    assert of_us(larger) == []


def test_user_namespaces_are_listed_with_the_limit_at_each_level() -> None:
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", "echo; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            document = listed("--kind", "userns")
            own = os.readlink(f"/proc/{process.pid}/ns/user")
        finally:
            process.kill()
    (one,) = [space for space in document["things"] if space["name"] == own]
    assert process.pid in [holder["pid"] for holder in one["holders"]]
    assert any(
        limit["name"] == "user.max_user_namespaces" and limit["used"]
        for limit in document["limits"]
    )


def test_columns_and_filters_list_all_of_a_kind() -> None:
    fd = os.eventfd(0)
    try:
        command = [sys.executable, "-m", "analyzer", "who", "--kind", "eventfd", "-o", "PID,TYPE",
                   "-n", "-Q", f"PID == {os.getpid()}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    finally:
        os.close(fd)
    assert f"{os.getpid()} eventfd" in done.stdout.splitlines()
