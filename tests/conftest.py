"""What every test has around it.

``require``      asks for what the machine must offer (``root``, ``bpf``, ``userns``, ``kcmp``,
                 ``chromium``, ``tool:NAME``): a test is skipped with the reason, or fails where
                 ``$CRANALYZE_REQUIRE`` (a comma list) says that the machine has it.
``run_folder``   what is kept until the next boot (`addresses.boot_key`) is in a folder of ours.
``no_leftovers`` every test is held to leave no child process, and a live test no open fd.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS: Final = Path(__file__).parent
WALL: Final = 0x40000000  # __WALL of linux/wait.h: children that end without SIGCHLD, too
SYS_KCMP: Final = {"x86_64": 312, "aarch64": 272}

settings.register_profile("quick", derandomize=True, deadline=None, database=None, max_examples=10)
settings.register_profile("ci", derandomize=True, deadline=None, database=None, max_examples=30)
settings.register_profile("explore", deadline=None, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# `make test &`, `nohup make test`: what is ignored here stays so in all that we start.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, lambda *_: None),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


def _why_not_root() -> str:
    return "" if os.geteuid() == 0 else f"needs root, runs as uid {os.geteuid()}"


def _why_not_bpf() -> str:
    try:
        found = importlib.import_module("analyzer.memory.probe").probe()
    except (ImportError, AttributeError) as error:
        return f"no BPF engine: {error}"
    return "" if found.ok else f"BPF cannot be loaded: {found.reason}"


def _why_not_userns() -> str:
    if shutil.which("unshare") is None:
        return "no unshare(1) to try a user namespace with"
    trial = ["unshare", "--user", "--map-root-user", "true"]
    ran = subprocess.run(trial, capture_output=True, text=True, check=False)
    return ran.stderr.strip() if ran.returncode else ""


def _why_not_kcmp() -> str:
    number = SYS_KCMP.get(platform.machine())
    if number is None:
        return f"kcmp(2) has no number here for {platform.machine()}"
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.getpid()
    if libc.syscall(number, pid, pid, 0, 0, 0) == 0:
        return ""
    return f"kcmp(2): {errno.errorcode[ctypes.get_errno()]}"


def _why_not_chromium() -> str:
    missing = [tool for tool in ("chromium", "chromedriver") if shutil.which(tool) is None]
    missing += ["selenium"] * (importlib.util.find_spec("selenium") is None)
    return f"{' and '.join(missing)} not installed" if missing else ""


PROBES: Final[dict[str, Callable[[], str]]] = {
    "root": _why_not_root,
    "bpf": _why_not_bpf,
    "userns": _why_not_userns,
    "kcmp": _why_not_kcmp,
    "chromium": _why_not_chromium,
}


@cache
def _why_not(need: str) -> str:
    if need.startswith("tool:"):
        tool = need.removeprefix("tool:")
        return "" if shutil.which(tool) else f"{tool} is not installed"
    return PROBES[need]()


def _require(*needs: str) -> None:
    promised = os.environ.get("CRANALYZE_REQUIRE", "").split(",")
    for need in needs:
        if reason := _why_not(need):
            if need in promised:
                pytest.fail(f"CRANALYZE_REQUIRE names {need}, but: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def require() -> Callable[..., None]:
    return _require


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TESTS / "live" in item.path.parents:
            item.add_marker("live")


def pytest_collection_finish() -> None:
    gc.freeze()  # what all tests share stays: the collections of `no_leftovers` need not walk it


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("bpf"):
        _require("root", "bpf")
    for marker in item.iter_markers("needs"):
        _require(*marker.args)


def _open_fds() -> dict[int, str]:
    links: dict[int, str] = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            links[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:  # the one that lists the folder
            continue
    return links


def _children() -> set[int]:
    try:  # the one question that nearly every test is done with
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
    except ChildProcessError:
        return set()
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError):  # it ended just now
            found.update(map(int, Path(f"/proc/self/task/{thread}/children").read_text().split()))
    return found


@pytest.fixture(scope="session", autouse=True)
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", str(tmp_path_factory.mktemp("run")))
        yield


@pytest.fixture(autouse=True)
def no_leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    live = request.node.get_closest_marker("live") is not None
    children, fds = _children(), _open_fds() if live else {}
    yield
    if left := _children() - children:
        pytest.fail(f"the test left child processes behind: {sorted(left)}", pytrace=False)
    if not live:
        return
    gc.collect()
    if new := {fd: link for fd, link in _open_fds().items() if fd not in fds}:
        pytest.fail(f"the test left open: {new}", pytrace=False)
