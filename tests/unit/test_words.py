"""The words that `who` understands: a registry whose families are whole, and what is no word."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analyzer.core.errors import BadInputError
from analyzer.kinds import facts
from analyzer.lookup import who, words
from analyzer.lookup.awaited import awaited
from analyzer.lookup.awaited import relations as relations_of
from analyzer.lookup.ends import other_ends
from analyzer.lookup.release import releases
from analyzer.lookup.told import told
from analyzer.lookup.value import Answer, Held, Node, Outcome
from analyzer.lookup.words import parse
from analyzer.procfs import cgroupfs, glance, places
from analyzer.procfs.glance import look
from analyzer.procfs.mountinfo import Mount
from analyzer.procfs.places import in_filesystem, marks
from analyzer.procfs.waits import Wait, wait
from analyzer.relations import relations
from analyzer.sources.meta import boot_id
from analyzer.writers.who import to_json, to_text
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.lookup.words.base import Word

ROOT = Path(__file__).parents[2]
WORDS = [pytest.param(word, id=name) for name, word in words.words().items()]


@pytest.mark.parametrize("word", WORDS)
def test_a_family_of_words_is_whole(word: Word) -> None:
    assert word.forms
    assert word.parse or word.of_path
    page = (ROOT / "docs/who.md").read_text("utf-8")
    assert all(f"`{form.written}`" in page and form.meaning in page for form in word.forms)
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert f'"{word.name}"' in tests
    assert (ROOT / "analyzer/lookup/words" / f"{word.name}.py").exists()


@pytest.mark.parametrize(
    ("asked", "family"),
    [
        ("1:3", "process"), ("1:mm", "process"), ("1", "process"),
        ("net:[1]", "namespace"), ("pipe:[7]", "numbered"), ("socket:[7]", "numbered"),
        ("/dev/null", "path"), ("/no/such/path", "path"), ("dev:7:0", "device"),
        ("tcp:80", "port"), ("udp:[::1]:53", "port"), ("tcp:127.0.0.1:80", "port"),
        ("tcp://127.0.0.1:80", "port"), ("http://localhost:80/x?y", "port"),
        (":::80", "port"), ("fe80::1:80", "port"), ("tcp6:80", "port"),
        ("127.0.0.53%lo:53", "port"), ("[fe80::1]%eth0:546", "port"), ("udp:[::1%lo]:53", "port"),
        ("unix:/run/x", "unix"), ("unix:@x y", "unix"), ("shm:[3]", "sysv"), ("sem:[3]", "sysv"),
        ("mq:/a", "queue"), ("bpf-map:[3]", "bpf"), ("bpf-link:3", "bpf"),
        ("session:9", "session"), ("iface:eth9", "interface"), ("0x00ab12", "object"),
    ],
)  # fmt: skip
def test_a_word_is_understood_by_its_family_alone(asked: str, family: str) -> None:
    understood = [
        name for name, word in words.words().items() if word.parse and list(word.parse(asked))
    ]
    assert understood == [family]
    assert all(set(meaning.state) <= set(facts()) for meaning in parse(asked).meanings)


def test_a_path_is_asked_of_every_family_that_knows_paths() -> None:
    named = {name for name, word in words.words().items() if word.of_path}
    assert named >= {"bpf", "cgroup", "device", "namespace", "overlay", "terminal", "unix"}
    told = [meaning.what for meaning in parse("/proc/self/ns/net").meanings]
    assert len(told) == len({"inode", "namespace"})
    assert parse("/dev/tty").meanings


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("", "no word"), ("a\0b", "no word"), ("tpc:80", "did you mean tcp?"),
        ("tcp:99999", "tcp:PORT"), ("1:frob", "mm"), ("nte:[5]", "did you mean net"),
        ("dev:x", "dev:MAJ:MIN"), ("cgroup:/no/such/group", "hierarchies"),
        ("FILE:7", "one reading"), ("anon_inode:[eventfd]", "did you mean --kind eventfd?"),
        ("docker:web", "cranalyze check docker:web"), ("a.service", "cranalyze check a.service"),
    ],
)  # fmt: skip
def test_what_is_no_word_is_told_with_what_there_is(asked: str, says: str) -> None:
    with pytest.raises(BadInputError, match=says.replace("?", r"\?")):
        parse(asked)


def test_of_a_process_that_is_named_the_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "processes", lambda: [7, 8])
    monkeypatch.setattr(words, "comm_of", {7: "srv", 8: "sh"}.get)
    with pytest.raises(BadInputError, match=r"so called are 7\)"):
        parse("srv")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("umount: /mnt/a: target is busy.", ["/mnt/a"]),
        ("rm: cannot remove '/mnt/a b/m': Device or resource busy", ["/mnt/a b/m"]),
        ("umount: can't unmount /mnt/a: Resource busy", ["/mnt/a"]),
        ("mount: /mnt: /dev/loop9 already mounted or mount point busy.", ["/mnt", "/dev/loop9"]),
        ("2024/01/02 15:04:05 listen tcp :80: bind: address already in use", [":80"]),
        ("Error: listen EADDRINUSE: address already in use :::3000", [":::3000"]),
        ("[Errno 98] Address already in use: ('::1', 80)", ["[::1]:80"]),
        ("bind() to [::]:80 failed (98: Address already in use)", ["[::]:80"]),
        ("Bind for 0.0.0.0:80 failed: port is already allocated.", ["0.0.0.0:80"]),
        ("Port 3000 is already in use", [":3000"]),
        ("Error (criu/files-reg.c:17): Can't dump ghost file /srv/x of 9 size", ["/srv/x"]),
        ("Could not attach to process 1", ["1"]),
        ("net:[1] and net:[1] stay", ["net:[1]"]),
        ("/proc is busy", ["/proc"]),
        ('Get "http://[::1]:80/x": refused', ["[::1]:80"]),
        ("bash: kill: (1) - Operation not permitted", ["1"]),
        ("connect() to unix:/run/x.sock failed (11: Resource", ["/run/x.sock"]),
    ],
)
def test_of_a_message_all_is_asked_that_it_names(message: str, words: list[str]) -> None:
    queries, errors = who.understood([message])
    assert [query.asked for query in queries] == words
    assert errors == []


@pytest.mark.parametrize("message", ["no such thing here", "see http://a/b", "ioctl(X): is busy"])
def test_a_message_that_names_nothing_is_no_word(message: str) -> None:
    queries, (error,) = who.understood([message])
    assert queries == []
    assert "names nothing that is here" in error


@pytest.mark.parametrize(
    ("message", "listed"),
    [
        ("tail: inotify cannot be used: Too many open files", "--kind inotify"),
        ("unshare: unshare failed: No space left on device", "--kind userns"),
        ("OSError: [Errno 24] Too many open files", "--kind file"),
        ("RuntimeError: can't start new thread", "--kind pids"),
        ("sem_get(): failed for key 0x1: No space left on device", "--kind sem"),
        ("write failed: No space left on device", "--deleted"),
    ],
)
def test_a_message_of_a_limit_leads_to_the_list_of_who_uses_it_up(
    message: str, listed: str
) -> None:
    _, (error,) = who.understood([message])
    assert f"cranalyze who {listed} lists" in error
    ((query,), _) = who.understood([f"{message}: '/proc'"])
    assert any(listed in meaning.remedy for meaning in query.meanings)


def test_names_of_a_message_are_asked_for_if_there_is_something_so_called() -> None:
    name = f"@cranalyze-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"\0{name[1:]}")
        queries, _ = who.understood(
            [f"bind {name}, not @nobody-is-called-so: in use on lo-not-here"]
        )
    assert [query.asked for query in queries] == [name]


def test_a_path_with_blanks_is_no_message(tmp_path: Path) -> None:
    path = str(tmp_path / "a: /b is busy")
    queries, _ = who.understood([path])
    assert [query.asked for query in queries] == [path]


@pytest.mark.parametrize(
    "asked",
    ["/srv/a b\x1b[31m", "/srv/\udcff", "/srv/\n", "unix:@\udcff", "mq:/\x1b", "/" + "x" * 5000],
)
def test_hostile_words_are_told_in_plain_letters(asked: str) -> None:
    try:
        parse(asked)
    except BadInputError:
        return
    text = to_text([Answer(asked, ())], [])
    assert "\x1b" not in text
    assert text.encode("utf-8")


def test_a_client_waits_for_who_has_not_accepted_it_and_for_who_answers_on_this_machine() -> None:
    made = Machine()
    for pid in (7, 8):
        made.task(pid)
    tables = {pid: made.object("FILE_TABLE", 1, holders=[(pid, "files")]) for pid in (7, 8)}
    files = [made.object("FILE", 1, holders=[(tables[pid], "fd", at)], name=f"{at}")
             for at, pid in enumerate((7, 8, 7, 8))]  # fmt: skip
    mine, theirs, far, near = files
    socket = made.object("SOCKET", 1, holders=[(mine, "sock")])
    listener = made.object("SOCKET", 1, holders=[(theirs, "sock")])
    made.object("SOCKET", 1, holders=[(socket, "peer"), (listener, "backlog")])
    ends = [made.object("NET_SOCKET", 1, holders=[(file, "sock")]) for file in (far, near)]
    made.relation("internet-peer", ends[1], ends[0])
    snapshot = made.snapshot()
    for one, other in ((mine, theirs), (far, near), (near, far)):
        found = other_ends(snapshot, np.array([one.objref - 1], np.intp))
        assert (found + 1).tolist() == [other.objref]
    waits = Wait(opened={2: "socket:[9]"})
    assert relations_of(waits) == ("internet-peer",)
    own = np.array([far.objref - 1], np.intp)
    assert (awaited(waits, 7, own, own[:0], snapshot) + 1).tolist() == [near.objref]


def test_who_listens_to_a_filter_is_waited_for() -> None:
    made = Machine()
    for pid in (7, 8):
        made.task(pid)
    table = made.object("FILE_TABLE", 1, holders=[(8, "files")])
    listener, _ = (made.object("FILE", 1, holders=[(table, "fd", fd)]) for fd in (3, 4))
    made.relation("seccomp-listener", 7, listener)
    waits, none = Wait(where="seccomp_do_user_notification"), np.empty(0, np.intp)
    found = [awaited(waits, pid, none, none, made.snapshot()).tolist() for pid in (7, 8)]
    assert found == [[listener.objref - 1], []]


def test_a_deleted_file_is_found_by_its_name_though_no_process_has_it(tmp_path: Path) -> None:
    made = Machine()
    made.task(7)
    names = [f"{tmp_path}/{name} (deleted)" for name in ("image", "other")]
    mine, _ = [
        made.object("FILE", 1, name=name, deleted=True, mode=0o100600, ino=at, dev=1)
        for at, name in enumerate(names)
    ]
    found = who.answer(made.snapshot(), parse(f"{tmp_path}/image"))
    assert [held.objref for held in found.held] == [mine.objref]


def node(tid: int, slot: int) -> Node:
    """A task's descriptor table that has something at a slot."""
    task = Node("TASK", tid, None, "x", "files", None, 1, "uses it", tgid=tid, process="x")
    return Node("FILE_TABLE", None, 5, None, "fd", slot, 1, f"fd {slot}", by=(task,))


