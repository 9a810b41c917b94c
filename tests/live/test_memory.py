"""The engine and the walks, against what /proc and our own system calls say of the same things."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analyzer.memory import capability, walk
from analyzer.memory.bpf import Engine
from analyzer.memory.probe import KernelSourceError, open_memory
from analyzer.memory.programs import CHASE_END, CHASE_TORN
from analyzer.memory.reader import Memory, MissingFieldError
from analyzer.memory.trees import maples, rbtrees, xarrays
from analyzer.sources import tasks
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.bpf]


@contextmanager
def children(count: int) -> Iterator[list[int]]:
    """Start processes that wait until they are told to go."""
    read, write = os.pipe()
    pids = []
    for _ in range(count):
        pid = os.fork()
        if not pid:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        pids.append(pid)
    os.close(read)
    try:
        yield pids
    finally:
        os.close(write)
        for pid in pids:
            os.waitpid(pid, 0)


def own_task(memory: Memory) -> np.ndarray:
    """The address of our own task."""
    return np.array([memory.engine.current_task()], np.uint64)


def value(memory: Memory, address: int, struct: str, path: str) -> int:
    """One field of one object."""
    return int(memory.gather(np.array([address], np.uint64), struct, {"x": path})["x"][0])


def test_fields_of_our_own_task_are_what_the_kernel_tells_us(memory: Memory) -> None:
    """Integers, byte arrays and pointers are decoded; what is no address is masked."""
    task = int(own_task(memory)[0])
    read = memory.gather(
        np.array([task, 0, task + 4, 2**64 - 8], np.uint64),
        "task_struct",
        {"tgid": "tgid", "comm": "comm", "leader": "group_leader"},
    )
    assert read.ok.tolist() == [True, False, False, False]
    assert read["tgid"][0] == os.getpid()
    assert read["comm"][0].split(b"\0")[0].decode() == Path("/proc/self/comm").read_text().strip()
    assert value(memory, int(read["leader"][0]), "task_struct", "pid") == os.getpid()


def test_a_field_this_kernel_lacks_is_named(memory: Memory) -> None:
    """The error says which field; an optional one is merely absent."""
    with pytest.raises(MissingFieldError, match="struct file has no field f_nope or f_never"):
        memory.gather(own_task(memory), "file", {"x": ("f_nope", "f_never")})
    assert "x" not in memory.gather(own_task(memory), "file", {}, optional={"x": "f_nope"})


def test_reads_in_many_batches_are_in_order(memory: Memory) -> None:
    """More addresses than one batch and one run hold come back row by row."""
    task = int(own_task(memory)[0])
    addresses = np.full(20_001, task, np.uint64)
    addresses[::7] = 0
    pid = memory.gather(addresses, "task_struct", {"pid": "pid"})
    assert (pid.ok == (addresses != 0)).all()
    assert (pid["pid"][pid.ok] == value(memory, task, "task_struct", "pid")).all()


def test_descriptors_are_close_on_exec_and_closed_at_the_end() -> None:
    """The fds are the privilege: they are never inherited, and none stays."""
    before = set(os.listdir("/proc/self/fd"))
    with Engine():
        ours = [int(fd) for fd in os.listdir("/proc/self/fd") if fd not in before]
        bpf = [fd for fd in ours if "bpf" in _link(fd)]
        assert len(bpf) >= 4
        assert each(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in bpf)
    assert not [fd for fd in os.listdir("/proc/self/fd") if "bpf" in _link(int(fd))]


def _link(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_thread_rings_have_the_threads_that_proc_shows(memory: Memory) -> None:
    """A ring longer than the common steps, and one of a single thread, in one walk."""
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(40)]
    for thread in threads:
        thread.start()
    try:
        own, init = (
            own_task(memory),
            memory.gather(own_task(memory), "task_struct", {"p": "real_parent"}),
        )
        both = np.concatenate((own, init["p"]))
        signals = memory.gather(both, "task_struct", {"signal": "signal", "tgid": "tgid"})
        heads = signals["signal"] + np.uint64(memory.offset("signal_struct", "thread_head"))
        ring = walk.rings(memory, heads)
        assert not ring.torn.any()
        node = np.uint64(memory.offset("task_struct", "thread_node"))
        for root, tgid in enumerate(signals["tgid"].tolist()):
            links = ring.value[ring.owner == root] - node
            tids = memory.gather(links, "task_struct", {"tid": "pid"})["tid"]
            assert sorted(tids.tolist()) == sorted(map(int, os.listdir(f"/proc/{tgid}/task")))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_chase_from_a_foreign_head_is_torn_or_bounded(memory: Memory) -> None:
    """A ring that does not come back to its head stops at its bound; a wrong back link at once."""
    own = int(own_task(memory)[0])
    offset = memory.offset("task_struct", "tasks")
    leader = value(memory, own, "task_struct", "group_leader")
    first = value(memory, leader, "task_struct", "tasks.next")
    nodes, why = memory.engine.chase(first, 1, previous=leader + offset, limit=600)
    assert why != CHASE_END
    assert len(nodes) <= 1024
    nodes, why = memory.engine.chase(first, leader + offset, previous=own + 8, limit=600)
    assert (len(nodes), why) == (0, CHASE_TORN)


def test_hash_chains_have_the_processes_of_a_group(memory: Memory) -> None:
    """pid->tasks[PIDTYPE_PGID] is a chain of the group's members; a retry finds them all."""
    with children(30) as pids:
        for pid in pids:
            os.setpgid(pid, pids[0])
        leader = _task_of(memory, pids[0])
        pid = value(memory, leader, "task_struct", "thread_pid")
        head = pid + memory.offset("pid", "tasks[2]")
        found = walk.hlists(memory, np.array([head], np.uint64))
        members = found.value - np.uint64(memory.offset("task_struct", "pid_links[2]"))
        read = memory.gather(members, "task_struct", {"pid": "pid"})["pid"]
        assert not found.torn.any()
        assert sorted(read.tolist()) == sorted(pids)


