"""Who may hold what without telling so: rules that are functions of what /proc showed."""

from __future__ import annotations

import pytest

from analyzer.core.values import replace
from analyzer.procfs import alike, may_hold
from analyzer.procfs.mountinfo import Mount
from analyzer.relations.shown import File, Slot, Task

PID, HOSTS = "pid:[9]", "pid:[1]"


def task(tid: int, *numbers: int, parent: int = 1, space: str = PID) -> Task:
    return Task(
        tid, tid, parent, tid, "x", "S", kthread=False, exiting=False, inside=True,
        numbers=(tid, *numbers), spaces={"pid": space},
    )  # fmt: skip


def ended(*tasks: Task) -> dict[str, str]:
    return may_hold.ended({one.tid: one for one in tasks})


def test_a_number_that_is_missing_was_somebodys() -> None:
    assert not ended(task(70, 1), task(71, 2))
    assert ended(task(70, 1), task(72, 3)) == {PID: "members of it ended"}
    # Of the first namespace nobody asks.
    assert not ended(task(7, space=HOSTS), task(9, space=HOSTS))


def test_who_is_in_a_namespace_within_has_a_number_too() -> None:
    tasks = task(70, 1), task(71, 2, 1, parent=70, space="pid:[10]"), task(72, 3)
    assert not ended(*tasks)
    # Where its parent is elsewhere, in which namespaces it has numbers cannot be told.
    assert ended(tasks[0], replace(tasks[1], parent=5), tasks[2])


def test_a_circle_of_parents_has_an_end() -> None:
    circle = (
        task(70, 5, 1, parent=71, space="pid:[10]"),
        task(71, 6, 2, parent=70, space="pid:[10]"),
    )
    assert not ended(*circle)


def test_who_has_waited_for_a_child_has_outlived_it() -> None:
    assert ended(replace(task(70, 1), outlived=True)) == {
        PID: "children of x (70) ended, or may have"
    }


def test_an_automount_remembers_its_daemon() -> None:
    lines = [
        Mount(at, at, "/", f"/misc{at}", "autofs", f"rw,fd=5,pgrp={group},timeout=0,pipe_ino=4")
        for at, group in ((30, 70), (31, 71))
    ]
    tasks = {70: replace(task(70), group=70)}
    found = list(may_hold.of_automounts(tasks, {70: lines}))
    assert [row.right for row in found if row.right[0] == "PIPE"] == [("PIPE", 4)] * 2
    (dead,) = (row for row in found if row.role == "PID_NS")
    assert "/misc31" in dead.detail


def file(number: int, flags: int | None, link: str = "/srv/image", *, inside: bool = True) -> File:
    return File(
        ("FILE", number), link, None, flags, 0, 3, 5, None, b"", (Slot(0, number),), inside=inside
    )


@pytest.mark.parametrize(
    ("one", "count"),
    [
        (file(3, 0o2), 1),
        (file(3, None), 1),
        (file(3, 0o10000000), 0),  # O_PATH
        (file(3, 0o2, "/srv/other"), 0),
        (file(3, 0o2, inside=False), 0),
    ],
)
def test_a_loop_device_may_keep_a_file_of_its_path(one: File, count: int) -> None:
    found = list(alike.of_loops([one], {"loop7": "/srv/image", "loop8": "/x"}, host=False))
    assert [row.left for row in found] == [one.key, alike.loop_file("loop7")][: 2 * count]
    assert {row.right for row in found} <= {one.key}
