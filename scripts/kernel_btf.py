# ruff: noqa: INP001, T201 - a script: no package, and its output is what it wrote
"""Ask the BTF of kernels that are not running here for what cranalyze reads, and keep the answers.

    apt-get download linux-image-6.1.0-50-amd64      # in a scratch folder; or :arm64
    python -m scripts.kernel_btf --record --running linux-image-*.deb     # as root, for --record

Each package becomes one small table of offsets, `linux-6.1-amd64.json`, that
tests/unit/test_old_kernels.py holds the kinds against; run this again when the tests say that a
question is not in the tables. `--record` first runs every fixture, and records the questions that
the program asks and that are not plain in its source. `--keep FOLDER` keeps the BTF that was found;
the folders that it makes there can be named in the place of the packages next time, and so can one
that packages were unpacked into (since Linux 7 Debian has one for the kernel, one for modules).

A Debian package has the kernel as boot/vmlinuz: on x86-64 a bzImage, whose header says where the
compressed vmlinux is (Documentation/arch/x86/boot.rst, payload_offset), on arm64 the plain image.
BTF is found in either by its header; the modules' BTF likewise, and continues that of vmlinux.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import lzma
import os
import re
import struct
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from analyzer.memory.btf import MAGIC, BtfError
from analyzer.memory.fields import VMLINUX, Layout
from analyzer.memory.modules import MODULES, Types, loaded
from tests import questions
from tests.recording import every_scene, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from analyzer.memory.fields import Answer

_HEADER: Final = struct.Struct("<HBBIIIII")
_START: Final = _HEADER.pack(MAGIC, 1, 0, _HEADER.size, 0, 0, 0, 0)[:12]
_SETUP_SECTS, _HDRS, _PAYLOAD = 0x1F1, 0x202, 0x248  # the last: payload_offset, payload_length
_SECTOR: Final = 512
_MODULE: Final = re.compile(r"/modules/[^/]+/kernel/.*/([^/]+)\.ko(?:\.xz)?$")
_KERNEL: Final = re.compile(r"(?:boot/vmlinuz-([^/]+)|lib/modules/([^/]+)/vmlinuz)$")


@dataclass
class Kernel:
    """The BTF of one kernel and of those of its modules that matter."""

    release: str
    machine: str
    vmlinux: bytes
    modules: dict[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of its table."""
        return f"linux-{'.'.join(self.release.split('.')[:2])}-{self.machine}"


def from_files(files: Iterable[tuple[str, Callable[[], bytes]]], machine: str) -> Kernel:
    """Find the kernel and the modules among files: names, and what reads each."""
    found: dict[str, bytes] = {}
    release = ""
    for name, read in files:
        if kernel := _KERNEL.search(name):
            release, found["vmlinux"] = kernel[1] or kernel[2], find_btf(_unpacked(read()))
        elif (module := _MODULE.search(name)) and module[1] in MODULES.values():
            with contextlib.suppress(BtfError):  # modules have none before 5.11
                found[module[1]] = find_btf(_decompressed(read()))
    if not release:
        raise BtfError("no vmlinuz in it")
    return Kernel(release, machine, found.pop("vmlinux"), found)


