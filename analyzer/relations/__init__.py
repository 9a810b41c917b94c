"""The registry of relations: every module of this package with a `RELATION`, and what they are.

To add one, drop one file in here (see CONTRIBUTING.md); nothing else is edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from analyzer.core.model import Impact
from analyzer.relations.base import Relation

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMPACTS = tuple(Impact)


@cache
def relations() -> Mapping[str, Relation]:
    """Return the relations by name, worst impact first."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        one = getattr(importlib.import_module(f"{__name__}.{module.name}"), "RELATION", None)
        if isinstance(one, Relation):
            found.append(one)
    order = sorted(found, key=lambda one: (_IMPACTS.index(one.impact), one.name))
    return {one.name: one for one in order}
