"""The page of what changes: two snapshots compared."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from analyzer.changes import identity
from analyzer.changes.between import Answer, Way
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAYS: Final = {
    Way.NEW: "it was not found before: it was not there, or it was contained",
    Way.GONE: "it is not found any more: it is not there, or it is contained",
    Way.CHANGED: "it was found in both, and is another than it was: who holds it, what it means, "
    "whether it decides, or whether it could be decided at all",
    Way.KEPT: "it is as it was",
}
_ANSWERS: Final = {
    Answer.NEW: (16, "something decides that did not: a new leak, or one that was ignored"),
    Answer.UNDECIDED: (3, "something may be new, and could not be decided or read in one of them"),
    Answer.NOTHING_NEW: (0, "nothing of it"),
}


def changes_page() -> str:
    """Return docs/changes.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# What changes"
    yield md.NOTE
    yield "## Two snapshots"
    yield (
        "`cranalyze diff A B` compares two snapshots (`*.crz`), or two dumps of `/proc` "
        "(`--pid SUBJECT` says whose). It takes what decides as `check` does: `--policy`, "
        "`--profile`, `--ignore`, `--fail-on`, `--rules`. It is told as text, `--json` "
        "(`cranalyze schema diff`), `--html FILE`, and as a picture: `cranalyze plot A B --kind "
        "diff -o FILE`."
    )
    yield md.docstring(importlib.import_module("analyzer.changes.between").__doc__)
    yield md.table(("became", "means"), [(way.value, said) for way, said in _WAYS.items()])
    yield md.table(
        ("status", "exits with", "means"),
        [(answer.value, str(code), said) for answer, (code, said) in _ANSWERS.items()],
    )
    yield "## What is the same thing"
    yield md.docstring(identity.__doc__)
    yield (
        "Which of these it was is said in the second line, and is `identity` in the JSON. What "
        "differs about the readings themselves is said below that: two hosts, two boots of one "
        "(or two hosts of one name), another process, kernel, source or version of cranalyze, a "
        "clock that was set in between, snapshots that are swapped."
    )
    yield "## What grows"
    yield (
        "The descriptors of each process inside are counted by type: pipes, sockets, files, "
        "directories, and what an anonymous inode is (eventfd, inotify, ...). A process is known "
        "by its id and start; between boots, hosts or subjects all that have one name are one. "
        "What grows decides nothing."
    )
