"""A subject that is read several times by one process: when, and with what each time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import TargetVanishedError
from analyzer.core.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.memory.reader import Memory
    from analyzer.report.value import Report, ReportOptions
    from analyzer.snapshot.value import Snapshot
    from analyzer.sources.request import Request

_EXITED: Final = ("Z", "X")  # proc_pid_stat(5): somebody is still to wait for it


def now() -> str:
    """Return the time, as a report has it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ticks(pause: float, span: float | None, most: int | None) -> Iterator[None]:
    """Yield when it is time to read: at once, and then every `pause` seconds.

    It ends after `most` readings, or `span` seconds. What takes longer than a pause leaves out the
    readings that were due meanwhile.
    """
    start = time.monotonic()
    end = None if span is None else start + span
    made, due = 0, start
    while True:
        yield
        made += 1
        if made == most:
            return
        due = max(due + pause, time.monotonic())
        last = end is not None and due > end
        time.sleep(max(0.0, (end if last and end is not None else due) - time.monotonic()))
        if last:
            return


class Reader:
    """Reads a subject, from the kernel's memory that is open (None: from /proc), and checks it."""

    def __init__(
        self,
        request: Request,
        rules: str,
        source: str,
        options: ReportOptions,
        memory: Memory | None,
        again: Callable[[Request], Request] | None = None,
    ) -> None:
        """Take what is the same in all readings; `again` finds what was started again."""
        self._request, self._options = request, options
        self._again, self._lost = again, False
        self._rules, self._source, self._memory = rules, source, memory

    def read(self) -> Report:
        """Return the report of the subject as it is now; TargetVanishedError when it ended.

        Of a subject of several roots it goes on with the others when the first one ended. One that
        was lost is found anew.
        """
        from analyzer.check.leaks import check
        from analyzer.core.model import Rules
        from analyzer.report.make import make

        if self._lost and self._again is not None:
            self._request = self._again(self._request)
            self._lost = False
        snapshot = self._collected()
        return make(snapshot, check(snapshot, rules=Rules(self._rules)), self._options)

    def lose(self) -> bool:
        """Give up what ended: its pids are others' from now on. Tell whether it may come again."""
        self._lost = True
        return self._again is not None

    def _collected(self) -> Snapshot:
        left = [pid for pid in self._request.others() if pid != self._request.pid]
        while True:
            try:
                return self._once()
            except TargetVanishedError:
                if not left:
                    raise
                self._request = replace(self._request, pid=left.pop(0))

    def _once(self) -> Snapshot:
        from analyzer import sources

        snapshot = sources.collect(self._request, source=self._source, memory=self._memory)
        tasks, pid = snapshot.tables["tasks"], snapshot.meta["subject"]["pid"]
        codes = [tasks.code("state", letter) for letter in _EXITED]
        if np.isin(tasks["state"][tasks["tgid"] == pid], codes).all():
            raise TargetVanishedError(f"process {self._request.pid} has exited")
        return snapshot
