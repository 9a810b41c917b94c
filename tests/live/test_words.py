"""Words of `who` for what nobody has open, and for what is only where no process is."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.bpf]

# What is made in namespaces of its own, told on stdout, and there until stdin ends.
_START = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def do(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result
def say(*words):
    print(*words, flush=True)
    sys.stdin.read()
"""
_SEMAPHORES = """
do(libc.unshare(0x08000000))
number = do(libc.semget(0x77, 2, 0o1600))
do(libc.semop(number, (ctypes.c_short * 3)(0, 1, 0x1000), 1))
say(number, do(libc.msgget(0x78, 0o1600)))
"""
_OVERLAY = """
def mount(source, point, kind, flags, data):
    do(libc.mount(source.encode(), point.encode(), kind.encode(), flags, data.encode()))
folder = sys.argv[1]
do(libc.unshare(0x20000))
mount("none", "/", "none", 0x44000, "")
mount("none", folder + "/at", "overlay", 0,
      "lowerdir=%s/low,upperdir=%s/up,workdir=%s/work" % (folder, folder, folder))
say("ready")
"""


@contextmanager
def made(code: str, *arguments: str) -> Iterator[tuple[int, list[str], subprocess.Popen[str]]]:
    """Run `code` in a process; yield its pid and what it says."""
    command = [sys.executable, "-c", _START + code, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.pid, process.stdout.readline().split(), process
        finally:
            process.kill()


def answers(*asked: str) -> list[dict[str, Any]]:
    """Return the answers of `who`."""
    command = [sys.executable, "-m", "analyzer", "who", *asked, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found: list[dict[str, Any]] = json.loads(done.stdout)["answers"]
    return found


def test_semaphores_and_messages_are_found_in_another_ipc_namespace() -> None:
    with made(_SEMAPHORES) as (pid, (semaphores, messages), _):
        space = os.readlink(f"/proc/{pid}/ns/ipc")
        told = answers(f"sem:[{semaphores}]", f"msg:[{messages}]")
    ours = [
        [held for held in one["held"] if space in [node["name"] for node in held["by"]]]
        for one in told
    ]
    (of_semaphores,), (of_messages,) = ours
    assert {node["words"] for node in of_semaphores["by"] if node["tgid"] == pid} >= {
        "undoes at its end"
    }
    assert (of_semaphores["kind"], of_messages["kind"]) == ("SEM", "MSG")
    assert any(step.endswith(f"ipcrm -s {semaphores}") for step in told[0]["next"])


def test_a_socket_whose_file_is_gone_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.unlink()
        (answer,) = answers(str(path))
        fd = server.fileno()
    (held,) = answer["held"]
    assert held["kind"] == "SOCKET"
    assert fd in [node["slot"] for opened in held["by"] for node in opened["by"]]


def test_a_socket_is_found_by_its_file_whatever_it_was_called_when_it_was_bound(
    tmp_path: Path,
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/link/before")
        (tmp_path / "before").rename(tmp_path / "after")
        (bound,) = answers(str(tmp_path / "after"))
    (left,) = answers(str(tmp_path / "after"))
    assert [held["kind"] for held in bound["held"]] == ["SOCKET"]
    assert not left["held"]
    assert set(left["next"]) <= {f"rm {tmp_path}/after"}


def test_which_open_file_has_the_lock_though_it_is_in_flight_alone(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            socket.send_fds(ours, [b"x"], [file.fileno()])
        (answer,) = answers(str(path))
    (held,) = answer["held"]
    assert "has the flock, exclusive" in held["facts"]
    assert "in flight" in held["by"][0]["words"]


def test_an_overlay_that_only_a_descriptor_keeps_is_told_of_its_layers(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(tmp_path), b"tmpfs", 0, None):
        pytest.skip("no tmpfs can be mounted")
    try:
        for name in ("low", "up", "work", "at"):
            (tmp_path / name).mkdir()
        with made(_OVERLAY, str(tmp_path)) as (pid, said, process):
            if said != ["ready"]:
                pytest.skip("no overlay can be mounted")
            space = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
            process.kill()
            process.wait()
            (answer,) = answers(str(tmp_path / "up"))
            os.close(space)
    finally:
        libc.umount2(os.fsencode(tmp_path), 2)
    assert "it is the upper layer of an overlay that no process sees" in answer["notes"]
    assert "SUPERBLOCK" in [held["kind"] for held in answer["held"]]
    assert os.getpid() in [person["pid"] for person in answer["people"]]


def test_an_address_of_another_output_is_a_word() -> None:
    pid = os.getpid()
    command = [sys.executable, "-m", "analyzer", "check", str(pid), "--subtree", "--all", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    objects = json.loads(done.stdout)["objects"]
    (mm,) = [
        one
        for one in objects
        if one["kind"] == "MM"
        and pid in [task["tgid"] for holder in one["holders"] for task in holder["tasks"]]
    ]
    (answer,) = answers(mm["address"])
    assert [(held["kind"], held["by"][0]["tgid"]) for held in answer["held"]] == [("MM", pid)]
