"""BPF maps, programs and links, by bpf(2): which there are, what uses which, where each is pinned.

Each is looked at through a descriptor of our own for a moment (BPF_*_GET_FD_BY_ID, bpf(2)); that
needs CAP_SYS_ADMIN, without which nothing is known. For structures see include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.core import syscall
from analyzer.core.errors import NotPermittedError
from analyzer.core.values import dataclass, field
from analyzer.procfs import mountinfo
from analyzer.procfs.glance import kept
from analyzer.procfs.places import Place, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS: Final = {"map": "map", "prog": "program", "link": "link"}
UNSEEN: Final = {
    "map": "a map may also be held inside another map: bpftool map dump shows it",
    "prog": "a program may also be attached without a link (tc, xdp, cgroup): bpftool net, "
    "bpftool cgroup tree",
    "link": "",
}

_OBJ_GET, _INFO, _ATTR = 7, 15, 128
_NEXT: Final = {"prog": 11, "map": 12, "link": 31}  # BPF_*_GET_NEXT_ID
_OPEN: Final = {"prog": 13, "map": 14, "link": 30}  # BPF_*_GET_FD_BY_ID
_QUERY: Final = 16  # BPF_PROG_QUERY
# Those of enum bpf_attach_type that are of cgroups: what others take for a group is no group.
_CGROUP_TYPES: Final = (0, 1, 2, 3, 6, *range(8, 16), *range(18, 23), *range(29, 33), 34, 43,
                        *range(49, 54))  # fmt: skip
_MOST_PROGRAMS: Final = 64
_MOST: Final = 10_000
_MOST_MAPS: Final = 256
_INFO_SIZE: Final = 256
_LINK_CGROUP, _LINK_NETNS, _LINK_XDP = 3, 5, 6  # enum bpf_link_type
_FDINFO: Final = {b"map_id:": "map", b"prog_id:": "prog", b"link_id:": "link"}


@dataclass(frozen=True)
class Objects:
    """What there is: names of maps and programs by id, what uses them, and the pins of each."""

    names: dict[tuple[str, int], str] = field(default_factory=dict)
    maps_of: dict[int, tuple[int, ...]] = field(default_factory=dict)
    links: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By link: its program, and what it is attached to."""
    pins: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)

    def has(self, kind: str, number: int) -> bool:
        """Tell whether there is such an object."""
        return (kind, number) in self.names

    def name(self, kind: str, number: int) -> str:
        """Return its name, "" for none."""
        return self.names.get((kind, number), "")


def keepers(known: Objects, kind: str, number: int) -> Iterator[Place]:
    """Yield what keeps an object, beside descriptors: pins, programs, links, and theirs in turn."""
    for path in known.pins.get((kind, number), ()):
        yield Place(f"pinned at {path}", 0, "bpffs", f"rm {quoted(path)}")
    if kind == "map":
        for program, maps in known.maps_of.items():
            if number in maps:
                what = _said(known, "prog", program)
                yield Place(f"used by {what}", 0, "kernel")
                yield from _through(known, "prog", program, what)
    elif kind == "prog":
        for link, (program, target) in known.links.items():
            if program == number:
                what = f"link {link}"
                yield Place(f"run by {what}{target}", 0, "kernel")
                yield from _through(known, "link", link, what)
    elif kind == "link":
        program, target = known.links.get(number, (0, ""))
        if target:
            yield Place(f"runs {_said(known, 'prog', program)}{target}", 0, "kernel")


def _through(known: Objects, kind: str, number: int, what: str) -> Iterator[Place]:
    for place in keepers(known, kind, number):
        yield Place(f"{what}: {place.what}", place.pid, place.comm, place.release)


def _said(known: Objects, kind: str, number: int) -> str:
    called = known.name(kind, number)
    return f"{WORDS[kind]} {number}{f' ({called})' if called else ''}"


@cache
def all_objects() -> Objects:
    """Ask for all objects; what may not be asked for is not there."""
    known = Objects()
    for kind in _NEXT:
        for number in _numbers(kind):
            _learn(known, kind, number)
    for folder in _filesystems():
        for above, _, names in os.walk(folder):
            for name in names:
                path = f"{above}/{name}"
                pinned = _identified(path)
                if pinned is not None:
                    known.pins[pinned] = (*known.pins.get(pinned, ()), path)
    return known


