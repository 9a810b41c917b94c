"""The CRIU pre-flight: rules that are whole, what they find, and the commands."""

from __future__ import annotations

import json
import shlex
import string
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analyzer.check.leaks import check
from analyzer.cli.prover import proven
from analyzer.core.model import Status
from analyzer.core.values import replace
from analyzer.criu import RULES, Outcome, files, mounts, sockets, tasks
from analyzer.criu import spaces as spaces_
from analyzer.criu.verified import Verified, compared, errors
from analyzer.lookup.explain import explained
from analyzer.report.bundles import answer, verdict
from analyzer.report.make import make
from analyzer.report.value import Report, ReportOptions
from analyzer.writers import github, junit, markdown, page, sarif
from analyzer.writers import json as writer
from analyzer.writers.terminal import render, to_text
from tests.build import Machine, Obj
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.report.preflight import Preflight

ROOT, OUTSIDER = 100, 50
STOPS = {Outcome.REFUSES, Outcome.FAILS}


def machine(**root: Any) -> tuple[Machine, Obj]:  # noqa: ANN401 - columns differ in type
    """Return a contained process that leads its session, and its descriptor table."""
    made = Machine()
    made.task(1, 0)
    made.task(OUTSIDER, 1, comm="conmon")
    columns: dict[str, Any] = {"ppid": 1, "nspid": 1, "comm": "app"} | root
    made.task(ROOT, **columns)
    made.fact(ROOT, "task.session", ROOT)
    return made, made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])


def report(made: Machine, **options: object) -> Report:
    snapshot = made.snapshot(ROOT)
    asked = ReportOptions("check", gate=True, **({"tool": "criu"} | options))  # type: ignore[arg-type]
    return make(snapshot, check(snapshot), asked)


def told(made: Machine) -> Preflight:
    found = report(made).preflight
    assert found is not None
    return found


def rules(made: Machine) -> dict[str, Outcome]:
    return {one.rule: one.outcome for one in told(made).blockers}


def sock(made: Machine, table: Obj, **facts: int | str) -> Obj:
    file = made.object("FILE", 1, name="socket:[7]", holders=[(table, "fd", 3)])
    made_sock = made.object("NET_SOCKET", None, name="socket:[7]", holders=[(file, "sock")])
    for name, value in facts.items():
        made.fact(made_sock, f"socket.{name}", value)
    return file


# --- the tables


def test_a_name_is_of_one_rule() -> None:
    every = [rule.name for part in (files, mounts, sockets, spaces_, tasks) for rule in part.RULES]
    assert sorted(every) == sorted(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=[*RULES])
