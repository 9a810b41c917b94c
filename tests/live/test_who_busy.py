"""Where something is busy and no name that people know it by led to who holds it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.test_who import cranalyze
from tests.live.test_who_questions import mounted, overlaid, running, said

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.bpf]

_OPEN = "file = open(sys.argv[1], 'w')"
# A program of a group: attached by a link, whose descriptor is kept, and without one.
_BPF = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, data):
    got = libc.syscall(321, command, ctypes.create_string_buffer(data.ljust(128, b"\\0")), 128)
    if got < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return got
def program(name):
    code = ctypes.create_string_buffer(bytes.fromhex("b700000001000000" "9500000000000000"))
    word = ctypes.create_string_buffer(b"GPL")
    return bpf(5, struct.pack("=IIQQIIQII16s", 8, 2, ctypes.addressof(code),
                              ctypes.addressof(word), 0, 0, 0, 0, 0, name))
group = os.open(sys.argv[1], os.O_RDONLY)
linked, bare = program(b"linked"), program(b"bare")
link = bpf(28, struct.pack("=IIII", linked, group, 0, 0))
bpf(8, struct.pack("=IIII", group, bare, 1, 0))
with open(sys.argv[2], "w") as file:
    for one in (linked, bare):
        print(open(f"/proc/self/fdinfo/{one}").read().split("prog_id:")[1].split()[0], file=file)
        os.close(one)
os.close(group)
"""


@pytest.mark.needs("root")
def test_a_file_on_an_overlay_is_found_by_its_path_and_by_that_of_its_layer(tmp_path: Path) -> None:
    """stat(2) tells another device than that of the mount, where layers are on two filesystems."""
    with overlaid(tmp_path) as (point, merged):
        (Path(merged) / "other").touch()
        with running(_OPEN, f"{merged}/file") as pid:
            for path in (f"{merged}/file", f"{point}/upper/file"):
                text = said(path)
                assert f"({pid}), or end it" in text
                assert text.count("open file") == 1, "that of the layer is the same one"
        assert "nobody holds it" in said(f"{merged}/other")


@pytest.mark.needs("root")
def test_a_loop_device_is_kept_by_what_is_open_in_the_filesystem_on_it(tmp_path: Path) -> None:
    image = tmp_path / "image"
    if shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
        pytest.skip("needs mkfs.ext4 and a loop device")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted(tmp_path / "at", "-o", "loop", str(image)) as point:
        device = subprocess.run(
            ["findmnt", "-no", "SOURCE", point], capture_output=True, text=True, check=True
        ).stdout.strip()
        with (
            running(_OPEN, f"{point}/file") as writer,
            running("os.chdir(sys.argv[1])", point) as inside,
        ):
            text = said(device)
    steps = text.partition(" next: ")[2]
    assert f"({writer}), or end it" in steps
    assert f"({inside}), or have it change" in steps
    assert steps.index(f"({writer})") < steps.index("umount")


@pytest.fixture
def group() -> Iterator[str]:
    """A cgroup of version 2 of our own."""
    from analyzer.procfs import cgroupfs

    for root in cgroupfs.folders(1):
        folder = f"{root}/cranalyze-bpf-{os.getpid()}"
        try:
            os.mkdir(folder)
        except OSError:
            continue
        yield folder
        os.rmdir(folder)
        return
    pytest.skip("no cgroups of version 2 that can be written to")


@pytest.mark.needs("root")
def test_a_program_is_kept_by_who_has_its_link_open_and_by_a_group(
    group: str, tmp_path: Path
) -> None:
    with running(_BPF, group, str(tmp_path / "ids")) as pid:
        linked, bare = (tmp_path / "ids").read_text().split()
        text = said(f"bpf-prog:[{linked}]")
        assert f"({pid}), or end it" in text
        assert f"attached to cgroup {group}".replace(" ", "") in text.replace(" ", "")
        text = said(f"bpf-prog:[{bare}]")
        assert "bpftool cgroup detach" in text
        assert f"cgroup_inet_egress id {bare}" in text
        text = said(group)
        assert f"program {linked} (linked) is attached to it" in text
        assert f"program {bare} (bare) is attached to it" in text


def test_a_port_is_found_however_it_is_written() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        mine = f"({os.getpid()})"
        for word in (
            f"127.0.0.1:{port}",
            f"localhost:{port}",
            f"{port}/tcp",
            f"tcp:0.0.0.0:{port}",
        ):
            assert mine in (text := said(word)), word
            assert "of the kernel's own" not in text
        code, text = cranalyze("who", f"tcp:127.0.0.2:{port}")
    assert code == 1
    assert mine not in text