def _task_of(memory: Memory, pid: int) -> int:
    listed = tasks.read(memory)
    return int(listed.address[listed.row_of(pid)])


def test_the_pid_idr_has_every_pid(memory: Memory) -> None:
    """An xarray of several levels: the ids of our pid namespace, index by index."""
    with children(70) as pids:
        pid = memory.gather(own_task(memory), "task_struct", {"pid": "thread_pid"})["pid"]
        namespace = value(memory, int(pid[0]), "pid", "numbers[0].ns")
        head = value(memory, namespace, "pid_namespace", "idr.idr_rt.xa_head")
        base = value(memory, namespace, "pid_namespace", "idr.idr_base")
        found = xarrays(memory, np.array([head], np.uint64))
        assert not found.torn.any()
        index = (found.index + base).tolist()
        assert set(pids) | {os.getpid()} <= set(index)
        chosen = found.value[[index.index(p) for p in pids]]
        numbers = memory.gather(chosen, "pid", {"nr": "numbers[0].nr"})["nr"]
        assert numbers.tolist() == pids


def test_an_epoll_set_is_an_rb_tree_of_its_descriptors(memory: Memory) -> None:
    """A tree of 300 items has them all; a tree read through a wrong root is torn."""
    pipes = [os.pipe() for _ in range(300)]
    with select.epoll() as epoll:
        for read, _ in pipes:
            epoll.register(read)
        top = _epoll_root(memory, epoll.fileno())
        found = rbtrees(memory, np.array([top, 0], np.uint64))
        items = found.value - np.uint64(memory.offset("epitem", "rbn"))
        fds = memory.gather(items, "epitem", {"fd": "ffd.fd"})["fd"]
        assert not found.torn.any()
        assert sorted(fds.tolist()) == sorted(read for read, _ in pipes)
        below = value(memory, top, "rb_node", "rb_left")
        assert rbtrees(memory, np.array([below], np.uint64)).torn.all()
    for pair in pipes:
        for fd in pair:
            os.close(fd)


def _epoll_root(memory: Memory, fd: int) -> int:
    files = value(memory, int(own_task(memory)[0]), "task_struct", "files")
    table = value(memory, value(memory, files, "files_struct", "fdt"), "fdtable", "fd")
    file = int(memory.pointers(np.array([table + 8 * fd], np.uint64))[0][0])
    eventpoll = value(memory, file, "file", "private_data")
    return value(memory, eventpoll, "eventpoll", "rbr.rb_root.rb_node")


def test_maple_trees_have_the_mappings_that_proc_shows(memory: Memory) -> None:
    """Every vma of our own mm and of a child's, start by start."""
    with children(2) as pids:
        both = np.array([_task_of(memory, pid) for pid in pids], np.uint64)
        mm = memory.gather(both, "task_struct", {"mm": "mm"})["mm"]
        roots = memory.gather(mm, "mm_struct", {"root": "mm_mt.ma_root"})["root"]
        found = maples(memory, roots)
        start = memory.gather(found.value, "vm_area_struct", {"s": "vm_start"})["s"]
        for owner, pid in enumerate(pids):
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
            shown = [int(line.split("-")[0], 16) for line in lines if "[vsyscall]" not in line]
            assert start[found.owner == owner].tolist() == shown


def test_a_tree_of_garbage_is_torn_and_ends(memory: Memory) -> None:
    """Roots that are no tree of the kind are reported, not followed for ever."""
    task = own_task(memory)
    assert maples(memory, task | np.uint64(2 | 7 << 3)).torn.all()
    assert xarrays(memory, task + np.uint64(2)).torn.all()
    assert walk.hlists(memory, np.zeros(1, np.uint64)).torn.all()


def test_the_engine_works_after_every_capability_is_dropped() -> None:
    """Loaded programs run on without privilege, and new ones are refused."""
    pid = os.fork()
    if not pid:
        os._exit(_dropped())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _dropped() -> int:
    try:
        with open_memory() as memory:
            capability.drop((), memory.engine.works)
            if capability.effective() or not memory.engine.works():
                return 1
            if value(memory, int(own_task(memory)[0]), "task_struct", "tgid") != os.getpid():
                return 2
            try:
                open_memory()
            except KernelSourceError as error:
                return 0 if error.probe.code == "capability" else 3
            return 4
    except BaseException:  # noqa: BLE001 - we are a forked child of pytest
        return 5
    finally:
        signal.alarm(0)