def test_outcomes_say_what_is_there_and_who_has_it() -> None:
    free = Held(1, "FILE", "/a", initial=False, refcount=0, named=0, by=())
    held = Held(1, "FILE", "/a", initial=False, refcount=1, named=1, by=(node(7, 3),))
    assert Answer("/a", (held,)).outcome is Outcome.HELD
    assert Answer("/a", (), there=True).outcome is Outcome.FREE
    assert Answer("/a", (free,)).outcome is Outcome.FREE
    assert Answer("/a", (), there=True, unseen="x").outcome is Outcome.UNSEEN
    assert Answer("/a", (), unsure=True).outcome is Outcome.UNSEEN
    assert Answer("/a", ()).outcome is Outcome.ABSENT


def test_alike_holders_are_folded() -> None:
    held = tuple(
        Held(slot, "FILE", "/dev/ptmx", initial=False, refcount=1, named=1, by=(node(7, slot),))
        for slot in range(20, 32)
    )
    assert to_text([Answer("/dev/ptmx", held)], []).splitlines() == [
        "/dev/ptmx: held by x (7)",
        "12 open files of /dev/ptmx",
        "  x (7): fd 20 to 31",
    ]


def test_only_a_snapshot_of_this_boot_is_completed_from_proc() -> None:
    made = Machine()
    made.task(os.getpid())
    mine = os.readlink("/proc/self/ns/net")
    past = made.snapshot(os.getpid(), scope="host")
    assert who.answer(past, parse(mine)).outcome is Outcome.ABSENT
    now = replace(past, meta={**past.meta, "boot_id": boot_id()})
    assert who.answer(now, parse(mine)).outcome is not Outcome.ABSENT


