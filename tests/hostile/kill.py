"""Ends every command at a random moment, in every way, and looks at what it leaves behind.

    python -m tests.hostile.kill --kills 500 --seed 7 collect procdump

By SIGKILL, SIGTERM, SIGHUP, SIGINT, or a reader that goes away, sent to it alone or to its process
group as a terminal does; in the moment in which it writes, and with --freeze in that in which the
subtree stands still. After
each: the exit code is the one that there is for it, no traceback, no file but whole ones (after
anything but SIGKILL all of a command's or none), nothing hidden, nobody stopped or traced, nothing
mounted, and none of its processes, BPF programs or maps is left. Only what the driver itself has
started is looked at: the machine may be as busy as it likes.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from analyzer.core import syscall
from analyzer.core.errors import CranalyzeError
from analyzer.procfs.archive import open_dump
from analyzer.snapshot import crz
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from analyzer.snapshot.value import Snapshot

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 60.0  # seconds that anything may take on a busy machine
_MARK: Final = "CRANALYZE_KILL"
# What the command `cranalyze` is, as pip writes it.
_PROGRAM: Final = "import sys; from cranalyze import main; sys.exit(main())"
_PROG_IDS, _MAP_IDS = 11, 12  # BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID
_PR_SET_CHILD_SUBREAPER: Final = 36

COMMANDS: Final = {
    "collect": "collect {pid} -o out.crz",
    "collect-frozen": "collect {pid} --freeze -o out.crz",
    "collect-force": "collect {pid} --force -o old.crz",
    "check": "check {pid} --json",
    "check-frozen": "check {pid} --freeze --json --output out.json",
    "report": "report {snapshot} --html out.html",
    "watch": "watch {pid} --every 50ms -n 3 --json --prometheus out.prom",
    "who": "who {pid}:1",
    "namespaces": "namespaces",
    "census": "census",
    "graph": "graph {snapshot} -o out.graphml",
    "plot": "plot {snapshot} -o out.svg",
    "export": "export {snapshot} --parquet out",
    "doctor": "doctor",
    "demo": "demo",
    "procdump": "procdump {pid} -o out.tar",
    "replay": "check --proc {dump} {pid} --json --output out.json",
}
WAYS: Final = (
    signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE,
)  # fmt: skip
# What a command may also end with: it was done before, or the check says so.
_DONE: Final = frozenset({0, 3, 16})
_BY_SIGNAL: Final = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130,
                     signal.SIGPIPE: 141}  # fmt: skip


@dataclass
class Found:
    """What was wrong after one kill."""

    command: str
    way: str
    after: float
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.command}, {self.way} after {self.after:.3f} s: {'; '.join(self.wrong)}"


class Driver:
    """A subtree to look at, a folder to work in, and what is done and looked for."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a test
        self.folder = Path(tempfile.mkdtemp(prefix="kill-"))
        self.mark = secrets.token_hex(8)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("CRANALYZE")},
            "PYTHONPATH": str(ROOT),
            _MARK: self.mark,
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "MPLCONFIGDIR": str(self.folder / "mpl"),
        }

    def __enter__(self) -> Self:
        # Whom a killed one leaves behind is ours to collect, and to find.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for name in ("run", "work", "mpl"):
            (self.folder / name).mkdir(mode=0o700)
        self.target = subprocess.Popen(
            ["sh", "-c", "sleep 100000 & sleep 100000 & wait"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        _machine().save(self.folder / "given.crz")
        self.words = {
            "pid": str(self.target.pid),
            "snapshot": str(self.folder / "given.crz"),
            "dump": str(self.folder / "given.tar"),
        }
        made = self._start("procdump {pid} -o {dump} --force")
        said = made.communicate(timeout=PATIENCE)
        assert made.returncode == 0, said
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.target.pid, signal.SIGKILL)
        self.target.wait()
        for pid in self._running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        _collect_the_dead(self.target.pid)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def kills(self, command: str, count: int) -> Iterator[Found]:
        """Kill `command` so often, and yield what was wrong after each where anything was."""
        before = {kind: _bpf_ids(kind) for kind in (_PROG_IDS, _MAP_IDS)}
        self._clean()
        started = time.monotonic()
        whole = self._start(COMMANDS[command])
        said = whole.communicate(timeout=PATIENCE)
        took = time.monotonic() - started
        if whole.returncode not in _DONE:
            raise RuntimeError(f"{command} does not work here: {said}")
        files = self._files()
        for _ in range(count):
            way = self.random.choice(WAYS)
            moments = [
                "",
                *(["frozen"] if "frozen" in command else []),
                *(["writing"] if " -o " in COMMANDS[command] else []),
            ]
            moment = self.random.choice(moments)
            found = self._kill(command, way, self.random.uniform(0, took), files, moment)
            if found.wrong:
                yield found
        loaded = [
            f"{len(left)} BPF {'programs' if kind == _PROG_IDS else 'maps'} are loaded still"
            for kind, ids in before.items()
            if (left := _stay(kind, ids))
        ]
        if loaded:
            yield Found(command, "all", took, loaded)

    def _start(self, words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *words.format(**self.words).split()],
            cwd=self.folder / "work",
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _clean(self) -> None:
        shutil.rmtree(self.folder / "work")
        (self.folder / "work").mkdir()
        shutil.copy(self.folder / "given.crz", self.folder / "work" / "old.crz")
        if self.random.random() < 0.5:
            shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def _files(self) -> set[str]:
        work = self.folder / "work"
        return {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()}

    def _kill(
        self, command: str, way: signal.Signals, after: float, whole: set[str], moment: str
    ) -> Found:
        self._clean()
        found = Found(command, f"{way.name}{moment and f' while {moment}'}", after)
        started = self._start(COMMANDS[command])
        if moment:
            now = self._stopped if moment == "frozen" else self._writing
            _until(lambda: now() or started.poll() is not None)
        else:
            time.sleep(after)
        assert started.stdout is not None
        if way is signal.SIGPIPE:
            started.stdout.close()
        else:
            with contextlib.suppress(ProcessLookupError):
                group = self.random.random() < 0.5
                (os.killpg if group else os.kill)(started.pid, way)
        said = self._ended(started, found)
        found.wrong += _code(started.returncode, way, said)
        found.wrong += self._left(whole, killed=way is signal.SIGKILL)
        return found

    def _ended(self, started: subprocess.Popen[bytes], found: Found) -> str:
        assert started.stderr is not None
        try:
            if started.stdout is not None and started.stdout.closed:
                started.stdout = None
            said = started.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            started.kill()
            said = started.communicate()[1]
            found.wrong.append("it did not end")
        return said.decode(errors="replace")

    def _left(self, whole: set[str], *, killed: bool) -> list[str]:
        wrong = []
        if not _until(lambda: not self._running()):
            names = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self._running()]
            wrong.append(f"runs still: {names}")
        if not _until(lambda: not self._stopped()):
            wrong.append(f"stopped or traced still: {self._stopped()}")
        _collect_the_dead(self.target.pid)
        files = self._files()
        if killed:
            files = {name for name in files if not _waits(self.folder / "work" / name)}
        if files - whole:
            wrong.append(f"left behind: {sorted(files - whole)}")
        made = files & whole
        if not killed and made - {"old.crz"} and made != whole:
            wrong.append(f"some files and not all: {sorted(made)}")
        wrong += [why for name in sorted(made) if (why := _broken(self.folder / "work" / name))]
        for place in ("run", "cache"):
            for path in (self.folder / place).rglob("*"):
                if path.is_file() and (path.name.startswith((".", "tmp")) or not path.suffix):
                    wrong.append(f"left behind: {place}/{path.name}")
        if str(self.folder) in Path("/proc/self/mountinfo").read_text():
            wrong.append("something is mounted still")
        return wrong

    def _running(self) -> list[int]:
        wanted = f"{_MARK}={self.mark}".encode()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                        found.append(int(name))
        return found

    def _writing(self) -> bool:
        """Tell whether a file in the folder is open, with a name or not yet."""
        work = str(self.folder / "work")
        for pid in self._running():
            with contextlib.suppress(OSError):
                for name in os.listdir(f"/proc/{pid}/fd"):
                    at = os.readlink(f"/proc/{pid}/fd/{name}")
                    if at.startswith(f"{work}/") and not at.endswith("given.crz"):
                        return True
        return False

    def _stopped(self) -> list[str]:
        """Return who of the subtree is stopped, or traced."""
        found = []
        for pid in (self.target.pid, *_children(self.target.pid)):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                seen = dict(line.partition(":")[::2] for line in lines)
                if seen["State"].strip()[0] in "tT" or seen["TracerPid"].strip() != "0":
                    found.append(f"{pid} {seen['State'].strip()}")
        return found


