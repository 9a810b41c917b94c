"""Times ``cranalyze check`` against ``lsof`` and ``lsfd`` on one load, in one run.

    python -m benchmarks.run [--sizes 1000,10000,100000] [--large] [--rounds 3] [--out docs]

For each size the factory ``many`` opens that many files of mixed types in real processes. Then
every program runs as a whole process, start-up included, its output thrown away; the programs
take turns, and the best of the rounds counts: what is slower than the best is the machine's other
work. ``lsof`` and ``lsfd`` list what is open on the machine; ``cranalyze check`` reads the same
tables to name who holds the subtree's objects outside of it, and the kernel's counts besides. One
process beside the load is checked with and without what no count shows (``--references-only``).
How much of the time is reading, `benchmarks.bare` tells; how long `--freeze` holds a subtree still,
`benchmarks.held`.

Writes ``benchmark.md`` (ratios first), its picture, and ``benchmark.json``. Peak memory is the
kernel's ``ru_maxrss`` of wait4(2), whose floor is that of the starter (the new process is a copy of
it for a moment): a peak at that floor is shown as "below".
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.page import PICTURE, RELATED, SMALL, Bare, Held, Row, Timing, page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[1]
CRANALYZE: Final = str(Path(sys.executable).with_name("cranalyze"))
FILES_PER_PROCESS: Final = 172
"""As on the machine that the design's yardsticks were read on: 100,000 files in 580 processes."""
FEW: Final = 10
CHECK_DONE: Final = (0, 3, 16)
LARGE: Final = 500_000
"""From here on one round has to do: lsof takes minutes."""
LARGEST: Final = 1_000_000
"""What `--large` adds."""
UNUSUAL: Final = {"PYTHONDONTWRITEBYTECODE"}
"""What a user of cranalyze would not have set: it would be compiled anew at every start."""


