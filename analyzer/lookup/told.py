"""Which of the things that were found are told: each once, and nothing that only we have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.core.model import TASK
from analyzer.kinds._overlay import SHOWN
from analyzer.lookup.value import BESIDE, ends, everyone

if TYPE_CHECKING:
    from collections.abc import Collection

    from analyzer.lookup.value import Held


def told(held: list[Held]) -> list[Held]:
    """Return what is told of what was found, in its order."""
    return _but_told(_once([one for one in held if not _own_alone(one) and not _is_gone(one)]))


def _once(held: list[Held]) -> list[Held]:
    """Return what is held without what is beside it and is told with its holders elsewhere."""
    told = {node.objref for one in held if one.part == BESIDE for node in everyone(one.by)}
    return [one for one in held if one.part != BESIDE or one.objref not in told]


def _but_told(held: list[Held]) -> list[Held]:
    """Leave out what is told elsewhere: files of layers, mounts of what is mounted.

    So mounts that are going away, where there is anything else.
    """
    objects = {one.objref for one in held}
    above = {node.objref for one in held for node in everyone(one.by) if one.kind != "MOUNT"}
    return [
        one
        for one in held
        if not (_is_shown(one, objects) or (one.kind == "MOUNT" and one.objref in above))
        and (one.by or one.kind != "MOUNT" or len(held) == 1)
    ]


def _is_shown(one: Held, told: Collection[int]) -> bool:
    by_overlay = (node.association in SHOWN and node.objref in told for node in one.by)
    return bool(one.by) and all(by_overlay)


def _own_alone(held: Held) -> bool:
    """Tell whether nobody but cranalyze holds an object."""
    found = [*ends(held.by)]
    return bool(found) and all(node.observer for node in found)


def _is_gone(held: Held) -> bool:
    """Tell whether an open file was closed before it was named: it may have been any.

    A table of descriptors that nobody uses any more may have it still: its process has ended.
    """
    used = any(node.kind == TASK for node in ends(held.by))
    return held.kind == "FILE" and held.name is None and not used
