"""Subjects by name: what cgroup paths tell, what a runtime says, and what cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from analyzer import subjects
from analyzer.check.leaks import check
from analyzer.check.objhash import find_ref_leaks
from analyzer.check.subtree import INSIDE
from analyzer.cli.target import Target
from analyzer.core.errors import BadInputError
from analyzer.core.model import Rules
from analyzer.procfs import cgroup
from analyzer.procfs.fs import MemoryFs
from analyzer.procfs.homes import NOWHERE, home, of_paths
from analyzer.subjects import commands, images
from analyzer.subjects.base import Process, Recorded, containers
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

WEB: Final = "ab" * 32
DB: Final = "abcd" * 16
POD: Final = "12345678-1234-1234-1234-123456789abc"
UNDER: Final = POD.replace("-", "_")

PATHS: Final = {
    f"/docker/{WEB}": ("docker", WEB, "", ""),
    f"/system.slice/docker-{WEB}.scope": ("docker", WEB, "", f"docker-{WEB}.scope"),
    f"/libpod_parent/libpod-{WEB}": ("podman", WEB, "", ""),
    f"/machine.slice/libpod-{WEB}.scope/container": ("podman", WEB, "", f"libpod-{WEB}.scope"),
    f"/machine.slice/machine-libpod_pod_{DB}.slice/libpod-{WEB}.scope": (
        "podman", WEB, DB, f"libpod-{WEB}.scope",
    ),
    f"/system.slice/web.service/libpod-payload-{WEB}": ("podman", WEB, "", "web.service"),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDER}.slice/"
    f"cri-containerd-{WEB}.scope": ("containerd", WEB, POD, f"cri-containerd-{WEB}.scope"),
    f"/kubepods/besteffort/pod{POD}/{WEB}": ("containerd", WEB, POD, ""),
    f"/kubepods/pod{POD}/crio-{WEB}": ("cri-o", WEB, POD, ""),
    f"/system.slice/containerd.service/kubepods-pod{UNDER}.slice:cri-containerd:{WEB}": (
        "containerd", WEB, POD, "containerd.service",
    ),
    # The kubelet with a group of its own (kind), pods that are guaranteed, and of a file (static).
    f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
    f"kubelet-kubepods-besteffort-pod{UNDER}.slice/cri-containerd-{WEB}.scope": (
        "containerd", WEB, POD, f"cri-containerd-{WEB}.scope",
    ),
    f"/kubelet/kubepods/burstable/pod{POD}/{WEB}": ("containerd", WEB, POD, ""),
    f"/kubepods.slice/kubepods-pod{UNDER}.slice/crio-{WEB}.scope/container": (
        "cri-o", WEB, POD, f"crio-{WEB}.scope",
    ),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{'0a' * 16}.slice/"
    f"docker-{WEB}.scope": ("docker", WEB, "0a" * 16, f"docker-{WEB}.scope"),
    f"/kubepods/burstable/pod{POD}/crio-conmon-{WEB}": ("", "", POD, ""),
    f"/kubepods.slice/kubepods-pod{UNDER}.slice/crio-conmon-{WEB}.scope": (
        "", "", POD, f"crio-conmon-{WEB}.scope",
    ),
    # As a process with another cgroup namespace sees it.
    f"/../../kubepods.slice/kubepods-pod{UNDER}.slice/cri-containerd-{WEB}.scope": (
        "containerd", WEB, POD, f"cri-containerd-{WEB}.scope",
    ),
    f"/libpod_parent/{DB}/libpod-{WEB}": ("podman", WEB, DB, ""),
    f"/libpod_parent/{DB}": ("", "", DB, ""),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{DB}.slice/"
    f"libpod-{WEB}.scope": ("podman", WEB, DB, f"libpod-{WEB}.scope"),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{WEB}.scope": (
        "docker", WEB, "", f"docker-{WEB}.scope",
    ),
    f"/default/{WEB}": ("containerd", WEB, "", ""),
    "/lxc.payload.web/init.scope": ("lxc", "web", "", "init.scope"),
    "/lxc/web/ns": ("lxc", "web", "", ""),
    "/machine.slice/machine-my\\x2dweb.scope/payload": (
        "nspawn", "my-web", "", "machine-my-web.scope",
    ),
    "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service": (
        "nspawn", "web", "", "nginx.service",
    ),
    f"/docker/{WEB}/docker/{DB}": ("docker", WEB, "", ""),  # the outer one is this machine's
    f"/docker/{WEB} (deleted)": ("docker", WEB, "", ""),
    "/system.slice/nginx.service": ("", "", "", "nginx.service"),
    f"/machine.slice/libpod-conmon-{WEB}.scope": ("", "", "", f"libpod-conmon-{WEB}.scope"),
    "/machine.slice/machine-web.scope/supervisor": ("", "", "", "machine-web.scope"),
    "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope": ("", "", "", "machine-qemu-1-vm.scope"),
    "/lxc.monitor.web": ("", "", "", ""),
    "/": ("", "", "", ""),
    "": ("", "", "", ""),
    "/\x1b[2J/../\udc80": ("", "", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_cgroup_path_tells_of_container_pod_and_unit(path: str) -> None:
    found = home(path)
    assert (found.runtime, found.container, found.pod, found.unit) == PATHS[path]
    assert path.startswith(found.group)


def test_of_several_hierarchies_the_one_that_says_most_counts() -> None:
    data = f"9:name=systemd:/docker/{WEB}\n4:memory:/user.slice\n0::/\n".encode()
    assert cgroup.parse(data, "x") == f"/docker/{WEB}"
    assert cgroup.parse(b"3:cpu:/a\n0::/b\n", "x") == "/b"
    assert cgroup.parse(b"3:cpu:/a\n2:pids:/b\n", "x") == "/a"
    assert of_paths(["/", "/x.service", f"/docker/{WEB}"]).container == WEB
    assert of_paths([]) == NOWHERE


@dataclass
class Fake:
    """A machine of processes that are made up; `asked` is what its /proc is asked for."""

    processes: Sequence[Process]
    live: bool = False
    spaces: dict[tuple[int, str], int] = field(default_factory=dict)

    def space(self, pid: int, kind: str) -> int:
        return self.spaces.get((pid, kind), 0)


def process(pid: int, ppid: int, path: str, nspid: int | None = None) -> Process:
    return Process(pid, ppid, f"p{pid}", pid if nspid is None else nspid, (path,))


@pytest.fixture
def node() -> Fake:
    return Fake(
        [
            process(1, 0, "/init.scope"),
            process(20, 1, f"/system.slice/docker-{WEB}.scope", 1),
            process(21, 20, f"/system.slice/docker-{WEB}.scope", 2),
            process(22, 1, f"/system.slice/docker-{WEB}.scope", 9),  # executed in it
            process(30, 1, f"/kubepods/pod{POD}/{DB}", 1),
            process(31, 1, f"/kubepods/pod{POD}/crio-{'ef' * 32}", 1),
            process(40, 1, "/system.slice/nginx.service"),
            process(41, 40, "/system.slice/nginx.service"),
            process(50, 1, "/lxc.payload.web"),
        ],
        spaces={(pid, "pid"): 7 for pid in (20, 21, 22)} | {(1, "pid"): 4026531836},
    )


@pytest.mark.parametrize(
    ("text", "roots"),
    [
        (f"docker:{WEB}", (20,)),
        ("docker:abab", (20,)),
        ("ababab", (20,)),
        ("cri:abcd", (30,)),
        ("cri:efef", (31,)),
        (f"pod:{POD}", (30, 31)),
        ("pod:1234", (30, 31)),
        ("unit:nginx.service", (40,)),
        ("unit:nginx", (40,)),
        ("nginx.service", (40,)),
        ("cgroup:/system.slice/nginx.service", (40,)),
        ("cgroup:kubepods", (30, 31)),
        ("pidns:[7]", (20, 22)),
        ("pidns:pid:[7]", (20, 22)),
        ("lxc:web", (50,)),
        ("web", (50,)),
        ("20", (20,)),
    ],
)
def test_a_selector_finds_its_roots(node: Fake, text: str, roots: tuple[int, ...]) -> None:
    assert subjects.resolve(text, node).roots == roots


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ab", "no process, container"),
        ("aba", None),
        ("abcab", "no process, container, machine or unit is called so; containers here: docker"),
        ("docker:nope", "no such container; containers here: docker container abab"),
        ("podmn:web", r"did you mean podman\?"),
        ("pod:", "say which: pod:NAME"),
        ("pod:nope", "no such pod that runs .*names are not kept.*; pods here: 12345678"),
        ("unit:ngnix", r"did you mean nginx.service\?"),
        ("cgroup:/", "everybody is in it"),
        ("cgroup:/nowhere", "nobody is in it"),
        ("pidns:[4026531836]", "the host's: everybody is in it"),
        ("pidns:web", "say its number"),
        ("netns:web", "names are of the live machine"),
        ("\x1b[2J\n", r"\\e\[2J\\n: no process"),
        ("podman:\x1b[2J", r"podman:\\e\[2J: no such container"),
        ("", "no subject"),
        ("x" * 5000, "no subject"),
        ("self", "name another subject"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(node: Fake, text: str, said: str | None) -> None:
    if said is None:
        assert subjects.resolve(text, node).roots == (20,)
        return
    with pytest.raises(BadInputError, match=said):
        subjects.resolve(text, node)


def test_what_means_several_things_lists_them(node: Fake) -> None:
    node.processes = [*node.processes, process(60, 1, f"/docker/{'abab' + 'c' * 60}", 1)]
    with pytest.raises(BadInputError, match=r"ambiguous: .*\(pid 20\), .*\(pid 60\)"):
        subjects.resolve("abab", node)


def test_all_containers_are_those_of_cgroups_and_other_inits(node: Fake) -> None:
    more = [process(70, 1, "/", 1), process(71, 70, "/", 2), process(72, 21, "/", 1)]
    node.processes = [*node.processes, *more]
    node.spaces[1, "pid"] = node.spaces[70, "pid"] = 0
    assert [one.roots[0] for one in subjects.every(node)] == [20, 30, 31, 50, 70]


def test_members_are_who_is_there_when_they_are_asked_for(node: Fake) -> None:
    found = [subjects.resolve("docker:abab", node)]
    assert subjects.members(found, "descent", node).others(node) == ()
    inside = subjects.members(found, "cgroup", node)
    assert inside.others(node) == (22,)
    node.processes = [*node.processes, process(23, 1, f"/system.slice/docker-{WEB}.scope", 11)]
    assert inside.others(node) == (22, 23)
    assert subjects.members(found, "pidns", node).others(node) == (22,)
    with pytest.raises(BadInputError, match="the root of the cgroups, as everybody"):
        subjects.members([subjects.Subject("it", (1,), group="/")], "cgroup", node)
    with pytest.raises(BadInputError, match="the host's pid namespace"):
        subjects.members([subjects.Subject("it", (1,))], "pidns", node)


# --- what a runtime's command says


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that is all there is."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    there = {name: str(tmp_path / name) for name in ("podman", "docker", "crictl", "runc", "crun",
                                                     "lxc-info", "machinectl")}  # fmt: skip
    monkeypatch.setattr(
        commands, "installed", lambda name: there[name] if (tmp_path / name).exists() else None
    )
    monkeypatch.setattr(subjects, "installed", commands.installed)
    return tmp_path


def test_a_name_is_asked_of_the_runtime(node: Fake, tools: Path) -> None:
    node.live = True
    tool(tools, "docker", f"printf '{WEB}\\trunning\\t20\\t/site\\n'")
    found = subjects.resolve("docker:site", node)
    assert (found.roots, found.name) == ((20,), "site")
    assert found.words == "docker container site (abababababab)"
    assert subjects.resolve("site", node).roots == (20,)


@pytest.mark.parametrize("name", ["-x", "--help", "a b", "$(id)", "x\ny", "\udcff"])
def test_a_hostile_name_is_one_argument(node: Fake, tools: Path, name: str) -> None:
    node.live = True
    tool(tools, "podman", 'for a; do printf "%s" "$a" | od -c | head -1; done >&2; exit 1')
    with pytest.raises(BadInputError, match="podman:"):
        subjects.resolve(f"podman:{name}", node)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"printf '{'cd' * 32}\\texited\\t0\\tweb\\n'", r"web \(cdcdcdcdcdcd\) is not running"),
        ("echo 'no such container' >&2; exit 125", "podman: no such container"),
        ("echo $$; exec sleep 60", "podman did not answer within 0.2 s"),
        ("head -c 4000 /dev/urandom", "no such container"),
        ("printf 'a\\tb\\tc\\td\\n'", "no such container"),
    ],
)
def test_a_runtime_that_does_not_help(
    node: Fake, tools: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    node.live = True
    monkeypatch.setattr(commands, "SECONDS", 0.2 if "sleep" in script else 20)
    tool(tools, "podman", script)
    with pytest.raises(BadInputError, match=said):
        subjects.resolve("podman:site", node)


def test_a_runtime_that_is_not_installed_is_a_reason(node: Fake, tools: Path) -> None:
    assert tools.is_dir()
    node.live = True
    with pytest.raises(BadInputError, match="podman is not installed"):
        subjects.resolve("podman:site", node)


def test_a_pod_by_its_name(node: Fake, tools: Path) -> None:
    node.live = True
    tool(tools, "podman", f"printf '{WEB}\\tshop\\n{DB}\\tshop\\n{'9' * 64}\\tother\\n'")
    assert subjects.resolve("pod:shop", node).roots == (20, 30)
    with pytest.raises(BadInputError, match="no such pod"):
        subjects.resolve("pod:sho", node)


# --- which image a container is made of


def test_the_images_of_all_containers_are_listed_by_their_runtimes(tools: Path) -> None:
    tool(tools, "docker", f"printf '{WEB}\\tnginx:1.25\\nodd\\n{DB}\\t\\n'")
    tool(
        tools,
        "crictl",
        """printf '%s' '{"containers": [
        {"id": "a", "image": {"image": "sha256:1", "userSpecifiedImage": "app:2"}},
        {"id": "b", "image": {"image": "db:\\u001b[2J"}, "imageRef": "sha256:2"},
        {"id": "c", "imageRef": "sha256:3"}]}'""",
    )
    assert images.listed({"docker"}) == {WEB: "nginx:1.25"}
    assert images.listed({"cri-o", "containerd"}) == {
        "a": "app:2", "b": r"db:\e[2J", "c": "sha256:3",
    }  # fmt: skip
    assert images.listed({"lxc", "podman"}) == {}, "it is not installed, or has no images"


