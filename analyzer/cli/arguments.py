"""What the arguments mean: lists of kinds, default file names."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Final

from analyzer.cli.output import note, note_at_the_end
from analyzer.core import program
from analyzer.core.errors import BadInputError, NotPermittedError, no_such
from analyzer.core.pattern import pattern
from analyzer.core.values import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.core.settings import Settings
    from analyzer.report.value import ReportOptions
    from analyzer.snapshot.value import Snapshot


def parse_kinds(text: str | None, option: str) -> frozenset[str]:
    """Return the kinds of a comma list; BadInputError for one that is not there."""
    from analyzer.kinds import registry
    from analyzer.report.value import CONTAINER_INIT

    known = sorted({*registry(), CONTAINER_INIT})
    return _words(text, known, f"{option}: no kind", f"{option} needs a kind, such as FILE")


def parse_words(text: str | None, option: str) -> frozenset[str]:
    """Return the kinds, impacts and relations of a comma list; BadInputError as above."""
    from analyzer.core.model import Impact
    from analyzer.kinds import registry
    from analyzer.relations import relations
    from analyzer.report.value import CONTAINER_INIT

    known = [
        *(impact.word for impact in Impact),
        *sorted(relations()),
        *sorted({*registry(), CONTAINER_INIT}),
    ]
    needs = f"{option} needs a kind, an impact or a relation, such as FILE or shared-state"
    return _words(text, known, f"{option}: no kind, impact or relation", needs)


def _words(text: str | None, known: Sequence[str], unknown: str, needs: str) -> frozenset[str]:
    folded: dict[str, list[str]] = {}
    for name in known:  # a relation may be called as a kind is
        folded.setdefault(name.casefold(), []).append(name)
    named = [word.strip() for word in (text or "").split(",") if word.strip()]
    if text is not None and not named:
        raise BadInputError(needs)
    for word in named:
        if word.casefold() not in folded:
            raise no_such(unknown, word, known)
    return frozenset(name for word in named for name in folded[word.casefold()])


_TIME: Final = pattern(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d|)")
_UNITS: Final = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LONGEST: Final = 366 * 86_400.0


def seconds(text: str, option: str) -> float:
    """Return a time that was written as 500ms, 10s, 1.5h, 2d or 10; BadInputError for none."""
    found = _TIME.fullmatch(text.strip())
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < value <= _LONGEST:
        raise BadInputError(f"{option} {text}: no time; write 500ms, 10s, 1m, 1h, at most a year")
    return value


def split_output(
    short: Sequence[str], columns: str | None, file: str | None
) -> tuple[str | None, str | None]:
    """Return (columns, file) of what `-o` was given, and of `--columns` and `--output`.

    What `-o` is given are columns, unless it is clearly a file's name: with a dot or a slash in it,
    or ``-``. BadInputError when either is said twice.
    """
    given = [(columns, "columns"), (file, "a file")]
    given += [(word, "a file" if is_file(word) else "columns") for word in short]
    said: dict[str, str] = {}
    for value, what in given:
        if value is None:
            continue
        if not value and what == "a file":
            raise BadInputError("--output is empty: name the file to write")
        if what in said:
            raise BadInputError(f"{what} to write: {said[what]} and {value}, say one")
        said[what] = value
    return said.get("columns"), said.get("a file")


def is_file(word: str) -> bool:
    """Return whether what `-o` was given can only be a file."""
    from analyzer.report.columns import by_name

    named = any(part.strip().upper() in by_name() for part in word.removeprefix("+").split(","))
    return word == "-" or (not named and any(mark in word for mark in "./"))


def words_of(given: Sequence[str]) -> list[str]:
    """Return the words of a command line, with those of stdin in the place of a ``-``.

    They are lines there, or what NULs end, if there is one (``find -print0``). BadInputError where
    there are none, or stdin cannot be read.
    """
    words: list[str] = []
    for word in given:
        words += _from_stdin() if word == "-" else [word]
    if not words:
        raise BadInputError("no words on stdin: one a line, or each ended by a NUL")
    return words


def _from_stdin() -> list[str]:
    try:
        data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    except (OSError, ValueError) as error:
        raise BadInputError(f"stdin cannot be read: {error}") from error
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines if line]


def newest_snapshot() -> str:
    """Return the newest ``*.crz`` of the current folder, and say which that is.

    BadInputError when there is none.
    """
    import glob

    found = [path for path in glob.glob("*.crz") if os.path.isfile(path)]
    if not found:
        raise BadInputError(
            "no *.crz here: name a snapshot, or make one with cranalyze collect PID"
        )
    newest = max(found, key=lambda path: (os.stat(path).st_mtime_ns, path))
    note_at_the_end(f"cranalyze: {newest} is the newest *.crz here")
    return newest


def default_name(snapshot: Snapshot) -> str:
    """Return HOST-PID-TIME.crz, or HOST-PID-TIME-2.crz and so on where that is there already."""
    pid = snapshot.meta["subject"]["pid"]
    host = re.sub(r"[^A-Za-z0-9._]+", "-", snapshot.meta["host"]).strip("-.") or "host"
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{host[:64]}-{'host' if pid is None else pid}-{at}"
    more = next(more for more in count(1) if not os.path.lexists(_numbered(name, more)))
    return _numbered(name, more)


def _numbered(name: str, more: int) -> str:
    return f"{name}.crz" if more == 1 else f"{name}-{more}.crz"


def obey_policy(settings: Settings, *, subtree: bool, live: bool) -> None:
    """Raise NotPermittedError where the settings do not allow this check (see `settings`)."""
    if settings.ignored:
        note(f"cranalyze: {settings.ignored}")
    if settings.subtree_allowed:
        return
    if subtree:
        raise NotPermittedError("--subtree is not allowed here: [policy] subtree_allowed is false")
    from analyzer.memory import capability

    if live and not capability.effective() >> capability.NUMBERS["CAP_SYS_ADMIN"] & 1:
        raise NotPermittedError(
            f"[policy] subtree_allowed is false, so a check needs CAP_SYS_ADMIN: {program.remedy()}"
        )


def for_tool(chosen: ReportOptions, form: str, *, all_containers: bool = False) -> ReportOptions:
    """Return what is asked for, for CRIU too; BadInputError where that cannot be told."""
    if all_containers or form == "tree":
        raise BadInputError("--for criu is of one subject, and told in every form but --tree")
    if chosen.references_only:
        raise BadInputError("--for criu looks at what crosses: leave --references-only out")
    return replace(chosen, tool="criu")
