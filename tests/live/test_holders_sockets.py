"""Sockets, io_uring, pipes and terminals as holders: each found by name, and every count exact."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import fixtures
from analyzer.check import leaks
from analyzer.check.subtree import INSIDE, OUTSIDE
from analyzer.core.model import TASK, Rules
from analyzer.memory.probe import open_memory
from analyzer.sources import kernel
from analyzer.sources.request import Request
from tests import own
from tests.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf]


class Held(NamedTuple):
    """A reference, as far as the tests look at it."""

    holder_kind: str
    association: str
    detail: str | None
    side: int
    target: int


class Scene:
    """A fixture that runs, and what was read of it."""

    def __init__(self, info: Mapping[str, Any], snapshot: Snapshot, rules: Rules) -> None:
        self.info = info
        self.verdicts = leaks.check(snapshot, info["root"], rules)
        self.graph = Graph(snapshot, self.verdicts)
        self.objects, self.references = self.graph.objects, self.graph.references

    def file(self, number: int) -> int:
        """The file that the fixture lists as its `number`th."""
        files = [item for item in self.info["expect"] if item["kind"] == "FILE"]
        found = self.graph.find(files[number]["match"])
        assert found is not None
        return found

    def to(self, objref: int) -> list[Held]:
        """Who holds an object."""
        return [self._held(int(row)) for row in np.flatnonzero(self.references["target"] == objref)]

    def by(self, kind: str, holder: int, association: str) -> list[int]:
        """What a holder holds at a place."""
        return [objref for _, objref in self.graph._held(kind, holder, association)]

    def one(self, kind: str, holder: int, association: str) -> int:
        (found,) = self.by(kind, holder, association)
        return found

    def all(self, association: str) -> list[Held]:
        """Every reference of one association that the subtree has, or that is to what it has."""
        code, border = self.references.code("association", association), self.verdicts.border
        ours = (border.reference_side == INSIDE) | border.collected[border.target_row]
        rows = np.flatnonzero((self.references["association"] == code) & ours)
        return [self._held(int(row)) for row in rows]

    def counts(self, objref: int) -> tuple[int, int, int]:
        """Users inside, held outside, unnamed."""
        of = self.verdicts
        row = objref - 1
        return int(of.users[row]), int(of.outside[row]), int(of.unnamed[row])

    def verdict(self, objref: int) -> str:
        return self.graph.verdict(objref)

    def name(self, objref: int) -> str | None:
        found: str | None = self.objects.value("name", objref - 1)
        return found

    def unnamed(self) -> list[dict[str, Any]]:
        """The objects of the subtree that have references nobody is known for."""
        wrong = self.verdicts.judged & (self.verdicts.unnamed != 0) & ~self.objects["initial"]
        return [self.objects.row(int(row)) for row in np.flatnonzero(wrong)]

    def _held(self, row: int) -> Held:
        value = self.references.value
        return Held(
            value("holder_kind", row),
            value("association", row),
            value("detail", row),
            int(self.verdicts.border.reference_side[row]),
            value("target", row),
        )


@cache
def snapshot_of(name: str) -> tuple[Mapping[str, Any], Snapshot]:
    """What was read of a fixture while it stood: read once, and asked by many."""
    with fixtures.start(name) as running, open_memory() as memory:
        return running.info, kernel.collect(memory, Request(running.info["root"]))


def scene_of(name: str, rules: Rules = Rules.MODERN) -> Scene:
    return Scene(*snapshot_of(name), rules)


OURS = (
    "scm", "unix-peer", "tcp-orphans", "io-uring", "io-uring-task", "io-uring-outside",
    "pipes", "pipe-outside", "terminal", "terminal-outside",
)  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_no_reference_to_what_a_subtree_has_is_unnamed(name: str) -> None:
    scene = scene_of(name)
    assert not scene.unnamed()


def test_files_in_flight_are_held_by_the_queue_that_they_wait_in() -> None:
    scene = scene_of("scm")
    flying = scene.all("scm")
    # two in each pair of three kinds, one to itself, one not accepted, two sockets with one
    assert len(flying) == 6 + 1 + 1 + 3
    assert {held.holder_kind for held in flying} == {"SOCKET"}
    assert {held.side for held in flying} == {INSIDE}
    for held in flying:
        assert scene.verdict(held.target) == "contained"
        assert scene.counts(held.target) == (1, 0, 0)


def test_a_connection_that_nobody_accepted_is_the_listeners() -> None:
    scene = scene_of("scm")
    (waiting,) = scene.all("backlog")
    assert waiting.holder_kind == "SOCKET"
    # by the queue (and the table), and by the client
    assert scene.counts(waiting.target) == (3, 0, 0)
    assert len(scene.by("SOCKET", waiting.target, "scm")) == 1


def test_a_socket_remembers_who_was_at_its_other_end() -> None:
    scene = scene_of("scm")
    (remembered,) = scene.all("peer_pid")
    assert (remembered.holder_kind, remembered.side) == ("SOCKET", INSIDE)
    (closed,) = scene.all("peer.closed")
    for holder, what, association in (
        ("PID", remembered.target, "pid.ns"),
        ("SOCKET", closed.target, "socket"),  # it pins its network namespace still
    ):
        namespace = scene.one(holder, what, association)
        assert scene.verdict(namespace) == "contained"
        assert scene.counts(namespace)[1:] == (0, 0)


def test_the_peer_outside_of_a_socket_is_a_leak_and_so_is_what_waits_in_its_queue() -> None:
    scene = scene_of("unix-peer")
    inside = scene.one("FILE", scene.file(0), "sock")
    assert scene.verdict(inside) == "usage_leak"
    # two for its file: it was never in a table, so one
    assert {held.association: held.side for held in scene.to(inside)} == {
        "sock": INSIDE,
        "peer": OUTSIDE,
    }
    sent = scene.file(2)
    assert ("SOCKET", OUTSIDE) in [
        (held.holder_kind, held.side) for held in scene.to(sent) if held.association == "scm"
    ]
    assert scene.counts(sent) == (1, 2, 0)
    (received,) = scene.by("SOCKET", inside, "scm")
    assert scene.verdict(received) == "contained"
    assert scene.name(inside) == scene.name(scene.file(0))  # socket:[N]


def test_the_client_of_a_server_outside_is_held_by_nobody_outside() -> None:
    scene = scene_of("unix-peer")
    client = scene.one("FILE", scene.file(1), "sock")
    assert scene.verdict(client) == "contained"
    (server,) = scene.by("SOCKET", client, "peer")
    assert scene.objects.value("kind", server - 1) == "SOCKET"
    assert not scene.verdicts.judged[server - 1]


def test_sockets_are_compared_as_linux_cr_did() -> None:
    scene = scene_of("unix-peer", Rules.LINUX_CR)
    inside = scene.one("FILE", scene.file(0), "sock")
    assert scene.verdict(inside) == "usage_leak"
    (received,) = scene.by("SOCKET", inside, "scm")  # which linux-cr refused to look at
    assert not scene.verdicts.judged[received - 1]


def test_connections_without_a_file_are_their_network_namespaces() -> None:
    scene = scene_of("tcp-orphans")
    orphans = scene.all("orphan")
    assert [held.holder_kind for held in orphans] == ["NET_NS", "NET_NS"]
    (namespace,) = {scene.one("NET_SOCKET", held.target, "socket") for held in orphans}
    assert scene.verdict(namespace) == "contained"
    assert scene.counts(namespace)[1:] == (0, 0)


def test_a_ring_holds_registered_files_and_those_of_unfinished_requests() -> None:
    scene = scene_of("io-uring")
    registered = scene.all("io_uring.file")
    # the second of them is in no slot any more: a request on it keeps it
    assert [held.holder_kind for held in registered] == ["IO_URING"] * 3
    requests = scene.all("io_uring.request")
    waiting = [held.detail for held in requests if held.holder_kind == "IO_URING"]
    assert sorted(map(str, waiting)) == ["poll_add", "read", "read"]
    (working,) = (held for held in requests if held.holder_kind == TASK)
    assert working.detail == "tee"
    assert scene.counts(working.target) == (2, 0, 0)  # a descriptor, and the worker
    for held in (*registered, *requests):
        assert scene.verdict(held.target) == "contained"


def test_a_ring_registered_with_a_task_is_held_by_the_task() -> None:
    scene = scene_of("io-uring-task")
    (ring,) = scene.all("io_uring.ring")
    assert ring.holder_kind == TASK
    assert scene.verdict(ring.target) == "contained"
    (polled,) = scene.all("io_uring.request")
    assert scene.counts(polled.target) == (1, 0, 0)


def test_a_ring_outside_is_an_outside_holder() -> None:
    scene = scene_of("io-uring-outside")
    for number, association in enumerate(("io_uring.file", "io_uring.request")):
        held = scene.to(scene.file(number))
        by_ring = [one for one in held if one.holder_kind == "IO_URING"]
        assert [(one.association, one.side) for one in by_ring] == [(association, OUTSIDE)]


def test_a_pipe_counts_its_files_however_they_were_opened() -> None:
    scene = scene_of("pipes")
    pipe = scene.one("FILE", scene.file(0), "pipe.reader")
    assert scene.counts(pipe) == (3, 0, 0)
    assert scene.one("FILE", scene.file(3), "pipe.both") != pipe
    assert scene.verdict(pipe) == "contained"


def test_a_pipe_with_its_other_end_outside_is_a_leak_though_the_file_is_not() -> None:
    scene = scene_of("pipe-outside")
    file = scene.file(0)
    pipe = scene.one("FILE", file, "pipe.writer")
    assert scene.verdict(file) == "contained"
    assert scene.verdict(pipe) == "usage_leak"
    assert scene.counts(pipe) == (1, 1, 0)


def test_a_terminal_is_held_by_files_and_its_other_end() -> None:
    scene = scene_of("terminal")
    master = scene.one("FILE", scene.file(0), "tty.file")
    slave = scene.one("FILE", scene.file(1), "tty.file")
    assert scene.by("TTY", master, "tty.master") == [slave]
    assert scene.counts(slave) == (2, 0, 0)
    assert TASK in [held.holder_kind for held in scene.to(slave)]  # its controlling terminal
    assert scene.name(slave) == scene.name(scene.file(1))  # /dev/pts/N
    hung_up = scene.one("FILE", scene.file(2), "tty.file")
    assert scene.counts(hung_up) == (1, 0, 0)


def test_a_terminal_whose_master_is_outside_is_a_leak() -> None:
    scene = scene_of("terminal-outside")
    slave = scene.one("FILE", scene.file(0), "tty.file")
    assert scene.verdict(slave) == "usage_leak"
    assert scene.counts(slave) == (1, 1, 0)


KINDS = ("SOCKET", "PIPE", "TTY")


def test_every_reference_of_ours_to_sockets_pipes_and_terminals_is_named() -> None:
    """With all of our fixtures standing, and others' programs running."""
    with ExitStack() as stack:
        running = [stack.enter_context(fixtures.start(name)) for name in OURS]
        assert own.uneven([one.info["root"] for one in running], KINDS) == []