def test_a_segment_that_nobody_has_attached_is_removed_by_its_number(tmp_path: Path) -> None:
    code = (
        "import ctypes; libc = ctypes.CDLL(None)\n"
        "number = libc.shmget(0, 8192, 0o1600)\n"
        "open(sys.argv[1], 'w').write(str(number))\n"
        "{}\n"
    )
    attached = "libc.shmat.restype = ctypes.c_void_p; libc.shmat(number, None, 0)"
    told = tmp_path / "number"
    with running(code.format("") + "os._exit(print(flush=True))", str(told)):
        pass
    number = told.read_text()
    try:
        text = said(f"shm:[{number}]")
        assert "which is gone" in text
        assert f"next: ipcrm -m {number}" in text
    finally:
        subprocess.run(["ipcrm", "-m", number], check=True)
    doomed = f"{attached}; libc.shmctl(number, 0, None)"
    with running(code.format(doomed), str(told)) as pid:
        text = said(f"shm:[{told.read_text()}]")
        listed = said("--kind", "shm")
    assert "marked to be destroyed" in text
    assert f"({pid})" in text.partition("next: ")[2]
    assert "ipcrm" not in text
    assert f"shmid {told.read_text()}" in listed
    assert f"({pid}): maps it" in listed


def test_a_process_says_whose_lock_it_waits_for_and_that_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    locks = (
        "import fcntl; file = open(sys.argv[1], 'w')\n"
        "sys.argv[2:] and print(flush=True)\n"
        "fcntl.flock(file, fcntl.LOCK_EX)"
    )
    with running(locks, str(path)) as owner, running(locks, str(path), "now") as waiter:
        while f" {waiter} " not in Path("/proc/locks").read_text():
            time.sleep(0.05)
        text = said(str(waiter))
        assert "it waits for the lock of " in text
        assert f"({owner})" in text
        os.kill(waiter, signal.SIGSTOP)
        assert f"next: kill -CONT {waiter}" in said(str(waiter))


def test_a_process_says_whom_it_waits_for() -> None:
    """By a pipe, and by a connection on this machine that was not accepted yet."""
    waits = (
        "import socket; pipe = open(0); pipe.read()\n"
        "link = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); link.recv(1)"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-c", f"import sys; {waits}", str(server.getsockname()[1])]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            try:
                assert process.stdin is not None
                for function, said_of_it in (
                    ("pipe_read", "the writing end"),
                    ("wait_woken", "1 not accepted yet"),
                ):
                    in_kernel(process.pid, function)
                    text = said(str(process.pid))
                    assert f"({process.pid}) waits to read from fd " in text
                    assert f"({os.getpid()})" in text.partition("it waits for ")[2]
                    assert said_of_it in text
                    process.stdin.close()
            finally:
                process.kill()


def in_kernel(pid: int, function: str) -> None:
    """Wait until a process waits in a function of the kernel that is called so, or like that."""
    while function not in Path(f"/proc/{pid}/wchan").read_text():
        time.sleep(0.05)


@pytest.mark.needs("root")
def test_an_interface_and_a_named_namespace_are_told_with_what_removes_them() -> None:
    name = f"cr{os.getpid()}"
    for command in (f"netns add {name}", f"link add {name} type veth peer name eth0 netns {name}"):
        if subprocess.run(["ip", *command.split()], check=False).returncode:
            pytest.skip("no network namespaces, or no veth")
    try:
        assert f"next: ip link del {name}" in said(f"iface:{name}")
        text = said(f"netns:{name}")
        assert f"umount /run/netns/{name}" in text
        assert text.count("refcount") == 1, "of the namespace alone"
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_who_waits_for_the_other_end_of_a_fifo_is_told(tmp_path: Path) -> None:
    """Such a process has no descriptor of it yet: it is in open(2)."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = "print(flush=True); open(sys.argv[1], 'w')"
    with running(code, str(fifo)) as writer:
        while Path(f"/proc/{writer}/wchan").read_text() in {"", "0"}:
            time.sleep(0.05)
        if Path(f"/proc/{writer}/wchan").read_text() != "wait_for_partner":
            pytest.skip("this kernel calls the place otherwise")
        text = said(str(fifo))
    assert f"({writer}), " in text
    assert "waits in open(2) for somebody who reads it" in text


def test_a_file_that_was_replaced_is_told_with_who_has_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "service"
    with running(_OPEN, str(path)) as pid:
        path.unlink()
        path.write_text("new")
        text = said(str(path))
        assert "nobody holds it; a deleted one of this name is in use by" in text
        assert f"({pid}), or end it" in text
        assert f"({pid})" in said(f"{path} (deleted)")


def test_keyrings_that_one_process_alone_has_are_listed() -> None:
    joins = "_linux.call('keyctl', 1, b'ring-%d\\0' % os.getpid())"  # JOIN_SESSION_KEYRING
    code = f"from fixtures import _linux; {joins}"
    with running(code) as pid:
        if f"ring-{pid}" not in Path("/proc/keys").read_text():
            pytest.skip("no session keyring may be made here")
        assert f"ring-{pid}" in said("--kind", "keyring", "-o", "NAME,HOLDERS")
