"""Questions that people asked in public, made to happen: each found a fault of an answer once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.live.test_who import cranalyze

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.bpf]

_CHILD = "import os, sys, time\n{}\nprint(end='\\n', flush=True)\nsys.stdin.read()\n"


@contextmanager
def running(code: str, *arguments: str) -> Iterator[int]:
    """Run Python that does something, and then waits until it is no longer needed."""
    command = [sys.executable, "-c", _CHILD.format(code), *arguments]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
        yield child.pid
    finally:
        child.kill()
        child.communicate()


def said(*words: str) -> str:
    """What is said to words of things that are there, in one line."""
    code, text = cranalyze("who", *words)
    assert code == 0
    return " ".join(text.split())


def test_a_process_that_is_not_there_is_no_idle_task() -> None:
    assert cranalyze("who", "4194303") == (
        1,
        "4194303: no such object (no process has this number; a port is tcp:4194303)\n",
    )


def test_a_directory_that_was_removed_is_somebody_s_working_directory(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with running("os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])", str(gone)) as pid:
        text = said(str(gone))
    assert f"({pid})" in text.partition(" without ")[0]
    assert "working directory" in text
    assert "next: end python" in text


def test_a_shared_memory_segment_is_held_by_who_has_it_attached() -> None:
    code = (
        "import ctypes; libc = ctypes.CDLL(None); number = libc.shmget(0, 4096, 0o1600);"
        "libc.shmat.restype = ctypes.c_void_p; libc.shmat(number, None, 0);"
        "libc.shmctl(number, 0, None); print(end=f'{number} ')"
    )
    command = [sys.executable, "-c", _CHILD.format(code)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        number = int(child.stdout.readline())
        for word in (f"shm:[{number}]", f"shm:{number}"):
            assert f"({child.pid})" in said(word).partition(" shared memory ")[0]
    finally:
        child.kill()
        child.communicate()


def test_a_memory_file_is_found_by_its_name() -> None:
    name = f"cranalyze-{os.getpid()}"
    with running("os.memfd_create(sys.argv[1])", name) as pid:
        assert f"memfd:{name}: held by python" in (text := said(f"memfd:{name}"))
    assert f"({pid})" in text


def test_who_watches_a_directory_is_told_and_does_not_hold_it(tmp_path: Path) -> None:
    code = (
        "import ctypes; libc = ctypes.CDLL(None); fd = libc.inotify_init();"
        "libc.inotify_add_watch(fd, sys.argv[1].encode(), 0xfff)"
    )
    with running(code, str(tmp_path)) as pid:
        text = said(str(tmp_path))
    assert "nobody holds it watched by python" in text
    assert f"({pid}): fd " in text


@pytest.mark.needs("root")
def test_a_thread_alone_in_a_namespace_is_named_as_one() -> None:
    code = (
        "import ctypes, threading\n"
        "ready = threading.Event()\n"
        "def alone():\n"
        "    ctypes.CDLL(None).unshare(0x40000000); ready.set(); time.sleep(100)\n"
        "threading.Thread(target=alone, daemon=True).start(); ready.wait()"
    )
    with running(code) as pid:
        (tid,) = {int(name) for name in os.listdir(f"/proc/{pid}/task")} - {pid}
        space = os.readlink(f"/proc/{pid}/task/{tid}/ns/net")
        assert f"({pid}, thread {tid})" in said(space)


def test_a_zombie_is_told_by_its_own_number() -> None:
    code = (
        "pid = os.fork()\n"
        "if not pid: os._exit(3)\n"
        "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)"
    )
    with running(code) as pid:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            child = file.read().split()[0]
        text = said(child)
    assert f"({pid}) has not waited for it" in text
    assert f"({pid}) has to wait for" in text.partition("next: ")[2]


@pytest.mark.needs("root")
def test_a_file_that_others_have_mounted_is_held_by_them_and_its_successor_too(
    tmp_path: Path,
) -> None:
    source, target, new = (tmp_path / name for name in ("source", "target", "new"))
    for path in (source, target, new):
        path.touch()
    code = (
        "import ctypes; libc = ctypes.CDLL(None); assert not libc.unshare(0x20000)\n"
        "assert not libc.mount(None, b'/', None, 0x44000, None)\n"
        "own, shown = map(os.fsencode, sys.argv[1:])\n"
        "assert not libc.mount(own, shown, None, 0x1000, None)"
    )
    with running(code, str(source), str(target)) as pid:
        text = said(str(source))
        assert f"({pid})" in text.partition(" mount ")[0]
        assert f"nsenter --mount=/proc/{pid}/ns/mnt umount " in text
        new.replace(source)
        assert f"({pid}), root: what was called so before" in said(str(source))


@pytest.mark.needs("root")
def test_the_first_of_a_pid_namespace_that_does_not_die_waits_for_the_others(
    tmp_path: Path,
) -> None:
    code = (
        "import ctypes; assert not ctypes.CDLL(None).unshare(0x20000000)\n"
        "pids = [os.fork() or time.sleep(600), os.fork() or time.sleep(600)]\n"
        "os.kill(pids[0], 9); print(*pids, file=open(sys.argv[1], 'w'), flush=True)\n"
        "while '(zombie)' not in open(f'/proc/{pids[1]}/status').read(): time.sleep(.01)"
    )
    with running(code, str(tmp_path / "pids")) as parent:
        first, other = (tmp_path / "pids").read_text().split()
        text = said(first)
    assert f"({first}) is ending, and waits for all that were in its pid namespace" in text
    assert f"({other}) is dead (a zombie)" in text
    assert f"({parent}) has to wait for " in text.partition("next: ")[2]


def test_a_process_whose_first_thread_has_ended_is_alive() -> None:
    """Its number is that of a zombie, and who is told to reap it would wait for ever."""
    code = (
        "import ctypes, threading\n"
        "def go_on():\n"
        "    while '(zombie)' not in open(f'/proc/{os.getpid()}/status').read(): time.sleep(.01)\n"
        "    print(end='\\n', flush=True); time.sleep(600)\n"
        "threading.Thread(target=go_on).start(); ctypes.CDLL(None).pthread_exit(None)"
    )
    with running(code) as pid:
        text = said(str(pid))
    assert f"({pid}) has ended (ps calls it a zombie), and 1 more of its threads go on" in text
    assert "has to wait for" not in text


def test_who_is_stopped_in_the_background_of_its_terminal_waits_for_nobody() -> None:
    code = (
        "import fcntl, pty, signal, termios\n"
        "master, own = pty.openpty(); os.setsid(); fcntl.ioctl(own, termios.TIOCSCTTY, 0)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if not child: os.setpgid(0, 0); os.read(own, 1); os._exit(0)\n"
        "os.waitpid(child, os.WUNTRACED); print(child, end=' ')"
    )
    command = [sys.executable, "-c", _CHILD.format(code)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            text = said(str(child))
            assert "nobody else has a part of it process; " in text
            assert "in the background of its terminal" in text
            assert "next: bring it to the foreground" in text
        finally:
            os.kill(child, signal.SIGKILL)
            process.kill()


def test_groups_below_keep_a_group_from_being_removed() -> None:
    from analyzer.procfs import cgroupfs

    roots = [one for one in cgroupfs.roots() if os.access(one, os.W_OK)]
    name = f"cranalyze-{os.getpid()}"
    for root in roots:
        folder = f"{root}/{name}"
        try:
            os.makedirs(f"{folder}/below")
        except OSError:
            continue
        try:
            _, text = cranalyze("who", folder)
        finally:
            os.rmdir(f"{folder}/below")
            os.rmdir(folder)
        assert f"cgroup below it: /{name}/below" in " ".join(text.split()).replace("- ", "-")
        assert f"next: rmdir {folder}/below" in " ".join(text.split())
        return
    pytest.skip("no hierarchy of cgroups that can be written to")


@contextmanager
def mounted(point: Path, *arguments: str) -> Iterator[str]:
    """Mount something at a new directory, as long as it is needed."""
    point.mkdir()
    subprocess.run(["mount", *arguments, str(point)], check=True)
    try:
        yield str(point)
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


@contextmanager
def overlaid(folder: Path) -> Iterator[tuple[str, str]]:
    """Mount an overlay whose layers are on two filesystems; yield where the upper's is, and it."""
    (folder / "lower").mkdir()
    with mounted(folder / "up", "-t", "tmpfs", "none") as point:
        for name in ("upper", "work"):
            (folder / "up" / name).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={point}/upper,workdir={point}/work"
        with mounted(folder / "merged", "-t", "overlay", "-o", options, "none") as merged:
            yield point, merged


