"""The list of all namespaces: who is in them, what keeps the empty ones, trees, and 80 columns."""

from __future__ import annotations

import json

import pytest

from analyzer.core.errors import BadInputError
from analyzer.core.text import width
from analyzer.lookup import columns, namespaces
from analyzer.lookup.pins import Pin, folded
from analyzer.writers import namespaces as writer
from analyzer.writers.columns import render
from tests.build import Machine
from tests.each import each

EVIL = "\x1b[2J\nnet:[1]"


def machine() -> Machine:
    """A host, a process in namespaces of its own, and one network that a bind mount keeps."""
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(77, 1, comm=EVIL)
    named = {"initial": True, "ino": 10, "name": "user:[10]"}
    cred = made.object("CRED", 1, holders=[(1, "real_cred")])
    user = made.object("USER_NS", 9, holders=[(cred, "cred.user_ns")], **named)
    theirs = made.object("CRED", 1, holders=[(77, "real_cred")])
    child = made.object("USER_NS", 3, holders=[(theirs, "cred.user_ns")], ino=11, name="user:[11]")
    made.reference(user, child, "parent")
    own = made.object("NSPROXY", 1, holders=[(77, "nsproxy")])
    made.object("UTS_NS", 1, holders=[(own, "nsproxy.uts")], ino=12, name="uts:[12]")
    made.reference(child, made.object("UTS_NS", 1, ino=16, name="uts:[16]"), "owner")
    host = made.object("MNT_NS", 5, initial=True, ino=13, name="mnt:[13]")
    mount = made.object("MOUNT", None, holders=[(host, "mount")], name=f"/run/netns/{EVIL}")
    nsfs = made.object("NSFS", 1, holders=[(mount, "bind")])
    kept = made.object("NET_NS", 2, holders=[(nsfs, "nsfs")], ino=14, name="net:[14]")
    made.reference(child, kept, "owner")
    made.object("NET_NS", 3, ino=15, name="net:[15]")
    made.object("MNT_NS", 1, ino=0, name="mnt:[0]")
    return made


def test_members_owners_and_what_keeps_the_empty_ones() -> None:
    found = {one.name: one for one in namespaces.every(machine().snapshot())}
    assert list(found) == [
        "user:[10]", "user:[11]", "uts:[12]", "mnt:[13]", "net:[14]", "net:[15]", "uts:[16]",
    ]  # fmt: skip
    assert found["user:[11]"].pids == found["uts:[12]"].pids == (77,)
    assert (found["user:[11]"].owner, found["user:[11]"].parent) == (10, 10)
    kept = found["net:[14]"]
    assert (kept.owner, kept.parent, kept.pids, kept.unnamed) == (11, None, (), 1)
    assert [pin.path for pin in kept.pins] == [f"/run/netns/{EVIL}"]
    assert "bind mount at /run/netns/" in kept.kept
    assert "in the host's mount namespace" in kept.kept
    assert found["net:[15]"].kept == "3 references that no holder was found for"
    assert found["user:[11]"].kept == "owns uts:[16] and net:[14]"
    assert not found["user:[10]"].pins


def test_trees_by_owner_and_by_parent() -> None:
    spaces = namespaces.every(machine().snapshot())
    owned = [(b.namespace.name, b.depth) for b in namespaces.tree(spaces, by_parent=False)]
    assert owned[:4] == [("user:[10]", 0), ("user:[11]", 1), ("net:[14]", 2), ("uts:[16]", 2)]
    nested = [(b.namespace.name, b.depth) for b in namespaces.tree(spaces, by_parent=True)]
    assert nested[:3] == [("user:[10]", 0), ("user:[11]", 1), ("uts:[12]", 0)]
    assert sorted(nested) == sorted((one.name, int(one.ino == 11)) for one in spaces)


def test_it_is_said_in_80_columns_and_plain_letters() -> None:
    spaces = namespaces.every(machine().snapshot())
    for branches in (namespaces.flat(spaces), namespaces.tree(spaces, by_parent=False)):
        lines = writer.to_text(branches, ()).splitlines()
        assert each(width(line) <= 80 and line.isprintable() for line in lines)
        assert lines[0].startswith("7 namespaces: 2 net, 2 user, 2 uts and 1 mnt. 4 have no")
    plain = writer.to_text(namespaces.tree(spaces, by_parent=False), (), encoding="ascii")
    assert plain.isascii()
    assert "`-11" in plain or "|-11" in plain
    told = json.loads(writer.to_json(spaces, ()))
    assert [one["name"] for one in told["namespaces"]] == [one.name for one in spaces]


def test_columns_and_filters_are_of_namespaces() -> None:
    spaces = namespaces.every(machine().snapshot())
    fields = namespaces.FIELDS
    chosen = columns.chosen(fields, "+kept", namespaces.USUAL)
    assert [field.name for field in chosen] == [*namespaces.USUAL, "KEPT"]
    left = columns.kept(fields, spaces, columns.parsed(fields, 'NPROCS == 0 and TYPE == "net"'))
    assert [one.ino for one in left] == [14, 15]
    table = render(columns.Told(columns.chosen(fields, "NS,PNS,USER", ()), left))
    assert table.splitlines() == ["NS PNS USER", "14   - -", "15   - -"]
    with pytest.raises(BadInputError, match="no column"):
        columns.chosen(fields, "NS,FROB", ())
    with pytest.raises(BadInputError, match="no such column"):
        columns.parsed(fields, "REFCOUNTS > 1")


def test_alike_pins_are_said_together() -> None:
    found = [Pin("owns", f"net:[{n}]") for n in range(5)] + [Pin("", "fd 3 of a (1)")] * 2
    assert list(folded(found)) == [
        "owns net:[0], net:[1], net:[2] and 2 more", "fd 3 of a (1)",
    ]  # fmt: skip
