"""The page of what changes: two snapshots compared, and a subject that is watched."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from analyzer.changes import identity, trend
from analyzer.changes.between import Answer, Way
from analyzer.changes.watching import MOST, Sort
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
_EVENTS: Final = {
    Sort.START: "the first reading, or the first of what was started again: what there is",
    Sort.NEW: "a leak or a crossing that was not there in the reading before",
    Sort.GONE: "one that is not there any more",
    Sort.CHANGED: "one that is another than it was (`--all`)",
    Sort.GROWTH: "what grows: whose descriptors, of which type, or how many processes",
    Sort.UNREAD: "a reading in which the subject could not be seen",
    Sort.ENDED: "the subject ended; it has a name, and is waited for",
    Sort.END: "the last one: why it ended; in the JSON, what the program exits with",
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
    yield "## Watching"
    yield (
        "`cranalyze watch SUBJECT...` reads what `check` takes (a pid, `podman:web`, several as "
        "one) again and again: at once, then `--every 10s`. It opens the kernel's memory once and "
        "gives up its privileges, as every command does. A line is an event; `--json` writes JSON "
        "Lines (`cranalyze schema watch`)."
    )
    yield md.table(("event", "what it is"), [(sort.value, said) for sort, said in _EVENTS.items()])
    yield (
        f"Of one sort a reading tells {MOST} one by one, and of the others how many. The last "
        "reading is kept and a few numbers of each descriptor table, so that it needs no more "
        "memory after a week than after a minute."
    )
    yield (
        "A subject that was named otherwise than by pids (`docker:web`, `unit:web.service`, "
        "`cgroup:/web`) may end and be started again: it is waited for, and what it has then is "
        "compared, by names, with what it had. A container is known again by its id, or else its "
        "runtime is asked for the name. That is after privileges were given up, when docker and "
        "crictl answer and podman does not: there only a container that is the same (`podman "
        "restart`) is found again."
    )
    yield (
        "It ends with what `--until` says (`new-leak`; `new`: a leak or a crossing that decides; "
        "`growth`; `contained`; `ended`), after `--for` a time or `-n` readings, with SIGINT or "
        "SIGTERM, and when a process that was named by its pid has ended. It exits with 5 if the "
        "subject ended and is not there again, else with 16 if anything new was seen that decides "
        "(with `--until growth`, if something grew), with 0 if not; with `--until contained` as "
        "`check` would after the last reading. For systemd that "
        "is `SuccessExitStatus=16`."
    )
    yield "### When something grows"
    yield md.docstring(trend.__doc__)
    yield (
        f"`--over N` says how many readings that are ({trend.READINGS}); it has to grow by "
        f"{trend.LEAST} at least. What a single process has more of is told of that one, what only "
        "all together have more of, of all. Growth decides nothing but for `--until growth`."
    )