def test_a_rule_is_whole(rule: object) -> None:
    one = RULES[rule.name]  # type: ignore[attr-defined]
    assert one.at
    assert one.option or one.remove or one.then, "nothing to do, and nothing to expect"
    if one.outcome is Outcome.REFUSES:
        assert one.where
        assert one.option or one.remove
    if one.outcome is Outcome.SILENT:
        assert one.then
    for template in (one.option, one.restore):
        assert "'" not in template, "quoted when it is filled"
        assert all(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


@pytest.mark.parametrize("word", ["ghost", "unix-peer", "MM"])
def test_a_rule_is_explained_by_its_name_and_by_what_it_is_about(word: str) -> None:
    said = explained(word)
    about = [rule for rule in RULES.values() if word in {rule.name, rule.about}]
    assert each(f"rule {rule.name})" in said and rule.at in said for rule in about)
    assert each(rule.option in said for rule in about)


# --- what they find


def test_a_process_on_its_own_is_dumped_and_restored() -> None:
    made, table = machine()
    made.object("FILE", 1, name="/srv/x", holders=[(table, "fd", 3)])
    found = report(made)
    assert found.preflight is not None
    assert (found.status, found.exit_code) == (Status.CONTAINED, 0)
    assert not found.preflight.blockers
    assert found.preflight.dump == f"criu dump --tree {ROOT} --images-dir DIR"
    lines = to_text(render(found, 80)).splitlines()
    answer = next(at for at, line in enumerate(lines) if "CRIU 4.2 would dump and restore" in line)
    assert answer < lines.index(""), "who asks for it has it in the head"


def test_what_is_refused_exits_with_16_and_changes_no_verdict() -> None:
    made, table = machine()
    sock(made, table, family="inet", type="stream", protocol="tcp", state="established")
    found, without = report(made), report(made, tool="")
    assert (found.status, found.exit_code) == (Status.CONTAINED, 16)
    assert (without.status, without.exit_code, without.preflight) == (Status.CONTAINED, 0, None)
    assert found.summary == without.summary
    assert found.preflight is not None
    assert found.preflight.possible
    assert "--tcp-established" in found.preflight.dump
    assert "--tcp-established" in found.preflight.restore


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ("tcp-connection", {"family": "inet6", "protocol": "tcp", "state": "close-wait"}),
        ("tcp-waiting", {"family": "inet", "state": "listening", "waiting": 1}),
        ("tcp-handshake", {"family": "inet", "protocol": "tcp", "state": "syn-recv"}),
        ("inet-protocol", {"family": "inet", "type": "stream", "protocol": "mptcp"}),
        ("socket-family", {"family": "vsock"}),
        ("netlink-queue", {"family": "netlink", "queued": 1}),
        ("udp-corked", {"family": "inet", "type": "dgram", "protocol": "udp", "corked": "corked"}),
        ("", {"family": "inet", "type": "stream", "protocol": "tcp", "state": "closed"}),
        ("", {"family": "inet", "type": "stream", "protocol": "tcp", "state": "listening",
              "waiting": 0}),
        ("", {"family": "inet", "type": "raw", "protocol": "icmp"}),
        ("", {"family": "netlink", "protocol": "route"}),
        ("", {"family": "packet"}),
        ("", {"family": "inet", "type": "dgram", "protocol": "udp", "state": "unconnected"}),
    ],
)  # fmt: skip
def test_sockets(rule: str, facts: dict[str, int | str]) -> None:
    made, table = machine()
    sock(made, table, **facts)
    assert set(rules(made)) == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("rule", "name", "facts"),
    [
        ("io-uring", "anon_inode:[io_uring]", {}),
        ("userfaultfd", "anon_inode:[userfaultfd]", {}),
        ("perf-event", "anon_inode:[perf_event]", {}),
        ("anon-inode", "anon_inode:[a-newer-one]", {}),
        ("device", "/dev/fuse", {"special": "character device 10:229"}),
        ("device", "/dev/vda", {"special": "block device 254:0"}),
        ("device", "/dev/ttyS0", {"special": "character device 4:64"}),
        ("link-left", "/srv/x (deleted)", {"links": 1}),
        ("ghost", "/srv/x (deleted)", {"links": 0, "space": (1 << 20) + 1}),
        ("bpf-map-file", "anon_inode:bpf-map", {}),
        ("message-queue", "/q", {"mqueue.name": "/q"}),
        ("", "/srv/x (deleted)", {"links": 0, "space": 1 << 20}),
        ("", "/memfd:x (deleted)", {"space": 1 << 30}),
        ("", "/srv/x", {"space": 1 << 30}),
        ("", "/dev/null", {"special": "character device 1:3"}),
        ("", "/dev/net/tun", {"special": "character device 10:200"}),
        ("", "/dev/tty1", {"special": "character device 4:1"}),
        *(
            ("", f"anon_inode:{name}", {})
            for name in ("[eventfd]", "[eventpoll]", "inotify", "[timerfd]", "[pidfd]")
        ),
    ],
)
def test_files(rule: str, name: str, facts: dict[str, int | str]) -> None:
    made, table = machine()
    file = made.object("FILE", 1, name=name, holders=[(table, "fd", 3)])
    for fact, value in facts.items():
        made.fact(file, fact, value)
    assert set(rules(made)) == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("rule", "fact", "value"),
    [
        ("traced", "task.tracer", 50),
        ("trap-pending", "task.pending", "INT,TRAP"),
        ("", "task.pending", "INT,STRAP"),
        ("session-hidden", "session.hidden", "session of another pid namespace"),
    ],
)
def test_tasks(rule: str, fact: str, value: int | str) -> None:
    made, _ = machine()
    made.fact(ROOT, fact, value)
    assert set(rules(made)) == ({rule} if rule else set())


def test_a_root_that_leads_no_session_needs_an_option() -> None:
    made = Machine()
    made.task(1, 0)
    made.task(ROOT, 1, nspid=1)
    made.fact(ROOT, "task.session", OUTSIDER)
    made.task(ROOT + 1, ROOT)
    made.fact(ROOT + 1, "task.session", OUTSIDER)  # of a child it is not asked
    (one,) = told(made).blockers
    assert (one.rule, one.tid, one.option) == ("session-leader", ROOT, "--shell-job")


