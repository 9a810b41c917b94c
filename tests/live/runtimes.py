"""Containers of real runtimes, from the host's own files: what is not installed is skipped.

Nothing is fetched. A container sleeps, with nothing of ours open in it; whatever is started ends.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

SECONDS: Final = 60
_NULL: Final = subprocess.DEVNULL


def root_folder(folder: Path) -> Path:
    """Make the root of a container in a new folder: busybox, and what it is linked with."""
    busybox = shutil.which("busybox") or pytest.skip("busybox is not installed")
    root = folder / "rootfs"
    for part in ("bin", "proc", "dev", "sys", "run", "leak", "etc", "usr/bin", "usr/lib"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for name in ("busybox", "sleep", "sh"):
        shutil.copy(busybox, root / "bin" / name)
    said = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(0x", said):
        (root / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library.lstrip("/"))
    (root / "usr/lib/os-release").write_text("ID=test\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    return root


def the_child(pid: int, comm: str = "sleep") -> int:
    """Return the first process of a pid namespace below a process, once it is what it is to be."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with suppress(OSError):
            for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
                status = Path(f"/proc/{word}/status").read_text("utf-8")
                if re.search(r"^NSpid:.*\t1$", status, re.MULTILINE) and (
                    Path(f"/proc/{word}/comm").read_text("utf-8").strip() == comm
                ):
                    return int(word)
        time.sleep(0.02)
    pytest.skip("the runtime did not start its container here")


@contextmanager
def launched(command: list[str], comm: str = "sleep") -> Iterator[int]:
    """Run a runtime in the foreground, with nothing of ours open; yield its container's init."""
    with subprocess.Popen(
        command, stdin=_NULL, stdout=_NULL, stderr=_NULL, start_new_session=True, cwd="/"
    ) as runtime:
        child = 0
        try:
            child = the_child(runtime.pid, comm)
            yield child
        finally:
            for pid in (child, runtime.pid):
                if pid:
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
            runtime.wait()


@contextmanager
def bwrap(folder: Path, *more: str) -> Iterator[int]:
    """Run a container of bubblewrap's."""
    root = root_folder(folder)
    command = ["bwrap", "--unshare-all", "--ro-bind", str(root), "/", "--proc", "/proc",
               "--dev", "/dev", "--tmpfs", "/run", *more, "/bin/sleep", "1000"]  # fmt: skip
    with launched(command, "bwrap") as pid:
        until = time.monotonic() + SECONDS  # its own child is the program
        while not Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            assert time.monotonic() < until
            time.sleep(0.02)
        yield pid


@contextmanager
def nspawn(folder: Path, *more: str) -> Iterator[int]:
    """Run a container of systemd-nspawn's, without systemd."""
    root = root_folder(folder)
    name = f"--machine=cranalyze-{uuid.uuid4().hex[:8]}"
    command = ["systemd-nspawn", "--directory", str(root), name, "--register=no", "--keep-unit",
               "--quiet", "--private-network", *more, "/bin/sleep", "1000"]  # fmt: skip
    with launched(command) as pid:
        yield pid


def with_ids() -> pwd.struct_passwd:
    """Return a user who may have a user namespace of many ids, and is not us."""
    listed = Path("/etc/subuid").read_text("utf-8") if Path("/etc/subuid").exists() else ""
    for line in listed.splitlines():
        with suppress(KeyError):
            user = pwd.getpwnam(line.partition(":")[0])
            if user.pw_uid:
                return user
    pytest.skip("no user has subordinate ids (/etc/subuid)")


@contextmanager
def rootless(folder: Path, *more: str) -> Iterator[int]:
    """Run a container of podman's as a user."""
    with podman(folder, *more, user=with_ids()) as pid:
        yield pid


@contextmanager
def podman(folder: Path, *more: str, user: pwd.struct_passwd | None = None) -> Iterator[int]:
    """Run a container of podman's, from an image that is made of a folder here."""
    root = root_folder(folder)
    name = f"cranalyze-{uuid.uuid4().hex[:8]}"
    # It takes no long paths.
    folder = Path(tempfile.mkdtemp(prefix="cz"))
    store = ["podman", "--root", str(folder / "store"), "--runroot", str(folder / "run"),
             "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]  # fmt: skip
    if user is not None:
        homes = [f"HOME={folder}", f"XDG_RUNTIME_DIR={folder}"]
        store = ["runuser", "-u", user.pw_name, "--", "env", *homes, *store]
        os.chown(folder, user.pw_uid, user.pw_gid)

    def call(*arguments: str, must: bool = True) -> str:
        ran = subprocess.run(
            [*store, *arguments], stdin=_NULL, capture_output=True, text=True, check=False,
            timeout=SECONDS, cwd="/",
        )  # fmt: skip
        if must and ran.returncode:
            pytest.skip(f"podman cannot run here: {ran.stderr.strip()[-200:]}")
        return ran.stdout.strip()

    tar = subprocess.run(["tar", "-C", str(root), "-c", "."], capture_output=True, check=True)
    (folder / "image.tar").write_bytes(tar.stdout)
    call("import", "--quiet", str(folder / "image.tar"), "localhost/test")
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=2000:2000"]
    how = ["--detach", "--net=none", "--name", name, *limits, *more]
    runtimes = [one for one in ("runc", "crun") if shutil.which(one)]
    try:
        call(*(["--runtime", runtimes[0]] if runtimes else []), "run", *how, "localhost/test",
             "/bin/sleep", "1000")  # fmt: skip
        yield int(call("container", "inspect", "--format", "{{.State.Pid}}", name))
    finally:
        call("rm", "--force", "--time", "0", name, must=False)
        if user is not None:
            call("system", "migrate", must=False)  # ends who keeps the user namespace
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def oci(tool: str, folder: Path, *mounts: str) -> Iterator[tuple[str, int]]:
    """Run a container of an OCI runtime from a bundle; yield its name and pid."""
    root_folder(folder)
    name = f"cranalyze-{uuid.uuid4().hex[:8]}"
    state = ["--root", str(folder / f"{tool}.state")]
    subprocess.run([tool, "spec"], cwd=folder, check=True, capture_output=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["sleep", "1000"]}
    config["process"].pop("rlimits", None)
    config["mounts"] += [
        {"destination": f"/mnt{at}", "source": source, "type": "none", "options": ["rbind", "rw"]}
        for at, source in enumerate(mounts)
    ]
    (folder / "config.json").write_text(json.dumps(config))
    # What the container inherits must not be ours: its errors go to the runtime's own log.
    log = folder / f"{tool}.log"
    try:
        made = subprocess.run(
            [tool, "--log", str(log), *state, "run", "--detach", "--bundle", str(folder), name],
            stdin=_NULL, stdout=_NULL, stderr=_NULL, check=False, timeout=SECONDS,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"{tool} cannot run here: {log.read_text()[-200:] if log.exists() else ''}")
        asked = subprocess.run(
            [tool, *state, "state", name], capture_output=True, text=True, check=True
        )
        yield name, int(json.loads(asked.stdout)["pid"])
    finally:
        subprocess.run([tool, *state, "delete", "--force", name], check=False, capture_output=True)


RUNTIMES: Final[
    dict[str, tuple[str, Callable[..., AbstractContextManager[int]], tuple[str, ...]]]
] = {
    "bwrap": ("bwrap", bwrap, ("--bind", "/tmp", "/leak")),  # noqa: S108 - the host's own
    "nspawn": ("systemd-nspawn", nspawn, ("--bind=/tmp:/leak",)),
    "podman": ("podman", podman, ("--volume", "/:/leak")),
}
"""By profile: the command, how one is run, and what makes it leak."""
