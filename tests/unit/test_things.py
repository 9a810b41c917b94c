"""Lists of things of one sort: who holds how many, how near the limits, in 80 columns."""

from __future__ import annotations

import json
import os
import resource

import pytest

from analyzer.cli import things as asked
from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.text import width
from analyzer.core.values import replace
from analyzer.kinds import registry
from analyzer.lookup import columns, limits, things
from analyzer.lookup.limits import Limit
from analyzer.lookup.pairs import Hand
from analyzer.lookup.sorts import DELETED, sort_of, sorts
from analyzer.lookup.unopened import unopened
from analyzer.procfs import bpfobj
from analyzer.sources.meta import boot_id
from analyzer.writers import things as writer
from tests.build import Machine
from tests.each import each
from tests.schema import faults

EVIL = "\x1b[2J\nroot (1)"


def machine() -> Machine:
    """Three inotify instances of two processes, and a deleted file that is open and mapped."""
    made = Machine()
    made.task(10, comm=EVIL)
    made.task(11, 10, comm="agent")
    made.task(12, 10, comm="us", observer=True)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (10, 11, 12)]
    for at, (table, watches) in enumerate(((0, 5), (1, 900), (1, 30), (2, 7))):
        file = made.object("FILE", 1, holders=[(tables[table], "fd", 3 + at)],
                           name="anon_inode:inotify")  # fmt: skip
        made.fact(file, "open.type", "inotify")
        made.fact(file, "inotify.watches", watches)
    mm = made.object("MM", 1, holders=[(10, "mm")])
    for table_ in tables[:2]:
        gone = made.object("FILE", 2, holders=[(table_, "fd", 9), (mm, "vma", 1 << 20)],
                           name=f"/var/{EVIL} (deleted)", ino=7, dev=2049,
                           deleted=True)  # fmt: skip
        made.fact(gone, "open.type", "file")
        made.fact(gone, "space", 4096)
    made.object("FILE", 1, holders=[(tables[1], "fd", 20)], name="/etc/passwd", deleted=False)
    return made


def listed(sort: str, **more: int) -> things.Listing:
    """Return the list of a sort of the machine."""
    of = DELETED if sort == "deleted" else sort_of(sort)
    return things.Question(of, deleted=sort == "deleted", **more).answer(machine().snapshot())


def test_who_holds_how_many_worst_first_and_not_our_own() -> None:
    found = listed("inotify")
    assert (found.count, found.amount) == (3, 935)
    assert [one.amount for one in found.things] == [900, 30, 5]
    totals = [(one.pids, one.things, one.amount) for one in found.processes]
    assert totals == [((11,), 2, 930), ((10,), 1, 5)]
    assert found.things[0].hands == (Hand(11, "agent", (4,)),)


def test_a_deleted_file_is_one_thing_however_it_is_held() -> None:
    found = listed("deleted")
    assert (found.count, found.amount) == (1, 4096)
    (one,) = found.things
    assert one.files == 2
    assert [(hand.pid, hand.fds, hand.mapped) for hand in one.hands] == [
        (10, (9,), True), (11, (9,), False),
    ]  # fmt: skip
    assert listed("deleted", larger=4097).count == 0


def test_a_deleted_file_that_no_process_has_is_told_with_what_keeps_it() -> None:
    made = machine()
    loop = made.object("LOOP", 1, name="/dev/loop7")
    image = made.object("FILE", 1, holders=[(loop, "loop")], name="/image (deleted)", ino=8,
                        dev=2049, deleted=True)  # fmt: skip
    made.fact(image, "open.type", "file")
    made.fact(image, "space", 9999)
    found = things.Question(DELETED, deleted=True).answer(made.snapshot())
    text = writer.to_text(found, (), ())
    assert "/image (deleted): loop device /dev/loop7\n" in text
    assert "next: losetup -d /dev/loop7\n" in text
    (document, *_) = json.loads(writer.to_json(found, (), ()))["things"]
    assert document["kept_by"] == ["loop device /dev/loop7"]


def test_what_is_mapped_as_well_is_not_freed_by_closing_it() -> None:
    steps = [line for line in writer.to_text(listed("deleted"), (), ()).splitlines()
             if line.startswith("next:")]  # fmt: skip
    assert steps[0].startswith("next: restart ")
    assert steps[1] == "next: close fd 9 of agent (11), or end it"


def test_all_is_said_in_80_columns_and_plain_letters() -> None:
    near = (Limit("fs.x", EVIL, 95, 100), Limit("fs.y", "each user", None, 7))
    for sort in ("inotify", "deleted", "file", "process"):
        found = listed(sort)
        lines = writer.to_text(found, near, ()).splitlines()
        assert each(width(line) <= 80 and line.isprintable() for line in lines)
        assert faults("who", json.loads(writer.to_json(found, near, ()))) == []
    assert "has 95 of 100 (95 %)" in writer.to_text(listed("inotify"), near, ())
    assert "next: close fd 9 of" in writer.to_text(listed("deleted"), (), ())


def test_only_the_worst_are_listed_of_many_and_all_are_counted() -> None:
    found = listed("inotify", most=1)
    assert (found.count, len(found.things)) == (3, 1)
    assert "and 2 more" in writer.to_text(found, (), ())