def test_what_no_reference_leads_to_is_told_with_who_has_to_do_with_it() -> None:
    made = Machine()
    made.task(7, comm="worker")
    own = made.object("NSPROXY", 1, holders=[(7, "nsproxy")])
    space = made.object("IPC_NS", 1, holders=[(own, "nsproxy.ipc")], ino=5, name="ipc:[5]")
    semaphores = made.object("SEM", None, name="semid 3 (key 0x0000004d)")
    made.relation("in-ipc-namespace", space, semaphores, slot=3)
    made.relation("sysv-semaphore", 7, semaphores, left_role="waits")
    snapshot = made.snapshot()
    (held,) = who.answer(snapshot, parse("sem:[3]")).held
    assert [(node.kind, node.tgid, node.words) for node in held.by] == [
        ("IPC_NS", None, "has it in it"), ("TASK", 7, "waits"),
    ]  # fmt: skip
    assert who.answer(snapshot, parse("sem:[3]")).next[0] == (
        "nsenter --ipc=/proc/7/ns/ipc ipcrm -s 3"
    )
    assert not who.answer(snapshot, parse("msg:[3]")).found


def test_a_lock_is_a_fact_of_the_open_file_that_has_it() -> None:
    made = Machine()
    made.task(7)
    table = made.object("FILE_TABLE", 1, holders=[(7, "files")])
    file = made.object("FILE", 1, holders=[(table, "fd", 3)], name="/x", address=0xFFFF_0000_1234)
    inode = made.object("INODE", None)
    for role, said in (("lock owner", "flock, exclusive"), ("waits for the lock", "read lease")):
        made.relation("file-lock", file, inode, left_role=role, detail=said)
    (held,) = who.answer(made.snapshot(), parse("0xffff00001234")).held
    assert held.facts == ("has the flock, exclusive", "waits for the read lease")


