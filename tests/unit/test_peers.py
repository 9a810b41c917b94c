"""What a dump keeps of who is connected to whom: text of our own, and what ss(8) printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from analyzer.core.model import TASK
from analyzer.core.values import replace
from analyzer.procfs import may_hold, peers, streamed
from analyzer.procfs.archive import open_dump
from analyzer.procfs.diag import Ends
from analyzer.procfs.fs import MemoryFs
from analyzer.procfs.record import Recorder
from analyzer.relations.shown import File, Shown, Slot, Sock, Task
from analyzer.sources.privacy import Redaction
from tests.unit.test_relations_shown import shown

if TYPE_CHECKING:
    from pathlib import Path

NET = "net:[9]"
HEAD = b"Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n"


def line(inode: int, peer: int, name: str = "*") -> bytes:
    return f"u_str ESTAB 0      0      {name} {inode}            * {peer}       \n".encode()


@given(
    st.dictionaries(
        st.integers(1, 9999),
        st.builds(
            Ends,
            st.integers(0, 9999),
            st.lists(st.integers(1, 9999), max_size=3).map(tuple),
            st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape")),
        ),
        max_size=4,
    )
)
def test_what_was_told_is_read_as_it_was_told(found: dict[int, Ends]) -> None:
    assert peers.parse(peers.text(found)) == found


def test_what_is_no_such_line_is_left_out() -> None:
    assert peers.parse(b"7 8 - @a\\012b\nx\n7\n9 99999999999 - \n\n1 0 2, \n") == {
        7: Ends(8, (), "@a\nb"),
        1: Ends(0, (2,)),
    }


def test_ss_prints_the_other_ends() -> None:
    said = HEAD + line(7, 8) + line(8, 7, "/run/a b") + line(9, 0, "@x")
    assert peers.printed(said) == {7: Ends(8), 8: Ends(7), 9: Ends()}


def test_a_name_that_looks_like_a_line_says_nothing() -> None:
    """ss prints its newlines as they are."""
    forged = f"x\n{line(7, 10).decode()}u_dgr"
    said = HEAD + line(7, 8) + line(8, 7) + line(10, 11) + line(11, 10, forged)
    assert peers.printed(said) == {8: Ends(7), 10: Ends(11)}
    # Nor what the other end does not confirm.
    assert peers.printed(HEAD + line(7, 10) + line(10, 11) + line(11, 10)).keys() == {10, 11}


def test_where_ss_may_not_ask_the_kernel_nothing_is_known() -> None:
    assert not peers.printed(HEAD + line(7, 0) + line(8, 0))


def test_what_ss_printed_is_in_the_stream_of_the_script(tmp_path: Path) -> None:
    path = tmp_path / "d"
    said = HEAD + line(7, 8, "a\n### end") + line(8, 7)
    body = b"".join(b"(standard input):" + one + b"\n" for one in said.splitlines())
    path.write_bytes(
        streamed.MAGIC + b"### files \n7/stat:x\n### peers [9]\n" + body
        + b"### peers [x]\n(standard input):y\n### end\nended_at x\n"
    )  # fmt: skip
    fs = open_dump(path)
    assert not fs.cut
    assert fs.read(peers.kept(9, "ss")) == said
    assert peers.ends(fs, {NET: [7]})[NET].of(8) == Ends(7)
    assert fs.listdir("cranalyze/net") == ["9"]


def test_a_recorder_keeps_what_was_told(tmp_path: Path) -> None:
    told = peers.text({7: Ends(8)})
    inner = MemoryFs({peers.kept(9, "peers"): told, peers.kept(9, "listeners"): b"3 2\n"}, tmp_path)
    recorder = Recorder(inner)
    found = peers.ends(recorder, {NET: [7]})[NET]
    assert (found.of(7), found.of(8)) == (Ends(8), Ends())  # 8 is gone: all were told
    assert peers.listeners(recorder, {NET: [7]}) == {3: 2}
    assert recorder.entries == {
        peers.kept(9, "peers"): told,
        peers.kept(9, "listeners"): b"3 2\n",
    }
    assert peers.are_in(recorder.entries)


def test_names_are_hashed() -> None:
    redacted = Redaction(b"k" * 16).entry(peers.kept(9, "peers"), b"7 8 - /run/secret\n9 0 1,2 \n")
    assert isinstance(redacted, bytes)
    assert b"secret" not in redacted
    assert peers.parse(redacted)[9] == Ends(0, (1, 2))


def sock(ino: int, peer: int = 0, kind: str = "stream", *, told: bool = True) -> Sock:
    return Sock(ino, NET, "unix", kind, "", 1, "connected", peer=peer, told=told)


def what(*socks: Sock) -> Shown:
    """Return what is shown of sockets that are open: those below 10 are inside."""
    files = [
        File(("FILE", one.ino), f"socket:[{one.ino}]", None, 2, 0, None, None, None, b"",
             (Slot(int(one.ino >= 10), one.ino),), one.ino < 10)
        for one in socks
    ]  # fmt: skip
    return replace(shown(), files=files, socks=socks, tables=[(70,), (71,)])


def doubted(*socks: Sock) -> set[object]:
    """Return which sockets somebody may hold."""
    return {row.left[1] for row in may_hold.of_connections(what(*socks))}


def test_files_of_who_is_connected_to_others_and_ran_may_have_been_sent() -> None:
    def sent(*socks: Sock, ran: bool = True) -> set[object]:
        found = may_hold.of_what_is_sent(what(*socks), lambda tids: set(tids) if ran else set())
        return {row.left[1] for row in found}

    assert sent(sock(7, 20), sock(20, 7)) == {7}
    assert not sent(sock(7, 20), sock(20, 7), ran=False)
    assert not sent(sock(7, 8), sock(8, 7), sock(20, 21), sock(21, 20))
    assert sent(sock(7), sock(20)._replace(waiting=(7,))) == {7}
    assert sent(sock(7, told=False)) == {7}


def test_who_is_connected_to_a_namespace_may_remember_who_ended() -> None:
    """SO_PEERCRED: a number that is kept keeps its pid namespace."""
    tasks = {
        tid: Task(
            tid, tid, 1, tid, "x", "S", kthread=False, exiting=False, inside=tid == 70,
            spaces={"pid": space}, outlived=tid == 70,
        )
        for tid, space in ((70, "pid:[9]"), (71, "pid:[1]"))
    }  # fmt: skip
    for other, who in ((20, [71]), (8, [])):
        seen = replace(
            what(sock(7, other), sock(20, 21), sock(other, 7)),
            tasks=tasks,
            initial={"pid": "pid:[1]"},
        )
        rows = list(may_hold.of_the_dead(seen))
        assert {row.right for row in rows} == {("PID_NS", "pid:[9]")}
        assert [row.left[1] for row in rows if row.left[0] == TASK] == who


def test_who_holds_a_socket_is_told_by_who_is_connected_to_it() -> None:
    assert not doubted(sock(7, 8), sock(8, 7))
    assert not doubted(sock(7, 20), sock(20, 7))
    assert doubted(sock(7, told=False), sock(20, told=False)) == {7}
    assert doubted(sock(7, 20)) == {7}  # nobody is known to have the other end
    assert not doubted(sock(7), sock(20)._replace(waiting=(7,)))


def test_to_a_datagram_socket_anybody_may_be_connected() -> None:
    assert not doubted(sock(7, kind="dgram"), sock(20, kind="dgram"))
    assert doubted(sock(7, kind="dgram"), sock(20, kind="dgram", told=False)) == {7}
