"""Images of CRIU: of real checkpoints (CRIU 4.2.1), and damaged ones.

In checkpoint.tar a shell ran ``(sleep 1000; :) | cat`` with descriptor 3 on /etc/passwd, 4 on
/dev/null. In checkpoint-spaces.tar a process and its child have network, IPC and UTS namespaces of
their own; they map a file (shared, and private), memory of a memfd, shared anonymous memory and a
segment, and have their network namespace open. In checkpoint-external.tar a process has a file open
on a mount, and a datagram socket connected to one, that were both external to the checkpoint. In
checkpoint-files.tar the init of a container on web-1, and a child of its, have one of most types of
files: what they are was written down as /proc showed it. In checkpoint-queues.tar a process and its
child have an IPC namespace of their own, with two segments, one of them attached by both; a unix
socket has three files in its queue, of which /etc/hostname is open as well, and /etc/passwd and the
end of a pipe that is read are not; /etc/group is locked, and signals a process that was left out.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.procfs import (
    checkpoint,
    checkpoint_mounts,
    fdinfo,
    identity,
    maps,
    mountinfo,
    peers,
    sockets,
    status,
)
from analyzer.procfs.archive import open_dump
from analyzer.procfs.contents import Contents
from analyzer.procfs.kcmp import What
from analyzer.report.inventory import inventory_of, words
from analyzer.sources import replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.snapshot.tables import Table

DATA = Path(__file__).parents[1] / "data"
TAR = DATA / "checkpoint.tar"
SPACES, APP = DATA / "checkpoint-spaces.tar", 20957
EXTERNAL, CLIENT = DATA / "checkpoint-external.tar", 27048
FILES, INIT, CHILD = DATA / "checkpoint-files.tar", 1, 26
SENT, SENDER = DATA / "checkpoint-queues.tar", 6438
SHELL, SUBSHELL, CAT, SLEEP = 14909, 14910, 14911, 14912


def images(path: Path = TAR) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        files = [(member.name, tar.extractfile(member)) for member in tar if member.isfile()]
        return {Path(name).name: file.read() for name, file in files if file is not None}


def as_archive(folder: Path) -> Path:
    with tarfile.open(folder / "exported.tar.gz", "w:gz") as tar:
        for name, data in {**images(), "pages-1.img": bytes(1 << 20)}.items():
            header = tarfile.TarInfo(f"checkpoint/{name}")
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return folder / "exported.tar.gz"


def as_folder(folder: Path) -> Path:
    for name, data in images().items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("form", [as_archive, as_folder])
def test_a_checkpoint_is_read_with_its_identities(
    form: Callable[[Path], Path], tmp_path: Path
) -> None:
    fs = open_dump(form(tmp_path))
    assert not fs.damaged
    assert sorted(int(n) for n in fs.listdir("") if n.isdigit()) == [SHELL, SUBSHELL, CAT, SLEEP]
    told = status.parse(fs.read(f"{SLEEP}/status"), "x")
    assert (told.ppid, told.comm, told.state, told.threads) == (SUBSHELL, "sleep", "S", 1)
    links = fs.links(f"{SHELL}/fd")
    assert dict(zip(links.names, links.targets, strict=True)) == {
        "0": "/dev/null", "1": "/dev/null", "2": "/dev/null", "3": "/etc/passwd", "4": "/dev/null",
    }  # fmt: skip
    pipe = fs.link(f"{CAT}/fd/0")
    assert pipe.startswith("pipe:[")
    assert fs.link(f"{SLEEP}/fd/1") == pipe
    assert fs.link(f"{CAT}/cwd") == "/"
    who = identity.parse(fs.read(identity.PATH), "x")
    same = who.classes(What.FILE, [(SHELL, 3), (CAT, 3), (SHELL, 4), (CAT, 0), (SLEEP, 1)])
    assert same.number == [0, 0, 1, 2, 3]
    assert not same.failed
    assert len(set(who.classes(What.VM, [(pid, 0) for pid in (SHELL, CAT, SLEEP)]).number)) == 3


def test_what_is_shared_in_a_checkpoint_is_counted_and_nothing_leaks() -> None:
    snapshot = replay.collect(TAR, SHELL)
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    named = [objects.row(row) for row in range(len(objects))]
    (passwd,) = [row for row in named if row["kind"] == "FILE" and row["name"] == "/etc/passwd"]
    slots = [references.row(row) for row in range(len(references))]
    assert sum(
        row["target"] == passwd["objref"] and row["association"] == "fd" for row in slots
    ) == 4  # fmt: skip
    assert snapshot.meta["source"]["capabilities"]["identity"]
    told = inventory_of(snapshot.meta)
    assert told is not None
    assert "a checkpoint: all in it is inside" in words(told, SHELL)[0]


def test_what_is_mapped_in_a_checkpoint_is_what_proc_showed() -> None:
    found = maps.parse(open_dump(SPACES).read(f"{APP}/maps"), "x")
    shared = [one for one in found if one.permissions == "rw-s"]
    assert [(one.path, one.ino) for one in shared] == [
        ("/SYSV00000000 (deleted)", 0), ("/memfd:cache (deleted)", 372107),
        ("/dev/zero (deleted)", 372106), ("/srv/apps1/data", None),
    ]  # fmt: skip
    code = [one for one in found if one.permissions == "r-xp"]
    assert [one.path for one in code] == [
        "/srv/apps1/app", "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ]  # fmt: skip
    assert {one.dev for one in found if one.path.startswith("/srv")} == {None}


def test_a_mapped_file_of_a_checkpoint_is_no_open_file() -> None:
    objects = replay.collect(SPACES, APP).tables["objects"]
    named = [objects.row(row) for row in range(len(objects))]
    # What is open, and what each of two address spaces maps: CRIU does not tell which is which.
    assert sum(row["name"] == "/srv/apps1/data" for row in named) == 3
    assert sum(row["name"] == "/memfd:cache (deleted)" for row in named) == 3


def test_namespaces_of_a_checkpoint_are_told_by_the_numbers_of_criu() -> None:
    fs = open_dump(SPACES)
    for pid in (APP, 20960):
        links = fs.links(f"{pid}/ns")
        assert dict(zip(links.names, links.targets, strict=True)) == {
            "pid": "pid:[1]", "net": "net:[9]", "ipc": "ipc:[10]", "uts": "uts:[11]",
            "mnt": "mnt:[6]", "user": "user:[7]", "cgroup": "cgroup:[8]", "time": "time:[5]",
        }  # fmt: skip
    assert fs.link(f"{APP}/fd/5") == "net:[9]"
    objects = replay.collect(SPACES, APP).tables["objects"]
    kinds = [objects.value("kind", row) for row in range(len(objects))]
    assert {kind for kind in kinds if kind and kind.endswith("_NS")} == {
        "PID_NS", "NET_NS", "IPC_NS", "UTS_NS", "MNT_NS", "USER_NS", "CGROUP_NS", "TIME_NS",
    }  # fmt: skip
    (note,) = fs.notes
    assert note.startswith("in namespaces of CRIU itself (pid, mnt, user, cgroup, time): who else")


def test_what_was_external_to_a_checkpoint_is_named() -> None:
    fs = open_dump(EXTERNAL)
    assert not fs.damaged
    assert fs.notes[-1].startswith(
        "external to the checkpoint (/srv/apps1/log.sock, mount /srv/apps1/x): who else"
    )
    told = " ".join(replay.collect(EXTERNAL, CLIENT).meta["source"]["notes"])
    assert "external to the checkpoint" in told


def test_what_reaches_out_of_a_checkpoint_is_open_for_that_reason() -> None:
    snapshot = replay.collect(EXTERNAL, CLIENT)
    relations = snapshot.tables["relations"]
    told = {(row["left_kind"], row["detail"]) for row in map(relations.row, range(len(relations)))}
    peer = "what it is connected to was external to the checkpoint: /srv/apps1/log.sock"
    assert ("SOCKET", peer) in told
    assert ("NET_NS", "CRIU was in it") in told
    assert ("MNT_NS", "CRIU was in it") not in told


def test_the_state_of_open_files_is_as_proc_showed_it() -> None:
    fs = open_dump(FILES)
    links = fs.links(f"{INIT}/fd")
    found = {
        target: fdinfo.parse(fs.read(f"{INIT}/fdinfo/{name}"), name)
        for name, target in zip(links.names, links.targets, strict=True)
    }
    more = {target: info.more for target, info in found.items() if info.more}
    assert {target: data for target, data in more.items() if len(data) < 40} == {
        "anon_inode:[eventfd]": b"eventfd-count:                7\n",
        "anon_inode:[signalfd]": b"sigmask:\t0000000000000200\n",
        "/dev/ptmx": b"tty-index:\t0\n",
        "socket:[426672674]": b"scm_fds: 1\n",
    }
    assert more["anon_inode:[eventpoll]"].startswith(b"tfd:        3 events:       19 data:")
    assert more["anon_inode:[eventpoll]"].endswith(b"  pos:0 ino:196e8221 sdev:9\n")
    assert more["anon_inode:inotify"].startswith(b"inotify wd:1 ino:")
    assert b"clockid: 1\nticks: 0\n" in more["anon_inode:[timerfd]"]
    assert more["anon_inode:[timerfd]"].endswith(b"it_interval: (3, 5)\n")
    assert "/srv/app/gone (deleted)" in links.targets
    points = {one.mnt_id: one.point for one in mountinfo.parse(fs.read(f"{INIT}/mountinfo"), "x")}
    assert {points[ident] for info in found.values() if (ident := info.mnt_id)} == {
        "/", "/dev", "/dev/pts",
    }  # fmt: skip


def test_files_in_flight_in_a_checkpoint_are_held_by_the_socket() -> None:
    snapshot = replay.collect(SENT, SENDER)
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    names = dict(zip(objects["objref"].tolist(), objects["name"].tolist(), strict=True))
    held = [one for one in _rows(references) if one[0] == "scm"]
    assert {names[holder] for _, holder, _ in held} == {"socket:[576506921]"}
    pipe = "pipe:[576506922]"
    assert sorted(names[file] for _, _, file in held) == ["/etc/hostname", "/etc/passwd", pipe]
    # It is the file that both processes have open, and the end of the pipe that nobody has.
    opened = {file for one, _, file in _rows(references) if one == "fd"}
    assert [names[file] for _, _, file in held if file in opened] == ["/etc/hostname"]
    ends = {one: file in opened for one, file, _ in _rows(references) if one.startswith("pipe.")}
    assert ends == {"pipe.reader": False, "pipe.writer": True}


def _rows(references: Table) -> list[tuple[str, int, int]]:
    """Return by what which object holds which."""
    columns = references.words("association"), references["holder"], references["target"]
    return list(zip(columns[0], columns[1].tolist(), columns[2].tolist(), strict=True))


def test_segments_of_a_checkpoint_are_those_of_its_ipc_namespaces() -> None:
    snapshot = replay.collect(SENT, SENDER)
    facts = snapshot.tables["facts"]
    told = zip(facts.words("kind"), facts.words("fact"), facts["number"].tolist(), strict=True)
    assert [(fact, value) for kind, fact, value in told if kind == "SHM"] == [
        ("shm.id", 0), ("shm.key", 42), ("shm.size", 8192), ("shm.attaches", 2),
        ("shm.id", 1), ("shm.key", 0), ("shm.size", 4096), ("shm.attaches", 0),
    ]  # fmt: skip
    held = [one for one, _, _ in _rows(snapshot.tables["references"]) if one.startswith("shm")]
    assert sorted(held) == ["shm", "shm", "shm.ns", "shm.ns"]


def test_whom_files_of_a_checkpoint_signal_is_named_where_it_is_none_of_it() -> None:
    contents = Contents()
    checkpoint.fill(contents, images(SENT).get)
    assert "with open files that signal others (6436)" in " ".join(contents.notes)


def test_sockets_of_a_checkpoint_have_their_ends() -> None:
    fs = open_dump(FILES)
    first, second, listens, connected, accepted = range(426672673, 426672678)
    space = fs.link(f"{INIT}/ns/net")
    told = peers.ends(fs, {space: [INIT]})[space].ends
    assert {ino: end.peer for ino, end in told.items() if end.peer} == {
        first: second, second: first, connected: accepted, accepted: connected,
    }  # fmt: skip
    unix = {one.ino: one for one in sockets.unix(fs.read(f"{INIT}/net/unix"), "")}
    assert (unix[listens].state, unix[listens].local) == ("listening", "@listening")
    tcp = sockets.internet(fs.read(f"{INIT}/net/tcp"), "", 1, 6)
    assert [(one.state, one.local, one.remote) for one in tcp] == [
        ("listening", "127.0.0.1:46077", ""),
        ("established", "127.0.0.1:44972", "127.0.0.1:46077"),
        ("established", "127.0.0.1:46077", "127.0.0.1:44972"),
    ]  # fmt: skip
    (udp,) = sockets.internet(fs.read(f"{INIT}/net/udp6"), "", 2, 17)
    assert udp.local == "[::1]:5353"
    snapshot = replay.collect(FILES, CHILD)
    relations = snapshot.tables["relations"]
    crossing = [relations.value("relation", row) for row in range(len(relations))]
    assert {"unix-peer", "session"} <= set(crossing)
    assert snapshot.meta["host"] == "web-1"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({1: 5, 2: 9, 3: 45, 4: 1, 5: 3, 6: b"/", 7: b"/a b", 8: b"shm", 10: 7},
         b"9 1 0:45 / /a\\040b ro,nosuid shared:7 - tmpfs shm ro\n"),
        ({1: 16, 2: 9, 3: 8 << 20 | 1, 4: 1, 6: b"/x", 7: b"/", 9: b"size=1", 11: 3, 14: b"ext4",
          17: 1}, b"9 1 8:1 /x / rw master:3 - ext4 none ro,size=1\n"),
        ({}, b"0 0 0:0 / / rw - unknown none rw\n"),
    ],
)  # fmt: skip
def test_a_mount_of_an_image_is_a_line_of_mountinfo(
    entry: dict[int, int | bytes], line: bytes
) -> None:
    told: dict[int, list[int | bytes]] = {field: [value] for field, value in entry.items()}
    assert checkpoint_mounts.mountinfo([told]) == line
    assert len(mountinfo.parse(line, "x")) == 1
    outer = {11, 13, 18} & entry.keys()
    assert len(list(checkpoint_mounts.external([told]))) == bool(outer)


@pytest.mark.parametrize(
    ("fields", "external"),
    [(b"\x08\x02\x2a\x04eth0\x60\x03", True), (b"\x08\x04\x2a\x04eth0", True),
     (b"\x08\x02\x2a\x04eth0\x60\x03\x68\x0a", False), (b"\x08\x01\x2a\x02lo", False)],
)  # fmt: skip
def test_an_interface_with_its_other_end_elsewhere_is_named(
    fields: bytes, *, external: bool
) -> None:
    head = (0x54564319).to_bytes(4, "little") + b"netd"
    whole = {**images(FILES), "netdev-10.img": head + len(fields).to_bytes(4, "little") + fields}
    contents = Contents()
    checkpoint.fill(contents, whole.get)
    assert ("(interface eth0, mount" in contents.notes[-1]) is external


def test_sessions_of_others_are_named() -> None:
    pstree = {1: 30, 2: 0, 3: 30, 4: 20}
    body = b"".join(bytes([field << 3, value]) for field, value in pstree.items())
    head = (0x54564319).to_bytes(4, "little") + b"tree"
    whole = {"pstree.img": head + len(body).to_bytes(4, "little") + body}
    contents = Contents()
    checkpoint.fill(contents, whole.get)
    assert contents.notes == [
        "in sessions or process groups of others (20): who else has these the images do not tell"
    ]


def test_an_image_that_is_missing_or_damaged_is_a_gap(tmp_path: Path) -> None:
    folder = as_folder(tmp_path)
    (folder / "files.img").unlink()
    (folder / f"core-{CAT}.img").write_bytes(images()[f"core-{CAT}.img"][:200])
    fs = open_dump(folder)
    assert sorted(map(str, fs.damaged)) == [
        f"core-{CAT}.img: not an image of CRIU, or damaged after 0 messages",
        "files.img is not there",
    ]
    assert fs.link(f"{SHELL}/fd/3").startswith("file ")
    assert status.parse(fs.read(f"{CAT}/status"), "x").comm == "?"


@given(st.data())
def test_no_image_however_damaged_is_an_error(data: st.DataObject) -> None:
    whole = images(data.draw(st.sampled_from((TAR, SPACES, EXTERNAL, FILES))))
    name = data.draw(st.sampled_from(sorted(whole)))
    image = bytearray(whole[name])
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(image) - 1))
        image[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    checkpoint.fill(Contents(), {**whole, name: bytes(image)}.get)
