"""The registry of kinds: every module of this package that has a `KIND`, found by a package walk.

To add a kind, drop one file in here (see CONTRIBUTING.md); nothing else is edited.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from analyzer.core.registry import Registry, members
from analyzer.kinds.base import Association, FileType, Kind, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.core.model import Fact


@cache
def registry() -> Registry[Kind]:
    """Return the kinds by name, in the order in which they are collected."""
    found = members(__name__, __path__, "KIND", Kind)
    return Registry({kind.name: kind for kind in sorted(found, key=lambda kind: kind.order)})


@cache
def associations() -> Registry[Association]:
    """Return every association of every kind by name."""
    own = {a.name: a for kind in registry().values() for a in kind.associations}
    held = {a.name: a for file_type in file_types() for a in file_type.associations}
    return Registry({**own, **held})


@cache
def file_types() -> tuple[FileType, ...]:
    """Return every type of open file that holds an object, of every kind."""
    return tuple(file_type for kind in registry().values() for file_type in kind.file_types)


@cache
def facts() -> Registry[Fact]:
    """Return every fact that a kind, or a type of open file, can tell, by name."""
    states = [kind.state for kind in registry().values()]
    states += [file_type.state for file_type in file_types()]
    told = (fact for state in states if state is not None for fact in state.facts)
    return Registry({fact.name: fact for fact in told})


def namespace_set() -> str:
    """Return the kind that is a set of namespaces."""
    return next(kind.name for kind in registry().values() if kind.set_of_namespaces)


def slotted(slot: Slot) -> tuple[str, ...]:
    """Return the associations whose slots are such."""
    return tuple(one.name for one in associations().values() if one.slot is slot)


def title_of(kind: str, objref: int | None) -> str:
    """Return "open file no. 7": what an object without a name is called."""
    return f"{registry()[kind].title} no. {objref}"


def namespace_kinds() -> Mapping[str, Kind]:
    """Return the namespace kinds by their name in /proc/PID/ns ("uts", "net", ...)."""
    return {kind.namespace: kind for kind in registry().values() if kind.namespace}
