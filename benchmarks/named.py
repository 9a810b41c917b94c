"""Times a check of a container by its name against one by the pid of its first process.

    python -m benchmarks.named 4711 podman:web [SUBJECT...] [--rounds 5]

What a name costs is one command of its runtime's, and one pass over the cgroups of /proc. They take
turns, and the best of the rounds counts, as in `benchmarks.run`; exits with 1 where one takes more
than 1.2 times as long as the pid.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from benchmarks.run import CRANALYZE, compare

MOST: Final = 1.2
"""How many times as long a name may take."""


def main() -> int:
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description="a check by name against one by pid")
    parser.add_argument("pid")
    parser.add_argument("subject", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    names = [asked.pid, *asked.subject]
    took = compare({name: [CRANALYZE, "check", "--quiet", name] for name in names}, asked.rounds)
    own = took[asked.pid].seconds
    for name, timing in took.items():
        sys.stdout.write(f"{timing.seconds:7.2f} s  {timing.seconds / own:5.2f}  {name}\n")
    return int(any(timing.seconds > MOST * own for timing in took.values()))


if __name__ == "__main__":
    sys.exit(main())
