"""may-hold: something of /proc that may hold an object, and does not tell whether it does.

The left end is the task that has it. Where it may be any object of a kind, the role is that kind,
and the task stands at both ends; so does an object of which no more is told than that somebody
holds it. It is no crossing: what it means is said of the object (`analyzer.report.possible`).
"""

from __future__ import annotations

from typing import Final

from analyzer.core.model import Impact
from analyzer.relations.base import Relation

RELATION: Final = Relation(
    name="may-hold",
    title="may be held",
    plural="things that may be held",
    left="may hold it",
    right="is held, perhaps",
    impact=Impact.PINS,
    next="read the kernel's memory, which tells who holds it",
    told=False,
    from_proc=lambda shown: shown.may_hold,
    unseen="the kernel's memory tells who holds what",
)
