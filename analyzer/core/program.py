"""How this program is typed: what stands before its words in help, in the demo and in errors.

After an installation by venv, uv or pipx it is on the PATH of its user at most, and never on that
of sudo. So what is printed is the command that works here. What is written once for many machines
(the documentation, the examples of a command) spells it `sudo cranalyze`, and is told as
`ANYWHERE`, which a shell turns into the right one.
"""

from __future__ import annotations

import os
import sys
from typing import Final

NAME: Final = "cranalyze"
ANYWHERE: Final = 'sudo "$(command -v cranalyze)"'
_SUDO: Final = f"sudo {NAME}"
# What sudo looks in, whatever the caller's PATH is: secure_path, as Debian, Fedora and SUSE have it
# in common.
_SECURE_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


def command(*, sudo: bool) -> str:
    """Return what to type to start this program again, in any folder; with `sudo` as root."""
    import shlex
    import shutil

    path = _script()
    found = shutil.which(NAME, path=_SECURE_PATH if sudo else None)
    short = path is not None and found is not None and os.path.abspath(found) == path
    words = [NAME] if short else [path] if path else [sys.executable, "-m", "analyzer"]
    return shlex.join(["sudo", *words] if sudo else words)


def as_root(words: str = "") -> str:
    """Return what to type to start it as root, with `words`: without sudo for who is root."""
    start = command(sudo=os.geteuid() != 0)
    return f"{start} {words}" if words else start


def remedy() -> str:
    """Return what to do where root could."""
    return f"run it as root ({command(sudo=True)} ...)"


def here(example: str, width: int) -> tuple[str, ...]:
    """Return the lines of an example as it is typed here.

    Two lines where one had more than `width` characters: the program may lie in a deep folder.
    """
    if not example.startswith(f"{_SUDO} "):
        return (example,)
    words = example[len(_SUDO) + 1 :]
    line = as_root(words)
    return (line,) if len(line) <= width else (f"{as_root()} \\", f"  {words}")


def anywhere(example: str) -> str:
    """Return an example as it is typed on a machine that nothing is known of."""
    return example.replace(_SUDO, ANYWHERE, 1) if example.startswith(f"{_SUDO} ") else example


def _script() -> str | None:
    """Return the installed script: the one that runs, or the one beside our interpreter."""
    running = sys.argv[0] if sys.argv else ""
    beside = os.path.join(os.path.dirname(sys.executable), NAME)
    for path in (os.path.abspath(running), beside):
        if os.path.basename(path) == NAME and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None
