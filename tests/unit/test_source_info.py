"""What a source can tell decides what is said: empty a capability, and something else is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import analyzer
from analyzer.check.objhash import find_ref_leaks
from analyzer.core.model import Basis, Rules, Status, Verdict
from analyzer.doctor import Capability
from analyzer.snapshot.source import KERNEL, PROCFS, REPLAY, SourceInfo, source_of
from analyzer.writers import doctor, page_parts, terminal
from tests.build import Machine

if TYPE_CHECKING:
    from analyzer.report.value import Report


def machine() -> Machine:
    made = Machine()
    made.task(77, 1, comm="shell")
    made.task(100, 77, comm="app", nspid=1)
    inside = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    outside = made.object("FILE_TABLE", 1, holders=[(77, "files")])
    made.object("FILE", 1, name="/own", holders=[(inside, "fd", 3)])
    made.object("FILE", 2, name="/shared", holders=[(inside, "fd", 4), (outside, "fd", 3)])
    return made


def reported(source: SourceInfo) -> Report:
    return analyzer.check(machine().snapshot(100, source=source.meta()), everything=True)


def files(report: Report) -> dict[str | None, tuple[Verdict, Basis]]:
    return {e.name: (e.verdict, e.basis) for e in report.objects if e.kind == "FILE"}


def test_without_refcounts_nothing_is_proven_whatever_the_table_says() -> None:
    proven, seen = reported(KERNEL), reported(KERNEL.able(refcounts=False))
    assert files(proven) == {
        "/own": (Verdict.CONTAINED, Basis.PROVEN),
        "/shared": (Verdict.USAGE_LEAK, Basis.PROVEN),
    }
    assert files(seen) == {
        "/own": (Verdict.UNKNOWN, Basis.WITNESSED),
        "/shared": (Verdict.USAGE_LEAK, Basis.WITNESSED),
    }
    assert {entry.refcount for entry in seen.objects} == {None}
    snapshot = machine().snapshot(100, source=KERNEL.able(refcounts=False).meta())
    judged = find_ref_leaks(snapshot, 100, Rules.MODERN)
    assert {j.verdict for j in judged.values()} == {Verdict.UNKNOWN, Verdict.USAGE_LEAK}


def test_all_words_of_a_source_follow() -> None:
    proven, seen = reported(KERNEL), reported(KERNEL.able(refcounts=False))
    assert "without reference counts" not in page_parts.facts(proven)
    assert "without reference counts" in page_parts.facts(seen)
    assert proven.notes == ()
    assert "the kernel's memory has no reference counts" in seen.notes[0]


@pytest.mark.parametrize("name", ["refcounts", "identity", "nsproxy"])
@pytest.mark.parametrize("source", [KERNEL, PROCFS, REPLAY], ids=lambda source: source.name)
def test_each_capability_says_its_own(source: SourceInfo, name: str) -> None:
    able, unable = (source.able(**{name: value}) for value in (True, False))
    (more,) = {*reported(unable).notes} - {*reported(able).notes}
    assert more in unable.unseen
    assert source_of(machine().snapshot(100, source=unable.meta())).capabilities[name] is False


def test_what_a_file_notes_already_is_said_once() -> None:
    notes = reported(PROCFS).notes
    assert len(notes) == len({*notes}) == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (KERNEL, "run it again with --freeze"),
        (PROCFS, "cranalyze doctor says"),
        (REPLAY, "check on the machine itself"),
    ],
)
def test_what_to_do_about_doubt_depends_on_what_was_read(source: SourceInfo, said: str) -> None:
    undecided = replace(reported(source), status=Status.UNDECIDED)
    assert terminal.next_step(undecided).startswith(said)


@pytest.mark.parametrize(("works", "source"), [(True, KERNEL), (False, PROCFS)])
def test_doctor_promises_what_the_source_can(*, works: bool, source: SourceInfo) -> None:
    said = doctor.to_text([Capability("kernel-memory", "refcounts", works)], 200)
    assert source.promise in said
