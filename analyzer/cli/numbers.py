"""The file of --prometheus: whole at any time, and never somebody else's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.report.value import Report
    from analyzer.writers.prometheus import Reading

_OURS: Final = b"# HELP cranalyze_"


class Numbers:
    """Keeps the numbers of the last readings in a file; without one it does nothing."""

    def __init__(self, path: str | None) -> None:
        """Refuse, with BadInputError, a file that was not written by this option."""
        self._path = path
        self._start = time.perf_counter()
        self._kept: list[Reading] = []
        if path is not None:
            _refuse(path)

    def begin(self) -> None:
        """Begin to count how long a reading takes: it is counted from the start of the program."""
        self._start = time.perf_counter()

    def keep(self, reports: Sequence[Report], events: Mapping[str, int] | None = None) -> None:
        """Write the numbers of these reports, with the events of a watch so far."""
        if self._path is None:
            return
        from analyzer.writers.prometheus import Reading

        seconds, watching = time.perf_counter() - self._start, None if events is None else True
        told = None if events is None else dict(events)
        self._kept = [Reading(one, time.time(), seconds, told, watching) for one in reports]
        self._write()

    def end(self) -> None:
        """Say in the file that the watch is over."""
        if self._kept:
            self._kept = [reading._replace(watching=False) for reading in self._kept]
            self._write()

    def _write(self) -> None:
        from analyzer.core.files import write_file
        from analyzer.writers.prometheus import render

        data = render(self._kept).encode("utf-8", "backslashreplace")
        write_file(str(self._path), data, force=True, shared=True)


def _refuse(path: str) -> None:
    from analyzer.core.files import refuse_target

    refuse_target(path, force=True)
    try:
        with open(path, "rb") as file:
            head = file.read(len(_OURS))
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from error
    if head not in {b"", _OURS}:
        raise BadInputError(f"{path} was not written by --prometheus: remove it, or name another")