def test_columns_are_those_of_things_and_of_facts() -> None:
    found = listed("inotify")
    told = columns.chosen(things.FIELDS, "+inotify.watches", things.USUAL)
    assert [one.get(found.things[0]) for one in told] == [
        900, 1, 11, "agent", "anon_inode:inotify", 900,
    ]  # fmt: skip
    left = columns.kept(
        things.FIELDS, found.things, columns.parsed(things.FIELDS, "AMOUNT < 100 and PID == 11")
    )
    assert [one.amount for one in left] == [30]


def test_every_kind_is_a_word_and_others_are_told_the_nearest() -> None:
    assert {sort.kind for sort in sorts().values()} == {*registry()}
    assert each(sort_of(name).kind == name for name in registry())
    assert sort_of("userns").kind == sort_of("User_NS").kind == "USER_NS"
    assert sort_of("memfds").types == ("memfd",)
    assert sort_of("threads").kind == TASK
    with pytest.raises(BadInputError, match="inotify"):
        sort_of("inotfy")


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("10M", 10 << 20), ("1.5GiB", 3 << 29), ("1k", 1024), ("7 mb", 7_000_000)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert asked.size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1e9", "10X", "10B", "٣M"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="no size"):
        asked.size(text)


def test_what_does_not_go_together_is_said() -> None:
    for words in (
        {"kind": "pty", "deleted": True}, {"larger": "1M"}, {"columns_": "PID"}, {"filter_": "PID"},
        {"kind": "pty", "named": True}, {},
    ):  # fmt: skip
        given = {"kind": None, "larger": None, "columns_": None, "filter_": None,
                 "deleted": False, "named": False} | words  # fmt: skip
        with pytest.raises(BadInputError):
            asked.asked(**given)


def test_limits_of_users_are_told_at_each_level_the_nearest_first() -> None:
    made = Machine()
    made.task(7)
    made.object("USER_NS", 1, initial=True, ino=10, name="user:[10]")
    told = [
        {"limit": "user.max_net_namespaces", "of": of, "user": 0, "used": used, "most": most}
        for of, used, most in ((10, 3, 100), (11, 9, 10), (12, 0, 10), (11, 2, 10))
    ]
    snapshot = made.snapshot(limits=told, boot_id=boot_id())
    found = limits.beside(("namespaces",), snapshot, "NET_NS", frozenset())
    assert [(one.whose, one.used, one.most) for one in found] == [
        ("root in user:[11]", 9, 10), ("root", 3, 100),
    ]  # fmt: skip
    assert limits.beside(("namespaces",), made.snapshot(limits=told), "NET_NS", frozenset()) == ()


def test_pages_of_pipes_are_limited_for_who_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Machine()
    made.object("USER_NS", 1, initial=True, ino=10, name="user:[10]")
    told = [
        {"limit": "fs.pipe-user-pages", "of": 10, "user": user, "used": used, "most": -1}
        for user, used in ((0, 90), (12345, 60), (12346, 64))
    ]
    most = {"fs.pipe-user-pages-soft": 64, "fs.pipe-user-pages-hard": 0}
    monkeypatch.setattr(limits, "sysctl", most.get)
    snapshot = made.snapshot(limits=told, boot_id=boot_id())
    found = limits.beside(sort_of("pipe").limits[:1], snapshot, "PIPE", frozenset())
    assert [(one.name, one.whose, one.used, one.most) for one in found] == [
        ("fs.pipe-user-pages-soft", "uid 12346 (pages)", 64, 64),
        ("fs.pipe-user-pages-soft", "uid 12345 (pages)", 60, 64),
    ]


def test_a_process_is_told_its_own_limit() -> None:
    made = Machine()
    pid = made.task(os.getpid())
    table = made.object("FILE_TABLE", 1, holders=[(pid, "files")])
    for slot in range(3):
        made.object("FILE", 1, holders=[(table, "fd", slot)])
    snapshot = made.snapshot(boot_id=boot_id())
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    (mine,) = [
        one
        for one in limits.beside(("files",), snapshot, "FILE", frozenset({pid}))
        if one.name == "RLIMIT_NOFILE"
    ]
    assert (mine.used, mine.most) == (3, soft)


def test_bpf_objects_that_nobody_has_open_are_told_by_their_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = bpfobj.Objects(
        names={("map", 3): "a\x1b", ("map", 4): "", ("prog", 5): "run"},
        pins={("map", 3): ("/sys/fs/bpf/a",)},
        maps_of={5: (4,)},
    )
    monkeypatch.setattr(bpfobj, "all_objects", lambda: known)
    assert list(unopened(sort_of("bpf-map"), {9})) == [
        "BPF map 3 (a\x1b), which nobody has open: pinned at /sys/fs/bpf/a",
        "BPF map 4, which nobody has open: used by program 5 (run)",
    ]
    assert not list(unopened(sort_of("bpf-map"), {3, 4}))
    assert not list(unopened(sort_of("inotify"), ()))
    noted = replace(listed("inotify"), notes=tuple(unopened(sort_of("bpf-map"), ())))
    assert "2 more without a holder that is a process:" in writer.to_text(noted, (), ())
