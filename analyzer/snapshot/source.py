"""What a snapshot was read from, and what that can tell: verdicts and words follow from it.

A source states its capabilities in `meta["source"]`, and `source_of` returns them for any snapshot,
a file's too. What a source cannot tell is not believed of its tables (`trusted`) and is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.values import dataclass, replace
from analyzer.snapshot.tables import with_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.snapshot.value import Snapshot


@dataclass(frozen=True)
class SourceInfo:
    """What a source is: its name, what it reads in words, and what it can tell.

    `words` say it in full, `reads` where it looks, `untold` what is said where it has no
    `identity`. `live` is read from the machine as it runs.
    `refcounts`: how many hold an object; `identity`: what is the same object; `nsproxy`: what is
    not a file, an address space or a namespace. `more` are the capabilities of one source alone.
    """

    name: str
    words: str
    reads: str
    live: bool
    untold: str = "what is shared cannot be told"
    refcounts: bool = True
    identity: bool = True
    nsproxy: bool = True
    more: Mapping[str, bool] | None = None

    def able(self, **capabilities: bool) -> SourceInfo:
        """Return the same source, able to tell what `capabilities` say."""
        told = {**self.capabilities, **capabilities}
        own = [told.pop(name) for name in _OWN]
        return replace(self, refcounts=own[0], identity=own[1], nsproxy=own[2], more=told)

    @property
    def capabilities(self) -> dict[str, bool]:
        """Return what it can tell, by name, as the meta of a snapshot has it."""
        return {**{name: bool(getattr(self, name)) for name in _OWN}, **(self.more or {})}

    @property
    def unseen(self) -> tuple[str, ...]:
        """Return what it cannot tell, a sentence each."""
        said = {**_UNSEEN, "identity": self.untold}
        return tuple(
            words.format(reads=self.reads)
            for name, words in said.items()
            if not getattr(self, name)
        )

    @property
    def promise(self) -> str:
        """Return what a check of it can do."""
        if self.refcounts:
            return "a check can prove leaks and containment"
        return "a check can witness leaks, and never prove containment"

    def meta(self, notes: Sequence[str] = ()) -> dict[str, Any]:
        """Return `meta["source"]` of a snapshot: with `notes`, what this reading could not see."""
        return {
            "name": self.name,
            "capabilities": self.capabilities,
            "notes": [*self.unseen, *notes],
        }


_OWN: Final = ("refcounts", "identity", "nsproxy")
_UNSEEN: Final = {
    "refcounts": "{reads} has no reference counts: a leak can be witnessed, containment cannot be "
    "proven",
    "nsproxy": "nsproxies, credentials, files in flight and what the kernel holds cannot be seen "
    "in {reads}",
}

KERNEL: Final = SourceInfo("kernel", "the kernel's memory", "the kernel's memory", live=True)
VMCORE: Final = replace(
    KERNEL, name="vmcore", words="a core of the kernel's memory", reads="the core", live=False
)
PROCFS: Final = SourceInfo(
    "procfs",
    "/proc",
    "/proc",
    live=True,
    refcounts=False,
    nsproxy=False,
    more={"mapped_files": False, "socket_namespaces": False},
    untold="what is shared cannot be told: kcmp(2) is not to be had for this /proc",
)
REPLAY: Final = replace(
    PROCFS,
    name="replay",
    words="a dump of /proc",
    live=False,
    untold="the dump has no identities: which descriptors and tables are one object is not known; "
    "threads are taken to share those of their process",
)

_KNOWN: Final = {info.name: info for info in (KERNEL, VMCORE, PROCFS, REPLAY)}


def source_of(snapshot: Snapshot) -> SourceInfo:
    """Return what a snapshot was read from, with the capabilities that it states itself."""
    meta = snapshot.meta["source"]
    name = meta["name"]
    other = SourceInfo(name, name, name, live=False)  # of a version that has more of them
    return _KNOWN.get(name, other).able(**meta.get("capabilities", {}))


def trusted(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without refcounts that its source cannot tell."""
    objects = snapshot.tables["objects"]
    if source_of(snapshot).refcounts or not objects.known("refcount").any():
        return snapshot
    none, gone = np.zeros(len(objects), np.int64), np.ones(len(objects), np.bool_)
    masked = with_columns(objects, {"refcount": none}, {"refcount": gone})
    return replace(snapshot, tables={**snapshot.tables, "objects": masked})
