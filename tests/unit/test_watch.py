"""A subject that is watched: events, what grows and what is noise, when it ends.

Rewrite the golden lines with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import cli, sources
from analyzer.changes.trend import LEAST, READINGS, Rise, Trends
from analyzer.changes.watching import MOST, PROCESSES, Event, Sort, Watch
from analyzer.cli import readings
from analyzer.cli.arguments import seconds
from analyzer.cli.target import Target
from analyzer.core.errors import BadInputError, TargetVanishedError, UnseenError
from analyzer.core.values import replace
from analyzer.report.value import ReportOptions
from analyzer.snapshot.tables import with_columns
from analyzer.sources.request import Request
from analyzer.writers import terminal, watch_json
from analyzer.writers import watch as writer
from tests.schema import faults
from tests.unit.test_diff import APP, LOG, NASTY, WORKER, later, machine, reported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.value import Snapshot
    from tests.build import Machine

OPTIONS = ReportOptions("watch", brief=True, gate=True)


def seen(*machines: Machine, everything: bool = False, over: int = 3) -> list[list[Event]]:
    watch = Watch(Trends(over), everything=everything)
    return [watch.see(reported(one.snapshot(100), OPTIONS)) for one in machines]


def sorts(events: list[Event]) -> list[Sort]:
    return [event.sort for event in events]


# --- what grows


@given(st.integers(3, 9), st.integers(1, 50), st.integers(-1000, 1000))
def test_what_rises_steadily_grows(readings_: int, step: int, start: int) -> None:
    trends = Trends[str](readings_, least=1)
    told = [trends.see({"a": start + step * n}) for n in range(readings_)]
    assert told[:-1] == [{}] * (readings_ - 1)
    last = start + step * (readings_ - 1)
    assert told[-1] == {"a": Rise(start, last, readings_)}
    assert told[-1]["a"].more == last - start


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40))
def test_what_is_told_has_risen_and_what_falls_or_stays_is_not_told(numbers: list[int]) -> None:
    trends = Trends[int]()
    for number in numbers:
        for rise in trends.see({0: number}).values():
            assert rise.more >= LEAST
            assert rise.last == number
    falling = Trends[int]()
    assert not any(falling.see({0: number}) for number in sorted(numbers, reverse=True))


@pytest.mark.parametrize(
    "numbers",
    [
        (4, 9, 4, 9, 4, 9, 4, 9),  # a cache
        (4, 4, 4, 40, 4, 4, 4, 4),  # a burst
        (4, 4, 4, 4, 40),  # a step
        (4, 5, 4, 5, 5, 5),
        (9, 8, 7, 6, 5),
    ],
)
def test_noise_is_no_growth(numbers: tuple[int, ...]) -> None:
    trends = Trends[str](READINGS)
    assert not any(trends.see({"a": number}) for number in numbers)


def test_growth_is_seen_through_noise_and_told_once() -> None:
    trends = Trends[str](5)
    told = [trends.see({"a": n}) for n in (4, 7, 6, 10, 13, 13, 13, 13, 13)]
    assert told[4] == {"a": Rise(4, 13, 5)}
    assert not any(told[5:])


def test_what_is_gone_is_forgotten() -> None:
    trends = Trends[int]()
    for n in range(1000):
        trends.see({n: 1, -1: 1})
    assert len(trends) == 2
    with pytest.raises(ValueError, match="2"):
        Trends(2)


# --- events


def test_the_first_reading_says_what_there_is_and_the_next_what_is_new_and_gone() -> None:
    first, new, gone, same = seen(machine(), later(), machine(), machine())
    assert writer.line(first[0]).text.endswith(
        " start: leaks: 1 leak and 0 crossings, 1 decide; 2 descriptors"
    )
    assert writer.line(new[0]).text == (
        "2009-04-24T12:00:00Z new: open file /srv/own, referenced from outside (shared state); "
        "launcher (77): fd 9"
    )
    assert (sorts(first), sorts(new), sorts(gone), same) == ([Sort.START], [Sort.NEW],
                                                            [Sort.GONE], [])  # fmt: skip


def test_what_could_not_be_decided_in_between_is_not_new_again() -> None:
    def unsure() -> Machine:
        made = machine()
        made.rows["objects"][3]["stable"] = False
        made.rows["references"] = [r for r in made.rows["references"] if r["holder"] != 1]
        return made

    made = seen(machine(), unsure(), unsure(), machine())
    assert [sorts(events) for events in made[1:]] == [[], [], []]
    made = seen(unsure(), machine())
    assert sorts(made[1]) == [Sort.NEW], "it may have been there; nobody knew"
    assert sorts(seen(machine(), unsure(), everything=True)[1]) == [Sort.CHANGED]


def growing(pipes: int, *, who: int = 101, comm: str = "worker") -> Machine:
    made = machine()
    made.rows["tasks"][2]["comm"] = comm
    table = WORKER if who == 101 else APP
    for n in range(pipes):
        made.object("FILE", 1, name=f"pipe:[{n}]", ino=n, mode=0o010600,
                    holders=[(table, "fd", 10 + n)])  # fmt: skip
    return made


def test_what_grows_is_named() -> None:
    *_, last = seen(growing(4), growing(8), growing(16))
    assert [writer.said(event) for event in last] == [
        "fd of worker (101): pipes +12 in 3 readings (4 to 16)"
    ]
    *_, last = seen(*(growing(n, comm=NASTY) for n in (4, 8, 16)))
    assert writer.line(last[0]).text.isprintable()


def test_what_only_all_together_have_more_of_is_told_of_all() -> None:
    def forked(count: int) -> Machine:
        made = machine()
        for tid in range(200, 200 + count):
            made.task(tid, 100, comm="child")
            table = made.object("FILE_TABLE", 1, holders=[(tid, "files")])
            made.object("FILE", 1, name=f"socket:[{tid}]", mode=0o140600,
                        holders=[(table, "fd", 3)])  # fmt: skip
        return made

    *_, last = seen(*(forked(n) for n in (2, 6, 9)))
    assert {writer.said(event) for event in last} == {
        "fd of all together: sockets +7 in 3 readings (2 to 9)",
        f"{PROCESSES} +7 in 3 readings (4 to 11)",
    }


def test_many_at_once_are_counted() -> None:
    made = machine()
    for n in range(MOST + 5):
        made.object("FILE", 2, name=f"/x/{n}", holders=[(WORKER, "fd", n), (APP, "fd", n),
                                                       (77, "exe")])  # fmt: skip
        made.rows["objects"][-1]["refcount"] = 3
    new = seen(machine(), made)[1]
    assert len(new) == MOST + 1
    assert writer.line(new[-1]).text.endswith(" new: 5 more")
    assert LOG.objref == 4


def test_a_pid_that_was_used_again_is_another_process() -> None:
    made = machine()
    made.rows["tasks"][1]["start_time"] += 10**9
    with pytest.raises(TargetVanishedError, match="its pid was reused"):
        seen(machine(), made)


# --- what is started again


def renumbered(made: Machine) -> Snapshot:
    """The same subtree, in processes that were started later."""
    snapshot = made.snapshot(100)
    tasks = snapshot.tables["tasks"]
    starts = tasks["start_time"] + (tasks["tgid"] >= 100).astype("u8") * 10**12
    tables = {**snapshot.tables, "tasks": with_columns(tasks, {"start_time": starts}, {})}
    return replace(snapshot, tables=tables)


def test_a_subject_that_ended_is_told_once_and_begins_anew_with_what_it_had_kept() -> None:
    watch = Watch(Trends(3))
    watch.see(reported(machine().snapshot(100), OPTIONS))
    assert [writer.said(event) for event in watch.lose("then", "gone")] == ["gone"]
    assert (watch.lose("then", "gone"), watch.lost) == ([], True)
    again = watch.see(reported(renumbered(later()), OPTIONS))
    assert sorts(again) == [Sort.START, Sort.NEW]
    assert "open file /srv/own" in writer.said(again[1])
    assert (watch.lost, watch.new_leaks) == (False, 1)
    assert sorts(watch.see(reported(renumbered(later()), OPTIONS))) == []


def test_what_grew_before_it_was_started_again_does_not_count() -> None:
    watch = Watch(Trends(3))
    for pipes in (4, 8):
        watch.see(reported(growing(pipes).snapshot(100), OPTIONS))
    watch.lose("then", "gone")
    assert sorts(watch.see(reported(renumbered(growing(16)), OPTIONS))) == [Sort.START]


def test_what_is_lost_is_not_contained() -> None:
    watch = Watch(Trends(3))
    watch.see(reported(machine().snapshot(100), ReportOptions("watch", fail_on=frozenset({"MM"}))))
    watch.lose("then", "gone")
    assert not watch.contained


AGAIN: list[Machine | BaseException] = [machine(), TargetVanishedError("gone")]


@pytest.mark.parametrize(
    ("line", "found", "outcome"),
    [
        ("-n 4", [None, machine()], (0, ["start", "ended", "start", "end"])),
        ("-n 3", [None, None], (5, ["start", "ended", "end"])),
        ("--until ended", [], (5, ["start", "ended", "end"])),
    ],
)
def test_a_subject_with_a_name_is_waited_for(
    line: str,
    found: list[Machine | None],
    outcome: tuple[int, list[str]],
    taken: list[Machine | BaseException],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = [*found]

    def requested(target: Target, request: Request) -> Request:
        if len(taken) < 2:  # the first reading is over
            there = left.pop(0)
            if there is None:
                raise BadInputError("nobody is in it")
            taken.append(there)
        return replace(request, pid=1, called={"name": target.label, "starts": []})

    monkeypatch.setattr(Target, "requested", requested)
    taken[:] = AGAIN
    told = watched(capsys, line, "cgroup:/web")
    assert (told[0], [one["event"] for one in told[1]]) == outcome
    assert told[1][1]["message"] == "gone"


@pytest.mark.parametrize(
    ("names", "lasting"),
    [("web", True), ("unit:web.service", True), ("self", False), ("7", False), ("web 7", False)],
)
def test_what_may_be_started_again_has_a_name(names: str, lasting: bool) -> None:  # noqa: FBT001 - a parameter
    assert Target.parse(names.split()).lasting == lasting


def test_a_container_is_known_again_by_its_id_and_else_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, ...]] = []

    def requested(target: Target, request: Request) -> Request:
        asked.append(target.names)
        if "abc" in target.names[0]:
            raise BadInputError("no such container")
        return replace(request, pid=9, called={"name": "web (def)", "container": "def"})

    monkeypatch.setattr(Target, "requested", requested)
    before = Request(7, called={"name": "web (abc)", "container": "abc", "starts": [7]})
    found = Target.parse("podman:web").again(before)
    assert asked == [("podman:abc",), ("podman:web",)]
    assert (found.pid, found.called["container"]) == (9, "def")


# --- when


def test_times() -> None:
    assert [seconds(text, "--every") for text in ("500ms", "10s", "1.5m", "2h", "1d", "7")] == [
        0.5, 10, 90, 7200, 86400, 7,
    ]  # fmt: skip
    for text in ("", "0s", "-1s", "10 s", "1y", "1e3s", "999999999d", "nan"):
        with pytest.raises(BadInputError, match="--every"):
            seconds(text, "--every")


class Clock:
    """A clock that nobody has to wait for."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, more: float) -> None:
        self.now += more


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("analyzer.cli.readings.time", made)
    return made