@pytest.mark.needs("root")
def test_a_socket_that_is_bound_in_a_filesystem_keeps_it_from_being_unmounted(
    tmp_path: Path,
) -> None:
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX); os.chdir(sys.argv[1]); s.bind('mine');"
        "os.chdir('/')"
    )
    with mounted(tmp_path / "m", "-t", "tmpfs", "none") as point, running(code, point) as pid:
        text = said(point)
    assert "held by" in text.partition(" next: ")[0]
    assert f"({pid}), or end it" in text


@pytest.mark.needs("root")
def test_a_thread_with_a_working_directory_of_its_own_is_named(tmp_path: Path) -> None:
    code = (
        "import ctypes, threading\n"
        "ready = threading.Event()\n"
        "def alone():\n"
        "    assert ctypes.CDLL(None).unshare(0x200) == 0\n"
        "    os.chdir(sys.argv[1])\n"
        "    ready.set()\n"
        "    threading.Event().wait()\n"
        "threading.Thread(target=alone, daemon=True).start()\n"
        "ready.wait()"
    )
    with mounted(tmp_path / "m", "-t", "tmpfs", "none") as point, running(code, point) as pid:
        text = said(point)
    assert f"({pid})" in text
    assert "working directory of its thread" in text


@pytest.mark.needs("root")
def test_a_bind_mount_is_held_by_what_is_on_it_and_by_nothing_else_there(tmp_path: Path) -> None:
    (source := tmp_path / "source").mkdir()
    (source / "below").mkdir()
    code = "os.chdir(os.path.join(sys.argv[1], 'below'))"
    with (
        mounted(tmp_path / "m", "--bind", str(source)) as point,
        running(code, point) as on,
        running(code, str(source)) as beside,
    ):
        text = said(point)
    assert f"({on}), or have it change to another directory" in text
    assert f"({beside})" not in text


