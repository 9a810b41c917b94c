"""What a kernel cannot give: fields that some kernels do not have, and what is lost without them.

A field that only moved has all its places where it is read, newest kernel first. Here are the ones
that have no other place on some kernel from 5.10 on; code that reads them asks for them first. The
table is data: `cranalyze doctor` prints what is missing on the running kernel, and the tests hold
it against the kernels that they know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from analyzer.memory.layout import Layout


@dataclass(frozen=True)
class Feature:
    """Something that is read where all of `fields` ("struct:path") exist.

    `effect` says what a kernel without one of them does not tell, `since` (a version, or an option
    of the kernel's configuration) which kernels have it.
    """

    name: str
    fields: tuple[str, ...]
    effect: str
    since: str


@dataclass(frozen=True)
class Missing:
    """A feature that this kernel lacks: what is lost, and what a kernel would need to have it."""

    name: str
    effect: str
    needs: str


FEATURES: Final = (
    Feature(
        "idle-tasks",
        ("task_struct:se.cfs_rq", "cfs_rq:rq", "rq:idle"),
        "what the idle tasks hold of the initial namespaces is unnamed",
        "CONFIG_FAIR_GROUP_SCHED",
    ),
)


def missing(layout: Layout) -> tuple[Missing, ...]:
    """Return the features that the kernel described by `layout` lacks."""
    return tuple(
        Missing(feature.name, feature.effect, feature.since)
        for feature in FEATURES
        if not all(_exists(layout, field) for field in feature.fields)
    )


def _exists(layout: Layout, field: str) -> bool:
    struct, _, path = field.partition(":")
    return layout.field(struct, path) is not None
