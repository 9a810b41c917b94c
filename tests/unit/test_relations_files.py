"""What relations of files and mounts mean, and which rows of a relation are kept."""

from __future__ import annotations

import stat
from dataclasses import replace

import numpy as np
import pytest

from analyzer.core.model import Impact
from analyzer.relations import relations
from analyzer.relations.base import Related, meet
from analyzer.relations.bind_mount import Bind, impact
from analyzer.sources.relate import _matter
from tests.unit.test_crossings import machine, report

FOLDER = Bind(
    "/data", "/srv/data", "ext4", stat.S_IFDIR, 0, read_only=False, hosts=True, roots=False
)
FILE = FOLDER._replace(point="/etc/app", mode=stat.S_IFREG)


@pytest.mark.parametrize(
    ("bind", "means"),
    [
        (FOLDER, Impact.REACHES_OUT),
        (FOLDER._replace(source="/"), Impact.REACHES_OUT),
        (FOLDER._replace(source="/", read_only=True), Impact.REACHES_OUT),
        (FOLDER._replace(read_only=True), Impact.PINS),
        (FOLDER._replace(hosts=False), Impact.SHARED_STATE),
        (FOLDER._replace(roots=True), Impact.BY_DESIGN),
        (FOLDER._replace(roots=True, source="/"), Impact.REACHES_OUT),
        (FOLDER._replace(filesystem="overlay", roots=True), Impact.BY_DESIGN),
        (FOLDER._replace(filesystem="proc"), Impact.REACHES_OUT),
        (FOLDER._replace(filesystem="sysfs", read_only=True), Impact.BY_DESIGN),
        (FOLDER._replace(filesystem="cgroup2"), Impact.BY_DESIGN),
        (FOLDER._replace(filesystem="cgroup2", source="/"), Impact.REACHES_OUT),
        (FILE, Impact.SHARED_STATE),
        (FILE._replace(read_only=True), Impact.BY_DESIGN),
        (FILE._replace(point="/etc/resolv.conf"), Impact.BY_DESIGN),
        (FILE._replace(point="/srv/resolv.conf"), Impact.SHARED_STATE),
        (FILE._replace(mode=stat.S_IFCHR, major=1), Impact.BY_DESIGN),
        (FILE._replace(mode=stat.S_IFCHR, major=10), Impact.REACHES_OUT),
        (FILE._replace(mode=stat.S_IFBLK, read_only=True), Impact.REACHES_OUT),
        (FILE._replace(mode=stat.S_IFSOCK, read_only=True), Impact.REACHES_OUT),
        (FILE._replace(mode=stat.S_IFIFO, read_only=True), Impact.REACHES_OUT),
    ],
)
def test_a_bind_mount_means_what_it_gives(bind: Bind, means: Impact) -> None:
    assert impact(bind) is means


def test_what_meets_in_two_parts_of_a_relation_meets() -> None:
    """The owner of a lock is in one part, who waits for it in another."""
    one, two, thing = (np.array([n], np.uint64) for n in (1, 2, 3))
    parts = [Related("FILE", one, "INODE", thing), Related("TASK", two, "INODE", thing)]
    shared = replace(relations()["same-file"])
    kept = _matter(shared, parts, {"FILE": one}, host=False)
    assert [mask.tolist() for mask in kept] == [[True], [True]]
    kept = _matter(shared, parts, {"FILE": one, "TASK": two}, host=False)
    assert [mask.tolist() for mask in kept] == [[False], [False]]
    kept = _matter(relations()["file-lock"], parts, {"FILE": one, "TASK": two}, host=False)
    assert [mask.tolist() for mask in kept] == [[True], [True]]
    assert not _matter(shared, [], {}, host=True)


def test_things_meet_where_both_sides_are() -> None:
    thing = np.array([7, 7, 8, 8], np.uint64)
    mine = np.array([True, False, True, True])
    assert meet(thing, mine, ~mine).tolist() == [True, True, False, False]


def test_what_a_file_is_on_is_no_crossing() -> None:
    made, mine, *_ = machine()
    space = made.object("MNT_NS", None, initial=True)
    mount = made.object("MOUNT", None, name="/", holders=[(space, "mount")])
    made.relation("on-mount", mine, mount)
    assert not report(made).crossings
