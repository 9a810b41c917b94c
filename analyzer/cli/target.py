"""What a command is about, as somebody names it: read once, and found once where it is asked for.

A subject is a process by its id, or what `analyzer.subjects` finds by a name; several are one.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError, TargetVanishedError, no_such
from analyzer.core.model import MEMBERS
from analyzer.core.text import is_pid
from analyzer.core.values import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.snapshot.value import Snapshot
    from analyzer.sources.request import Request
    from analyzer.subjects import Subject
    from analyzer.subjects.base import Machine

_PID_MAX_LIMIT: Final = 1 << 22  # the largest that kernel.pid_max can be (include/linux/threads.h)
HOST: Final = "host"
_PROC: Final = "/proc"
_MOST: Final = 1_000  # subjects that are one


@dataclass(frozen=True)
class Target:
    """What a snapshot is to be of: a subtree by the process id of its root, or by names.

    Without either it is of the machine, or of what it was taken of. `label` is how it was named; a
    snapshot that is taken of it keeps that. `names` are selectors that are still to be found, and
    `members` how who belongs to them is told (`analyzer.core.model.MEMBERS`).
    """

    pid: int | None
    label: str
    names: tuple[str, ...] = ()
    members: str = "descent"

    @classmethod
    def parse(
        cls,
        text: str | Sequence[str] | None,
        *,
        of_dump: bool = False,
        members: str = "descent",
    ) -> Target:
        """Return what is named, of this machine; BadInputError when there can be no such.

        The pids of a dump, or a snapshot, are another machine's: kernel.pid_max of this one says
        nothing of them.
        """
        if members not in MEMBERS:
            raise no_such("no way to be a member", members, MEMBERS)
        given = [text] if isinstance(text, str) else list(dict.fromkeys(text or ()))
        if not given:
            return cls(None, HOST)
        if len(given) > _MOST:
            raise BadInputError(f"{len(given):,} subjects: more than {_MOST:,} are not one")
        for one in given:
            if is_pid(one):
                _pid(one, of_dump=of_dump)
            else:
                from analyzer import subjects  # most are named by a pid

                subjects.understood(one)
        label = " ".join(given)
        if len(given) == 1 and is_pid(given[0]) and members == "descent":
            return cls(int(given[0]), label)
        return cls(None, label, tuple(given), members)

    @property
    def unnamed(self) -> bool:
        """Tell whether nothing was named."""
        return self.pid is None and not self.names

    def of(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot whose subject is this one: its own where none was named.

        Raises BadInputError when there is neither, or when a border snapshot is of another.
        """
        from analyzer.report.make import checked_pid

        if not self.names:
            pid = checked_pid(snapshot, self.pid)
            if snapshot.meta["subject"]["pid"] == pid:
                return snapshot
            return _about(snapshot, {"pid": pid, "selector": str(pid)})
        if snapshot.meta["subject"].get("selector") == self.label:
            return snapshot
        from analyzer.subjects.base import Recorded

        machine = Recorded(snapshot.tables)
        found, roots = self._found(machine)
        if snapshot.meta["scope"] != "host" and snapshot.meta["subject"]["pid"] != roots[0]:
            raise BadInputError(
                f"the snapshot is the border of {snapshot.meta['subject'].get('selector')}, not of "
                f"{self.label}: collect that one, or collect with --scope host"
            )
        return _about(
            snapshot,
            {"pid": roots[0], "roots": list(roots[1:]), **_called(found), "selector": self.label},
        )

    def root(self, snapshot: Snapshot) -> int:
        """Return the first root in a snapshot; errors as `of`."""
        return int(self.of(snapshot).meta["subject"]["pid"])

    def requested(self, request: Request) -> Request:
        """Return a request with what is found on this machine, now."""
        if not self.names:
            return request
        from pathlib import Path

        from analyzer.procfs.fs import ProcFs
        from analyzer.sources.tasks import proc_levels

        if proc_levels() != 0:
            raise BadInputError(
                f"{self.label}: /proc is of another pid namespace than this: name a pid, or mount "
                "ours (mount -t proc proc /proc)"
            )
        return self._chosen(ProcFs(Path(_PROC)), request, live=True)

    @property
    def lasting(self) -> bool:
        """Tell whether it may be started again as the same: it is no process, but has a name."""
        from analyzer import subjects

        return bool(self.names) and not any(
            is_pid(name) or name == subjects.SELF for name in self.names
        )

    def again(self, request: Request) -> Request:
        """Return a request for what was started again: a container by the id that it had, or name.

        Raises TargetVanishedError while it is not there. A runtime may refuse to be asked for a
        name by who has given up privileges, as podman does.
        """
        ident = request.called.get("container", "")
        if ident:
            family, colon, _ = self.names[0].rpartition(":")
            same = replace(self, names=(f"{family}{colon}{ident}",))
            with contextlib.suppress(BadInputError):
                found = same.requested(request)
                return replace(found, called={**request.called, "starts": found.called["starts"]})
        try:
            return self.requested(request)
        except BadInputError as error:
            raise TargetVanishedError(str(error)) from error

    def in_dump(self, request: Request) -> Request:
        """Return a request that finds its processes in a dump, once that is open."""
        return replace(request, chosen=self._chosen) if self.names else request

    def _chosen(self, fs: ProcFs, request: Request, *, live: bool = False) -> Request:
        from analyzer import subjects
        from analyzer.subjects.live import Shown

        machine = Shown(fs, live=live)
        found, roots = self._found(machine)
        who = subjects.members(found, self.members, machine)
        static = roots[1:]

        def others() -> tuple[int, ...]:
            return who.others(Shown(fs, live=live)) if who.tests else static

        return replace(request, pid=roots[0], others=others, called=_called(found))

    def _found(self, machine: Machine) -> tuple[list[Subject], tuple[int, ...]]:
        from analyzer import subjects

        found = [subjects.resolve(name, machine) for name in self.names]
        who = subjects.members(found, self.members, machine)
        roots = (who.roots[0], *who.others(machine))
        if machine.live and roots[0] == os.getpid():
            raise BadInputError(f"{self.label} is cranalyze itself: no part of what it checks")
        return found, roots

    def __str__(self) -> str:
        """Return what it is, for the name of a file: "4711", "host"."""
        return HOST if self.pid is None else str(self.pid)


def _called(found: Sequence[Subject]) -> dict[str, Any]:
    """Return what a snapshot keeps of its subject: names, and who is to be an init."""
    first = found[0]
    return {
        "name": " and ".join(one.words for one in found),
        "runtime": first.runtime if len({one.runtime for one in found}) == 1 else "",
        "container": first.container if len(found) == 1 else "",
        "starts": [one.roots[0] for one in found if one.starts],
    }


def _about(snapshot: Snapshot, subject: dict[str, Any]) -> Snapshot:
    kept = {"local_pid": None, "start_time": None}
    return replace(snapshot, meta={**snapshot.meta, "subject": {**kept, **subject}})


def _pid(text: str, *, of_dump: bool) -> int:
    limit = _PID_MAX_LIMIT if of_dump else _pid_max()
    if len(text) > len(str(_PID_MAX_LIMIT)) or not 0 < int(text) < limit:
        raise BadInputError(f"not a process id: {text[:24]} (they go from 1 to {limit - 1} here)")
    if int(text) == os.getpid() and not of_dump:
        raise BadInputError(f"{text} is cranalyze itself, which is no part of what it checks")
    return int(text)


def _pid_max() -> int:
    try:
        with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return _PID_MAX_LIMIT
