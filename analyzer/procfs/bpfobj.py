"""BPF maps, programs and links, by bpf(2): which there are, what uses which, where each is pinned.

Each is looked at through a descriptor of our own for a moment (BPF_*_GET_FD_BY_ID, bpf(2)); that
needs CAP_SYS_ADMIN, without which nothing is known. For structures see include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that would import a good deal more
import ctypes
import errno
import os
import struct
from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import NotPermittedError
from analyzer.core.values import dataclass, field
from analyzer.procfs import mountinfo
from analyzer.procfs.bpfattach import call, everywhere
from analyzer.procfs.glance import kept
from analyzer.procfs.places import Place, quoted
from analyzer.procfs.rtnetlink import links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.rtnetlink import Link

WORDS: Final = {"map": "map", "prog": "program", "link": "link"}
UNSEEN: Final = {
    "map": "a map may also be held inside another map: bpftool map dump shows it",
    "prog": "a program may also be attached without a link (tc): bpftool net",
    "link": "",
}

_OBJ_GET, _INFO = 7, 15
_NEXT: Final = {"prog": 11, "map": 12, "link": 31}  # BPF_*_GET_NEXT_ID
_OPEN: Final = {"prog": 13, "map": 14, "link": 30}  # BPF_*_GET_FD_BY_ID
_MOST: Final = 10_000
_MOST_MAPS: Final = 256
_INFO_SIZE: Final = 256
_LINK_CGROUP, _LINK_NETNS = 3, 5  # enum bpf_link_type
_OF_INTERFACES: Final = frozenset({6, 11, 13})  # XDP, tcx, netkit
_OTHER_LINKS: Final = {1: "a raw tracepoint", 2: "a function (tracing)", 4: "an iterator",
                       7: "a perf event", 8: "functions (kprobes)", 9: "a structure of operations",
                       10: "netfilter", 12: "functions (uprobes)", 14: "a map"}  # fmt: skip
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
    if kind == "link":
        program, target = known.links.get(number, (0, ""))
        if target:
            yield Place(f"runs {said(known, 'prog', program)}{target}", 0, "kernel")
    if kind == "prog":
        for one in everywhere().get(number, ()):
            how = f"{quoted(one.folder)} {one.how} id {number}"
            yield Place(
                f"attached to cgroup {one.folder} ({one.how})",
                0,
                "kernel",
                f"bpftool cgroup detach {how}",
            )
        for link in (one for one in links() if number in _by_xdp_alone(known, one)):
            yield _xdp(f"attached to interface {link.name} (XDP)", link)
    for above in users(known, kind, number):
        what = said(known, *above)
        target = known.links[above[1]][1] if above[0] == "link" else ""
        yield Place(f"{'run' if above[0] == 'link' else 'used'} by {what}{target}", 0, "kernel")
        for place in keepers(known, *above):
            if not place.what.startswith("runs "):  # which is how it was met
                yield Place(f"{what}: {place.what}", place.pid, place.comm, place.release)


def links_on(known: Objects, name: str) -> list[int]:
    """Return the links by which programs run on an interface of ours."""
    there = f", attached to interface {name}"
    return [link for link, (_, target) in known.links.items() if target == there]


def on_interface(known: Objects, name: str) -> Iterator[Place]:
    """Yield the programs that run on an interface of ours: by links, or by XDP without one."""
    for number in links_on(known, name):
        what = f"runs BPF {said(known, 'prog', known.links[number][0])} by link {number}"
        yield Place(what, 0, "kernel", f"bpftool link detach id {number}")
    for link in (one for one in links() if one.name == name):
        for program in _by_xdp_alone(known, link):
            yield _xdp(f"runs BPF {said(known, 'prog', program)} (XDP)", link)


def _by_xdp_alone(known: Objects, link: Link) -> list[int]:
    """Return the programs that an interface runs by XDP, but for what links attach."""
    linked = {known.links[one][0] for one in links_on(known, link.name)}
    return [program for program in link.programs if program not in linked]


def _xdp(what: str, link: Link) -> Place:
    return Place(what, 0, "kernel", f"ip link set {quoted(link.name)} xdp off")


def users(known: Objects, kind: str, number: int) -> tuple[tuple[str, int], ...]:
    """Return what uses an object: the programs of a map, the links of a program."""
    if kind == "map":
        return tuple(("prog", one) for one, maps in known.maps_of.items() if number in maps)
    if kind == "prog":
        return tuple(("link", one) for one, (own, _) in known.links.items() if own == number)
    return ()


def said(known: Objects, kind: str, number: int) -> str:
    """Return what an object is called: "program 12 (name)"."""
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


def _numbers(kind: str) -> Iterator[int]:
    number = 0
    for _ in range(_MOST):
        try:
            _, said = call(_NEXT[kind], struct.pack("=I", number))
        except (OSError, NotPermittedError):
            return
        number = struct.unpack_from("=I", said, 4)[0]
        yield number


def _learn(known: Objects, kind: str, number: int) -> None:
    try:
        fd, _ = call(_OPEN[kind], struct.pack("=I", number))
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
        call(_INFO, struct.pack("=IIQ", fd, _INFO_SIZE, ctypes.addressof(info)))
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
    if kind in _OF_INTERFACES:
        return f", attached to interface {_interface(struct.unpack_from('=I', raw, 16)[0])}"
    return f", attached to {_OTHER_LINKS[kind]}" if kind in _OTHER_LINKS else ""


def _interface(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:  # it is in another network namespace, or gone
        return f"no. {number}"


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
        fd, _ = call(_OBJ_GET, struct.pack("=QII", ctypes.addressof(where), 0, 0))
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
