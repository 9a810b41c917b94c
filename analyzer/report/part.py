"""A part of a report: only some of what it found; its answer and its numbers stay those of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.core.values import replace

if TYPE_CHECKING:
    from collections.abc import Collection

    from analyzer.report.crossed import Crossed
    from analyzer.report.value import Finding, Report


def with_objects(report: Report, objrefs: Collection[int]) -> Report:
    """Return a report with only these of its objects."""
    groups = [
        replace(group, objects=tuple(e for e in group.objects if e.objref in objrefs))
        for group in report.groups
    ]
    return replace(
        report,
        objects=tuple(entry for entry in report.objects if entry.objref in objrefs),
        groups=tuple(group for group in groups if group.objects),
    )


def part(
    report: Report,
    objrefs: Collection[int],
    crossings: Collection[Crossed],
    findings: Collection[Finding],
) -> Report:
    """Return a report with only these of its objects, crossings and findings."""
    return replace(
        with_objects(report, objrefs), crossings=tuple(crossings), findings=tuple(findings)
    )
