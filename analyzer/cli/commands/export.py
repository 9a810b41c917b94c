"""cranalyze export: the tables of snapshots, and their verdicts, for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.cli import options as opt
from analyzer.cli.arguments import newest_snapshot
from analyzer.cli.desk import Desk, to_tree
from analyzer.cli.output import emit, note
from analyzer.cli.target import Target
from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.report.value import Report
    from analyzer.snapshot.value import Snapshot
    from analyzer.writers.export import Form

EXAMPLES: Final = (
    "cranalyze export --parquet fleet",
    "cranalyze export *.crz --parquet fleet",
    "cranalyze export host.crz --pid 4711 --csv tables",
)


def run(
    files: opt.SnapshotFiles = None,
    *,
    parquet: opt.ParquetFolder = None,
    csv: opt.CsvFolder = None,
    pid: opt.OtherPid = None,
    rules: opt.Rules = opt.RuleSet.MODERN,
    force: opt.Force = False,
) -> None:
    """Write the tables of snapshots, and verdicts, for other tools.

    Into DIR/TABLE/date=YYYY-MM-DD/host=NAME/, which DuckDB, Spark and pandas read as they are;
    prints the files written. All snapshots are written or, when one cannot be, none.
    """
    from analyzer.core import extras
    from analyzer.core.files import printable_path
    from analyzer.writers.export import Form

    extras.need("export", "pyarrow")
    if bool(parquet) == bool(csv):
        raise BadInputError("say --parquet DIR or --csv DIR, one of them")
    target = Target.parse(pid, of_dump=True)
    form = Form.PARQUET if parquet else Form.CSV
    names = list(dict.fromkeys(files or [newest_snapshot()]))
    with Desk(names, to_tree(str(parquet or csv), force=force)) as desk:
        paths = desk.deliver(_files(desk, names, form, target, rules.value))
    emit("".join(f"{printable_path(path)}\n" for path in paths))


def _files(
    desk: Desk, names: Sequence[str], form: Form, target: Target, rules: str
) -> Iterator[tuple[str, bytes]]:
    from analyzer.writers import export as writer

    for name in names:
        snapshot = desk.load(name)
        report = _report(snapshot, target, rules)
        if report is None:
            note(f"cranalyze: {name} is of a whole host: no verdicts without --pid N")
        yield from writer.files(snapshot, report, form)


def _report(snapshot: Snapshot, target: Target, rules: str) -> Report | None:
    from analyzer.check.leaks import check as judge
    from analyzer.core.model import Rules
    from analyzer.report.make import make
    from analyzer.report.value import ReportOptions

    if target.unnamed and snapshot.meta["subject"]["pid"] is None:
        return None
    snapshot = target.of(snapshot)
    return make(snapshot, judge(snapshot, rules=Rules(rules)), ReportOptions("export", brief=True))