def attached(folder: str) -> tuple[str, ...] | None:
    """Return the BPF programs that are attached to a group of cgroup2, None where we may not ask.

    They go with the group, and do not keep it.
    """
    known, found = all_objects(), []
    ids = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for kind in _CGROUP_TYPES:
            asked = struct.pack("=IIIIQI", fd, kind, 0, 0, ctypes.addressof(ids), _MOST_PROGRAMS)
            try:
                _, said = _call(_QUERY, asked)
            except NotPermittedError:
                return None
            except OSError as error:
                if error.errno in {errno.EPERM, errno.EACCES}:
                    return None
                continue  # of a type that this kernel does not have
            found += ids[: min(struct.unpack_from("=I", said, 24)[0], _MOST_PROGRAMS)]
    finally:
        os.close(fd)
    return tuple(_said(known, "prog", program) for program in dict.fromkeys(found))


def pin(path: str, dev: int) -> tuple[str, int] | None:
    """Return which object is pinned at a path on device `dev`, None for none."""
    try:
        mounts = kept("own mounts", _mounts)
    except OSError:
        return None
    on = any(mount.dev == dev and mount.fstype == "bpf" for mount in mounts)
    return _identified(path) if on else None


def _mounts() -> list[mountinfo.Mount]:
    where = "/proc/self/mountinfo"
    with open(where, "rb") as file:
        return mountinfo.parse(file.read(), where)


def _filesystems() -> list[str]:
    try:
        found = {mount.dev: mount.point for mount in _mounts() if mount.fstype == "bpf"}
    except OSError:
        return []
    return list(found.values())


def _call(command: int, data: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(data.ljust(_ATTR, b"\0"), _ATTR)
    got = syscall.call("bpf", command, ctypes.c_void_p(ctypes.addressof(buffer)), _ATTR)
    return got, buffer.raw


def _numbers(kind: str) -> Iterator[int]:
    number = 0
    for _ in range(_MOST):
        try:
            _, said = _call(_NEXT[kind], struct.pack("=I", number))
        except (OSError, NotPermittedError):
            return
        number = struct.unpack_from("=I", said, 4)[0]
        yield number


def _learn(known: Objects, kind: str, number: int) -> None:
    try:
        fd, _ = _call(_OPEN[kind], struct.pack("=I", number))
    except OSError as error:
        if error.errno != errno.ENOENT:
            known.names[kind, number] = ""
        return
    try:
        maps = (ctypes.c_uint32 * _MOST_MAPS)()
        data = bytearray(_INFO_SIZE)
        if kind == "prog":
            struct.pack_into("=IQ", data, 52, _MOST_MAPS, ctypes.addressof(maps))
        info = ctypes.create_string_buffer(bytes(data), _INFO_SIZE)
        _call(_INFO, struct.pack("=IIQ", fd, _INFO_SIZE, ctypes.addressof(info)))
    except OSError:
        known.names[kind, number] = ""
        return
    finally:
        os.close(fd)
    raw = info.raw
    if kind == "link":
        known.names[kind, number] = ""
        program = struct.unpack_from("=I", raw, 8)[0]
        known.links[number] = program, _target(raw)
        return
    at = 64 if kind == "prog" else 24
    known.names[kind, number] = os.fsdecode(raw[at : at + 16].split(b"\0")[0])
    if kind == "prog":
        count = struct.unpack_from("=I", raw, 52)[0]
        known.maps_of[number] = tuple(maps[: min(count, _MOST_MAPS)])


def _target(raw: bytes) -> str:
    kind = struct.unpack_from("=I", raw)[0]
    if kind == _LINK_CGROUP:
        number = struct.unpack_from("=Q", raw, 16)[0]
        return f", attached to cgroup {_cgroup(number) or number}"
    if kind == _LINK_NETNS:
        return f", attached to net:[{struct.unpack_from('=I', raw, 16)[0]}]"
    if kind == _LINK_XDP:
        return f", attached to interface no. {struct.unpack_from('=I', raw, 16)[0]}"
    return ""


def _cgroup(number: int) -> str:
    """Return the folder of a cgroup by its id, which is its inode number."""
    for mount in (one for one in _mounts() if one.fstype == "cgroup2"):
        for folder, _, _ in os.walk(mount.point):
            try:
                if os.lstat(folder).st_ino == number:
                    return folder
            except OSError:
                continue
    return ""


def _identified(path: str) -> tuple[str, int] | None:
    where = ctypes.create_string_buffer(os.fsencode(path))
    try:
        fd, _ = _call(_OBJ_GET, struct.pack("=QII", ctypes.addressof(where), 0, 0))
    except (OSError, NotPermittedError):
        return None
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            words = [line.split() for line in file]
    except OSError:
        return None
    finally:
        os.close(fd)
    # A link has the id of its program, too: of that, the first line.
    known = [(_FDINFO[w[0]], int(w[1])) for w in words if len(w) > 1 and w[0] in _FDINFO]
    return next((one for one in known if one[0] == "link"), known[0] if known else None)
