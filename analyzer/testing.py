"""For tests of one's own: that a process, or a container, is contained.

    from analyzer.testing import assert_contained

    def test_the_container_is_on_its_own(container):
        assert_contained(container.pid, policy="cranalyze-policy.toml")

It takes what `cranalyze check` takes, and what that takes: root, for the kernel's own counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from analyzer.core.model import SourceName
    from analyzer.report.value import Report


def assert_contained(
    *subjects: int | str,
    policy: str | os.PathLike[str] | None = None,
    profile: str = "auto",
    members: str = "descent",
    source: SourceName = "auto",
    undecided: bool = False,
) -> Report:
    """Check the subjects as one, and return the report; AssertionError, with it, for a leak.

    A subject is a process id or a selector ("podman:web"). What could not be decided is an error
    too, unless `undecided` is allowed. `policy` is a file of what is known (docs/policy.md).
    Raises BadInputError, NotPermittedError, TargetVanishedError as `analyzer.collect`.
    """
    import os

    from analyzer import sources
    from analyzer.check.leaks import check
    from analyzer.cli.target import Target
    from analyzer.core.model import Status
    from analyzer.report import policy as rules
    from analyzer.report.make import make
    from analyzer.report.profiles import RECOGNISED, named
    from analyzer.report.value import ReportOptions
    from analyzer.sources.request import Request
    from analyzer.writers import terminal

    known = () if policy is None else rules.load(os.fspath(policy))
    runtime = profile if profile == RECOGNISED else named(profile).name
    target = Target.parse([str(one) for one in subjects], members=members)
    if target.unnamed:
        raise TypeError("assert_contained() needs a subject")
    request = target.requested(Request(target.pid, label=target.label))
    snapshot = sources.collect(request, source=source)
    options = ReportOptions("check", gate=True, profile=runtime, policy=known)
    report = make(snapshot, check(snapshot), options)
    fine = {Status.CONTAINED, *([Status.UNDECIDED] if undecided else [])}
    if report.status not in fine:
        raise AssertionError("\n" + terminal.to_text(terminal.render(report, 100)))
    return report
