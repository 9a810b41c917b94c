"""What runs in the guest, as process 1: every fixture and the census, a line of JSON each."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.tables import Table

MARK: Final = "@cranalyze "
_MOUNTS: Final = (
    ("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"), ("tmpfs", "/tmp"), ("tmpfs", "/run"), ("mqueue", "/dev/mqueue"),
    ("cgroup2", "/sys/fs/cgroup"), ("bpf", "/sys/fs/bpf"),
    ("binfmt_misc", "/proc/sys/fs/binfmt_misc"),
)  # fmt: skip
_POWER_OFF: Final = 0x4321FEDC  # LINUX_REBOOT_CMD_POWER_OFF, include/uapi/linux/reboot.h

_libc: Final = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Be process 1: set the machine up, have all done in a child, reap, switch off."""
    try:
        _set_up()
        code = "from scripts.kernels import guest; guest.run()"
        path = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": "/bin", "HOME": "/tmp"}
        with subprocess.Popen(
            [sys.executable, "-S", "-c", code], env=path, cwd=sys.path[0]
        ) as child:
            while os.wait()[0] != child.pid:
                pass
    except BaseException:  # noqa: BLE001 - process 1 must not end
        traceback.print_exc()
    _libc.sync()
    _libc.reboot(_POWER_OFF)


def _set_up() -> None:
    for kind, where in _MOUNTS:
        if kind == "binfmt_misc":
            _load_modules()
        os.makedirs(where, exist_ok=True)
        _libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None)
    for name, fd in (("fd", ""), ("stdin", "0"), ("stdout", "1"), ("stderr", "2")):
        if not os.path.exists(f"/dev/{name}"):
            os.symlink(f"/proc/self/fd/{fd}", f"/dev/{name}")
    # As on every distribution: mounts of one namespace are seen in those that are made of it.
    _libc.mount(None, b"/", None, 0x4000 | 0x100000, None)  # MS_REC | MS_SHARED


def _load_modules() -> None:
    for file in sorted(Path("/modules").iterdir()):
        data = file.read_bytes()
        _libc.syscall(ctypes.c_long(_INIT_MODULE[os.uname().machine]), data, len(data), b"")


_INIT_MODULE: Final = {"x86_64": 175, "aarch64": 105}


def run() -> None:
    """Count the machine, and judge the fixtures that the kernel's command line asks for, or all."""
    words = dict(word.partition("=")[::2] for word in Path("/proc/cmdline").read_text().split())
    only = words.get("cranalyze.only", "").split(",")
    _say(kernel=os.uname().release, machine=os.uname().machine, python=sys.version.split()[0])
    if "cranalyze.hold" in words:
        _hold(words["cranalyze.hold"].split(","))
    for answer in (_doctor, _census):
        _timed(answer.__name__[1:], answer)
    for name in _names(only):
        _timed("fixture", lambda name=name: _fixture(name), name=name)
    _say(done=True)


def _hold(names: list[str]) -> None:
    """Start fixtures, tell what a check says of each, and keep still while memory is dumped."""
    import fixtures

    with ExitStack() as stack:
        roots = {name: stack.enter_context(fixtures.start(name)).info["root"] for name in names}
        for name, root in roots.items():
            # In a process of its own, which is gone by then: an observer holds what it started.
            code = f"from scripts.kernels import guest; guest.check({name!r}, {root})"
            subprocess.run([sys.executable, "-S", "-c", code], check=True)
        _say(held=True)
        while True:
            time.sleep(3600)


def check(name: str, root: int) -> None:
    """Tell what a check says of a process, as `cranalyze check --json --all --raw-addresses`."""
    from analyzer.check.leaks import check
    from analyzer.report.make import make
    from analyzer.report.value import ReportOptions
    from analyzer.sources import collect
    from analyzer.writers import json as writer

    snapshot = collect(root, source="kernel", raw_addresses=True)
    report = make(snapshot, check(snapshot, root), ReportOptions("check", all=True))
    _say(what="check", name=name, root=root, report=writer.document(report))


def _names(only: list[str]) -> Iterator[str]:
    import fixtures

    yield from (name for name in fixtures.FACTORIES if not only[0] or name in only)


def _timed(what: str, answer: Any, **words: Any) -> None:  # noqa: ANN401
    before = time.monotonic()
    try:
        said = answer()
    except Exception as error:  # noqa: BLE001 - it is the answer
        said = {"failed": f"{type(error).__name__}: {error}"}
    _say(what=what, **words, **said, seconds=round(time.monotonic() - before, 1))


def _say(**words: Any) -> None:  # noqa: ANN401
    print(f"\n{MARK}{json.dumps(words)}", flush=True)  # noqa: T201 - to the console


def _doctor() -> dict[str, Any]:
    from analyzer.doctor import capabilities

    return {"refused": [f"{one.name}: {one.reason}" for one in capabilities() if not one.ok]}


def _census() -> dict[str, Any]:
    from analyzer.lookup import census
    from analyzer.sources import collect
    from analyzer.sources.request import Request

    taken = census.take(
        collect(Request(None, wanted=census.uneven, related=False), source="kernel")
    )
    return {
        "objects": sum(kind.objects for kind in taken.kinds),
        "references": taken.references,
        "uneven": [f"{one.kind} {one.name}: {one.refcount} counted, {one.named} named"
                   for one in taken.residual if not one.initial],
        "gaps": list(taken.gaps),
    }  # fmt: skip


def _fixture(name: str) -> dict[str, Any]:
    import fixtures
    from analyzer.check import leaks
    from analyzer.sources import collect
    from tests.graph import Graph
    from tests.promised import wrong

    small = {"processes": 3, "fds": 20} if name == "many" else {}
    with ExitStack() as stack:
        try:
            running = stack.enter_context(fixtures.start(name, **small))
        except RuntimeError as error:  # such a kernel may have no such thing
            return {"absent": str(error)}
        root = running.info["root"]
        snapshot = collect(root, source="kernel", raw_addresses=True)
        graph = Graph(snapshot, leaks.check(snapshot, root))
        return {
            "objects": int(graph.verdicts.judged.sum()),
            "expected": len(running.info["expect"]),
            "wrong": [text for one in running.info["expect"] for text in wrong(graph, one)],
            "gaps": [f"{gap['where']}: {gap['effect']}" for gap in _rows(snapshot.tables["gaps"])],
        }


def _rows(table: Table) -> Iterator[dict[str, Any]]:
    yield from (table.row(row) for row in range(len(table)))
