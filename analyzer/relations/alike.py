"""alike: two things of /proc that may be one, where nobody could ask kcmp(2).

Each meets at one that stands for all that look like it: as `like` at one of which all is equal, as
`still` or `moved` at one of which what never changes is equal. Two of these are two things where
both are `still`: read twice, and the same both times. It is no crossing: what it means for an
object is said of that object (`analyzer.check.possible`).
"""

from __future__ import annotations

from typing import Final

from analyzer.core.model import Impact
from analyzer.relations.base import Relation

LIKE: Final = "like"
STILL: Final = "still"
MOVED: Final = "moved"

RELATION: Final = Relation(
    name="alike",
    title="may be one with another",
    plural="things that may be one",
    left="is it, perhaps",
    right="stands for what looks like it",
    impact=Impact.PINS,
    next="compare them by kcmp(2) on the machine itself",
    shared=True,
    told=False,
    from_proc=lambda shown: shown.alike,
    unseen="the kernel's memory tells what is one",
)