@pytest.mark.needs("root")
def test_a_namespace_with_a_name_is_no_filesystem_of_all_namespaces(tmp_path: Path) -> None:
    name = tmp_path / "net"
    name.touch()
    subprocess.run(["unshare", f"--net={name}", "true"], check=True)
    try:
        with running("os.open('/proc/self/ns/net', os.O_RDONLY)") as pid:
            text = said(str(name))
    finally:
        subprocess.run(["umount", str(name)], check=True)
    assert "net namespace net:[" in text
    assert f"({pid})" not in text


def test_a_port_that_only_the_kernel_keeps_is_told_as_such() -> None:
    """Who closes first keeps the port for a minute: TIME_WAIT."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            taken, _ = server.accept()
            taken.close()
            assert client.recv(1) == b""
    assert f"tcp:{port}: held by no process: 1 of its connections in TIME_WAIT" in said(
        f"tcp:{port}"
    )


@pytest.mark.needs("root")
def test_a_filesystem_is_kept_by_the_overlays_that_have_layers_on_it(tmp_path: Path) -> None:
    with overlaid(tmp_path) as (point, merged):
        text = said(point)
    told = text.replace(" ", "")  # a long path is broken
    assert f"is the upperdir of the overlay mounted at {merged}".replace(" ", "") in told
    assert f"next: umount {merged}".replace(" ", "") in told
