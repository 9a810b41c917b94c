"""System V segments, as /proc/sysvipc/shm and mappings show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analyzer.core.values import replace
from analyzer.procfs import may_hold, segments
from analyzer.procfs.fs import MemoryFs
from analyzer.procfs.segments import Segment
from analyzer.relations.shown import Attach
from tests.unit.test_relations_shown import shown, task

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.relations.shown import Shown

HEAD = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid\n"
LINES = (
    "        42          3   600                  4096    11    12      2     0     0\n"
    "       -1          4   600                  8192    11    12      1     0     0\n"
)
ONE = "         7          9   600                  4096    11    12      1     0     0\n"
GONE = "         0          9  1600                  4096    11    12      1     0     0\n"
HOST, OWN, THIRD = "ipc:[1]", "ipc:[2]", "ipc:[3]"


def machine(*attached: Attach, text: str = HEAD + LINES, **lists: str) -> Shown:
    """Return what a reader in the host's namespace sees, of a container's task 7 and others.

    `lists` are the segments of `own`, and of a `third` namespace that 13 is in.
    """
    inside = task(7, inside=True, ipc=OWN)
    others = [task(pid, ipc=HOST) for pid in (11, 12)]
    found = {{"own": OWN, "third": THIRD}[name]: HEAD + lines for name, lines in lists.items()}
    return replace(
        shown(inside, *others, task(13, ipc=THIRD)), attached=attached, reader={"ipc": HOST},
        text=lambda _: text, segments=found,
    )  # fmt: skip


def mapped(tid: int, ident: int, key: int = 0) -> Attach:
    return Attach(tid, (ident, key), ("FILE", (tid, 0)))


def test_the_list_has_ids_keys_and_mappings() -> None:
    assert segments.listed(machine(own=ONE)) == {
        HOST: {3: Segment(42, 4096, 2), 4: Segment(0xFFFFFFFF, 8192, 1)},
        OWN: {9: Segment(7, 4096, 1)},
    }
    assert segments.listed(machine(text="")) == {}
    assert segments.listed(machine(text=f"{HEAD}not a line\n1 2\n")) == {}


def test_a_mapping_shows_id_and_key() -> None:
    assert segments.name("/SYSV0000002a (deleted)", 3) == (3, 42)
    assert segments.name("/SYSV0000002a", None) is None
    assert segments.name("/SYSV0000002a/file", 3) is None
    assert segments.name("/srv/file", 3) is None


def test_as_many_mappings_as_the_lists_have_are_all_of_them() -> None:
    both = mapped(11, 3, 42), mapped(12, 3, 42)
    assert segments.placed(machine(*both)) == {(3, 42): [HOST]}
    assert segments.placed(machine(both[0])) == {}  # one was not seen
    assert segments.placed(machine(*both, mapped(7, 3, 42))) == {}  # one is of others


@pytest.mark.parametrize("line", [ONE, GONE])
def test_whoever_has_a_segment_of_one_namespace_holds_that(line: str) -> None:
    """It may be marked to go, and has lost its key then."""
    seen = machine(mapped(11, 9, 7), own=line)
    assert segments.placed(seen) == {(9, 7): [OWN]}
    assert not segments.elsewhere(seen)
    assert not list(may_hold.of_segments(seen))  # it is known


def test_of_two_namespaces_with_one_id_it_may_be_either() -> None:
    seen = machine(mapped(7, 9, 7), mapped(13, 9, 7), own=ONE, third=ONE)
    assert segments.placed(seen) == {(9, 7): [OWN, THIRD]}
    assert {(row.left[1], row.right[1]) for row in may_hold.of_segments(seen)} == {
        (tid, space) for tid in (7, 13) for space in (OWN, THIRD)
    }
    other = ONE.replace("7 ", "8 ", 1)
    assert segments.placed(machine(mapped(7, 9, 7), mapped(13, 9, 8), own=ONE, third=other)) == {
        (9, 7): [OWN], (9, 8): [THIRD],
    }  # fmt: skip


def test_what_no_list_has_may_be_of_any_namespace() -> None:
    (row,) = may_hold.of_segments(machine(mapped(11, 9, 7), own=""))
    assert (row.right, row.role) == (("TASK", 11), "IPC_NS")


def test_what_is_not_listed_is_of_the_namespace_of_who_has_it() -> None:
    assert list(segments.elsewhere(machine(mapped(7, 9)))) == [(OWN, (9, 0))]
    assert not segments.elsewhere(machine(mapped(11, 9)))  # others' in a reading of a border
    inherited = mapped(7, 4, 0xFFFFFFFF)
    assert not segments.elsewhere(machine(inherited))  # all its mappings are of the host's


def test_a_dump_has_the_lists_by_the_number_of_the_namespace(tmp_path: Path) -> None:
    fs = MemoryFs({segments.kept(2): ONE.encode()}, tmp_path)
    tasks = machine().tasks.values()
    assert segments.read(fs, tasks, HOST) == {OWN: ONE}
