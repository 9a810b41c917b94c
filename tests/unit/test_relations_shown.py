"""Relations of what /proc shows: what is not shown crosses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analyzer.core.values import replace
from analyzer.relations import relations
from analyzer.relations.shown import File, Mount, Shown, Sock, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.relations.shown import Looked, Tied


def nobody(paths: Sequence[str], names: Sequence[str] = ()) -> Sequence[Looked | None]:
    """Be a dump in which nothing was looked at."""
    del names
    return [None] * len(paths)


def task(tid: int, *, inside: bool = False, session: int = 0, **spaces: str) -> Task:
    return Task(
        tid, tid, 1, tid, "x", "S", kthread=False, exiting=False, inside=inside,
        session=session, group=session, numbers=(tid,), spaces=spaces,
    )  # fmt: skip


def shown(*tasks: Task, whole: bool = True, mounts: Sequence[Mount] = (), **initial: str) -> Shown:
    return Shown(
        tasks={one.tid: one for one in tasks}, tables=[], files=[], mappings=[], places=[],
        mounts={one.mnt_id: one for one in mounts}, initial=initial, whole=whole, host=False,
        look=nobody, text=lambda _: "",
    )  # fmt: skip


def told(name: str, what: Shown) -> list[Tied]:
    find = relations()[name].from_proc
    assert find is not None
    return list(find(what))


def test_a_leader_that_was_not_read_is_not_gone() -> None:
    tasks = task(7, inside=True, session=5), task(8, session=5)
    assert len(told("session-left", shown(*tasks))) == 2
    assert not told("session-left", shown(*tasks, whole=False))


def test_where_the_hosts_namespace_is_unknown_nobody_joined() -> None:
    tasks = task(7, inside=True, net="net:[9]"), task(8, net="net:[9]")
    assert not told("joined", shown(*tasks))
    (one,) = told("joined", shown(*tasks, net="net:[1]"))
    assert (one.left, one.right) == (("TASK", 7), ("TASK", 8))
    assert not told("joined", shown(*tasks, net="net:[9]"))


@pytest.mark.parametrize(("root", "gates"), [("/", True), ("/part", False)])
def test_of_what_type_a_mount_is_unknown_the_milder_is_told(root: str, *, gates: bool) -> None:
    mounts = [
        Mount(number, 7, shows, at, "ext4", read_only=False, group=0, master=0, space=space)
        for number, shows, at, space in (
            (1, "/", "/", "mnt:[1]"),
            (2, root, "/etc/hosts", "mnt:[2]"),
        )
    ]
    tasks = task(7, inside=True, mnt="mnt:[2]"), task(8, mnt="mnt:[1]")
    (one,) = told("bind-mount", shown(*tasks, mounts=mounts, mnt="mnt:[1]"))
    assert (one.impact is not None and one.impact.value == "reaches out") is gates


@pytest.mark.parametrize(("mnt_id", "crosses"), [(1, True), (None, False)])
def test_the_mount_of_what_is_mapped_is_a_guess(mnt_id: int | None, *, crosses: bool) -> None:
    """Maps tell a device alone, which mounts of both namespaces show."""
    mount = Mount(1, 7, "/", "/", "ext4", read_only=False, group=0, master=0, space="mnt:[1]")
    file = File(("FILE", 3), "/bin/x", None, None, None, mnt_id, 5, mount, b"", (), inside=True)
    tasks = task(7, inside=True, mnt="mnt:[2]"), task(8, mnt="mnt:[1]")
    what = replace(shown(*tasks, mounts=[mount], mnt="mnt:[1]"), files=[file])
    assert bool(told("foreign-mount", what)) is crosses


@pytest.mark.parametrize(
    ("interfaces", "crosses"), [((0, 0), True), ((0, 3), False), ((None, None), False)]
)
def test_two_listen_at_one_address_only_by_taking_turns(
    interfaces: tuple[int | None, int | None], *, crosses: bool
) -> None:
    """Bound to interfaces of their own they do not."""
    ends = (b"", 80, b"", 0)
    socks = [
        Sock(ino, "net:[1]", "inet", "stream", "tcp", 10, "listening", number=6, ends=ends,
             interface=interface)
        for ino, interface in zip((7, 8), interfaces, strict=True)
    ]  # fmt: skip
    files = [
        File(("FILE", ino), f"socket:[{ino}]", None, 2, 0, None, ino, None, b"", (), inside=ours)
        for ino, ours in ((7, True), (8, False))
    ]
    what = replace(shown(), socks=socks, files=files)
    assert bool(told("reuseport", what)) is crosses


def test_without_anything_nothing_is_told() -> None:
    for relation in relations().values():
        if relation.from_proc is not None:
            assert not list(relation.from_proc(shown())), relation.name
            assert not list(relation.from_proc(shown(task(7, inside=True)))), relation.name
