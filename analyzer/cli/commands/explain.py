"""cranalyze explain: what a word of a report means, why it matters, what closes it."""

from __future__ import annotations

from typing import Annotated, Final

from analyzer.cli import completion
from analyzer.cli import options as opt
from analyzer.cli.output import columns, emit
from analyzer.cli.parameters import Argument, Option

EXAMPLES: Final = (
    "cranalyze explain bind-mount",
    "cranalyze explain NET_NS",
    "cranalyze explain usage_leak",
    "cranalyze explain 2335 --from web.crz",
)

Word = Annotated[
    str,
    Argument(
        metavar="WORD",
        help="A kind, a relation, an impact, a verdict, a fact, a profile, a CRIU rule; "
        "the number of an object, or the id of a finding, of a report.",
        autocompletion=completion.words,
    ),
]


File = Annotated[
    str | None,
    Option(
        "--from",
        metavar="FILE",
        help="The snapshot that a number or an id is of.  [default: the newest *.crz here]",
        autocompletion=completion.snapshots,
    ),
]


def run(word: Word, *, file: File = None, pid: opt.OtherPid = None) -> None:
    """Say what a word of a report means.

    What it is, why it matters, and what closes it; of an object or a finding also whose it is.
    """
    from analyzer.core.text import wrap
    from analyzer.lookup import explain
    from analyzer.lookup.explained import is_thing

    text = _thing(word, file, pid) if is_thing(word) else explain.explained(word)
    lines: list[str] = []
    for block in text.split("\n\n"):
        one = " ".join(block.split())
        lines += [*wrap(one, columns(80)), ""]
    emit("\n".join(lines))


def _thing(word: str, file: str | None, pid: str | None) -> str:
    from analyzer.cli.arguments import newest_snapshot
    from analyzer.cli.desk import Desk
    from analyzer.cli.target import Target
    from analyzer.cli.work import whole_report
    from analyzer.core import extras
    from analyzer.lookup.explained import explained_thing

    extras.need("explain", "pyarrow")
    name = file or newest_snapshot()
    with Desk([name]) as desk:
        report = whole_report(desk, name, Target.parse(pid, of_dump=True))
        return explained_thing(word, report)