def test_readings_are_as_far_apart_as_was_asked_for(clock: Clock) -> None:
    def at(pause: float, span: float | None, most: int | None, busy: float = 0) -> list[float]:
        start, found = clock.now, []
        for _ in readings.ticks(pause, span, most):
            found.append(clock.now - start)
            clock.now += busy
        return [*found, clock.now - start]

    assert at(10, None, 3) == [0, 10, 20, 20]
    assert at(10, 25, None) == [0, 10, 20, 25]
    assert at(10, None, 3, busy=4) == [0, 10, 20, 24]
    assert at(10, None, 3, busy=12) == [0, 12, 24, 36]
    assert at(10, 5, None, busy=12) == [0, 12]


# --- the command


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Machine | BaseException]:
    """What the next readings see. Nothing is opened, and no privileges are given up for it."""
    left: list[Machine | BaseException] = []

    def collect(*_: object, **__: object) -> Snapshot:
        found = left.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found.snapshot(100)

    monkeypatch.setattr(sources, "collect", collect)
    monkeypatch.setattr(sources, "opened", lambda _: contextlib.nullcontext((None, "")))
    return left


def watched(
    capsys: pytest.CaptureFixture[str], line: str, subject: str = "1"
) -> tuple[int, list[Any], str]:
    words = ["watch", subject, "--every", "1ms", "--source", "procfs", "--json", *line.split()]
    code = cli.main(words)
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()] if code != 2 else []
    assert not [fault for event in found for fault in faults("watch", event)]
    return code, found, err


