"""Profiles: what each runtime does by design. Every module here with a `PROFILE` is one.

To add a runtime, drop one file in here; nothing else is edited.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import no_such
from analyzer.core.registry import Registry, members
from analyzer.procfs.homes import home
from analyzer.report.profiles.base import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.report.items import People
    from analyzer.report.value import Subject

NONE: Final = Profile("none", "no runtime", ())
RECOGNISED: Final = "auto"


@cache
def profiles() -> Mapping[str, Profile]:
    """Return the profiles by name; that of nobody is "none"."""
    found = [NONE, *members(__name__, __path__, "PROFILE", Profile)]
    return Registry({profile.name: profile for profile in found})


def named(name: str) -> Profile:
    """Return a profile; BadInputError, with the nearest, for none."""
    if name not in profiles():
        raise no_such("no profile", name, [RECOGNISED, *profiles()])
    return profiles()[name]


def recognised(subject: Subject, people: People) -> Profile:
    """Return the profile of the runtime that a subject is of, that of nobody where none is known.

    By how it was named, its cgroup, or what its parent is called; a process that is not the first
    of its pid namespace is of none, unless it was asked for as a unit.
    """
    if subject.container_init is not True and subject.runtime != "systemd":
        return NONE
    told = subject.runtime or home(people.cgroup(subject.pid)).runtime
    parent = next(iter(people.ancestors), (0, ""))[1]
    for profile in profiles().values():
        if told in profile.runtimes and told:
            return profile
    for profile in profiles().values():
        if any(parent == one or (one.endswith("-") and parent.startswith(one))
               for one in profile.monitors):  # fmt: skip
            return profile
    return NONE


__all__ = ["NONE", "RECOGNISED", "Profile", "named", "profiles", "recognised"]
