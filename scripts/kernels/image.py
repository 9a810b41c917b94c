"""The initial RAM file system of a guest: this Python, what it imports, this tree, modules.

Everything lies where it lies on this machine, so nothing is copied: cpio(1) packs it from there.
Archives may follow one another (Documentation/driver-api/early-userspace/buffer-format.rst): that
of the modules, which differs from kernel to kernel, comes last.
"""

from __future__ import annotations

import lzma
import os
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).parents[2]
OURS: Final = ("analyzer", "fixtures", "tests", "scripts")
# What no program in the guest imports: a third of the size.
_LEFT_OUT: Final = {
    "test",
    "idlelib",
    "tkinter",
    "ensurepip",
    "lib2to3",
    "turtledemo",
    "site-packages",
}
_OURS_LEFT_OUT: Final = {"data", "golden", "hostile", "notebooks", "browser", "assets"}
_NOT_NEEDED: Final = {"share", "var", "test", "idlelib"}
_DEBIANS: Final = ("/usr/bin/python3", ["/usr/lib/python3/dist-packages"])
# What the fixtures ask of a kernel that Debian builds as modules.
_WANTED: Final = (
    "overlay", "loop", "crc32c_generic", "ext4", "tun", "autofs4", "binfmt_misc", "fuse",
    "qemu_fw_cfg",
)  # fmt: skip
_DEPENDS: Final = re.compile(rb"\0depends=([^\0]*)")


def base(path: Path, userland: Path | None = None) -> None:
    """Write the part that all kernels share; what is not ours is this machine's, or a `userland`'s.

    A userland is a folder with a Python of Debian's and numpy, for another architecture.
    """
    init = path.parent / "init"
    python, packages = (_python(), _packages()) if userland is None else _DEBIANS
    places = [str(ROOT), *packages]
    init.write_text(f"#!{python} -S\nimport sys\nsys.path[:0] = {places!r}\n{_MAIN}")
    init.chmod(0o755)
    with path.open("wb") as file:
        if userland is not None:
            names = [str(one.relative_to(userland)) for one in sorted(_below(userland))]
            _pack(names, userland, file.fileno(), follow=False)
        files = [*_ours(), *(_programs() if userland is None else ())]
        _pack(_with_parents(files), Path("/"), file.fileno())
        _pack(["init"], path.parent, file.fileno())


def _below(userland: Path) -> Iterator[Path]:
    for path in userland.rglob("*"):
        if not _NOT_NEEDED & set(path.relative_to(userland).parts):
            yield path


_MAIN: Final = "from scripts.kernels.guest import main\nmain()\n"


def _python() -> str:
    return os.path.realpath(sys.executable)


def _packages() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


def _ours() -> Iterator[str]:
    for name in OURS:
        yield from _tree(ROOT / name, _OURS_LEFT_OUT)


def _programs() -> Iterator[str]:
    """Yield what our tree needs, by its paths on this machine."""
    libraries = list(_tree(Path(sysconfig.get_paths()["stdlib"]), _LEFT_OUT))
    packages = [str(file) for name in ("numpy",) for file in _package(name)]
    binaries = [file for file in (*libraries, *packages) if file.endswith(".so")]
    programs = [_python(), "/bin/sh"]
    yield from (*libraries, *packages, *programs, *_linked([*programs, *binaries]))


def _tree(folder: Path, left_out: set[str]) -> Iterator[str]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - left_out)
        yield from (os.path.join(at, file) for file in sorted(files))


def _package(name: str) -> Iterator[Path]:
    for file in metadata.files(name) or ():
        where = Path(str(file.locate()))
        if "tests" not in file.parts and where.is_file():
            yield where.resolve()


def _linked(programs: Iterable[str]) -> set[str]:
    """Return the libraries, and the dynamic loader, that programs are linked with."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(/\S+) \(0x", said))


def _with_parents(files: Iterable[str]) -> list[str]:
    """Return the files, and before each the folders that it is in, relative to the root."""
    found: dict[str, None] = {}
    for file in files:
        for path in (*reversed(Path(file).parents), Path(file)):
            if path != Path("/"):
                found[str(path.relative_to("/"))] = None
    return list(found)


def _pack(names: Iterable[str], where: Path, into: int, *, follow: bool = True) -> None:
    links = ["-L"] if follow else []
    subprocess.run(
        ["cpio", "--quiet", "-0", "-o", "-H", "newc", *links, "-D", where],
        input="\0".join(names).encode(), stdout=into, check=True,
    )  # fmt: skip


def modules(folder: Path, path: Path) -> None:
    """Write the part of one kernel: modules of the unpacked package `folder`, in their order."""
    files = folder.glob("**/lib/modules/**/*.ko*")
    there = {file.name.partition(".")[0].replace("-", "_"): file for file in files}
    order: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in there and name not in order:
            data = _unpacked(there[name])
            for other in _needed(data):
                add(other)
            order[name] = data

    for name in _WANTED:
        add(name)
    place = path.parent / "modules"
    place.mkdir(exist_ok=True)
    for number, (name, data) in enumerate(order.items()):
        (place / f"{number:02}-{name}.ko").write_bytes(data)
    names = ["modules", *(f"modules/{file.name}" for file in sorted(place.iterdir()))]
    with path.open("wb") as out:
        _pack(names, path.parent, out.fileno())


def _unpacked(file: Path) -> bytes:
    return lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()


def _needed(module: bytes) -> list[str]:
    found = _DEPENDS.search(module)
    return (
        [name for name in found[1].decode().replace("-", "_").split(",") if name] if found else []
    )
