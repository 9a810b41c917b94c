"""The house rules that a reader of the code relies on: who imports whom, what every kind has."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from analyzer.core.model import TASK, Impact
from analyzer.criu import QUIET, RULES
from analyzer.kinds import associations, registry
from analyzer.kinds.base import Judged, Kind
from analyzer.relations import relations
from fixtures._registry import ties
from scripts import rooms, syntax

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "analyzer"


def test_every_room_has_its_place() -> None:
    assert rooms.rooms() == {room for row in rooms.ROOMS for room in row}


def test_an_arrow_is_an_import() -> None:
    assert {("cli", "core"), ("sources", "memory"), ("report", "check")} <= {*rooms.arrows()}


@pytest.mark.parametrize("room", sorted(rooms.rooms()))
def test_data_flows_one_way(room: str) -> None:
    """No arrow runs up, at run time or for types; `analyzer.core.notebook` is the one hook."""
    used = {to: by for (start, to), by in rooms.arrows().items() if start == room}
    assert not {to: by for to, by in used.items() if rooms.place(to) >= rooms.place(room)}


def test_every_module_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        module = syntax.module(path)
        assert len(module.docstring) > 30, path
        assert module.lines <= 600, path


def test_only_the_command_line_prints() -> None:
    for path in PACKAGE.rglob("*.py"):
        if "cli" not in path.parts:
            assert "print" not in syntax.module(path).calls, path


KINDS = [pytest.param(kind, id=kind.name) for kind in registry().values()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_whole(kind: Kind) -> None:
    """It has words for people, a count if it is judged, and targets that exist."""
    assert kind.title
    assert kind.plural
    assert kind.struct
    assert kind.rules
    assert (kind.judged is Judged.NOT) or (kind.counters and kind.message)
    assert {pointer.target for pointer in kind.pointers} <= set(registry())
    assert bool(kind.namespace) == bool(kind.initial_ino)


@pytest.mark.parametrize("kind", KINDS)
def test_a_judged_kind_has_a_fixture(kind: Kind) -> None:
    if kind.judged is Judged.NOT or kind.name == TASK:
        pytest.skip("it is not judged")
    files = [*(ROOT / "fixtures").rglob("*.py"), *(ROOT / "tests/live").rglob("*.py")]
    assert any(f'"{kind.name}"' in path.read_text() for path in files)


def test_a_relation_that_is_told_has_a_tie() -> None:
    """A factory in real processes, of which tests/live/test_ties.py asks from both sides."""
    assert {name for name, one in relations().items() if one.told} == {
        tie.relation for tie in ties().values()
    }


@pytest.mark.parametrize("name", ties())
def test_a_tie_says_what_is_seen(name: str) -> None:
    tie = ties()[name]
    assert tie.desc
    assert {*tie.sees} - {None} <= {impact.name for impact in Impact}
    assert relations()[tie.relation].alone is tie.alone
    assert set(tie.gives) == set() or tie.other is not None


def test_an_association_means_one_thing() -> None:
    """Two kinds may use one name only for the same thing."""
    seen: dict[str, object] = {}
    for kind in registry().values():
        own = [*kind.associations, *(a for t in kind.file_types for a in t.associations)]
        for association in own:
            assert seen.setdefault(association.name, association) == association, association.name
    assert set(associations()) == set(seen)


def test_a_kind_is_one_file() -> None:
    for kind in registry().values():
        module = importlib.import_module(f"analyzer.kinds.{kind.name.lower()}")
        assert module.KIND is kind


# Who spells the kinds of the registry: what reads a machine or /proc as it is, what somebody asks
# for (also a placeholder FILE, a column PID), one rule of the kernel's, and one picture.
_SPELL = {
    "kinds", "relations", "procfs", "sources", "lookup", "writers.who", "cli", "report.columns",
    "graph.freeing", "plots._namespaces", "report.crossed", "writers.several",
    "report.profiles", "report.items", "criu",
}  # fmt: skip


def test_kinds_own_what_is_asked_of_them() -> None:
    names = {*registry()} - {TASK}
    for path in sorted(rooms.PACKAGE.rglob("*.py")):
        parts = path.relative_to(rooms.PACKAGE).with_suffix("").parts
        if not _SPELL & {parts[0], ".".join(parts), ".".join(parts[:2])}:
            assert not syntax.module(path).strings & names, f"{path}: ask the kind instead"


# Who spells the places in holders: what reads a machine or /proc, or answers what somebody asks for
# by them; the columns that lsfd has other words for; two rules of the kernel's, and one picture.
_PLACES = {
    "kinds", "relations", "procfs", "sources", "lookup", "subjects", "writers.who", "criu",
    "report.columns", "report.profiles.base", "graph.freeing", "check.objhash", "plots._namespaces",
}  # fmt: skip
# They are also words of everyday, keys of documents or names of calls.
_EVERYDAY = {
    "bind", "exe", "fd", "files", "fuse", "loop", "mount", "nsproxy", "owner", "parent", "pid",
    "sender", "shm", "socket", "syscall", "tun", "aio", "mm", "fs",
}  # fmt: skip


def test_associations_own_what_is_asked_of_them() -> None:
    names = {*associations()} - _EVERYDAY
    spelled = set()
    for path in sorted(rooms.PACKAGE.rglob("*.py")):
        parts = path.relative_to(rooms.PACKAGE).with_suffix("").parts
        words = syntax.module(path).strings
        own = _PLACES & {parts[0], ".".join(parts)}
        spelled |= own if words & {*associations()} else set()
        assert own or not words & names, f"{path}: ask the association instead"
    assert spelled == _PLACES, "who does not spell them any more"


def test_of_all_that_can_cross_it_is_said_what_criu_does() -> None:
    """A new relation, or a judged kind, needs a rule in `analyzer.criu`: UNKNOWN is one too."""
    about = {rule.about for rule in RULES.values()}
    told = [one.name for one in relations().values() if one.told]
    judged = [kind.name for kind in registry().values() if kind.judged is not Judged.NOT]
    assert not {*told, *judged} - about - {*QUIET}
    assert about - {""} <= {*relations(), *registry()}
