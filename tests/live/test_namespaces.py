"""All namespaces of the real machine: what was made here is in the list, with what keeps it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fixtures

pytestmark = [pytest.mark.live, pytest.mark.bpf]


def namespaces(*options: str) -> str:
    """Return what the command says."""
    command = [sys.executable, "-m", "analyzer", "namespaces", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def found() -> dict[str, dict[str, Any]]:
    """Return the namespaces by name."""
    return {one["name"]: one for one in json.loads(namespaces("--json"))["namespaces"]}


def test_one_that_a_bind_mount_keeps_is_listed_with_it() -> None:
    with fixtures.start("bind-empty") as running:
        name = running.info["notes"].split()[0]  # net:[N]
        (one,) = [space for space in found().values() if space["name"] == name]
        assert one["pids"] == []
        assert each_pin_is_a_mount(one)
        ino = name.partition("[")[2].rstrip("]")
        said = namespaces("-t", "net", "-Q", f"NS == {ino}")
    assert "kept by bind mount at " in said
    assert said.startswith("1 namespace: 1 net. 1 has no process")


def each_pin_is_a_mount(one: dict[str, Any]) -> bool:
    """Tell whether bind mounts are all that holds a namespace, and all of that is named."""
    return bool(one["pins"]) and all(pin["path"] for pin in one["pins"]) and one["unnamed"] == 0


def test_members_owner_and_parent_are_those_of_proc() -> None:
    command = ["unshare", "--user", "--map-root-user", "--net", "--uts", "sleep", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            own = {name: wait_for(process.pid, name) for name in ("user", "net", "uts")}
            spaces = found()
        finally:
            process.kill()
    user = spaces[own["user"]]
    assert process.pid in user["pids"]
    assert f"user:[{user['parent']}]" == os.readlink("/proc/self/ns/user")
    for name in ("net", "uts"):
        space = spaces[own[name]]
        assert (space["pids"], space["owner"]) == ([process.pid], user["ino"])
        assert space["comm"] == "sleep"


def wait_for(pid: int, name: str) -> str:
    """Return the namespace of a process once it is another than ours, and sleep runs in it."""
    for _ in range(1000):
        link = os.readlink(f"/proc/{pid}/ns/{name}")
        comm = Path(f"/proc/{pid}/comm").read_text()
        if comm == "sleep\n" and link != os.readlink(f"/proc/self/ns/{name}"):
            return link
        time.sleep(0.01)
    raise AssertionError(f"{name} of {pid} never came")


@pytest.mark.parametrize(
    ("name", "space", "says"),
    [
        ("bind-user", "user", "bind mount at "),
        ("mounts-fd", "mnt", "/mountinfo, fd "),
        ("proc-net-fd", "net", "/net/"),
        ("tun-net", "net", "/dev/net/tun, fd "),
        ("cgroup-fd", "cgroup", "cgroup.procs, fd "),
        ("message-net", "net", "has a message of it in its queue"),
        ("pidfd-dead", "pid", "is a pidfd of it"),
        ("proc-dead", "pid", "is open in its folder in /proc"),
        ("owner-dead", "pid", "is to be signalled about it"),
    ],
)
def test_what_else_holds_one_is_said_with_the_process(name: str, space: str, says: str) -> None:
    """Also an unread message of a closed socket, /proc of the dead, and F_SETOWN."""
    with fixtures.start(name) as running:
        one = found()[os.readlink(f"/proc/{running.info['root']}/ns/{space}")]
    pins = [pin for pin in one["pins"] if says in pin["words"]]
    assert pins
    assert {pid for pin in pins for pid in pin["pids"]} == set(running.info["outside"])