def test_what_two_processes_inside_share_cannot_be_dumped() -> None:
    made, _ = machine()
    made.task(101, ROOT)
    made.task(102, ROOT, tgid=ROOT)  # a thread may
    made.object("FS", 2, holders=[(ROOT, "fs"), (101, "fs")])
    made.object("SIGHAND", 2, holders=[(ROOT, "sighand"), (102, "sighand")])
    assert set(rules(made)) == {"shared-fs-inside"}
    assert not told(made).possible


def piped(slot: int, **root: object) -> Machine:
    made, table = machine(**root)
    theirs = made.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    mine = made.object("FILE", 1, name="pipe:[8]", holders=[(table, "fd", slot)])
    other = made.object("FILE", 1, name="pipe:[8]", holders=[(theirs, "fd", 9)])
    made.object("PIPE", 2, name="pipe:[8]", holders=[(mine, "pipe.writer"), (other, "pipe.reader")])
    return made


def test_the_runtime_sees_to_the_pipes_of_a_container_and_to_no_others() -> None:
    assert rules(piped(1, ppid=OUTSIDER)) == {"stdio": Outcome.RUNTIME}
    assert rules(piped(5, ppid=OUTSIDER)) == {"pipe": Outcome.SILENT}
    assert rules(piped(1)) == {"pipe": Outcome.SILENT}
    assert rules(piped(1, ppid=OUTSIDER, nspid=ROOT)) == {"pipe": Outcome.SILENT}
    assert told(piped(1)).restore.endswith("--inherit-fd 'fd[3]:pipe:[8]'")
    assert told(piped(1, ppid=OUTSIDER)).restore == told(piped(1)).restore


def test_a_lock_of_both_sides_hangs_the_restore() -> None:
    made, table = machine()
    theirs = made.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    inode = made.object("INODE", None, name="/srv/x")
    mine = made.object("FILE", 1, name="/srv/x", holders=[(table, "fd", 3)])
    other = made.object("FILE", 1, name="/srv/x", holders=[(theirs, "fd", 3)])
    made.relation("file-lock", mine, inode, left_role="lock owner", detail="flock")
    assert rules(made) == {"file-lock": Outcome.REFUSES}
    made.relation("file-lock", other, inode, left_role="waits for the lock", detail="flock")
    assert rules(made) == {"file-lock": Outcome.REFUSES, "file-lock-contended": Outcome.FAILS}
    assert not told(made).possible


NAMESPACES = ("uts", "ipc", "mnt", "net", "cgroup", "time")


def spaces(made: Machine, *tids: int, **own: Obj) -> dict[str, Obj]:
    """Put tasks into namespaces: into those of `own`, and into the host's."""
    found = {
        word: own.get(word) or made.object(f"{word.upper()}_NS", None, initial=True)
        for word in NAMESPACES
    }
    for tid in tids:
        held = made.object("NSPROXY", 1, holders=[(tid, "nsproxy")])
        for word, space in found.items():
            made.reference(space, held, f"nsproxy.{word}")
        made.reference(found["time"], held, "nsproxy.time_for_children")
    return found


def test_nested_namespaces_are_refused_but_for_two() -> None:
    made, _ = machine()
    made.task(101, ROOT)
    made.task(102, ROOT)
    host = spaces(made, ROOT, 102)
    nested = {
        word: made.object(f"{word.upper()}_NS", 1, ino=7, name=f"{word}:[7]")
        for word in ("uts", "mnt", "net")
    }
    spaces(made, 101, **(host | nested))
    (one,) = told(made).blockers
    assert (one.rule, one.kind, one.option) == ("nested-namespace", "UTS_NS", "")


def test_children_in_another_time_namespace_are_nested() -> None:
    made, _ = machine()
    spaces(made, ROOT)
    later = made.object("TIME_NS", 1, name="time:[7]")
    made.task(101, ROOT)
    held = made.object("NSPROXY", 1, holders=[(101, "nsproxy")])
    made.reference(later, held, "nsproxy.time_for_children")
    assert set(rules(made)) == {"time-for-children"}


def mounted(*mounts: Mapping[str, int | str]) -> Machine:
    made, _ = machine()
    space = made.object("MNT_NS", 1, name="mnt:[7]")
    spaces(made, ROOT, mnt=space)
    for number, one in enumerate(mounts, 30):
        mount = made.object("MOUNT", None, name=str(one["at"]), holders=[(space, "mount")])
        made.fact(mount, "mount_id", number)
        made.fact(mount, "parent_mount", 30 if number > 30 else 1)
        for fact, value in one.items():
            if fact != "at":
                made.fact(mount, fact, value)
    return made


