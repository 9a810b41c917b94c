"""Each factory's promise, checked through /proc and kcmp(2) alone."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import select
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import fixtures
from fixtures._registry import tied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fixtures._expect import Expectation, Place
    from fixtures._registry import Factory
    from fixtures._start import Info

REPOSITORY: Final = Path(__file__).parents[2]
SYS_KCMP: Final = {"x86_64": 312, "aarch64": 272}
# include/uapi/linux/kcmp.h
KCMP_FILE: Final = 0
KCMP: Final = {"MM": 1, "FILE_TABLE": 2, "FS": 3, "SIGHAND": 4}
SMALL: Final = {"many": {"processes": 7, "fds": 300}}
NOT_READABLE: Final = (FileNotFoundError, ProcessLookupError, PermissionError)

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _same(what: int, place: tuple[int, int], other: tuple[int, int]) -> bool:
    (tid, slot), (other_tid, other_slot) = place, other
    number = SYS_KCMP[platform.machine()]
    answer: int = _libc.syscall(number, tid, other_tid, what, slot, other_slot)
    return answer == 0


def _stat(tid: int) -> list[bytes]:
    return Path(f"/proc/{tid}/stat").read_bytes().rpartition(b")")[2].split()


def _parents() -> dict[int, int]:
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(*NOT_READABLE):
            found[int(pid)] = int(_stat(int(pid))[1])
    return found


def _tree(root: int) -> set[int]:
    parents, found = _parents(), {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _threads(pids: set[int]) -> set[int]:
    found: set[int] = set()
    for pid in pids:
        with suppress(*NOT_READABLE):
            found.update(map(int, os.listdir(f"/proc/{pid}/task")))
    return found


def _user_tasks(pids: set[int]) -> set[int]:
    # Kernel threads and zombies have no memory: to kcmp, all of them share that.
    return {tid for tid in _threads(pids) if _maps(tid)}


def _maps(tid: int) -> list[str]:
    with suppress(*NOT_READABLE):
        return Path(f"/proc/{tid}/maps").read_text("utf-8", "surrogateescape").splitlines()
    return []


def _fds(tid: int) -> list[int]:
    with suppress(*NOT_READABLE):
        return [int(fd) for fd in os.listdir(f"/proc/{tid}/fd")]
    return []


def _namespace(tid: int, association: str) -> str:
    name = {"pid": "pid", "cred.user_ns": "user"}.get(
        association, association.rsplit(".", maxsplit=1)[-1]
    )
    with suppress(*NOT_READABLE):
        return os.readlink(f"/proc/{tid}/ns/{name}")
    return ""


class Witness:
    """The subtree and everybody else, as /proc shows them while the fixture stands."""

    def __init__(self, info: Info) -> None:
        self.info = info
        pids = _tree(info["root"])
        self.inside = _threads(pids)
        self.outside = _user_tasks(set(_parents()) - pids)

    def check(self, item: Expectation) -> None:
        kind, match = item["kind"], item["match"]
        if item["verdict"] == "absent":
            assert not _maps(match["tid"])
            assert not _fds(match["tid"])
        elif kind in KCMP:
            self._check_shared(item, KCMP[kind])
        elif kind.endswith("_NS"):
            self._check_namespace(item)
        elif kind == "FILE":
            self._check_file(item)
        else:
            assert kind == "NSPROXY"
            assert item["users"] == len(_user_tasks(self.inside))

    def _check_shared(self, item: Expectation, what: int) -> None:
        place = item["match"]["tid"], 0
        tasks = self.inside if item["kind"] == "SIGHAND" else _user_tasks(self.inside)
        assert sum(_same(what, place, (tid, 0)) for tid in tasks) == item["users"]
        holders = {tid for tid in self.outside if _same(what, place, (tid, 0))}
        assert holders == {holder["tid"] for holder in item["holders_outside"]}

    def _check_namespace(self, item: Expectation) -> None:
        match = item["match"]
        link = _namespace(match["tid"], match["association"])
        assert link.endswith(f":[{item['ino']}]")
        members = {
            tid
            for tid in self.outside
            for association in (match["association"], "pid")
            if _namespace(tid, association) == link
        }
        holders = item["holders_outside"]
        pinned = [holder for holder in holders if holder["association"] == "nsfs"]
        assert {holder["tid"] for holder in holders if holder not in pinned} == members
        for holder in pinned:
            assert os.readlink(_fd_path(holder)) == link

    def _check_file(self, item: Expectation) -> None:
        match = item["match"]
        if match["association"] == "fd":
            self._check_fd(item)
        elif match["association"] == "vma":
            self._check_mapped(item)
        else:
            assert os.readlink(f"/proc/{match['tid']}/exe")

    def _check_fd(self, item: Expectation) -> None:
        match = item["match"]
        if "ino" in item:
            assert os.stat(_fd_path(match)).st_ino == item["ino"]
        place = match["tid"], match["slot"]
        assert self._slots(place, _user_tasks(self.inside)) == item["users"]
        for holder in item["holders_outside"]:
            assert _same(KCMP_FILE, place, (holder["tid"], holder["slot"]))
        if item["verdict"] == "contained" and self.info["exhaustive"]:
            assert self._slots(place, self.outside) == 0

    def _check_mapped(self, item: Expectation) -> None:
        match = item["match"]
        lines = [line.split() for line in _maps(match["tid"])]
        (line,) = (line for line in lines if int(line[0].partition("-")[0], 16) == match["slot"])
        if "ino" in item:
            assert int(line[4]) == item["ino"]
            assert item["ino"] not in [
                os.stat(f"/proc/{match['tid']}/fd/{fd}").st_ino for fd in _fds(match["tid"])
            ]

    def _slots(self, place: tuple[int, int], tasks: set[int]) -> int:
        tables: list[int] = []
        for tid in sorted(tasks):
            if not any(_same(KCMP["FILE_TABLE"], (tid, 0), (other, 0)) for other in tables):
                tables.append(tid)
        return sum(_same(KCMP_FILE, place, (tid, fd)) for tid in tables for fd in _fds(tid))


def _fd_path(place: Place) -> str:
    return f"/proc/{place['tid']}/fd/{place['slot']}"


def _verdict(info: Info) -> str:
    leaking = [item for item in info["expect"] if item["holders_outside"]]
    # Of a fixture that is contained there is none.
    assert {item["verdict"] for item in leaking} <= {"usage_leak"}
    return "leaks" if leaking or not info["exhaustive"] else "contained"


@contextmanager
def _pidfds(pids: set[int]) -> Iterator[list[int]]:
    with ExitStack() as stack:
        fds = [os.pidfd_open(pid) for pid in pids]
        for fd in fds:
            stack.callback(os.close, fd)
        yield fds


def _all_end(pidfds: list[int], seconds: float) -> bool:
    poll, left = select.poll(), set(pidfds)
    for fd in pidfds:
        poll.register(fd, select.POLLIN)
    while left and (ready := poll.poll(seconds * 1000)):
        for fd, _event in ready:
            poll.unregister(fd)
            left.discard(fd)
    return not left


@pytest.fixture(params=list(fixtures.FACTORIES))
def factory(request: pytest.FixtureRequest, require: Callable[..., None]) -> Factory:
    chosen = fixtures.FACTORIES[request.param]
    require("kcmp")
    if chosen.needs_root:
        require("root")
    elif chosen.needs_container and os.geteuid() != 0:
        require("userns")
    return chosen


def test_promise_holds_and_nothing_is_left(factory: Factory) -> None:
    with ExitStack() as stack:
        with fixtures.start(factory.name, **SMALL.get(factory.name, {})) as running:
            info = running.info
            pids = _tree(info["root"]) | set(info["outside"])
            pidfds = stack.enter_context(_pidfds(pids))
            assert info["fixture"] == factory.name
            assert _verdict(info) == info["verdict"]
            assert _stat(info["root"])[0] in {b"S", b"R"}
            witness = Witness(info)
            assert not witness.inside & set(info["outside"])
            for item in info["expect"]:
                witness.check(item)
        assert _all_end(pidfds, seconds=0)
    assert " fixtures " not in Path("/proc/self/mountinfo").read_text("utf-8")


def _end_by(number: int, name: str) -> None:
    with ExitStack() as stack, fixtures.start(name, **SMALL.get(name, {})) as running:
        pids = _tree(running.info["root"]) | set(running.info["outside"])
        pidfds = stack.enter_context(_pidfds(pids))
        running.process.send_signal(number)
        assert _all_end(pidfds, seconds=20)


def test_sigkill_of_the_factory_leaves_nothing(factory: Factory) -> None:
    with pytest.raises(RuntimeError, match="ended with -9"):
        _end_by(signal.SIGKILL, factory.name)


def test_many_opens_what_was_asked_for() -> None:
    with fixtures.start("many", processes=7, fds=300) as running:
        pids = _tree(running.info["root"])
        beyond_stdio = sum(len(_fds(pid)) - 3 for pid in pids)
    assert (len(pids), beyond_stdio) == (7, 300)


def test_sigterm_tears_down_too() -> None:
    with pytest.raises(RuntimeError, match="ended with 143"):
        _end_by(signal.SIGTERM, "clone-vm")


def test_failure_is_one_exit_code_and_leaves_no_child() -> None:
    command = [sys.executable, "-m", "fixtures", "many", "--processes", "1", "--fds", "9999999"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "over the limit" in ran.stderr
    assert not ran.stdout


def test_list_names_every_factory() -> None:
    command = [sys.executable, "-m", "fixtures", "--list"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    names = [*fixtures.FACTORIES, *tied()]
    assert [line.split()[0] for line in ran.stdout.splitlines()] == names


def test_line_is_ascii_whatever_the_names() -> None:
    with fixtures.start("hostile") as running:
        comm = Path(f"/proc/{running.info['root']}/comm").read_bytes()
    assert comm == b"a\n\x1b[31m\xff\xfe\n"
    assert json.dumps(running.info).isascii()
