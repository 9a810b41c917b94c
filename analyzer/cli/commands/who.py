"""cranalyze who: every holder of an object, on the whole machine."""

from __future__ import annotations

from typing import Final

from analyzer.cli import options as opt
from analyzer.cli import things
from analyzer.cli.arguments import words_of
from analyzer.cli.desk import Desk
from analyzer.cli.output import Progress, coloured, columns, emit, note
from analyzer.cli.parameters import Exit
from analyzer.cli.work import kept, strangers

EXAMPLES: Final = (
    "sudo cranalyze who 4711:3",
    "sudo cranalyze who 'net:[4026532178]' /run/netns/blue",
    "sudo cranalyze who /dev/sdb1 tcp:8080 cgroup:/app",
    "sudo cranalyze who /var/log/app.log --json",
    "sudo cranalyze who - < words.txt",
    "cranalyze who --from host.crz 4711:3",
    "sudo cranalyze who --kind inotify",
    "sudo cranalyze who --deleted --larger 10M",
)


def run(  # noqa: PLR0913 - an option each
    what: opt.What = None,
    *,
    kind: opt.OfKind = None,
    deleted: opt.Deleted = False,
    larger: opt.Larger = None,
    columns_: opt.ThingColumns = None,
    noheadings: opt.NoHeadings = False,
    list_columns: opt.ColumnsOfThings = False,
    filter_: opt.FilterThings = None,
    json: opt.AsJson = False,
    from_: opt.FromFile = None,
    proc: opt.ProcRoot = None,
) -> None:
    """Tell who still holds an object, on the whole machine.

    Name it as you see it: a path, PID:FD, net:[N], pipe:[N], tcp:PORT, a block device, a network
    interface, a cgroup: docs/who.md has all words; or the error message, in quotes. Exits with 1 if
    there is no such object, 0 if it is there, held or not, 3 if none was found but not all could be
    read, or seen here, 2 for what is no word.

    With --kind or --deleted instead: all such things of the machine, who holds how many, worst
    first, and how near the limits are.
    """
    del list_columns
    if things.asked(kind, larger, columns_, filter_, deleted=deleted, named=bool(what)):
        wish = things.Wish(columns_, filter_, noheadings=noheadings, json=json)
        things.tell(kind, larger, wish, from_, proc)
        return
    from analyzer.core.errors import EXIT_USAGE, BadInputError
    from analyzer.lookup import who as asking
    from analyzer.lookup.ask import machine
    from analyzer.lookup.recorded import headed
    from analyzer.report.make import gaps_of
    from analyzer.writers import who as writer

    asked = words_of(what or ())
    inputs = strangers(proc, from_)
    with Desk(inputs, foreign=bool(inputs)) as desk:
        with Progress(quiet=json) as progress:
            snapshot = kept(desk, from_, proc, progress)
            queries, errors = asking.understood(asked, recorded=snapshot is not None)
            if not queries:
                raise BadInputError(errors[0])
            if snapshot is None:
                snapshot = machine(queries, progress, drop_privileges=True)
        answers = asking.answers(snapshot, queries)
    gaps = gaps_of(snapshot)
    code = EXIT_USAGE if errors else asking.exit_code(answers)
    for error in errors:
        note(f"cranalyze: {error}")
    if json:
        emit(writer.to_json(answers, gaps, code, snapshot, errors))
    else:
        emit(writer.to_text(answers, gaps, columns(), colour=coloured(), about=headed(snapshot)))
    raise Exit(code)
