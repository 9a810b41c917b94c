"""What a runtime does by design, and what it does not, in containers that are made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from analyzer.check.leaks import check
from analyzer.core.errors import BadInputError
from analyzer.core.model import Rules, Side, Status
from analyzer.report.make import make
from analyzer.report.profiles import named, profiles
from analyzer.report.value import ReportOptions
from analyzer.sources.privacy import Redaction
from analyzer.writers import json, junit, markdown, terminal
from tests.build import Machine, Obj

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.report.value import Report

ID: Final = "ab" * 32
ROOT: Final = 100
MONITOR: Final = 50
HOST: Final = 2

# By profile: what the monitor is called, the cgroup of the container, and a file of its own.
RUNTIMES: Final[Mapping[str, tuple[str, str, str]]] = {
    "podman": (
        "conmon",
        f"/machine.slice/libpod-{ID}.scope",
        f"/var/lib/containers/storage/overlay-containers/{ID}/userdata/hosts",
    ),
    "docker": (
        "containerd-shim",
        f"/docker/{ID}",
        f"/var/lib/docker/containers/{ID}/hostname",
    ),
    "containerd": (
        "containerd-shim-runc-v2"[:15],
        f"/kubepods/pod12345678-1234-1234-1234-123456789abc/{ID}",
        "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/7/shm",
    ),
    "cri-o": (
        "conmon",
        f"/kubepods.slice/crio-{ID}.scope",
        f"/run/containers/storage/overlay-containers/{ID}/userdata/hosts",
    ),
    "lxc": ("lxc-start", "/lxc.payload.web", ""),
    "nspawn": (
        "systemd-nspawn",
        "/machine.slice/machine-web.scope/payload",
        "/run/systemd/nspawn/propagate/web",
    ),
}


def container(name: str) -> tuple[Machine, Obj, Obj]:
    """Return a clean container of a runtime, with its table of files and that of its monitor."""
    comm, group, own = RUNTIMES[name]
    made = Machine()
    made.task(1, ppid=0, comm="init")
    made.task(MONITOR, ppid=1, comm=comm)
    made.task(ROOT, ppid=MONITOR, nspid=1, cgroup=group, comm="app")
    inside, outside = (
        made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (ROOT, MONITOR)
    )
    for fd in (1, 2):
        pipe(made, inside, outside, fd)
    if own:
        mount(made, own, "/etc/hosts")
    return made, inside, outside


def pipe(made: Machine, inside: Obj, outside: Obj, fd: int) -> None:
    ends = (made.object("FILE", 1, holders=[(table, "fd", fd)]) for table in (inside, outside))
    writer, reader = ends
    thing = made.object("PIPE", 2, name=f"pipe:[{fd}]")
    made.reference(thing, writer, "pipe.writer")
    made.reference(thing, reader, "pipe.reader")


def mount(made: Machine, source: str, point: str, how: str = "") -> None:
    space = next((Obj(row["objref"], "MNT_NS") for row in made.rows["objects"]
                  if row["kind"] == "MNT_NS"), None)  # fmt: skip
    if space is None:
        proxy = made.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
        space = made.object("MNT_NS", 1, holders=[(proxy, "nsproxy.mnt")])
        made.object("MNT_NS", 9, initial=True, ino=7)
    mine = made.object("MOUNT", None, name=point, holders=[(space, "mount")])
    hosts = Obj(space.objref + 1, "MNT_NS")
    made.relation("bind-mount", mine, hosts, detail=f"{source} of ext4{how}", impact="reaches out")


def reported(made: Machine, **options: object) -> Report:
    snapshot = made.snapshot(ROOT)
    return make(snapshot, check(snapshot), ReportOptions("check", gate=True, **options))  # type: ignore[arg-type]


def text(report: Report) -> str:
    return terminal.to_text(terminal.render(report, 80))


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_clean_container_is_contained_apart_from_what_its_runtime_does(name: str) -> None:
    made, _, _ = container(name)
    report = reported(made)
    assert report.profile.name == name
    assert (report.status, report.exit_code) == (Status.CONTAINED, 0)
    said = text(report)
    assert said.startswith(f"contained, apart from what {report.profile.title} does by design\n")
    assert f"{name}, by design: stdin, stdout and stderr to " in said
    assert len(said.splitlines()) <= 20
    assert report.summary.usage_leak == 2  # no number changes
    assert reported(made, profile="none").exit_code == 16
    assert reported(made, profile="none").summary == report.summary
    assert reported(made, strict=True).exit_code == 0


@pytest.mark.parametrize("name", RUNTIMES)
def test_what_its_user_asked_for_is_not_by_design(name: str) -> None:
    made, inside, outside = container(name)
    pipe(made, inside, outside, 7)  # beside the standard streams
    assert reported(made).exit_code == 16
    made, _, _ = container(name)
    mount(made, "/", "/host")
    assert reported(made).exit_code == 16
    made, inside, _ = container(name)
    other = made.object("FILE_TABLE", 1, holders=[(made.task(60, comm="spy"), "files")])
    made.object("FILE", 2, name="/srv/secret", holders=[(inside, "fd", 0), (other, "fd", 3)])
    report = reported(made)
    assert report.exit_code == 16
    assert "/srv/secret" in text(report)


def test_a_stream_that_a_stranger_has_too_is_not_by_design() -> None:
    made, _, _ = container("podman")
    spy = made.object("FILE_TABLE", 1, holders=[(made.task(60, comm="conmon2"), "files")])
    reader = made.object("FILE", 1, holders=[(spy, "fd", 3)])
    at = next(row for row in made.rows["objects"] if row["kind"] == "PIPE")
    at["refcount"] += 1
    made.reference(Obj(at["objref"], "PIPE"), reader, "pipe.reader")
    assert reported(made).exit_code == 16


def test_what_nobody_is_named_for_is_not_by_design() -> None:
    made, _, _ = container("podman")
    next(row for row in made.rows["objects"] if row["kind"] == "PIPE")["refcount"] += 1
    assert reported(made).exit_code == 16


def test_what_is_not_by_design_is_told_first() -> None:
    made, _, _ = container("podman")
    mount(made, "/srv/data", "/var")
    (one,) = (one for one in reported(made).crossings if one.gates)
    assert one.title == "mount /var: shows what is mounted outside too"
    assert [tie.name for tie in one.of(Side.INSIDE)] == ["/var", "/etc/hosts"]


def test_the_mounts_of_a_container_are_its_own_whoever_keeps_its_namespace() -> None:
    made, _, outside = container("podman")
    mount(made, "/", "/host")
    (space,) = (row["objref"] for row in made.rows["objects"]
                if row["kind"] == "MNT_NS" and not row.get("initial"))  # fmt: skip
    door = made.object("FILE", 1, holders=[(outside, "fd", 9)])
    nsfs = made.object("NSFS", 1, holders=[(door, "nsfs.file")])
    made.reference(Obj(space, "MNT_NS"), nsfs, "nsfs")
    report = reported(made)
    assert any(one.title.startswith("mount /host: ") for one in report.crossings if one.gates)


def test_another_containers_files_are_not_its_own() -> None:
    made, _, _ = container("podman")
    mount(made, "/var/lib/containers/storage/overlay-containers/other/userdata/x", "/x")
    assert reported(made).exit_code == 16


def test_a_runtime_is_recognised_or_named_and_said() -> None:
    made, _, _ = container("podman")
    for row in made.rows["tasks"]:
        row["cgroup"] = None
    assert reported(made).profile.name == "podman"  # by its monitor's name
    made.rows["tasks"][2]["nspid"] = 9  # no first process of a pid namespace
    assert reported(made).profile.name == "none"
    assert reported(made, profile="podman").profile.name == "podman"
    with pytest.raises(BadInputError, match=r"no profile podmn .did you mean podman\?"):
        named("podmn")
    assert set(profiles()) == {"none", "bwrap", "systemd", *RUNTIMES}


def test_the_historic_rules_know_no_runtime() -> None:
    made, _, _ = container("podman")
    snapshot = made.snapshot(ROOT)
    report = make(snapshot, check(snapshot, rules=Rules.SEED), ReportOptions("check", gate=True))
    assert report.profile.name == "none"


def test_who_joined_is_one_finding() -> None:
    made = Machine()
    made.task(1, ppid=0)
    made.task(ROOT, ppid=1, nspid=1, comm="app")
    joiner = made.task(60, ppid=1, nspid=2, comm="sh")
    proxies = [made.object("NSPROXY", 1, holders=[(tid, "nsproxy")]) for tid in (ROOT, joiner)]
    for space in ("uts", "ipc", "net"):
        holders = [(proxy, f"nsproxy.{space}") for proxy in proxies]
        made.object(f"{space.upper()}_NS", 2, ino=4711, holders=holders)
    made.relation("joined", ROOT, joiner, detail="joined its 3 namespaces")
    report = reported(made)
    said = text(report)
    assert report.exit_code == 16
    assert report.summary.usage_leak == 3
    assert said.count("\n* ") == 1
    assert "* sh (60): joined its 3 namespaces; not a descendant of app (100)" in said
    assert "--members cgroup" in said
    assert all(entry.waived is not None and entry.waived.part for entry in report.objects)


def sandbox(made: Machine, *inside: int, keeper: str) -> None:
    """Give a container a network that a file keeps, and that a keeper has a socket in."""
    proxies = [made.object("NSPROXY", 1, holders=[(tid, "nsproxy")]) for tid in inside]
    space = made.object(
        "NET_NS", len(inside) + 2, ino=4711, holders=[(proxy, "nsproxy.net") for proxy in proxies]
    )
    hosts = made.object("MNT_NS", 9, initial=True, ino=7)
    bind = made.object("MOUNT", None, name="/run/docker/netns/1f", holders=[(hosts, "mount")])
    nsfs = made.object("NSFS", 1, holders=[(bind, "bind")])
    made.reference(space, nsfs, "nsfs")
    table = made.object("FILE_TABLE", 1, holders=[(made.task(70, comm=keeper), "files")])
    socket = made.object("FILE", 1, holders=[(table, "fd", 29)])
    made.reference(space, socket, "socket")


@pytest.mark.parametrize(("keeper", "code"), [("dockerd", 0), ("spy", 16)])
def test_dockerd_looks_into_the_network_that_it_made_and_nobody_else_does(
    keeper: str, code: int
) -> None:
    made, _, _ = container("docker")
    sandbox(made, ROOT, keeper=keeper)
    report = reported(made)
    assert [entry.kind for entry in report.objects if entry.kind == "NET_NS"] == ["NET_NS"]
    assert report.exit_code == code


@pytest.mark.parametrize("keeper", ["dockerd", "spy"])
def test_who_joined_is_one_finding_beside_what_is_by_design(keeper: str) -> None:
    made, _, _ = container("docker")
    joiner = made.task(60, ppid=MONITOR, nspid=2, comm="sh")
    sandbox(made, ROOT, joiner, keeper=keeper)
    made.relation("joined", ROOT, joiner, detail="joined its 1 namespace")
    report = reported(made)
    (space,) = (entry for entry in report.objects if entry.kind == "NET_NS")
    assert (space.waived is not None and space.waived.part) is (keeper == "dockerd")
    assert report.exit_code != 0


def test_the_root_of_docker_follows_its_folder_outside() -> None:
    made, _, _ = container("docker")
    hosts = made.object("MNT_NS", 9, initial=True, ino=7)
    root = made.object("MOUNT", None, name="/")
    proxy = made.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    space = made.object("MNT_NS", 1, holders=[(proxy, "nsproxy.mnt")])
    made.reference(root, space, "mount")
    made.relation("mount-propagation", root, hosts, impact="shared state")
    assert reported(made).exit_code == 16
    made.fact(root, "master_group", 2)  # it gets mounts, and gives none
    assert reported(made).exit_code == 0


def test_what_is_known_is_in_every_form() -> None:
    made, _, _ = container("docker")
    report = reported(made)
    found = json.document(report)
    assert found["profile"] == "docker"
    pipes = [entry for entry in found["objects"] if entry["kind"] == "PIPE"]
    assert [entry["waived"]["by"] for entry in pipes] == ["docker", "docker"]
    assert [entry["gates"] for entry in pipes] == [False, False]
    said = markdown.render(report)
    assert "Known: docker, by design: stdin, stdout and stderr to containerd-shim: " in said
    assert "known (docker: stdin, stdout and stderr to containerd-shim)" in junit.render(report)


def test_who_is_outside_is_told_with_the_container_or_the_service() -> None:
    made, inside, _ = container("podman")
    groups = (f"/docker/{'cd' * 32}", "/system.slice/nginx.service", "/user.slice/a.scope")
    for tid, group in enumerate(groups, 60):
        made.task(tid, comm=f"spy{tid}", cgroup=group)
        table = made.object("FILE_TABLE", 1, holders=[(tid, "files")])
        made.object("FILE", 2, name=f"/srv/{tid}", holders=[(inside, "fd", tid), (table, "fd", 3)])
    said = text(reported(made))
    assert "outside  spy60 (60), in docker container cdcdcdcdcdcd: fd 3\n" in said
    assert "outside  spy61 (61), in nginx.service: fd 3\n" in said
    assert "outside  spy62 (62): fd 3\n" in said


def test_a_redacted_container_is_of_no_runtime_and_says_so() -> None:
    made, _, _ = container("podman")
    snapshot = Redaction(b"k" * 16).snapshot(made.snapshot(ROOT))
    report = make(snapshot, check(snapshot), ReportOptions("report", gate=True))
    assert (report.profile.name, report.exit_code) == ("none", 16)
    assert any("names are hashed" in note for note in report.notes)


def test_a_unit_has_the_hosts_namespaces_and_need_not_be_an_init() -> None:
    made = Machine()
    made.task(1, ppid=0)
    made.task(ROOT, ppid=1, cgroup="/system.slice/a.service")
    spaces = made.object("NSPROXY", 9, holders=[(ROOT, "nsproxy"), (1, "nsproxy")], initial=True)
    made.object("NET_NS", 9, holders=[(spaces, "nsproxy.net")], initial=True, ino=7)
    snapshot = made.snapshot(ROOT)
    for name, code in (("systemd", 0), ("auto", 16)):
        options = ReportOptions("check", gate=True, profile=name)
        assert make(snapshot, check(snapshot), options).exit_code == code


def test_the_containers_of_a_pod_have_their_files_each() -> None:
    made, _, _ = container("podman")
    other = "cd" * 32
    made.task(200, ppid=MONITOR, nspid=1, cgroup=f"/machine.slice/libpod-{other}.scope")
    mount(made, f"/run/containers/storage/vfs-containers/{other}/userdata/shm", "/dev/shm")  # noqa: S108
    for roots, code in (([], 16), ([200], 0)):
        subject = {"pid": ROOT, "start_time": None, "roots": roots}
        snapshot = made.snapshot(ROOT, subject=subject)
        report = make(snapshot, check(snapshot), ReportOptions("check", gate=True))
        assert report.exit_code == code
