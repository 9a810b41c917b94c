"""Kernels from Debian's archive: apt(8) finds, checks and gets them, in a folder of its own."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

# The kernel of each release; the last is of a suite that has always a new one.
SUITES: Final = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", "newest": "sid"}
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_USERLAND: Final = "trixie"
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PART: Final = re.compile(r" Depends: (linux-(?:image|binary|modules)-[0-9]\S*)")
_ARCHIVE: Final = "http://deb.debian.org/debian"


class NoKernelError(Exception):
    """A kernel could not be had: why."""


class Kernel(NamedTuple):
    """A package that was unpacked: the kernel, and the folder that it and its modules are in."""

    image: Path
    folder: Path


def fetch(name: str, machine: str, scratch: Path) -> Kernel:
    """Return the kernel of Debian's release that has `name`; NoKernelError says what is wrong."""
    architecture = ARCHITECTURES[machine]
    folder = scratch / f"{name}-{architecture}"
    if not folder.exists():
        for package in _download(SUITES[name], architecture, scratch / "apt" / f"{name}-{machine}"):
            _run(["dpkg-deb", "--extract", package, folder], scratch)
    return unpacked(folder)


def userland(machine: str, scratch: Path) -> Path:
    """Return a folder with the Python, numpy and shell of Debian for another machine."""
    folder = scratch / f"userland-{machine}"
    if not folder.exists():
        place = scratch / "apt" / f"userland-{machine}"
        options = _apt(_USERLAND, ARCHITECTURES[machine], place)
        _run(["apt-get", *options, "-qq", "-y", "--no-install-recommends", "--download-only",
              "install", "python3", "python3-numpy", "dash"], place)  # fmt: skip
        made = folder.with_suffix(".made")
        for package in sorted((place / "cache" / "archives").glob("*.deb")):
            _run(["dpkg-deb", "--extract", package, made], scratch)
        _finish(made)
        made.rename(folder)
    return folder


def _finish(folder: Path) -> None:
    """Do what the packages' own scripts would: one place for programs, a choice of libraries."""
    for name in ("bin", "lib"):
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("blas", "lapack"):
        for library in folder.glob(f"usr/lib/*/{name}/lib{name}.so.?"):
            library.parents[1].joinpath(library.name).symlink_to(f"{name}/{library.name}")


def unpacked(folder: Path) -> Kernel:
    """Return the kernel of a package that was unpacked into `folder`."""
    images = sorted((*folder.glob("boot/vmlinuz-*"), *folder.glob("usr/lib/modules/*/vmlinuz")))
    if not images:
        raise NoKernelError(f"{folder}: no vmlinuz there")
    return Kernel(images[-1], folder)


def _apt(suite: str, architecture: str, place: Path) -> list[str]:
    """Return the options of an apt that knows of one suite, and of nothing that is installed."""
    for name in ("lists/partial", "cache/archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    sources = place / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {_ARCHIVE} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": sources, "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": place / "lists", "Dir::State::Status": place / "status",
        "Dir::Cache": place / "cache", "APT::Architecture": architecture,
        "APT::Architectures": architecture, "APT::Sandbox::User": "root",
        "Acquire::Languages": "none", "Acquire::Check-Valid-Until": "false",
    }  # fmt: skip
    options = [f"-o{name}={value}" for name, value in settings.items()]
    _run(["apt-get", *options, "-qq", "update"], place)
    return options


def _download(suite: str, architecture: str, place: Path) -> list[Path]:
    """Get the packages of the newest kernel of a suite: one, or (since 7.0) one for each part."""
    options = _apt(suite, architecture, place)

    def needs(package: str) -> list[str]:
        return _PART.findall(_run(["apt-cache", *options, "depends", package], place))

    kernel = needs(f"linux-image-{architecture}")
    if not kernel:
        raise NoKernelError(f"{suite}: linux-image-{architecture} depends on no kernel")
    _run(["apt-get", *options, "-qq", "download", *kernel, *needs(kernel[0])], place)
    return sorted(place.glob("*.deb"))


def _run(command: list[str | Path], where: Path) -> str:
    try:
        return subprocess.run(
            command, cwd=where, capture_output=True, text=True, check=True, timeout=600
        ).stdout
    except FileNotFoundError as error:
        raise NoKernelError(f"{command[0]}: there is no such program here") from error
    except subprocess.TimeoutExpired as error:
        raise NoKernelError(
            f"{command[0]}: took longer than {error.timeout:.0f} seconds"
        ) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        raise NoKernelError(f"{command[0]}: {lines[-1]}") from error
