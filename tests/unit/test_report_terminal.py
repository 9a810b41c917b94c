"""What people read: golden pages, and that no page is wider than it may be or harms a terminal.

Rewrite the golden pages with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import doctor
from analyzer.check.leaks import check
from analyzer.core.model import Rules
from analyzer.core.text import printable, shorten, valid, width, wrap
from analyzer.doctor import Capability
from analyzer.report.grouping import cut, fitting, is_namespace
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.writers import doctor as doctor_writer
from analyzer.writers import markdown, terminal
from tests.build import Machine
from tests.each import each
from tests.strategies import Graph, counted_graphs

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.report.value import Report

GOLDEN = Path(__file__).parents[1] / "golden"
NASTY = "a\udcff\n\x1b[2J\x9b31m\u202eevil\u200b\r"


def contained() -> Machine:
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(100, 1, comm="app", nspid=1)
    made.task(101, 100, comm="worker", nspid=2)
    fds = made.object("FILE_TABLE", 2, holders=[(100, "files"), (101, "files")])
    made.object("FILE", 1, name="/srv/data.db", holders=[(fds, "fd", 3)])
    return made


def leaking() -> Machine:
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(77, 1, comm="bash")
    made.task(88, 1, comm="logger")
    made.task(100, 77, comm="app")
    made.task(101, 100, comm="worker")
    made.task(102, 77, tgid=100, comm="app-io")
    inside = made.object("FILE_TABLE", 3, holders=[(tid, "files") for tid in (100, 101, 102)])
    outside = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (77, 88)]
    stdio = [(table, "fd", slot) for table in (inside, outside[0]) for slot in range(3)]
    made.object("FILE", 6, name="/dev/pts/0", holders=stdio)
    log = "/var/log/a-long-folder-name/another-long-folder-name/and-one-more/application.log"
    made.object("FILE", 4, name=log, holders=[(inside, "fd", 5), (outside[1], "fd", 7)])
    spaces = [made.object("MM", 1, holders=[(tid, "mm")]) for tid in (100, 77)]
    for number in range(3):
        held = [(space, "vma", number * 4096, 1, "r-xp") for space in spaces]
        made.object("FILE", 2, name=f"/usr/lib/lib{number}.so.1", holders=held)
    sets = made.object("NSPROXY", 5, holders=[(t, "nsproxy") for t in (1, 77, 88, 100, 101)])
    for kind in ("UTS_NS", "IPC_NS", "NET_NS"):
        made.object(kind, 2, name=f"{kind[:3].lower()}:[4026531838]", initial=True,
                    holders=[(sets, f"nsproxy.{kind[:3].lower()}")])  # fmt: skip
    made.object("FS", 1, holders=[(100, "fs"), (101, "fs")])
    made.object("FILE", 1, name="pipe:[7]", stable=False, holders=[(inside, "fd", 6)])
    made.gap("42 processes of other users", "readlink", 13, "their descriptors are not known")
    return made


def unprivileged() -> Machine:
    made = leaking()
    made.rows["tasks"][3]["nspid"] = 1
    made.rows["references"] = [
        row
        for row in made.rows["references"]
        if row["holder"] not in {77, 88} or row["holder_kind"] != "TASK"
    ]
    made.rows["references"] = [
        row
        for row in made.rows["references"]
        if (row["holder_kind"], row["holder"]) not in {("FILE_TABLE", 2), ("FILE_TABLE", 3)}
        and (row["holder_kind"], row["holder"]) != ("MM", 7)
        and row["holder"] != 1
    ]
    for row in made.rows["objects"]:
        row["refcount"] = None
    return made


def hostile() -> Machine:
    made = Machine()
    made.task(77, 1, comm=NASTY)
    made.task(100, 77, comm=NASTY)
    fds = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object("FILE", 2, name=f"/srv/{NASTY}", holders=[(fds[0], "fd", 3), (fds[1], "fd", 7)])
    made.gap(f"pid {NASTY}", NASTY, None, NASTY)
    return made


def reported(
    made: Machine,
    rules: Rules = Rules.MODERN,
    *,
    procfs: bool = False,
    **options: Any,  # noqa: ANN401 - those of ReportOptions
) -> Report:
    meta = {"source": {"name": "procfs", "notes": [f"no refcounts: {NASTY}"]}}
    snapshot = made.snapshot(100, **(meta if procfs else {}))
    verdicts = check(snapshot, rules=rules)
    return make(snapshot, verdicts, replace(ReportOptions("check", gate=True), **options))


def page(report: Report, cells: int = 80, *, everything: bool = False) -> str:
    return terminal.to_text(terminal.render(report, cells, everything=everything))


PAGES: dict[str, Callable[[], str]] = {
    "contained": lambda: page(reported(contained())),
    "contained-all": lambda: page(reported(contained(), all=True), everything=True),
    "leaks": lambda: page(reported(leaking())),
    "leaks-all": lambda: page(reported(leaking(), all=True), everything=True),
    "leaks-linux-cr": lambda: page(reported(leaking(), Rules.LINUX_CR)),
    "leaks-seed": lambda: page(reported(leaking(), Rules.SEED)),
    "leaks-advisory": lambda: page(reported(leaking(), subtree=True)),
    "leaks-ignored": lambda: page(reported(leaking(), fail_on=frozenset({"SIGHAND"}))),
    "leaks-40": lambda: page(reported(leaking()), 40),
    "undecided": lambda: page(reported(unprivileged(), procfs=True)),
    "hostile": lambda: page(reported(hostile())),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_the_golden_one(name: str) -> None:
    path = GOLDEN / f"report-{name}.txt"
    found = PAGES[name]()
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


def test_the_first_line_is_the_answer() -> None:
    assert page(reported(leaking())).startswith("not contained: 10 of 13 objects are referenced")
    assert page(reported(contained())).startswith("contained: none of 2 objects is referenced")
    assert page(reported(unprivileged())).startswith("undecided: ")


def test_facts_of_which_there_is_nothing_to_say_are_no_line() -> None:
    made = contained()
    made.task(77, 1, comm="bash")
    proxies = [made.object("NSPROXY", 1, holders=[(tid, "nsproxy")]) for tid in (100, 77)]
    network = made.object(
        "NET_NS", 2, name="net:[7]", holders=[(proxy, "nsproxy.net") for proxy in proxies]
    )
    made.fact(network, "netns.sockets", 0)
    report = reported(made)
    assert [entry.facts for entry in report.objects if entry.kind == "NET_NS"] == [
        {"netns.sockets": 0}
    ]
    assert not re.search(r"\n +\n", page(report))


def test_a_long_list_is_cut_on_a_terminal_unless_everything_is_asked_for() -> None:
    made = hostile()
    for number in range(100):
        made.object("FILE", 5, holders=[(100, "nsproxy")], name=f"/srv/{number}")
    for row in made.rows["references"]:
        row["association"] = "fd" if row["holder_kind"] == "TASK" else row["association"]
    report = reported(made)
    assert len(report.objects) == 101
    text = page(report)
    assert "* 100 open files: referenced from outside" in text
    assert "/srv/0, /srv/1, /srv/2 and 97 more (--all lists them)" in text
    assert "more" not in page(report, everything=True)


def crowded() -> Machine:
    made = leaking()
    pool = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 88)]
    for slot in range(2100):
        made.object("FILE", 2, name=f"/srv/{slot}", holders=[(t, "fd", slot + 9) for t in pool])
    sets = made.object("NSPROXY", 9, holders=[(100, "nsproxy"), (88, "nsproxy")])
    made.object("UTS_NS", 3, name="uts:[7]", holders=[(sets, "nsproxy.uts")])
    for number in range(30):
        held = [(pool[0], "fd", 5000 + number)]
        made.object("FILE", 2, name=f"/run/{number}", holders=held, stable=False)
        name, task = f"/var/{number}", 1000 + number
        made.task(task, 1)
        table = made.object("FILE_TABLE", 1, holders=[(task, "files")])
        made.object(
            "FILE", 2, name=name, holders=[(pool[0], "fd", 6000 + number), (table, "fd", 3)]
        )
    return made


def test_alike_ones_are_folded_before_anything_is_cut_and_never_a_namespace() -> None:
    report = reported(crowded())
    text = page(report, 200)
    assert "2,100 open files: referenced from outside" in text
    assert "/srv/0, /srv/1, /srv/2 and 2,097 more (--all lists them)" in text
    assert "each: 1 user inside, refcount 2: 1 held from outside" in text
    assert "; 2,099 more in the same way" in text
    assert "31 open files kept changing while they were read" in text
    assert "uts:[7]: referenced from outside" in text
    assert "more (--all lists them)" in text
    assert text.count("referenced from outside") < 40
    kept, left = cut(report.groups, 25)
    assert each(
        any(entry in group.objects for group in kept)
        for entry in report.objects
        if is_namespace(entry)
    )
    assert not any(is_namespace(entry) for entry in left)
    listed = fitting(report.objects, report.groups, 100)
    names = {entry.name for entry in listed}
    assert names >= {"uts:[7]", "/srv/0", "/var/0", "/var/24"}
    assert len(listed) == 100
    assert listed == [entry for entry in report.objects if entry in listed]
    assert "uts:[7]" in markdown.render(report)
    assert "1 each" in markdown.render(report)
    every = page(report, 200, everything=True)
    assert each(f"/srv/{number}:" in every for number in range(2100))


def test_colours_are_only_around_the_text() -> None:
    lines = terminal.render(reported(leaking()))
    coloured = terminal.to_text(lines, colour=True)
    assert "\x1b[1;31mnot contained" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == terminal.to_text(lines)


@given(counted_graphs(), st.sampled_from(Rules), st.integers(1, 100), st.booleans())
def test_no_line_is_too_wide_or_harmful(
    graph: Graph,
    rules: Rules,
    cells: int,
    everything: bool,  # noqa: FBT001 - drawn
) -> None:
    snapshot = graph.snapshot()
    verdicts = check(snapshot, graph.root, rules)
    report = make(snapshot, verdicts, ReportOptions(all=everything))
    for line in terminal.render(report, cells, everything=everything):
        assert width(line.text) <= max(cells, terminal.MIN_WIDTH)
        assert line.text.isprintable()


@pytest.mark.parametrize("name", ["hostile", "undecided"])
def test_nothing_of_a_nasty_name_reaches_the_terminal(name: str) -> None:
    text = PAGES[name]()
    assert each(line.isprintable() for line in text.splitlines())
    assert r"\xff\n\e[2J\x9b31m\u202eevil\u200b\r" in text.replace("\n    ", "")


# --- text


ANY_TEXT = st.binary(max_size=40).map(os.fsdecode) | st.text(max_size=40)


@given(ANY_TEXT)
def test_printable_is_printable_and_changes_nothing_that_was(text: str) -> None:
    found = printable(text)
    assert found.isprintable()
    assert "".join(found.splitlines()) == found
    assert printable(found) == found
    if text.isprintable():
        assert found == text
    found.encode("utf-8")


@given(ANY_TEXT)
def test_valid_can_be_encoded_and_keeps_all_else(text: str) -> None:
    valid(text).encode("utf-8")
    assert re.sub(r"\\x..|\\ud...", "", valid(text)).startswith(
        re.sub(r"\\x..|\\ud...", "", text.encode("utf-8", "ignore").decode())[:1]
    )


@given(ANY_TEXT.map(printable), st.integers(0, 30), st.booleans())
def test_shorten_fits(text: str, cells: int, keep_end: bool) -> None:  # noqa: FBT001 - drawn
    found = shorten(text, cells, keep_end=keep_end)
    assert width(found) <= cells
    assert found == text or "…" in found or cells == 0


def test_shorten_keeps_the_end_of_a_path() -> None:
    assert shorten("/usr/lib/x86_64-linux-gnu/libc.so.6", 20) == "/usr/li…nu/libc.so.6"


@given(ANY_TEXT.map(printable), st.integers(20, 60), st.integers(0, 8))
def test_wrap_fits_and_keeps_every_letter(text: str, cells: int, indent: int) -> None:
    lines = wrap(text, cells, "* ", indent)
    assert each(width(line) <= cells for line in lines)
    assert "".join(lines).replace(" ", "") == "*" + text.replace(" ", "")


# --- doctor


def test_doctor_says_what_is_missing_and_what_to_do() -> None:
    found = (
        Capability("kernel-memory", "refcounts", ok=False, reason=f"no {NASTY}", remedy="sudo"),
        Capability("kcmp", "telling files apart", ok=True),
    )
    text = doctor_writer.to_text(found, 50)
    assert "no  kernel-memory: refcounts" in text
    assert "what to do: sudo" in text
    assert "never prove containment" in text
    assert each(line.isprintable() and width(line) <= 50 for line in text.splitlines())
    assert '"source": "procfs"' in doctor_writer.to_json(found)


def test_doctor_needs_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: str) -> list[str]:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "listdir", gone)
    found = doctor._others()
    assert (found.ok, found.reason) == (False, "cannot list /proc: No such file or directory")
    assert found.remedy == "mount -t proc proc /proc"
