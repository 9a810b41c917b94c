"""What is asked of the kernel source."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import no_such
from analyzer.core.values import dataclass, field

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from analyzer.procfs.fs import ProcFs
    from analyzer.snapshot.value import Snapshot

    Wanted = Callable[[Snapshot], npt.NDArray[np.bool_]]

Progress = Callable[[str], None]

_SCOPES: Final = ("border", "host")


@dataclass(frozen=True)
class Request:
    """A subtree (by its root's pid) or, when that is None, the whole machine.

    `scope` "border" keeps the collected objects and all that holds them, "host" everything.
    `freeze` stops the subtree while it is read. `wanted` chooses the objects that are described and
    named, by a mask of the objects table; None means those of the subtree. It is shown a snapshot
    without names, and `detailed`, one in which all objects are described, and kinds that tell their
    own names are named; of all objects the facts `stated` are told. All is read anew, a few times,
    until that is `enough`. `named` are more pids to be translated into those of the tables:
    `meta["named"]`, -1 for one that there is not. `label` is how the subject was named, where it
    was named otherwise than by its pid. `related` are the relations that are looked for beside the
    references, all where it is None. `others` is asked, in each reading, for more roots of the
    subtree (as we call them), and `called` is what is known of the subject besides
    (`meta["subject"]`). The processes of a dump are found by `chosen` when it is open: it returns
    the request with them. `thorough` keeps the mounts of the subtree's own mount namespaces, and
    looks for what else a checkpoint has to know of.
    """

    pid: int | None
    scope: str = "border"
    freeze: bool = False
    wanted: Wanted | None = None
    detailed: bool = False
    stated: tuple[str, ...] = ()
    enough: Callable[[Snapshot], bool] = lambda _: True
    named: tuple[int, ...] = ()
    limits: bool = False
    label: str = ""
    related: Collection[str] | None = None
    thorough: bool = False
    others: Callable[[], tuple[int, ...]] = tuple
    called: Mapping[str, Any] = field(default_factory=dict)
    chosen: Callable[[ProcFs, Request], Request] | None = None
    progress: Progress = lambda _: None

    def __post_init__(self) -> None:
        """Refuse a scope that there is not, with BadInputError."""
        if self.scope not in _SCOPES:
            raise no_such("no scope", self.scope, _SCOPES)

    @property
    def selector(self) -> str:
        """Return how the subject was named."""
        return self.label or ("host" if self.pid is None else str(self.pid))

    @property
    def question(self) -> bool:
        """Tell whether something is asked of the whole machine, and not all of it to be kept."""
        return self.pid is None and self.wanted is not None

    @property
    def host(self) -> bool:
        """Tell whether everything is kept, not only the border."""
        return self.scope == "host" or self.pid is None
