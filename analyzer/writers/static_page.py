"""A page of tables: whole and static, with no script, and its policy allows only its own styles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.report.wording import number
from analyzer.writers import svg
from analyzer.writers.page import asset, static_policy
from analyzer.writers.page_parts import text

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST: Final = 1_000  # rows of a table
_STYLE: Final = (
    ".diff thead th:nth-child(n){text-align:left}.diff.numbered thead th:nth-child(n+3){"
    "text-align:right}.diff.numbered tbody td:nth-child(n+3){text-align:right;"
    "font-variant-numeric:tabular-nums}.diff.numbered{max-width:60rem}"
)


def whole(title: str, body: str, more: str = "") -> str:
    """Return the page as HTML, valid UTF-8; `more` are styles of its own."""
    style = svg.colours() + asset("page.css") + _STYLE + more
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{static_policy(style)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n{svg.sprite()}\n{body}\n</body>\n</html>\n"
    )


def pane(
    name: str,
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    look: str = "diff",
) -> str:
    """Return a section that is a table; what is in `rows` is HTML, all else text."""
    head = "".join(f'<th scope="col">{text(word)}' for word in heads)
    shown = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows[:_MOST])
    rest = len(rows) - _MOST
    more = f"<p>and {number(rest)} more; <code>--json</code> has all.</p>" if rest > 0 else ""
    return (
        f'<section class="pane" aria-labelledby="{name}"><div class="bar"><h2 id="{name}">'
        f'{text(title)}</h2></div><div class="wide"><table class="{look}"><thead><tr>{head}</tr>'
        f"</thead><tbody>{shown}</tbody></table></div>{more}</section>"
    )