def test_a_directory_is_a_layer_of_an_overlay_where_no_process_is(tmp_path: Path) -> None:
    at = tmp_path.stat()
    made = Machine()
    made.task(7)
    below = made.object("SUPERBLOCK", None, dev=at.st_dev)
    overlay = made.object("SUPERBLOCK", None)
    (inode,) = look([str(tmp_path)])
    assert not isinstance(inode, int)
    path = in_filesystem(str(tmp_path), inode)
    space = made.object("MNT_NS", 1, ino=5, name="mnt:[5]")
    mount = made.object("MOUNT", None, holders=[(space, "mount")], name="/merged")
    made.reference(overlay, mount, "superblock")
    made.relation("layer-of", overlay, below, detail=f"upper layer {path}")
    found = who.answer(made.snapshot(), parse(str(tmp_path)))
    assert [held.objref for held in found.held] == [overlay.objref]
    assert "it is the upper layer of an overlay that no process sees" in found.notes
    member = made.object("NSPROXY", 1, holders=[(7, "nsproxy")])
    made.reference(space, member, "nsproxy.mnt")
    assert not who.answer(made.snapshot(), parse(str(tmp_path))).held


def test_who_watches_a_mount_or_a_filesystem_watches_what_is_on_it() -> None:
    found = [
        (kind, *where[:-1])
        for kind, where in marks(
            b"fanotify flags:0 event-flags:8000\n"
            b"fanotify mnt_id:18c mflags:0 mask:20 ignored_mask:0\n"
            b"fanotify sdev:800001 mflags:0 mask:20 ignored_mask:0\n"
            b"fanotify ino:2 sdev:38 mflags:0 mask:20 ignored_mask:0 fhandle-bytes:8\n"
            b"inotify wd:1 ino:a sdev:38 mask:2 ignored_mask:0 fhandle-bytes:8\n"
        )
    ]
    assert found == [
        ("fanotify", 0x18C), ("fanotify", os.makedev(8, 1)), ("fanotify", 0x38, 2),
        ("inotify", 0x38, 10),
    ]  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_a_process_of_a_frozen_cgroup_is_told_with_what_thaws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    number, controllers, path = (lines or ["0::/"])[0].split(":", 2)
    kind, options = ("cgroup2", "rw") if number == "0" else ("cgroup", f"rw,{controllers}")
    mount = Mount(1, os.lstat(tmp_path).st_dev, path, os.fspath(tmp_path), kind, options)
    monkeypatch.setattr(cgroupfs, "_mounts", lambda: [mount])
    (tmp_path / "cgroup.procs").touch()
    assert cgroupfs.thaws(os.getpid()) == ("", "")
    (tmp_path / ("freezer.self_freezing", "cgroup.freeze")[version - 1]).write_text("1\n")
    group, thaw = cgroupfs.thaws(os.getpid())
    assert group == os.fspath(tmp_path)
    assert thaw.startswith("echo ")
    assert wait(os.getpid()).remedy == thaw


