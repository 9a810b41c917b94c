"""What CRIU does with the mounts of a mount namespace that it dumps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Impact
from analyzer.core.values import NamedTuple, dataclass
from analyzer.criu.base import Crosses, Hit, Outcome, Rule
from analyzer.criu.view import inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.criu.view import View

_SUPPORTED: Final = frozenset(
    {"proc", "sysfs", "devtmpfs", "binfmt_misc", "tmpfs", "devpts", "simfs", "pstore", "mqueue",
     "securityfs", "fusectl", "debugfs", "tracefs", "cgroup", "cgroup2", "aufs", "overlay",
     "autofs"}
)  # fmt: skip
"""Filesystems that CRIU mounts anew (filesystems.c); more with --enable-fs."""
_CGROUPS: Final = frozenset({"cgroup", "cgroup2"})


class _Mount(NamedTuple):
    """A mount: its row, where it is, what it shows of which filesystem, its groups and parent."""

    row: int
    space: int
    point: str
    shows: str
    filesystem: str
    device: str
    group: int
    master: int
    number: int
    parent: int


@dataclass(frozen=True)
class _Found:
    all: tuple[_Mount, ...]

    def top(self, one: _Mount) -> bool:
        """Tell whether it is the root that all others are below: that can be any."""
        return one.point == "/" and not any(m.number == one.parent for m in self.all)

    def has_root(self, one: _Mount) -> bool:
        """Tell whether the filesystem is mounted from its root on, or from above, somewhere."""
        return any(
            other.device == one.device
            and (other.shows == "/" or (self.top(other) and _within(one.shows, other.shows)))
            for other in self.all
            if other.row != one.row
        )

    def follows(self, one: _Mount) -> bool:
        """Tell whether it is a slave of a group that is not among them."""
        groups = {other.group for other in self.all}
        roots = {other.master for other in self.all if self.top(other)}
        return bool(one.master) and one.master not in groups | roots


def _within(path: str, root: str) -> bool:
    return root in {"/", path} or path.startswith(f"{root}/")


def _found(view: View) -> _Found:
    made = []
    for row, space in sorted(view.space_of_mount.items()):
        known = view.facts("MOUNT", row)
        made.append(
            _Mount(
                row,
                space,
                view.name(row),
                str(known.get("mounts", "/")),
                str(known.get("filesystem", "")),
                str(known.get("device", "")),
                int(known.get("peer_group", 0)),
                int(known.get("master_group", 0)),
                int(known.get("mount_id", -row)),
                int(known.get("parent_mount", 0)),
            )
        )
    return _Found(tuple(_visible(made)))


def _visible(mounts: list[_Mount]) -> list[_Mount]:
    """Return what is below the root: a container may have been moved upon the tree of the host.

    /proc/PID/mountinfo, which CRIU goes by, has no more of it. Of several on one another at the
    root it is the one on top.
    """
    under = {one.parent for one in mounts if one.point == "/"}
    tops = [one for one in mounts if one.point == "/" and one.number not in under]
    kept, new = {one.number for one in tops}, True
    while new:
        more = {one.number for one in mounts if one.parent in kept} - kept
        kept, new = kept | more, bool(more)
    return [one for one in mounts if one.number in kept] if tops else mounts


def _whole(view: View, one: _Mount) -> bool:
    """Tell whether it shows the whole of its filesystem, as CRIU sees it."""
    if one.filesystem == "nsfs":
        return False
    # CRIU takes the mounts of cgroups for whole ones if the subtree has a cgroup namespace.
    return one.shows == "/" or (one.filesystem in _CGROUPS and view.own("cgroup"))


def _rootless(view: View) -> Iterator[Hit]:
    found = view.once(_found)
    for one in found.all:
        if not found.top(one) and not _whole(view, one) and not found.has_root(one):
            yield Hit("MOUNT", one.row, f"{one.shows} of {one.filesystem}", _values(view, one))


def _followers(view: View) -> Iterator[Hit]:
    found = view.once(_found)
    rootless = {hit.row for hit in _rootless(view)}
    for one in found.all:
        if not found.top(one) and one.row not in rootless and found.follows(one):
            yield Hit("MOUNT", one.row, f"master:{one.master}", _values(view, one))


def _unknown(view: View) -> Iterator[Hit]:
    found = view.once(_found)
    for one in found.all:
        foreign = one.filesystem and one.filesystem not in _SUPPORTED
        if foreign and not found.top(one) and _whole(view, one):
            yield Hit("MOUNT", one.row, one.filesystem, _values(view, one))


def _outside(view: View) -> Iterator[Hit]:
    """Yield crossings with what of them is not refused already."""
    refused = {(hit.kind, hit.row) for hit in (*_rootless(view), *_followers(view))}
    for one in view.crossings:
        if one.relation == "bind-mount" and one.impact is not Impact.BY_DESIGN:
            left = [end for end in inside(one) if (end.kind, end.row) not in refused]
            yield from (Hit(end.kind, end.row, end.detail, crossing=one) for end in left[:1])


def _values(view: View, one: _Mount) -> dict[str, str]:
    key = re.sub(r"\W+", "_", one.point.strip("/")) or "root"
    source = "HOST_PATH"
    for crossing in view.crossings:
        if crossing.relation == "bind-mount":
            for end in crossing.ends:
                if end.kind == "MOUNT" and end.row == one.row and " of " in end.detail:
                    source = end.detail.rpartition(" of ")[0]
    return {
        "point": one.point,
        "key": key,
        "source": source,
        "device": one.device.replace(":", "/"),
        "filesystem": one.filesystem,
    }


RULES: Final = (
    Rule(
        "bind-mount", "a mount of a part of a filesystem that is mounted from its root on nowhere "
        "in the namespace", Outcome.REFUSES, _rootless, about="bind-mount",
        message="doesn't have a proper root mount", where="mount.c validate_mounts",
        option="--external mnt[{point}]:{key}", restore="--external mnt[{key}]:{source}",
        then="the restore mounts the path of its own host there", by_runtime=True,
    ),
    Rule(
        "slave-mount", "a mount that follows mounts outside (a slave)", Outcome.REFUSES,
        _followers, about="mount-propagation",
        message="has unreachable sharing. Try --enable-external-masters",
        where="mount.c resolve_shared_mounts",
        option="--external mnt[{point}]:{key}", restore="--external mnt[{key}]:{source}",
        then="the restore mounts the path of its own host there", by_runtime=True,
    ),
    Rule(
        "filesystem", "a mounted filesystem of a type that CRIU does not know", Outcome.REFUSES,
        _unknown,
        message="FS mnt unsupported", where="mount.c validate_mounts",
        option="--external mnt[{point}]:{key}", restore="--external mnt[{key}]:{source}",
        then="the restore mounts the path of its own host there (--enable-fs {filesystem}: it "
        "mounts one anew)", by_runtime=True,
    ),
    Rule(
        "mount-shared", "mounts that appear on the other side too", Outcome.SILENT,
        Crosses("mount-propagation"), about="mount-propagation",
        then="what is mounted on one side does not appear on the other",
    ),
    Rule(
        "mount-outside", "a mount of what is mounted outside too", Outcome.SILENT,
        _outside, about="bind-mount",
        then="a filesystem that looks like its own is restored as one: what was there is copied "
        "(tmpfs) or not there",
    ),
    Rule(
        "shared-filesystem", "a filesystem that is mounted outside too", Outcome.SILENT,
        Crosses("shared-filesystem"), about="shared-filesystem",
        then="a tmpfs is copied: each side has a filesystem of its own",
    ),
    Rule(
        "overlay-layer", "a layer of its root that is used elsewhere too", Outcome.SILENT,
        Crosses("overlay-layer"), about="overlay-layer",
        then="the restore needs the same layers", by_runtime=True,
    ),
)  # fmt: skip