@pytest.mark.parametrize("said", ["", "x", "[]", "[" * 9999, '{"containers": [{"id": 1}, 2]}'])
def test_a_runtime_that_says_something_else_knows_no_image(tools: Path, said: str) -> None:
    tool(tools, "crictl", f"printf '%s' '{said}'")
    assert images.listed({"containerd"}) == {}


def test_a_runtime_is_asked_of_the_containers_that_are_meant() -> None:
    files = {f"{pid}/cgroup": f"0::{path}\n".encode() for pid, path in (
        (7, f"/docker/{WEB}"), (8, f"/libpod_parent/libpod-{DB}"), (9, "/init.scope"))}  # fmt: skip
    fs = MemoryFs({"stat": b"", **files}, Path("/proc"))
    assert images.runtimes(fs, None) == {"docker", "podman"}
    assert images.runtimes(fs, 7) == {"docker"}
    assert images.runtimes(fs, 9) == images.runtimes(fs, 10) == set()


def test_an_image_is_kept_by_the_first_process_or_by_the_root() -> None:
    tables = two().snapshot(None, scope="host").tables
    by_id = {DB: "db:1", "other": "x"}
    assert images.by_pid(tables, None, by_id) == {"30": "db:1"}
    assert images.by_pid(tables, 31, by_id) == {"31": "db:1"}
    assert images.by_pid(tables, 20, by_id) == {"30": "db:1"}