def _machine() -> Snapshot:
    machine = Machine()
    machine.task(77, comm="bash")
    machine.task(100, 77, nspid=1)
    tables = [machine.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    for number in range(500):
        held = [(table, "fd", number) for table in tables]
        machine.object("FILE", 2, name=f"/var/log/{number:060}.log", holders=held)
    return machine.snapshot(100)


def _code(code: int, way: signal.Signals, said: str) -> list[str]:
    started = str(ROOT / "analyzer") in said
    if way is signal.SIGINT and "KeyboardInterrupt" in said and not started:
        return []  # it was not we yet: the interpreter itself says where it was
    allowed = {*_DONE, -way, _BY_SIGNAL.get(way, -way)}
    wrong = [] if code in allowed else [f"exit code {code}: {said[-400:]!r}"]
    return [*wrong, f"a traceback: {said[-800:]!r}"] if "Traceback" in said else wrong


def _broken(path: Path) -> str:
    """Return what is wrong with a file that was written, "" when it is whole."""
    try:
        match path.suffix:
            case ".crz":
                crz.load(path)
            case ".tar":
                open_dump(path).read("cranalyze/complete")
            case ".html":
                assert path.read_text().rstrip().endswith("</html>")
            case ".svg":
                assert path.read_text().rstrip().endswith("</svg>")
            case ".graphml":
                assert path.read_text().rstrip().endswith("</graphml>")
            case ".json":
                assert path.read_text().endswith("}\n")
            case ".prom":
                told = path.read_text()
                assert told.startswith("# HELP cranalyze_")
                assert told.endswith("\n")
            case ".parquet":
                assert path.read_bytes()[-4:] == b"PAR1"
            case _:
                return f"what is {path.name}?"
    except (AssertionError, CranalyzeError, OSError, zipfile.BadZipFile) as error:
        return f"{path.name} is cut: {error}"
    return ""


def _waits(path: Path) -> bool:
    """Tell whether a file is whole and was about to take another's place, by rename(2)."""
    if not path.name.startswith(".cranalyze-"):
        return False
    try:
        crz.load(path)
    except (CranalyzeError, OSError, zipfile.BadZipFile):
        return False
    return True


def _children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _collect_the_dead(but: int) -> None:
    """Collect whom a killed one left behind; `but` is somebody else's to wait for."""
    for pid in _children(os.getpid()):
        with contextlib.suppress(OSError):
            if pid != but and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] == "Z":
                os.waitpid(pid, os.WNOHANG)


