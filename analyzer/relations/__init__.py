"""The registry of relations: every module of this package with a `RELATION`, and what they are.

To add one, drop one file in here (see CONTRIBUTING.md); nothing else is edited.
"""

from __future__ import annotations

from functools import cache

from analyzer.core.model import Impact
from analyzer.core.registry import Registry, members
from analyzer.relations.base import Relation

_IMPACTS = tuple(Impact)


@cache
def relations() -> Registry[Relation]:
    """Return the relations by name, worst impact first."""
    found = members(__name__, __path__, "RELATION", Relation)
    order = sorted(found, key=lambda one: (_IMPACTS.index(one.impact), one.name))
    return Registry({one.name: one for one in order})


def leading_to(*kinds: str) -> tuple[str, ...]:
    """Return the names of the relations that lead to objects of `kinds` that nothing else may."""
    return tuple(name for name, one in relations().items() if {*one.leads_to} & {*kinds})
