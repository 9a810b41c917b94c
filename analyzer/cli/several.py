"""Every container of the machine, in one reading: a line each, and the worst of their codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import EXIT_LEAK, EXIT_OK, EXIT_UNDECIDED, TargetVanishedError
from analyzer.core.values import replace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from analyzer.cli.output import Progress
    from analyzer.report.value import Report, ReportOptions
    from analyzer.snapshot.value import Snapshot
    from analyzer.subjects import Subject

_WORST: Final = (EXIT_LEAK, EXIT_UNDECIDED, EXIT_OK)
_TRIES: Final = 3
LABEL: Final = "--all-containers"


def reports(
    options: ReportOptions, rules: str, source: str, progress: Progress, *, freeze: bool
) -> list[Report]:
    """Read the machine once and return the report of each of its containers; none if none is there.

    One that ends meanwhile is not told.
    """
    for left in reversed(range(_TRIES)):
        found = _found()
        if not found:
            return []
        try:
            return _read(found, options, rules, source, progress, freeze=freeze)
        except TargetVanishedError:  # the first one: the others are left out
            if not left:
                raise
    return []


def _found() -> list[Subject]:
    from analyzer import subjects
    from analyzer.procfs.fs import ProcFs
    from analyzer.subjects.live import Shown
    from analyzer.subjects.names import with_names

    return with_names(subjects.every(Shown(ProcFs(Path("/proc")), live=True)))


def _read(
    found: list[Subject],
    options: ReportOptions,
    rules: str,
    source: str,
    progress: Progress,
    *,
    freeze: bool,
) -> list[Report]:
    from analyzer import sources
    from analyzer.check.leaks import check as judge
    from analyzer.core.model import Rules
    from analyzer.report.make import make, shown
    from analyzer.sources.request import Request

    roots = tuple(pid for one in found for pid in one.roots)

    def listed(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        import numpy as np

        masks = [
            shown(judge(one, rules=Rules(rules)), everything=options.all)
            for one in _each(snapshot, found)
        ]
        union: npt.NDArray[np.bool_] = np.logical_or.reduce(masks)
        return union

    request = Request(
        roots[0], "host", freeze=freeze, wanted=listed, label=LABEL, named=roots,
        progress=progress, others=lambda: roots[1:],
    )  # fmt: skip
    whole = sources.collect(request, source=source, drop_privileges=True)
    return [make(one, judge(one, rules=Rules(rules)), options) for one in _each(whole, found)]


def _each(snapshot: Snapshot, found: list[Subject]) -> list[Snapshot]:
    """Return the snapshot once for each container that is in it: as its subject."""
    named: dict[int, int] = snapshot.meta.get("named", {})
    there = set(snapshot.tables["tasks"]["tgid"].tolist())
    made = []
    for one in found:
        tids = [named.get(pid, pid) for pid in one.roots]
        if tids[0] not in there:
            continue
        subject: dict[str, Any] = {
            "pid": tids[0], "local_pid": one.roots[0], "start_time": None,
            "selector": one.words, "roots": tids[1:], "name": one.words,
            "runtime": one.runtime, "container": one.container, "starts": tids[:1],
        }  # fmt: skip
        made.append(replace(snapshot, meta={**snapshot.meta, "subject": subject}))
    return made


def worst(told: list[Report]) -> int:
    """Return the worst exit code: a leak, what was not decided, none."""
    codes = {report.exit_code for report in told}
    return next((code for code in _WORST if code in codes), EXIT_OK)