def test_what_is_mounted_over_a_device_and_below_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounts = (
        Mount(1, 1, "/", "/", "ext4", "rw"), Mount(2, 7, "/", "/m", "ext4", "rw"),
        Mount(3, 8, "/", "/m/a b", "tmpfs", "rw"), Mount(4, 9, "/", "/m", "xfs", "rw"),
        Mount(5, 1, "/", "/mm", "ext4", "rw"),
    )  # fmt: skip
    own = places._Space("mnt:[1]", 1, own=True, host=True, mounts=mounts)
    monkeypatch.setattr(places, "_own_space", lambda: own)
    found = {place.what: place.release for place in places.mounts_upon(7)}
    where = "in the host's mount namespace"
    assert found == {
        f"xfs mounted over it, at /m {where}": "umount /m (what is over it)",
        f"tmpfs mounted below, at /m/a b {where}": "umount '/m/a b'",
    }
    assert list(places.mounts_upon(1)) == []


def space(number: int, group: int, master: int = 0) -> places._Space:
    """A mount namespace with something mounted on a root of that propagation."""
    mounts = (
        Mount(1, 1, "/", "/", "ext4", "rw", "", group, master),
        Mount(2, 2, "/", "/m", "tmpfs", "rw", "", 9),
    )
    return places._Space(f"mnt:[{number}]", number, own=False, host=number == 1, mounts=mounts)


