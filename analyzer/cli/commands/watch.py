"""cranalyze watch: check a subject again and again, and tell what becomes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from analyzer.cli import EndedError
from analyzer.cli import options as opt
from analyzer.cli.arguments import obey_policy, seconds
from analyzer.cli.numbers import Numbers
from analyzer.cli.output import coloured, emit, note, speak_utf8
from analyzer.cli.parameters import Exit, Option
from analyzer.cli.selection import WHOLE
from analyzer.cli.target import Target
from analyzer.cli.work import Asked, Form
from analyzer.core.errors import (
    EXIT_LEAK,
    EXIT_OK,
    EXIT_UNDECIDED,
    EXIT_VANISHED,
    BadInputError,
    TargetVanishedError,
    UnseenError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from analyzer.changes.watching import Event, Watch
    from analyzer.cli.readings import Reader

    Say = Callable[[Event, int | None], None]

EXAMPLES: Final = (
    "sudo cranalyze watch 4711",
    "sudo cranalyze watch podman:web --every 1m --for 1d --json",
    "sudo cranalyze watch 4711 --until new-leak --for 10m",
    "sudo cranalyze watch 4711 --until contained --every 1s",
    "sudo cranalyze watch unit:web.service --every 1m --prometheus cranalyze.prom",
)


class Until(StrEnum):
    """What a watch may end with, besides its time and its target."""

    NEW_LEAK = "new-leak"
    NEW = "new"
    GROWTH = "growth"
    CONTAINED = "contained"
    ENDED = "ended"


Every = Annotated[str, Option("--every", metavar="TIME", help="How often: 500ms, 10s, 1m.")]
For = Annotated[str | None, Option("--for", metavar="TIME", help="How long: 90s, 10m, 1h, 2d.")]
Readings = Annotated[
    int | None,
    Option("-n", "--readings", metavar="N", min=1, help="How many readings, and no more."),
]
Over = Annotated[
    int,
    Option("--over", metavar="N", min=3, max=1000, help="Over how many readings growth is told."),
]
EndsWith = Annotated[
    Until | None,
    Option("--until", help="End with a new leak, anything new, growth; once contained, or ended."),
]
Everything = Annotated[bool, Option("--all", help="Tell what only changed, too.")]
JsonLines = Annotated[bool, Option("--json", help="Write JSON Lines, an event a line.")]


def run(  # noqa: PLR0913 - an option each
    subject: opt.Subjects = None,
    *,
    every: Every = "10s",
    until: EndsWith = None,
    long: For = None,
    readings: Readings = None,
    over: Over = 5,
    everything: Everything = False,
    json: JsonLines = False,
    quiet: opt.Quiet = False,
    rules: opt.Rules = opt.RuleSet.MODERN,
    source: opt.From = opt.Source.AUTO,
    members: opt.Members = opt.Membership.DESCENT,
    subtree: opt.Subtree = False,
    strict: opt.Strict = False,
    fail_on: opt.FailOn = None,
    ignore: opt.Ignore = None,
    references_only: opt.ReferencesOnly = False,
    accept: opt.Accept = opt.Accepted.PROVEN,
    profile: opt.ProfileName = "auto",
    policy: opt.Policy = None,
    prometheus: opt.Prometheus = None,
    config: opt.Config = None,
) -> None:
    """Check a subject again and again, and tell what becomes of it.

    A line an event: what is new, gone, and grows. A subject with a name is waited for when it ends.
    Exits with 16 if something new decides, 5 if the subject ended, else 0; with --until growth 16
    for that, with --until contained as check does. SIGINT and SIGTERM end it as its time does.
    """
    import gc

    from analyzer import sources
    from analyzer.changes.trend import Trends
    from analyzer.changes.watching import Event, Sort, Watch
    from analyzer.cli.readings import Reader, now, ticks
    from analyzer.core import settings
    from analyzer.sources.request import Request

    if not subject:
        raise BadInputError("name what to watch: a pid, a container, a unit (docs/subjects.md)")
    numbers = Numbers(prometheus)
    pause = seconds(every, "--every")
    span = None if long is None else seconds(long, "--for")
    target = Target.parse(subject, members=members.value)
    obey_policy(settings.load(config), subtree=subtree, live=True)
    wanted = Asked(Form.TEXT, None, WHOLE, everything=False, force=False)
    chosen = wanted.options(
        "watch", fail_on, ignore,
        subtree=subtree, gate=True, strict=strict, references_only=references_only,
        accept=accept,
        profile=profile, policy=policy,
    )  # fmt: skip
    gc.enable()  # it is no short run
    watch = Watch(Trends(over), everything=everything)
    say = _teller(json=json, quiet=quiet)
    related = () if references_only else None
    request = target.requested(Request(target.pid, label=target.label, related=related))
    try:
        with sources.opened(source.value) as (memory, refused):
            if refused:
                note(f"cranalyze: privileges could not be given up: {refused}")
            again = target.again if target.lasting else None
            reader = Reader(request, rules.value, source.value, chosen, memory, again)
            turns = ticks(pause, span, readings)
            reason = _watched(watch, reader, turns, until, say, numbers)
    except TargetVanishedError as error:
        if not watch.readings:
            raise
        reason = str(error)
        code = error.exit_code
    except (KeyboardInterrupt, EndedError) as ended:
        reason = str(ended) or "SIGINT"
        code = _exit_code(watch, until)
    else:
        code = _exit_code(watch, until)
    say(Event(Sort.END, watch.readings, now(), reason), code)
    numbers.end()
    raise Exit(code)


def _watched(
    watch: Watch,
    reader: Reader,
    turns: Iterable[None],
    until: Until | None,
    say: Say,
    numbers: Numbers,
) -> str:
    """Watch until it is to end, and return why it did."""
    from analyzer.changes.watching import Event, Sort
    from analyzer.cli.readings import now

    for _ in turns:
        numbers.begin()
        try:
            report = reader.read()
            events = watch.see(report)
            numbers.keep([report], watch.counts)
        except UnseenError as error:
            events = [Event(Sort.UNREAD, watch.readings, now(), str(error))]
        except TargetVanishedError as error:
            if not reader.lose() or not watch.readings:
                raise
            events = watch.lose(now(), str(error))
        for event in events:
            say(event, None)
        if until is not None and _MET[until](watch):
            return f"--until {until.value}"
    return "all is read that was asked for"


def _exit_code(watch: Watch, until: Until | None) -> int:
    if watch.lost:
        return EXIT_VANISHED
    if until is Until.CONTAINED:
        return EXIT_UNDECIDED if watch.last is None else watch.last.exit_code
    grew = until is Until.GROWTH and watch.grew
    return EXIT_LEAK if grew or watch.new_leaks or watch.new_crossings else EXIT_OK


_MET: Final[Mapping[Until, Callable[[Watch], object]]] = {
    Until.NEW_LEAK: lambda watch: watch.new_leaks,
    Until.NEW: lambda watch: watch.new_leaks or watch.new_crossings,
    Until.GROWTH: lambda watch: watch.grew,
    Until.CONTAINED: lambda watch: watch.contained,
    Until.ENDED: lambda watch: watch.lost,
}


def _teller(*, json: bool, quiet: bool) -> Say:
    """Return what writes an event, and with the last one what the program exits with."""
    from analyzer.writers import terminal, watch, watch_json

    colour = coloured()
    if json:
        speak_utf8()

    def say(event: Event, code: int | None) -> None:
        if json:
            emit(watch_json.line(event, code))
        elif not quiet:
            emit(terminal.to_text([watch.line(event)], colour=colour))

    return say