TOP: dict[str, int | str] = {"at": "/", "mounts": "/", "filesystem": "overlay", "device": "0:50"}


@pytest.mark.parametrize(
    ("rule", "mount"),
    [
        ("bind-mount", {"at": "/data", "mounts": "/srv", "filesystem": "ext4", "device": "8:1"}),
        ("bind-mount", {"at": "/ns", "mounts": "/", "filesystem": "nsfs", "device": "0:4"}),
        ("slave-mount", {"at": "/data", "mounts": "/", "filesystem": "tmpfs", "device": "0:60",
                         "master_group": 5}),
        ("filesystem", {"at": "/data", "mounts": "/", "filesystem": "ext4", "device": "8:1"}),
        ("", {"at": "/data", "mounts": "/", "filesystem": "tmpfs", "device": "0:60"}),
        ("", {"at": "/data", "mounts": "/srv", "filesystem": "overlay", "device": "0:50"}),
        ("", {"at": "/data", "mounts": "/", "filesystem": "tmpfs", "device": "0:60",
              "peer_group": 5}),
    ],
)  # fmt: skip
def test_mounts(rule: str, mount: dict[str, int | str]) -> None:
    found = [one for one in told(mounted(TOP, mount)).blockers if one.outcome in STOPS]
    assert [one.rule for one in found] == ([rule] if rule else [])
    if rule:
        assert found[0].option == shlex.join(["--external", f"mnt[{mount['at']}]:" + "data" * (
            mount["at"] == "/data") + "ns" * (mount["at"] == "/ns")])  # fmt: skip


def test_what_is_below_the_root_of_a_container_is_none_of_its_mounts() -> None:
    """Its root was moved upon the host's tree (systemd-nspawn does): that is not seen any more."""
    made = mounted(TOP, {"at": "/data", "mounts": "/", "filesystem": "ext4", "device": "8:1"})
    space = Obj(next(r["objref"] for r in made.rows["objects"] if r["kind"] == "MNT_NS"), "MNT_NS")
    above = made.object("MOUNT", None, name="/", holders=[(space, "mount")])
    inner = made.object("MOUNT", None, name="/etc/x", holders=[(space, "mount")])
    for mount, number, parent, shows in ((above, 40, 30, "/srv/root"), (inner, 41, 40, "/usr/x")):
        made.fact(mount, "mount_id", number)
        made.fact(mount, "parent_mount", parent)
        made.fact(mount, "mounts", shows)
        made.fact(mount, "filesystem", "ext4")
        made.fact(mount, "device", "8:1")
    (one,) = (b for b in told(made).blockers if b.outcome in STOPS)
    assert (one.rule, one.what) == ("bind-mount", "mount /etc/x")


def test_a_name_that_is_a_trap_stays_one_word_and_one_line() -> None:
    name = "/a'b $(id)\n\x1b[2J```"
    at = {"at": name, "mounts": "/srv", "filesystem": "ext4", "device": "8:1"}
    found = report(mounted(TOP, at))
    assert found.preflight is not None
    words = shlex.split(found.preflight.dump)
    assert words[-2] == "--external"
    assert words[-1].startswith(f"mnt[{name}]:")
    shown = to_text(render(found, 80))
    assert "\x1b" not in shown
    assert each(len(line) <= 80 or line.startswith("    criu ") for line in shown.splitlines())
    assert "\x1b" not in markdown.render(found)
    said = json.loads(writer.render(found))
    assert said["criu"]["blockers"][0]["rule"] == "bind-mount"


@pytest.mark.parametrize(
    ("word", "option"),
    [("is paired with", "--external 'veth[eth0]:v7'"), ("is on", "--external 'macvlan[eth0]:v7'")],
)
def test_an_interface_is_named_at_both_ends(word: str, option: str) -> None:
    made, _ = machine()
    spaces = [made.object("NET_NS", 1), made.object("NET_NS", 1)]
    for tid, space in zip((ROOT, OUTSIDER), spaces, strict=True):
        proxy = made.object("NSPROXY", 1, holders=[(tid, "nsproxy")])
        made.reference(space, proxy, "nsproxy.net")
    inner, outer = (
        made.object("NETDEV", None, name=name, holders=[(space, "netdev")])
        for name, space in zip(("eth0", "v7"), spaces, strict=True)
    )
    made.relation("interface-pair", inner, outer, detail=f"eth0 {word} v7")
    found = told(made)
    assert [one.option for one in found.blockers if one.rule == "interface-pair"] == [option]
    assert found.possible
    assert found.dump.endswith(option)