def _until(holds: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


class _Ids(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint32), ("next", ctypes.c_uint32), ("flags", ctypes.c_uint32))


def _bpf_ids(kind: int) -> set[int]:
    """Return the ids of all BPF programs, or maps, that are loaded; none where that is refused."""
    found: set[int] = set()
    asked = _Ids()
    with contextlib.suppress(OSError):
        while True:
            at = ctypes.c_void_p(ctypes.addressof(asked))
            syscall.call("bpf", kind, at, ctypes.sizeof(asked))
            found.add(asked.next)
            asked.start = asked.next
    return found


def _stay(kind: int, before: set[int]) -> set[int]:
    """Return what is there and was not before, and does not go: others' come and go."""
    new = _bpf_ids(kind) - before
    deadline = time.monotonic() + PATIENCE
    while new and time.monotonic() < deadline:
        new &= _bpf_ids(kind)
        time.sleep(0.05)
    return new


def main() -> int:
    """Kill what the arguments name, by default everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.kill")
    parser.add_argument("--kills", type=int, default=20, help="how often each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("command", nargs="*", choices=[[], *COMMANDS])
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up
    wrong = 0
    with Driver(given.seed) as driver:
        for command in given.command or COMMANDS:
            started = time.monotonic()
            found = list(driver.kills(command, given.kills))
            wrong += len(found)
            print(f"{command}: {given.kills} kills, {time.monotonic() - started:.0f} s")  # noqa: T201
            for one in found:
                print(f"  {one}")  # noqa: T201
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
