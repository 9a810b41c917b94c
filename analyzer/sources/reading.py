"""What one reading of the kernel's memory is, and what a second look says of the first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.sources.assemble import Numbering
    from analyzer.sources.expand import Expansion, Own
    from analyzer.sources.relate import Found
    from analyzer.sources.tasks import Tasks
    from analyzer.sources.verify import Born, Pulse


@dataclass(frozen=True)
class Reading:
    """One reading. `own` is what the subtree owns, `expansion` what matters, `whole` all."""

    tasks: Tasks
    inside: U64
    who: Born
    pulse: Pulse
    own: Own
    expansion: Expansion
    numbering: Numbering
    refcount: I64
    has_count: Mask
    old: I64
    old_known: Mask
    collected: Mask
    compared: Mask
    initial: Mask
    whole: Expansion
    everyone: U64
    related: Found
    roots: tuple[int, ...] = ()

    @cached_property
    def hosts(self) -> Mask:
        """Return the nodes that are the host's own namespaces."""
        return self.numbering.nodes(self.initial)

    @property
    def followed(self) -> Mask:
        """Return the nodes through which the subtree is followed: not through the host's own."""
        return self.expansion.collected & ~self.hosts


@dataclass(frozen=True)
class Second:
    """What a second look at the subtree says of the first.

    `moved` are objects whose count or holders are not the same, or that are dead; `appeared` is
    how many were not there before; `doubtful` are those whose count is not explained by what holds
    them, while something can have come and gone. `others` moved, but only linux-cr's rules compare
    them; `old_moved` are those of which the count that only these compare did.
    """

    moved: Mask
    appeared: int
    again: Own
    tasks: Tasks
    outsiders: Born
    still: bool
    childless: bool
    doubtful: Mask
    others: Mask
    old_moved: Mask

    @property
    def quiet(self) -> bool:
        """Tell whether nothing of the subtree moved, and nothing came."""
        return not self.moved.any() and not self.appeared