def test_of_many_ghosts_the_largest_sets_the_limit() -> None:
    made, table = machine()
    for slot, size in ((3, 3 << 20), (4, 9 << 20), (5, 5 << 20)):
        file = made.object("FILE", 1, name=f"/{slot} (deleted)", holders=[(table, "fd", slot)])
        made.fact(file, "links", 0)
        made.fact(file, "space", size)
    found = told(made)
    assert found.dump.endswith(f"--ghost-limit {9 << 20}")
    assert found.dump.count("--ghost-limit") == 1


def test_what_no_rule_is_about_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"same-file", "MM"}
    known = {name: rule for name, rule in RULES.items() if rule.about not in about}
    monkeypatch.setattr("analyzer.criu.RULES", known)
    made, table = machine()
    made.object("MM", 2, name="", holders=[(ROOT, "mm"), (OUTSIDER, "mm")])
    theirs = made.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    inode = made.object("INODE", None, name="/x")
    for held in (table, theirs):
        file = made.object("FILE", 1, name="/x", holders=[(held, "fd", 3)])
        made.relation("same-file", file, inode)
    found = report(made)
    assert found.preflight is not None
    assert [one.outcome for one in found.preflight.blockers] == [Outcome.UNKNOWN] * 2
    assert not found.preflight.refuses
    assert "of 2 nothing is known" in " ".join(to_text(render(found, 80)).split())


def test_more_than_one_tree_is_more_than_criu_dumps() -> None:
    made, _ = machine()
    made.task(200, 1)
    snapshot = made.snapshot(ROOT)
    snapshot.meta["subject"]["roots"] = [200]
    found = make(snapshot, check(snapshot), ReportOptions("check", tool="criu")).preflight
    assert found is not None
    assert [(one.rule, one.tid) for one in found.blockers] == [("another-tree", 200)]


def test_from_proc_alone_nothing_is_promised() -> None:
    made, _ = machine()
    source = {"name": "procfs", "capabilities": {"refcounts": False}, "notes": []}
    snapshot = made.snapshot(ROOT, source=source)
    found = make(snapshot, check(snapshot), ReportOptions("check", tool="criu"))
    assert found.preflight is not None
    assert found.preflight.lacks == "/proc"
    said = " ".join(to_text(render(found, 80)).split())
    assert "nothing was seen that it would refuse; much that it refuses is not seen" in said
    assert "would dump and restore it" not in said


@pytest.mark.parametrize(
    ("how", "lacks"),
    [
        ({}, "a snapshot without its mounts"),
        ({"thorough": True, "redacted": True}, "a snapshot without names"),
    ],
)
def test_of_a_snapshot_that_lacks_what_it_takes_nothing_is_promised(
    how: dict[str, bool], lacks: str
) -> None:
    snapshot = machine()[0].snapshot(ROOT, options=how)
    found = make(snapshot, check(snapshot), ReportOptions("report", tool="criu")).preflight
    assert found is not None
    assert f"not seen from {lacks}" in answer(found)


# --- in every form


def connected() -> Report:
    made, table = machine()
    sock(made, table, family="inet", state="established", protocol="tcp", type="stream")
    return report(made)


def test_junit_has_a_failure_for_each_rule_by_which_criu_stops() -> None:
    suite = ET.fromstring(junit.render(connected()))  # noqa: S314 - our own
    cases = {case.get("name"): case for case in suite.iter("testcase")
             if case.get("classname") == "cranalyze.criu"}  # fmt: skip
    failure = cases[RULES["tcp-connection"].at].find("failure")
    assert failure is not None
    assert failure.get("type") == "tcp-connection"
    assert "option: --tcp-established" in str(failure.text)
    assert cases["what CRIU would do"].find("failure") is None
    assert suite.get("failures") == "1"


