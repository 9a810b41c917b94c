"""For how long ``check --freeze`` holds a process of many threads still, and how long for nothing.

    python -m benchmarks.held CRANALYZE [--rounds 5]

Held for nothing, all is stopped and let go again, and nothing is read: what that takes is what
holding costs beside the reading itself. The best of the rounds counts. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Final

from benchmarks.page import THREADS, Held

_THREADS: Final = f"""
import signal, threading
threading.stack_size(1 << 16)
for _ in range({THREADS}):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print(flush=True)
signal.pause()
"""


def while_checked(cranalyze: str, pid: int) -> float:
    """Return for how many seconds a check holds the process, infinity where it could not."""
    command = [cranalyze, "check", "--freeze", "--json", str(pid)]
    subject = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)[
        "subject"
    ]
    return float(subject["frozen_seconds"]) if subject["frozen"] else float("inf")


def for_nothing(pid: int) -> float:
    """Return for how many seconds the process is held where nothing is read of it."""
    from analyzer.memory.probe import open_memory
    from analyzer.sources.kernel import held_still
    from analyzer.sources.request import Request

    with open_memory() as memory:
        with held_still(memory, Request(pid, freeze=True)) as held:
            assert held is not None  # noqa: S101 - it was asked for
            held.renew()
        return held.seconds


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cranalyze")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with subprocess.Popen([sys.executable, "-c", _THREADS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            process.stdout.readline()
            rounds = range(chosen.rounds)
            whole = min(while_checked(chosen.cranalyze, process.pid) for _ in rounds)
            nothing = min(for_nothing(process.pid) for _ in rounds)
        finally:
            process.kill()
    print(json.dumps(Held(whole, nothing)._asdict()))


if __name__ == "__main__":
    main()
