"""dev:MAJ:MIN, loop0: a block device: who has it open, what is on it, above and below it."""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.lookup.words.base import (
    OF_FILES,
    At,
    Form,
    Meaning,
    Places,
    Word,
    alike,
    called,
    joined,
    stated,
)
from analyzer.memory.distinct import unique
from analyzer.procfs import blockdev
from analyzer.procfs.glance import look
from analyzer.procfs.places import directories, mounts_upon
from analyzer.relations import leading_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = pattern(r"(?:dev:)?([0-9]{1,7}):([0-9]{1,7})")
_NAMED: Final = pattern(r"[\w!.-]+")
_TYPE: Final = 0o170000

_UNRECORDED: Final = "swap, and devices that are made of it: a snapshot has none of that"


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match and (asked.startswith("dev:") or blockdev.exists(f"{match[1]}:{match[2]}")):
        yield of_device(os.makedev(int(match[1]), int(match[2])))
    elif asked.startswith("dev:") and not match:
        raise BadInputError(f"{asked}: say dev:MAJ:MIN, as in lsblk")
    elif _NAMED.fullmatch(asked) and not os.path.lexists(asked):
        dev = blockdev.numbered(asked)
        if dev is not None:
            yield of_device(dev)


def _recorded(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match:
        number = f"{match[1]}:{match[2]}"
        yield Meaning(
            f"block device {number}",
            stated("device", lambda said: said == number),
            unseen=_UNRECORDED,
        )
    elif _NAMED.fullmatch(asked) and not asked.isdecimal():
        yield Meaning(f"block device {asked}", on_device(asked), unseen=_UNRECORDED)


def on_device(name: str) -> Callable[[Snapshot], Rows]:
    """Return what chooses who has a block device open, and the filesystem on it, by its name."""
    return joined(stated("on", lambda said: said == name), called((f"/dev/{name}",)))


def of_device(dev: int) -> Meaning:
    """Return what a block device stands for."""
    name = blockdev.name(dev)
    choices: list[Callable[[Snapshot], Rows]] = [partial(_filesystems, blockdev.above(dev))]
    (node,) = look([f"/dev/{name}"])
    if name and not isinstance(node, int) and node.rdev == dev and node.ino:
        choices.append(alike(("FILE",), dev=node.dev, ino=node.ino))
    return Meaning(
        f"block device {blockdev.said(dev)}{f' ({name})' if name else ''}",
        joined(*choices),
        partial(_places, dev),
        there=blockdev.exists(blockdev.said(dev)),
        state=("on",),
        notes=partial(blockdev.below, dev),
        ties=(*OF_FILES, *leading_to("SUPERBLOCK")),
    )


def _filesystems(devs: Iterable[int], snapshot: Snapshot) -> Rows:
    """Return the filesystems on devices, and what is open in them: that keeps them mounted."""
    names = {blockdev.name(dev) for dev in devs}
    choices = [alike(("SUPERBLOCK",), dev=dev) for dev in devs]
    # That of btrfs is on a device of another number.
    superblocks = joined(*choices, stated("on", names.__contains__))(snapshot)
    objects = snapshot.tables["objects"]
    known = superblocks[objects.known("dev")[superblocks]]
    numbers = unique(objects["dev"][known]).tolist()
    files = [alike(("FILE",), dev=number)(snapshot) for number in numbers]
    return unique(superblocks, *files).astype(np.intp)


def _places(dev: int) -> Places:
    """Return who uses a device, and whose directories are in the filesystems on it."""
    devices = list(blockdev.above(dev))
    told = [directories(one, None) for one in devices]
    found = [place for places, _ in told for place in places]
    found += [place for one in devices for place in mounts_upon(one)]
    return (*found, *blockdev.users(dev)), tuple(pid for _, silent in told for pid in silent)


def _of_path(at: At) -> Iterator[Meaning]:
    if at.found.mode & _TYPE == stat.S_IFBLK:
        yield of_device(at.found.rdev)
    elif at.found.mode & _TYPE == stat.S_IFREG and at.found.ino:
        for dev in blockdev.backed_by(at.found):
            yield of_device(dev)


WORD: Final = Word(
    "device",
    "Block devices",
    (
        Form("dev:MAJ:MIN", "a block device by its numbers; its openers, filesystem, swap, users"),
        Form("DEVICE", "the same by its name, as lsblk shows it: sda1, loop0, dm-0"),
    ),
    _parse,
    _of_path,
    _recorded,
)
