"""The demo: cranalyze looks at a leaking container of its own, then at one that is closed properly.

The containers are made by `demo_stage.py`, a program of its own: what cranalyze started itself
would count as the observer's. All of it ends with the demo, whatever ends the demo.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analyzer.check.leaks import check
from analyzer.core import program
from analyzer.core.errors import NotPermittedError
from analyzer.core.text import wrap
from analyzer.report.make import make, shown
from analyzer.report.value import ReportOptions
from analyzer.sources import collect
from analyzer.sources.request import Request
from analyzer.writers import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from analyzer.report.value import Report
    from analyzer.snapshot.value import Snapshot

_STAGE: Final = Path(__file__).with_name("stage.py")
_PATIENCE: Final = 5.0  # seconds
_KINDS: Final = ("user", "uts", "ipc", "pid", "net", "mnt", "cgroup", "time")

_OPENING: Final = """\
cranalyze demo: is this container self-contained? If not, who else holds what?

1. A container with leaks
-------------------------
A launcher (pid {launcher}) has started a container (pid {root}) with {namespaces}
of its own. Three things went wrong:
 - container and launcher share one file descriptor table (CLONE_FILES);
 - a backup job outside (pid {backup}) still has /etc/passwd open, which it
   shares with the container since fork;
 - and it keeps the container's uts namespace alive by an open file,
   /proc/{root}/ns/uts.

$ cranalyze check {root} --references-only
"""
_EXPLAINED: Final = """\
(exit code {code})

How to read it: users are the references that the container's own tasks hold,
the refcount is the kernel's own number of all references. Where they differ,
somebody outside holds one, and a checkpoint of the container alone could not
be true. What has too many kinds of holders for that is judged by who they are:
the user namespace owns the uts namespace that the backup job keeps.

2. The same container, closed properly
--------------------------------------
It runs a program of its own, has its own standard files, and nobody kept
anything.

$ cranalyze check {root} --references-only
"""
_UNPROVEN: Final = """\
Not shown: the kernel's own refcounts. {why}
Without them cranalyze can witness a leak, and never proves that there is none.
"""
_WITHOUT: Final = (
    "Not shown: a {kinds} namespace of its own, which this kernel or user may not make.\n"
)
_CLOSING: Final = """\
Not asked here: what crosses the border that no count shows. Both containers see
the host's mounts, and a check without --references-only says so.

Next: your own process, with --html page.html to look at it in a browser:
  {check}
--help tells the rest. Nothing of this is left.
"""


def play(width: int, *, colour: bool) -> Iterator[str]:
    """Yield the demo as text, a part at a time, made as it goes.

    Raises NotPermittedError where not even a user namespace can be made.
    """
    with _scene("leaky") as facts:
        yield _OPENING.format(**facts, namespaces=_namespaces(facts))
        report = _check(facts["root"])
        yield _shown(report, width, colour=colour)
    with _scene("closed") as facts:
        yield _EXPLAINED.format(code=report.exit_code, root=facts["root"])
        report = _check(facts["root"])
        yield _shown(report, width, colour=colour)
        yield f"(exit code {report.exit_code})\n\n"
    if not report.source.refcounts:
        yield _paragraph(_UNPROVEN.format(why=_why()), width)
    if facts["without"]:
        yield _paragraph(_WITHOUT.format(kinds=" or ".join(facts["without"])), width)
    yield _CLOSING.format(check=program.as_root("check PID"))


@contextmanager
def _scene(name: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-I", "-S", os.fspath(_STAGE), name]
    with subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as stage:
        try:
            assert stage.stdout is not None  # noqa: S101 - it is a pipe
            facts = json.loads(stage.stdout.readline() or '{"error": "the stage died"}')
            if "error" in facts:
                raise NotPermittedError(
                    f"cannot make a container ({facts['error']}): run it as root, or allow "
                    "user namespaces (sysctl user.max_user_namespaces)"
                )
            yield facts
        finally:
            _end(stage)


def _end(stage: subprocess.Popen[bytes]) -> None:
    """Let the launcher end its children and itself; if it does not, the kernel ends all of them."""
    stage.terminate()
    try:
        stage.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        stage.kill()


def _check(root: int) -> Report:
    def listed(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        return shown(check(snapshot, root))

    snapshot = collect(Request(root, wanted=listed))
    return make(
        snapshot,
        check(snapshot, root),
        ReportOptions(command="check", brief=True, gate=True, references_only=True),
    )


def _shown(report: Report, width: int, *, colour: bool) -> str:
    return terminal.to_text(terminal.render(report, width), colour=colour) + "\n"


def _namespaces(facts: dict[str, Any]) -> str:
    own = [kind for kind in _KINDS if kind not in facts["without"]]
    return f"{len(own)} namespaces"


def _paragraph(text: str, width: int) -> str:
    return "\n".join(wrap(text, width)) + "\n\n"


def _why() -> str:
    from analyzer.memory.probe import probe

    reason = str(probe())
    return f"{reason[:1].upper()}{reason[1:]}."
