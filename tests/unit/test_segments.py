"""System V segments, as /proc/sysvipc/shm and mappings show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.core.values import replace
from analyzer.procfs import segments
from analyzer.procfs.segments import Segment
from analyzer.relations.shown import Attach
from tests.unit.test_relations_shown import shown, task

if TYPE_CHECKING:
    from analyzer.relations.shown import Shown

HEAD = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid\n"
LINES = (
    "        42          3   600                  4096    11    12      2     0     0\n"
    "       -1          4   600                  8192    11    12      1     0     0\n"
)
HOST, OWN = "ipc:[1]", "ipc:[2]"


def machine(*attached: Attach, text: str = HEAD + LINES) -> Shown:
    """Return what a reader in the host's namespace sees, of a container's task 7 and others."""
    inside = task(7, inside=True, ipc=OWN)
    others = [task(pid, ipc=HOST) for pid in (11, 12)]
    return replace(
        shown(inside, *others), attached=attached, reader={"ipc": HOST}, text=lambda _: text
    )


def test_the_list_has_ids_keys_and_mappings() -> None:
    assert segments.listed(machine()) == {
        (3, 42): Segment(4096, 2), (4, 0xFFFFFFFF): Segment(8192, 1),
    }  # fmt: skip
    assert segments.listed(machine(text="")) == {}
    assert segments.listed(machine(text=f"{HEAD}not a line\n1 2\n")) == {}


def test_a_mapping_shows_id_and_key() -> None:
    assert segments.attach(7, "/SYSV0000002a (deleted)", 3) == Attach(7, (3, 42))
    assert segments.attach(7, "/SYSV0000002a", None) is None
    assert segments.attach(7, "/SYSV0000002a/file", 3) is None
    assert segments.attach(7, "/srv/file", 3) is None


def test_as_many_mappings_as_the_list_has_are_all_of_them() -> None:
    both = Attach(11, (3, 42)), Attach(12, (3, 42))
    assert segments.of_reader(machine(*both)) == {(3, 42)}
    assert segments.of_reader(machine(both[0])) == set()  # one was not seen
    assert segments.of_reader(machine(*both, Attach(7, (3, 42)))) == set()  # one is of others


def test_what_is_not_listed_is_of_the_namespace_of_who_has_it() -> None:
    own = Attach(7, (9, 0))
    assert list(segments.elsewhere(machine(own))) == [(OWN, (9, 0))]
    assert not segments.elsewhere(machine(Attach(11, (9, 0))))  # others' in a reading of a border
    inherited = Attach(7, (4, 0xFFFFFFFF))
    assert not segments.elsewhere(machine(inherited))  # all its mappings are of the host's