def run_once(command: Sequence[str], expected: Sequence[int]) -> Timing:
    """Run one program to its end and measure it; raises if it ends in an unexpected way."""
    with tempfile.TemporaryFile() as complaints:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env={name: value for name, value in os.environ.items() if name not in UNUSUAL},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in expected:
            complaints.seek(0)
            text = complaints.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {text}")
    return Timing(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def best(timings: Sequence[Timing]) -> Timing:
    """Take the fastest of several runs, with the highest peak among them."""
    fastest = min(timings, key=lambda timing: timing.seconds)
    return Timing(fastest.seconds, fastest.cpu, max(timing.peak for timing in timings))


def compare(programs: dict[str, Sequence[str]], rounds: int) -> dict[str, Timing]:
    """Run the programs in turn, several rounds of it, and keep the best of each."""
    seen: dict[str, list[Timing]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, command in programs.items():
            expected = CHECK_DONE if command[0] == CRANALYZE else (0, 1)
            seen[name].append(run_once(command, expected))
    return {name: best(timings) for name, timings in seen.items()}


@contextlib.contextmanager
def load(processes: int, files: int) -> Iterator[int]:
    """Start the load, yield the pid of its root, and end it."""
    command = [sys.executable, "-m", "fixtures", "many"]
    command += ["--processes", str(processes), "--fds", str(files)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as factory:
        said = factory.stdout.readline() if factory.stdout else ""
        if not said:
            raise RuntimeError("the load did not start: its own words are above")
        try:
            yield json.loads(said)["root"]
        finally:
            factory.communicate()


@contextlib.contextmanager
def beside() -> Iterator[int]:
    """Start a process that is no part of the load, and does nothing; yield its pid, and end it."""
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    ) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def open_files() -> int:
    """Count the open files of the machine: the first number of /proc/sys/fs/file-nr."""
    return int(Path("/proc/sys/fs/file-nr").read_text().split()[0])


def too_big(files: int, files_each: int) -> str:
    """Tell why this machine cannot open so many files; empty when it can."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    room = int(Path("/proc/sys/fs/file-max").read_text()) - open_files()
    if hard != resource.RLIM_INFINITY and files_each + 64 > hard:
        return f"the limit of open files of a process is {hard}"
    return "" if files < room else f"fs.file-max leaves room for {room} files"


def shape(files: int) -> tuple[int, int]:
    """Split a number of files into processes and files of each."""
    processes = max(1, files // FILES_PER_PROCESS)
    return processes, -(-files // processes)


def others() -> dict[str, Sequence[str]]:
    """Name the programs to compare with, as far as they are installed."""
    commands: dict[str, Sequence[str]] = {"lsof": ["lsof", "-n", "-P"], "lsfd": ["lsfd"]}
    return {name: command for name, command in commands.items() if shutil.which(command[0])}


def measure(files: int, rounds: int) -> Row:
    """Measure one size of the load."""
    processes, files_each = shape(files)
    if reason := too_big(files, files_each):
        raise RuntimeError(f"{files} files: {reason}")
    before = open_files()
    with load(processes, files) as root:
        opened = open_files() - before
        check = [CRANALYZE, "check", str(root)]
        census = [CRANALYZE, "census"]
        who = [CRANALYZE, "who", f"{root}:0"]
        with beside() as pid:
            small = [CRANALYZE, "check", str(pid)]
            related = zip(RELATED, (small, [*small, "--references-only"]), strict=True)
            programs = {
                "cranalyze": check,
                "census": census,
                "who": who,
                **dict(related),
                **others(),
            }
            timings = compare(programs, rounds)
        only = alone(root, rounds)
    print(f"{opened:,} files in {processes:,} processes: " + brief(timings), file=sys.stderr)
    return Row(opened, processes, timings, only)


def alone(pid: int, rounds: int) -> Bare:
    """Measure, in a process of its own, reading and check against the bare reads."""
    command = [sys.executable, "-m", "benchmarks.bare", str(pid), "--rounds", str(rounds)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    return Bare(**json.loads(said))


def held_still(rounds: int) -> Held:
    """Measure, in a process of its own, for how long many threads are held still."""
    command = [sys.executable, "-m", "benchmarks.held", CRANALYZE, "--rounds", str(rounds)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    return Held(**json.loads(said))


def start_up(rounds: int) -> dict[str, Timing]:
    """Measure what does not depend on the load."""
    with load(1, FEW) as root:
        programs: dict[str, Sequence[str]] = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "cranalyze --help": [CRANALYZE, "--help"],
            SMALL: [CRANALYZE, "check", str(root)],
            "cranalyze who PID:FD": [CRANALYZE, "who", f"{root}:0"],
        }
        timings = compare(programs, rounds)
    print(brief(timings), file=sys.stderr)
    return timings


def brief(timings: dict[str, Timing]) -> str:
    """Make one line for the person who waits."""
    return ", ".join(f"{name} {timing.seconds:.3f} s" for name, timing in timings.items())


def version_of(command: Sequence[str]) -> str:
    """Find the first line with a digit that a program says of its version."""
    if not shutil.which(command[0]):
        return "not installed"
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (ran.stdout + ran.stderr).splitlines()
    return next((line.strip() for line in lines if any(map(str.isdigit, line))), "unknown")


def machine(load_before: float) -> dict[str, str]:
    """Gather the facts that the numbers depend on; nothing that tells whose machine it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "kernel": platform.release().split("-")[0] + " " + platform.machine(),
        "processors": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "load average before": f"{load_before:.1f}",
        "python": platform.python_version(),
        "cranalyze": version_of([CRANALYZE, "--version"]),
        "lsof": version_of(["lsof", "-v"]).removeprefix("revision: "),
        "lsfd": version_of(["lsfd", "--version"]),
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="1000,10000,100000", help="open files, comma list")
    parser.add_argument("--large", action="store_true", help=f"{LARGEST:,} open files too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    chosen = arguments()
    host = machine(os.getloadavg()[0])
    floor = run_once(["true"], [0]).peak
    start = start_up(max(chosen.rounds, 5))
    sizes = [int(size) for size in chosen.sizes.split(",")] + [LARGEST] * chosen.large
    rows = [measure(size, chosen.rounds if size < LARGE else 1) for size in sizes]
    held = held_still(max(chosen.rounds, 5))
    text = page(rows, start, host, floor=floor, rounds=chosen.rounds, held=held)
    print(text)
    from benchmarks.growth import draw  # not before: the floor of what peaks can be told is ours

    picture = chosen.out / PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(rows, picture)
    (chosen.out / "benchmark.md").write_text(text + "\n")
    facts = {
        "machine": host,
        "rounds": chosen.rounds,
        "rows": [{**asdict(row), "bare": row.bare._asdict()} for row in rows],
        "held_still": held._asdict(),
        "start_up": {name: asdict(timing) for name, timing in start.items()},
    }
    (chosen.out / "benchmark.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
