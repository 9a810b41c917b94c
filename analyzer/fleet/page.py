"""The page of a fleet: its troubles, on which hosts and days they were, and who is unlike.

The two pictures are tables too: hosts by signatures, and signatures by days, in which a cell is the
darker the more hosts it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Status, Verdict
from analyzer.fleet import told
from analyzer.report.wording import few, number
from analyzer.writers import static_page
from analyzer.writers.page_parts import made, text, verdict_mark

if TYPE_CHECKING:
    from analyzer.fleet.summary import Fleet, Trouble

_MOST: Final = 40  # signatures and days of a picture
_SHADES: Final = 4
_MARKS: Final = {
    Status.LEAKS: Verdict.USAGE_LEAK,
    Status.UNDECIDED: Verdict.UNKNOWN,
    Status.CONTAINED: Verdict.CONTAINED,
}
_STYLE: Final = (
    ".map{width:auto}.map td:nth-child(n+2),.map th:nth-child(n+2){padding:.15rem .35rem}"
    + "".join(
        f".s{shade}{{background:color-mix(in srgb,var(--accent) {shade * 12}%,transparent)}}"
        for shade in range(_SHADES + 1)
    )
)


def render(fleet: Fleet, *, everything: bool = False) -> str:
    """Return the page as HTML, valid UTF-8."""
    troubles = [one for one in fleet.troubles if one.gates or everything]
    answer = told.headline(fleet)
    head = (
        '<header class="top"><p class="brand">cranalyze <span>fleet</span></p>'
        f"<h1>{verdict_mark(_MARKS.get(fleet.status, Verdict.UNKNOWN))}{text(answer)}</h1>"
        f'<p class="next">{text(told.about(fleet))}</p></header>'
    )
    panes = (
        _pane("signatures", "Signatures", _HEADS, [_row(n, one) for n, one in _counted(troubles)]),
        _by_host(fleet, troubles),
        _by_day(troubles),
        _pane("unlike", "Unlike the others", ("host", "has", "lacks"), [
            [text(one.host), *(text(few([told.called(t) for t in some]))
                               for some in (one.has, one.lacks))]
            for one in fleet.unlike
        ]),
        _pane("unread", "Could not be read", ("snapshot", "why"),
              [[text(url), text(why)] for url, why in fleet.unread]),
    )  # fmt: skip
    body = f"{head}<main>{''.join(panes)}</main><footer><p>{made()}</p></footer>"
    return static_page.whole(answer, body, _STYLE)


_HEADS: Final = ("no.", "what", "means", "outside", "hosts", "first seen", "last seen", "times")


def _pane(
    name: str, title: str, heads: tuple[str, ...], rows: list[list[str]], look: str = "diff"
) -> str:
    return static_page.pane(name, title, heads, rows, look) if rows else ""


def _counted(troubles: list[Trouble]) -> list[tuple[int, Trouble]]:
    return list(enumerate(troubles, 1))


def _row(at: int, one: Trouble) -> list[str]:
    days = [f"{when:%Y-%m-%d}" for when in (one.first, one.last)]
    hosts = f"{number(len(one.hosts))}: {few(one.hosts)}"
    words = (told.called(one), one.impact, one.holders, hosts, *days, number(one.times))
    return [str(at), *map(text, words)]


def _by_host(fleet: Fleet, troubles: list[Trouble]) -> str:
    shown = _counted(troubles)[:_MOST]
    rows = [
        [text(host), *(_cell(1, 1) if host in one.hosts else "" for _, one in shown)]
        for host in fleet.hosts
    ]
    heads = ("host", *(str(at) for at, _ in shown))
    return _pane("hosts", "Hosts by signature", heads, rows if shown else [], "diff map")


def _by_day(troubles: list[Trouble]) -> str:
    shown = _counted(troubles)[:_MOST]
    days = sorted({day for _, one in shown for day in one.days})[-_MOST:]
    most = max((count for _, one in shown for count in one.days.values()), default=1)
    rows = [
        [f"{at}", text(told.called(one)), *(_cell(one.days.get(day, 0), most) for day in days)]
        for at, one in shown
    ]
    heads = ("no.", "hosts that have it", *days)
    return _pane("days", "Signatures over time", heads, rows, "diff map")


def _cell(count: int, most: int) -> str:
    """Return how many, in a shade; nothing for none."""
    shade = -(-count * _SHADES // most)
    return f'<span class="s{shade}">&nbsp;{number(count)}&nbsp;</span>' if count else ""
