"""The page of the words that `cranalyze who` understands, from their registry."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from analyzer.lookup import sorts, words
from analyzer.lookup.value import Outcome
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Word

_OUTCOMES = {
    Outcome.HELD: "0",
    Outcome.FREE: "0",
    Outcome.UNSEEN: "3: which holders cannot be seen here, and what would show them, is said",
    Outcome.ABSENT: "1",
}


def who_page() -> str:
    """Return docs/who.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# Words of `cranalyze who`"
    yield md.NOTE
    yield (
        "`cranalyze who WORD...`, as root, tells who still holds a thing, on the whole machine."
        " The first line is the answer. Below it is each object that was meant, with who holds "
        "it and how, and whose a namespace on the way is; what holds it without being open; "
        "and, last, what would release it (`next:`), as text: nothing is ever run. A word that "
        "means several things is answered for all of them."
    )
    rows = [(outcome.value, code) for outcome, code in _OUTCOMES.items()]
    yield md.table(("outcome", "exit code"), [*rows, ("the word was not understood", "2")])
    yield (
        "Many words are read from stdin (`-`): one a line, or each ended by a NUL (`find -print0`)."
        " A path may be written as cranalyze prints it, with escapes. Of an error message, as it is"
        " and in quotes, all that it names is asked for (`who 'umount: /mnt: target is busy.'`);"
        " of one that complains of a limit it is said which list tells who uses that up."
    )
    yield (
        "`--from FILE` asks a snapshot, and `--proc DUMP` a dump of /proc, instead of this machine."
        " They know what was open, mapped and mounted, and not what was held otherwise; one of a "
        "subtree knows nothing else. What they cannot know is said, with exit code 3 where the "
        "answer depends on it. `collect --scope host`, as root, keeps the most."
    )
    for word in words.words().values():
        yield from _of(word)
    yield from _lists()


def _lists() -> Iterator[str]:
    yield "## Lists: `--kind`, `--deleted`"
    yield (
        "`cranalyze who --kind KIND` lists all things of one kind, or type of open file, on the "
        "whole machine: who holds how many (by process, by user, by unit or container), each thing "
        "with its holders, worst first, and the limits beside them: which limit it is, and who "
        "uses it up. `-o COLS` makes a table (`-H` lists the columns, every fact is one), `-Q EXPR`"
        " chooses, `-n` leaves out the headings, `--json` has all of it."
    )
    yield (
        "`cranalyze who --deleted` lists the files whose name is gone and which take up space "
        "still, by size, with who must close what; `--larger 10M` only those from a size."
    )
    words: dict[sorts.Sort, list[str]] = {}
    for name, sort in sorts.sorts().items():
        words.setdefault(sort, []).append(name)
    rows = [
        (", ".join(f"`{name}`" for name in names), md.cell(sort.plural), sort.unit,
         md.cell(", ".join(sort.limits)))
        for sort, names in words.items()
    ]  # fmt: skip
    yield md.table(("KIND", "what is listed", "summed up", "limits beside it"), rows)
    yield (
        "Limits: `files` are fs.file-max and RLIMIT_NOFILE of the processes that hold such things;"
        " `pids` kernel.pid_max (since 6.14 of each pid namespace), threads-max, pids.max of the "
        "cgroups and RLIMIT_NPROC; `namespaces` user.max_*_namespaces of each user, in each user "
        "namespace that they are charged to, as inotify's and fanotify's are; `ipc-*` those of "
        "each IPC namespace; `keys` the quotas of each user, as `pipes` are of the pages that "
        "pipes have. The first is the nearest to be used up. What is counted per user or "
        "namespace is read from the kernel's memory."
    )


def _of(word: Word) -> Iterator[str]:
    yield f"## {word.title}"
    module = inspect.getmodule(word.parse or word.of_path)
    about = inspect.getdoc(module) or ""
    yield md.docstring(about.partition("\n\n")[2])
    rows = [(f"`{form.written}`", md.cell(form.meaning)) for form in word.forms]
    yield md.table(("word", "what it stands for"), rows)