# --- in a snapshot, and as one


def two() -> Machine:
    made = Machine()
    made.task(20, ppid=1, nspid=1, cgroup=f"/docker/{WEB}")
    made.task(30, ppid=1, nspid=1, cgroup=f"/docker/{DB}")
    made.task(31, ppid=30, nspid=2, cgroup=f"/docker/{DB}")
    made.task(40, ppid=1)
    made.object("PIPE", 2, holders=[(20, "files", None), (31, "files", None)])
    return made


def test_a_snapshot_of_the_host_is_asked_by_container() -> None:
    snapshot = two().snapshot(None, scope="host")
    of = Target.parse("docker:abcd", of_dump=True).of(snapshot)
    assert (of.meta["subject"]["pid"], of.meta["subject"]["container"]) == (30, DB)
    both = Target.parse(["docker:abab", "30"], of_dump=True).of(snapshot)
    assert (both.meta["subject"]["pid"], both.meta["subject"]["roots"]) == (20, [30])
    with pytest.raises(BadInputError, match="not of docker:abab"):
        Target.parse("docker:abab", of_dump=True).of(two().snapshot(40))
    with pytest.raises(BadInputError, match="no way to be a member"):
        Target.parse("40", members="friends")
    assert [one.id for one in containers(Recorded(snapshot.tables))] == [WEB, DB]


def test_several_roots_are_one_subtree_by_both_checks() -> None:
    for roots, inside in (([], {20}), ([30], {20, 30, 31}), ([4711], {20})):
        subject = {"pid": 20, "start_time": None, "roots": roots}
        snapshot = two().snapshot(20, subject=subject)
        found = check(snapshot)
        tids = snapshot.tables["tasks"]["tid"][found.border.task_side == INSIDE]
        assert set(tids.tolist()) == inside
        said = find_ref_leaks(snapshot, 20, Rules.MODERN)
        judged = {ref: one.users for ref, one in said.items()}
        assert judged == {row + 1: found.users[row] for row in found.judged.nonzero()[0].tolist()}


def test_every_family_says_how_it_is_written() -> None:
    for name, family in subjects.families().items():
        assert family.name == name
        assert family.forms
        assert {form.written.partition(":")[0] for form in family.forms} == {name}
