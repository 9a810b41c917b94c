"""who and census of what was kept: a snapshot, a dump; what these cannot know is said."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

import analyzer
from analyzer.cli.arguments import words_of
from analyzer.core.errors import BadInputError
from analyzer.core.values import replace
from analyzer.lookup import census, who
from analyzer.lookup.recorded import headed
from analyzer.lookup.value import Outcome
from analyzer.lookup.words import parse
from analyzer.procfs import glance
from analyzer.sources import replay
from analyzer.sources.request import Request
from analyzer.writers import census as census_writer
from analyzer.writers.who import to_text
from tests.build import Machine
from tests.each import each
from tests.schema import faults
from tests.unit.test_replay import DUMPS

if TYPE_CHECKING:
    from analyzer.lookup.value import Answer
    from analyzer.snapshot.value import Snapshot

CONTAINER = "/docker/" + "a" * 64
PROCFS: dict[str, Any] = {
    "name": "replay", "notes": [],
    "capabilities": {"refcounts": False, "identity": True, "nsproxy": False},
}  # fmt: skip


def machine() -> Machine:
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(77, 1, comm="app\n", cgroup=CONTAINER)
    made.task(78, 77, comm="gone", state="Z", cgroup=f"{CONTAINER}/below")
    made.fact(77, "task.session", 5)
    table = made.object("FILE_TABLE", 1, holders=[(77, "files")])
    made.object("FILE", 1, name="/srv/log (deleted)", holders=[(table, "fd", 3)], dev=9, ino=4)
    space = made.object("MNT_NS", 1, ino=41, name="mnt:[41]")
    mount = made.object("MOUNT", None, name="/data", holders=[(space, "mount")])
    block = made.object("SUPERBLOCK", None, name="ext4 (sdb)", dev=9, holders=[])
    made.reference(block, mount, "superblock")
    made.fact(block, "device", "8:16")
    made.fact(block, "on", "sdb")
    made.object("NET_NS", 1, ino=42, name="net:[42]")
    return made


def whole() -> Snapshot:
    return machine().snapshot(scope="host")


def asked(word: str, snapshot: Snapshot | None = None) -> Answer:
    kept = whole() if snapshot is None else snapshot
    return who.answers(kept, [parse(word, recorded=True)])[0]


@pytest.mark.parametrize(
    "word",
    [
        "77", "77:3", "77:exe", "77:cwd", "77:mm", "/srv/log", "/dev/sdb", "sdb", "dev:8:16",
        "net:[42]", "pipe:[4]", "socket:[4]", "tcp:80", "udp:[::1]:53", "unix:/run/x", "unix:@x",
        f"cgroup:{CONTAINER}", "session:5", "shm:[3]", "sem:[3]", "mq:/a", "bpf-map:[3]",
        "iface:eth9", "eth9", "/dev/pts/3", "/proc/77/root/srv/log",
    ],
)  # fmt: skip
def test_this_machine_is_not_asked_about_another(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = whole()
    asked(word, snapshot)  # what it takes is imported by now

    def refused(*_: object, **__: object) -> Any:  # noqa: ANN401 - it returns nothing
        raise AssertionError("it asked this machine")

    with monkeypatch.context() as patch:
        for module, name in (
            (builtins, "open"), (os, "readlink"), (os, "listdir"), (os, "stat"), (os, "lstat"),
            (glance, "_looked"),
        ):  # fmt: skip
            patch.setattr(module, name, refused)
        answer = asked(word, snapshot)
    assert answer.asked == word


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("77:3", Outcome.HELD), ("/srv/log", Outcome.HELD), ("/data", Outcome.HELD),
        ("8:16", Outcome.HELD), ("sdb", Outcome.HELD), (f"cgroup:{CONTAINER}", Outcome.HELD),
        ("session:5", Outcome.HELD), ("net:[42]", Outcome.FREE), ("77", Outcome.FREE),
        ("net:[43]", Outcome.ABSENT), ("79", Outcome.ABSENT), ("session:6", Outcome.ABSENT),
        ("/srv/other", Outcome.UNSEEN), ("77:cwd", Outcome.UNSEEN), ("cgroup:/no", Outcome.UNSEEN),
    ],
)  # fmt: skip
def test_the_four_answers_of_a_snapshot(word: str, outcome: Outcome) -> None:
    answer = asked(word)
    assert answer.outcome is outcome
    code = {Outcome.ABSENT: 1, Outcome.UNSEEN: 3}.get(outcome, 0)
    assert who.exit_code([answer]) == code


def test_what_a_border_or_a_dump_does_not_have_is_said() -> None:
    made = machine()
    border, dump = made.snapshot(77), made.snapshot(scope="host", source=PROCFS)
    for snapshot, says in ((border, "--scope host"), (dump, "the kernel itself holds")):
        for word in ("net:[42]", "net:[43]"):
            answer = asked(word, snapshot)
            assert answer.outcome is Outcome.UNSEEN
            assert says in answer.unseen
            assert says in " ".join(to_text([answer], []).split())
        assert asked("77:3", snapshot).outcome is Outcome.HELD


def test_processes_of_a_snapshot_have_what_it_knows_of_them() -> None:
    answer = asked(f"cgroup:{CONTAINER}")
    people = {one.pid: one for one in answer.people}
    assert people[77].unit == f"docker container {'a' * 12}"
    assert (people[78].zombie, people[78].parent_comm) == (True, "app")
    said = to_text([answer], [], about=[f"of {who.about(whole())}"])
    assert said.startswith("of all processes, on test, Linux 6.18.0, from the kernel's memory")
    assert "gone (78), in docker container aaaaaaaaaaaa, dead (a zombie): app (77)" in said


def test_a_dead_process_is_told() -> None:
    assert "dead" in " ".join(asked("78").notes)


def test_a_census_of_less_than_a_machine_says_so_and_counts_what_there_is() -> None:
    made = machine()
    for snapshot in (made.snapshot(77), made.snapshot(scope="host", source=PROCFS)):
        found = census.take(snapshot)
        assert (found.exit_code, found.exact, found.residual) == (3, False, ())
        said = json.loads(census_writer.to_json(found))
        assert faults("census", said) == []
        assert each(kind["refcount"] is None and kind["objects"] for kind in said["kinds"])
        assert "cannot be told" in census_writer.to_text(found)
    assert census.take(whole()).exit_code == 0


def test_python_asks_a_snapshot_and_has_frames() -> None:
    answer = analyzer.who("77:3", whole())
    assert str(answer).startswith("77:3: held by app (77)")
    assert "held, 1 object" in repr(answer)
    assert "<pre>" in answer._repr_html_()
    (row,) = answer.holders.to_dict("records")
    assert (row["pid"], row["comm"], row["slot"], row["how"]) == (77, "app", 3, "fd 3")
    assert (row["object"], row["threads"], row["via"]) == ("/srv/log (deleted)", 1, ())
    member = analyzer.who("session:5", whole()).holders.to_dict("records")[0]
    assert (member["pid"], member["how"]) == (77, "is in the session")
    assert list(analyzer.who("net:[43]", whole()).holders) == list(answer.holders)
    with pytest.raises(BadInputError):
        analyzer.who("frob:[1]", whole())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"/a b\n/c\n\n", ["/a b", "/c"]),
        (b"/a\nb\0/\xff\0", ["/a\nb", "/\udcff"]),
        (b"77:3", ["77:3"]),
    ],
)
def test_words_of_stdin(data: bytes, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert words_of(["x", "-"]) == ["x", *words]


def test_no_words_are_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(BadInputError, match="no words"):
        words_of(["-"])


def test_a_word_that_is_none_does_not_keep_the_others_from_being_asked() -> None:
    queries, errors = who.understood(["77:3", "frob:[1]", "77:3", "a\0b"], recorded=True)
    assert [query.asked for query in queries] == ["77:3"]
    assert len(errors) == 2


@pytest.mark.parametrize(("error", "says"), [(errno.EACCES, "denied"), (errno.EIO, "error")])
def test_a_path_that_may_not_be_looked_at_is_asked_by_its_name(
    error: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "_looked", lambda paths, _: [error for _ in paths])
    queries, errors = who.understood(["/srv/log", "/srv/other"])
    assert not errors
    held, other = who.answers(whole(), queries)
    assert (held.outcome, other.outcome) == (Outcome.HELD, Outcome.UNSEEN)
    assert says in other.unseen.casefold()


def test_each_path_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look(paths: list[str], _: float) -> list[int]:
        looked.extend(paths)
        return [errno.ENOENT for _ in paths]

    monkeypatch.setattr(glance, "_looked", look)
    who.understood([f"/no/{at}" for at in range(1000)])
    assert len(looked) == len(set(looked))


def test_what_is_told_of_a_dump_begins_with_what_it_has() -> None:
    snapshot = replay.collect(DUMPS / "fork-file.txt", Request(None, "host"))
    assert headed(snapshot) == ()
    kept = replace(snapshot, meta={**snapshot.meta, "kept": True})
    of, has, *_ = headed(kept)
    assert of.startswith("of all processes, on ")
    assert " processes; stat " in has
    said = census_writer.to_text(census.take(kept), about=headed(kept))
    assert said.startswith("of all processes")
    assert max(map(len, said.splitlines())) <= 80