def test_code_scanning_and_a_workflow_are_told_what_criu_stops_at() -> None:
    found = connected()
    run = json.loads(sarif.render(found))["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["criu/tcp-connection"]
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == [
        ("criu/tcp-connection", "error")
    ]
    lines = github.render(found).splitlines()
    assert lines[0].startswith("::error title=CRIU refuses%3A a TCP socket that is connected")
    assert "--tcp-established" in lines[0]
    assert lines[1].startswith("::error title=CRIU::CRIU 4.2 stops at 1 thing")


def test_a_page_has_what_criu_does_and_its_commands() -> None:
    found = connected()
    text = page.render(found)
    assert '<section class="criu"' in text
    assert f"<td>refuses</td><td>{RULES['tcp-connection'].at}</td>" in text
    assert "<code>--tcp-established</code>" in text
    assert found.preflight is not None
    assert f'<pre tabindex="0">{found.preflight.dump}\n' in text
    assert '<section class="criu"' not in page.render(report(machine()[0], tool=""))


def test_what_criu_did_is_on_the_page_too() -> None:
    found = connected()
    assert found.preflight is not None
    ran = found.preflight._replace(verified=Verified("4.2", "", worked=True))
    assert "verified: CRIU 4.2 dumped it" in page.render(replace(found, preflight=ran))


# --- a CRIU that is run


LOG = """\
(00.001) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self
(00.002) Warn  (criu/x.c:1): not an error
(00.003) Error (criu/sk-inet.c:137): inet: Unsupported proto 262 for socket 7d26d04
"""


def test_the_errors_of_a_log_that_say_why() -> None:
    assert errors(LOG) == (
        "Error (criu/sk-inet.c:137): inet: Unsupported proto 262 for socket 7d26d04",
    )


@pytest.mark.parametrize(
    ("possible", "worked", "messages", "agrees"),
    [
        (True, True, [], True),
        (True, False, [], False),
        (True, False, ["Unsupported proto for socket"], True),
        (False, True, ["Unsupported proto for socket"], False),
        (False, False, ["Can't dump X", "Unsupported proto for socket"], True),
        (False, False, ["Unknown shit; Unsupported proto"], True),
        (False, False, ["Can't dump corked dgram socket"], False),
        (False, False, [""], True),
    ],
)
def test_whose_fault_a_difference_is(
    *, possible: bool, worked: bool, messages: list[str], agrees: bool
) -> None:
    ran = Verified("4.2", "", worked=worked, said=errors(LOG))
    assert compared(ran, possible=possible, messages=messages).agrees is agrees


def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Verified:
    """Return what comes of a process that is not told (it has no descriptor) where we are."""
    tool = tmp_path / "criu"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o700)
    monkeypatch.setenv("CRIU", str(tool))
    made, table = machine()
    made.object("FILE", 1, name="anon_inode:[io_uring]", holders=[(table, "fd", 3)])
    with proven(asked=True) as prove:
        found = prove(report(made)).preflight
    assert found is not None
    assert found.verified is not None
    return found.verified


FAKE = """\
case "$1" in
check) exit 0 ;;
--version) echo "Version: 9.9" ;;
dump) test "$2 $3 $4" = "--tree 100 --images-dir" && test -d "$5" || exit 7
      cd "$5" && %s ;;
esac"""


def test_the_images_are_in_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = 'echo "Error (x.c:1): Unknown shit 600 (anon_inode:[io_uring])" > dump.log; pwd > %s'
    ran = proof(tmp_path, monkeypatch, FAKE % f"{{ {said % (tmp_path / 'where')}; exit 1; }}")
    assert (ran.version, ran.reason, ran.worked, ran.agrees) == ("9.9", "", False, True)
    assert not Path((tmp_path / "where").read_text().strip()).exists()


def test_a_dump_that_should_not_have_worked_is_our_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = proof(tmp_path, monkeypatch, FAKE % "exit 0")
    assert (ran.worked, ran.agrees) == (True, False)
    assert "our fault" in verdict(ran)


@pytest.mark.parametrize(("version", "often"), [("9.9", 1), ("3.17.1", 0)])
def test_the_network_of_what_runs_on_is_left_alone(
    version: str, often: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = FAKE.replace("9.9", version) % f'{{ echo "$*" > {tmp_path / "words"}; exit 1; }}'
    proof(tmp_path, monkeypatch, script)
    assert (tmp_path / "words").read_text().count(" --network-lock skip") == often


def test_a_criu_that_does_not_work_here_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = proof(tmp_path, monkeypatch, "echo 'no such kernel' >&2; exit 1")
    assert ran.reason == "criu check: no such kernel"
    assert verdict(ran) == "not verified: criu check: no such kernel"


def test_nobody_who_does_not_ask_has_it_run() -> None:
    found = report(machine()[0])
    with proven(asked=False) as prove:
        assert prove(found) is found