QUIET: list[Machine | BaseException] = [machine(), machine(), machine()]
GROWS: list[Machine | BaseException] = [growing(n) for n in (4, 8, 16)]


@pytest.mark.parametrize(
    ("line", "given_", "code", "events"),
    [
        ("-n 3", QUIET, 0, ["start", "end"]),
        ("-n 2", [machine(), later()], 16, ["start", "new", "end"]),
        ("-n 2 --ignore FILE", [machine(), later()], 0, ["start", "new", "end"]),
        ("--until new-leak", [machine(), machine(), later()], 16, ["start", "new", "end"]),
        ("--until new", [machine(), later()], 16, ["start", "new", "end"]),
        ("--until growth --over 3", GROWS, 16, ["start", "growth", "end"]),
        ("-n 3 --over 3", GROWS, 0, ["start", "growth", "end"]),
        ("--until contained -n 2", [machine(), machine()], 16, ["start", "end"]),
        ("--until contained --fail-on MM", [machine()], 0, ["start", "end"]),
        ("", [machine(), TargetVanishedError("gone")], 5, ["start", "end"]),
        ("-n 2", [machine(), UnseenError("no"), machine()], 0, ["start", "unread", "end"]),
        ("", [machine(), KeyboardInterrupt()], 0, ["start", "end"]),
        ("", [machine(), later(), cli.EndedError(15)], 16, ["start", "new", "end"]),
    ],
)
def test_what_it_tells_and_exits_with(
    line: str,
    given_: list[Machine | BaseException],
    code: int,
    events: list[str],
    taken: list[Machine | BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken[:] = given_
    found = watched(capsys, line)
    assert (found[0], [one["event"] for one in found[1]]) == (code, events)
    assert [one["exit_code"] for one in found[1]] == [*[None] * (len(events) - 1), code]
    assert found[2] == ""


def test_a_subject_that_is_not_there_is_an_error(
    taken: list[Machine | BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    taken[:] = [TargetVanishedError("no process 1")]
    assert cli.main(["watch", "1", "--source", "procfs"]) == 5
    assert capsys.readouterr() == ("", "cranalyze: no process 1\n")


@pytest.mark.parametrize("line", ["", "1 --every 0", "1 --for x", "1 --until never", "1 -n 0"])
def test_bad_input_is_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def events() -> Iterator[Event]:
    for several in seen(machine(), later(), growing(4), growing(8), growing(16)):
        yield from several


def test_what_people_read_is_golden() -> None:
    path = Path(__file__).parents[1] / "golden" / "watch.txt"
    found = terminal.to_text([writer.line(event) for event in events()])
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


def test_a_line_of_json_is_one_line() -> None:
    for event in events():
        line = watch_json.line(event)
        assert line.count("\n") == 1
        assert line.isascii()
        assert faults("watch", json.loads(line)) == []