def mounted_in(spaces: Sequence[places._Space]) -> Held:
    """A filesystem that is mounted at one point in some mount namespaces, each of one process."""
    task = Node("TASK", 50, None, "x", "mount", None, 1, "stands in it", tgid=50, process="x")
    by = [
        Node("MOUNT", None, at, "/m", "superblock", None, 1, "shows it", by=(
            Node("MNT_NS", None, 10 + at, one.name, "mount", None, 1, "is mounted in it",
                 initial=one.host, members=() if one.host else (at,)),
        ))
        for at, one in enumerate(spaces, 1)
    ]  # fmt: skip
    return Held(1, "SUPERBLOCK", "tmpfs", initial=False, refcount=4, named=4, by=(*by, task))


def test_where_a_mount_goes_with_the_host_s_nobody_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spaces = [space(1, 5), space(2, 0, 5), space(3, 5), space(4, 0), space(5, 6)]
    monkeypatch.setattr(places, "_spaces", lambda: iter(spaces))
    assert places.following("/m") == {"mnt:[2]", "mnt:[3]"}
    made = releases(Answer("/m", (mounted_in(spaces),)))
    assert made.following == (("/m", "mnt:[2]"), ("/m", "mnt:[3]"))
    assert [step for step in made.next if "umount" in step] == [
        "umount /m", "nsenter --mount=/proc/4/ns/mnt umount /m",
        "nsenter --mount=/proc/5/ns/mnt umount /m",
    ]  # fmt: skip
    text = " ".join(to_text([made], []).split())
    assert text.startswith("/m: held by x (50), ? (4) and ? (5)")
    assert "and 2 that follow it" in text
    monkeypatch.setattr(places, "_spaces", lambda: iter([space(1, 0), *spaces[1:]]))
    assert places.following("/m") == frozenset()


def test_of_a_port_who_listens_is_told_first_and_many_connections_in_few_lines() -> None:
    made = Machine()
    made.task(7, comm="nginx")
    table = made.object("FILE_TABLE", 1, holders=[(7, "files")])
    for fd in range(3, 33):
        name, state = f"socket:[{fd}]", "listening" if fd == 32 else "established"
        file = made.object("FILE", 1, name=name, holders=[(table, "fd", fd)])
        sock = made.object("NET_SOCKET", 1, name=name, holders=[(file, "sock")])
        told = {"protocol": "tcp", "state": state}
        for fact, value in told.items():
            made.fact(sock, f"socket.{fact}", value)
        made.fact(sock, "local", "127.0.0.1:80")
        made.fact(sock, "remote", f"127.0.0.1:{5000 + fd}")
    text = to_text([who.answer(made.snapshot(), parse("tcp:127.0.0.1:80"))], [])
    assert text.splitlines()[2] == "network socket socket:[32]"
    assert "29 network sockets: socket:[3], socket:[4], socket:[5]" in text
    assert "nginx (7): fd 3 to 31" in text
    assert "next: close fd 3 to 32 of nginx (7)" in text


def test_many_clients_of_a_unix_socket_are_told_in_few_lines() -> None:
    made = Machine()
    tables = []
    for pid, comm in ((7, "dbus"), (8, "app")):
        made.task(pid, comm=comm)
        tables.append(made.object("FILE_TABLE", 1, holders=[(pid, "files")]))
    for fd in range(3, 33):
        pair = []
        for table, number in zip(tables, (fd, 1000 + fd), strict=True):
            name = f"socket:[{number}]"
            file = made.object("FILE", 1, name=name, holders=[(table, "fd", fd)])
            pair.append(made.object("SOCKET", 1, name=name, holders=[(file, "sock")]))
        made.reference(pair[0], pair[1], "peer")
        made.fact(pair[0], "local", "/run/bus")
    text = to_text([who.answer(made.snapshot(), parse("unix:/run/bus"))], [])
    assert text.count("unix sockets: ") == 1
    assert "dbus (7): fd 3 to 32" in text
    assert "unix socket: connected to it\n    app (8): fd 3 to 32" in text


