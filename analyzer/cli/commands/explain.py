"""cranalyze explain: what a word of a report means, why it matters, what closes it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from analyzer.cli import completion
from analyzer.cli.output import columns, emit

EXAMPLES: Final = (
    "cranalyze explain bind-mount",
    "cranalyze explain NET_NS",
    "cranalyze explain usage_leak",
)

Word = Annotated[
    str,
    typer.Argument(
        metavar="WORD",
        help="A kind, a relation, an impact, a verdict, a fact, a profile, a CRIU rule.",
        autocompletion=completion.words,
    ),
]


def run(word: Word) -> None:
    """Say what a word of a report means.

    What it is, why it matters, and what closes it.
    """
    from analyzer.core.text import wrap
    from analyzer.lookup import explain

    lines: list[str] = []
    for block in explain.explained(word).split("\n\n"):
        one = " ".join(block.split())
        lines += [*wrap(one, columns(80)), ""]
    emit("\n".join(lines))
