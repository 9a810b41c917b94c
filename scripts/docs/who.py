"""The page of the words that `cranalyze who` understands, from their registry."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from analyzer.lookup import words
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
    for word in words.words().values():
        yield from _of(word)


def _of(word: Word) -> Iterator[str]:
    yield f"## {word.title}"
    module = inspect.getmodule(word.parse or word.of_path)
    about = inspect.getdoc(module) or ""
    yield md.docstring(about.partition("\n\n")[2])
    rows = [(f"`{form.written}`", md.cell(form.meaning)) for form in word.forms]
    yield md.table(("word", "what it stands for"), rows)