def from_package(package: Path) -> Kernel:
    """Read the kernel and the modules out of a Debian package."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    tar = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - the developer's own
    with tar, tarfile.open(fileobj=tar.stdout, mode="r|") as members:
        return from_files(_members(members), package.stem.rpartition("_")[2])


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for member in tar:
        content = tar.extractfile(member) if member.isfile() else None
        if content is not None:
            yield member.name, content.read


def from_unpacked(folder: Path) -> Kernel:
    """Read the kernel and the modules out of packages that were unpacked into one folder.

    Its name tells the machine: `newest-amd64`, as scripts/kernels leaves it.
    """
    files = ((str(path), path.read_bytes) for path in folder.rglob("*") if path.is_file())
    return from_files(files, folder.name.rpartition("-")[2])


def running() -> Kernel:
    """Take the BTF of the running kernel."""
    vmlinux, system = Path(VMLINUX), os.uname()
    release = re.match(r"[\d.]+", system.release)
    return Kernel(
        release[0] if release else system.release,
        {"x86_64": "amd64", "aarch64": "arm64"}[system.machine],
        vmlinux.read_bytes(),
        {name: (vmlinux.parent / name).read_bytes() for name in loaded(str(vmlinux.parent))},
    )


def find_btf(image: bytes) -> bytes:
    """Return the BTF in an image or module: what starts with a sound header."""
    for at in _occurrences(image, _START):
        _, _, _, header, _, types, strings_at, strings = _HEADER.unpack_from(image, at)
        end = at + header + strings_at + strings
        if strings_at == types and end <= len(image):
            return image[at:end]
    raise BtfError("no BTF in it (built without CONFIG_DEBUG_INFO_BTF?)")


def _occurrences(data: bytes, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


def _unpacked(image: bytes) -> bytes:
    """Return the vmlinux in a bzImage; the image of another architecture as it is, or unzipped."""
    if image[_HDRS : _HDRS + 4] != b"HdrS":
        return _decompressed(image)
    setup = (image[_SETUP_SECTS] or 4) + 1
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = setup * _SECTOR + offset
    return _decompressed(image[start : start + length - 4])  # the last word is the size unpacked


def _decompressed(data: bytes) -> bytes:
    for magic, unpack in _FORMATS.items():
        if data.startswith(magic):
            return unpack(data)
    return data


def _zstd(data: bytes) -> bytes:
    return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())


_FORMATS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"\xfd7zXZ\0": lzma.decompress,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x1f\x8b\x08": gzip.decompress,
}


def table(kernel: Kernel) -> str:
    """Return the answers of a kernel to every question, as JSON with one answer a line."""
    answers: dict[str, Answer] = {}
    layout = Layout(lambda: Types(kernel.vmlinux, kernel.modules.get))
    for key in questions.every_key():
        answers[key] = _answer(layout, key)
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(answers[key])}" for key in answers)
    about = {"kernel": kernel.release, "machine": kernel.machine, "modules": sorted(kernel.modules)}
    return f'{json.dumps(about)[:-1]},\n"answers": {{\n{lines}\n}}}}\n'


def _answer(layout: Layout, key: str) -> Answer:
    what, _, name = key.partition(":")
    if what == "sizeof":
        return layout.sizeof(name)
    if what == "enum":
        return layout.enumerator(*name.split(":"))
    found = layout.field(what, name)
    return None if found is None else [*map(int, found)]


def kept(folder: Path) -> Kernel:
    """Read what `keep` wrote."""
    *_, release, machine = folder.name.split("_")
    files = {path.stem: path.read_bytes() for path in folder.glob("*.btf")}
    return Kernel(release, machine, files.pop("vmlinux"), files)


def keep(kernel: Kernel, folder: Path) -> None:
    """Write the BTF of a kernel to a folder of its own in `folder`."""
    place = folder / f"btf_{kernel.release}_{kernel.machine}"
    place.mkdir(parents=True, exist_ok=True)
    for name, data in {"vmlinux": kernel.vmlinux, **kernel.modules}.items():
        (place / f"{name}.btf").write_bytes(data)


def _read(source: Path) -> Kernel:
    if not source.is_dir():
        return from_package(source)
    return kept(source) if list(source.glob("*.btf")) else from_unpacked(source)


def main() -> None:
    """Write the tables of the packages (or folders that --keep made) named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="*", help="a .deb, or a folder: see above")
    parser.add_argument("--running", action="store_true", help="the running kernel, too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the BTF in it")
    parser.add_argument("--output", type=Path, default=Path("tests/data/btf"), metavar="FOLDER")
    parser.add_argument("--record", action="store_true", help="record what is asked, as root")
    options = parser.parse_args()
    if options.record:
        questions.save_recorded(recorded(every_scene()))
    kernels = [_read(path) for path in options.source]
    for kernel in [*kernels, *([running()] if options.running else [])]:
        if options.keep:
            keep(kernel, options.keep)
        place = options.output / f"{kernel.name}.json"
        place.write_text(table(kernel))
        print(f"{place}: {kernel.release}, modules: {' '.join(sorted(kernel.modules)) or 'none'}")


if __name__ == "__main__":
    main()