def test_a_file_that_was_closed_before_it_was_named_is_not_told() -> None:
    gone = Held(1, "FILE", None, initial=False, refcount=None, named=0, by=())
    kept = Held(2, "FILE", "/x", initial=False, refcount=None, named=0, by=())
    ended = Node("FILE_TABLE", None, 5, None, "fd", 3, 1, "fd 3")
    going = Held(3, "FILE", None, initial=False, refcount=None, named=1, by=(ended,))
    used = replace(going, objref=4, by=(node(7, 3),))
    assert told([gone, kept, going, used]) == [kept, used]


def test_a_number_of_an_object_is_one_of_the_snapshot_that_is_asked() -> None:
    made = Machine()
    made.task(7)
    made.object("FILE_TABLE", 1, holders=[(7, "files")])
    mm = made.object("MM", 1, holders=[(7, "mm")])
    (held,) = who.answer(made.snapshot(), parse("MM:2", recorded=True)).held
    assert (held.objref, held.kind) == (mm.objref, "MM")
    assert not who.answer(made.snapshot(), parse("MM:1", recorded=True)).found


def test_only_those_relations_are_read_that_the_words_take(tmp_path: Path) -> None:
    """An address can be of anything; a descriptor of nothing that relations alone lead to."""
    asked = [[parse("net:[1]"), parse("tcp:1")], [parse("1:0")], [parse("sem:[1]")], [parse("0x1")]]
    ties = [who.ties(queries) for queries in asked]
    assert ties[0] == ()
    assert ties[1] == ("file-lock",)
    assert {*(ties[2] or ())} == {"in-ipc-namespace", "sysv-semaphore"}
    assert ties[3] is None
    below = who.ties([parse(os.fspath(tmp_path))])
    assert below is not None
    assert {"file-lock", "layer-of"} <= {*below}
    assert all(relations()[name].kernel for one in ties for name in one or ())


def test_a_gap_is_told_where_it_can_be_of_the_answer() -> None:
    """One of which the kernel counts nothing more has no holder that was not seen."""
    held = Held(1, "FILE", "/a", initial=False, refcount=1, named=1, by=(node(7, 3),))
    assert Answer("1:0", (held,)).accounted
    assert not Answer("1:0", (replace(held, refcount=2),)).accounted
    assert not Answer("1:0", (replace(held, refcount=None),)).accounted
    assert not Answer("/a", (held,), there=True).accounted, "it may be open once more"
    assert Answer("1:0", ()).accounted
    assert not Answer("1:0", (), unsure=True).accounted


def test_the_number_of_a_cgroup_namespace_is_no_cgroup() -> None:
    assert len(parse("cgroup:[4026531835]").meanings) == 1


def test_what_words_of_processes_lead_to_is_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    real = glance._looked

    def counted(paths: Sequence[str], patience: float) -> list[glance.Inode | int]:
        asked.append(len(paths))
        return real(paths, patience)

    monkeypatch.setattr(glance, "_looked", counted)
    words = [f"{os.getpid()}:{part}" for part in ("cwd", "root", "exe")]
    queries, errors = who.understood([*words, "/dev/null"])
    assert (len(queries), errors) == (4, [])
    assert asked[0] == len(queries)
    what = "of the folders that mount points are in, of namespaces, of files of loop devices, once"
    assert len(asked) <= 4, what


def test_many_answers_are_a_line_each_and_the_same_json() -> None:
    snapshot = Machine().snapshot()
    few, many = (
        [Answer(f"/{number}", (), there=True) for number in range(count)] for count in (2, 150)
    )
    told = [json.loads(to_json(some, [], 0, snapshot)) for some in (few, many)]
    assert list(told[0]) == list(told[1])
    assert [one["asked"] for one in told[1]["answers"]] == [one.asked for one in many]
    assert told[1]["answers"][0] == told[0]["answers"][0]
