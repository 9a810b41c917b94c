"""What a subject is: the processes that somebody means by a name, found where the names are.

A family of selectors (`podman:NAME`) is one file in this package. It is given a `Machine`: what
/proc, a dump of it, or a snapshot tells of its processes, and answers with `Subject`s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.text import printable
from analyzer.core.values import dataclass, field
from analyzer.kinds import namespace_set
from analyzer.procfs.homes import Home, of_paths, short

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_LISTED: Final = 12
_SHORTEST: Final = 3  # letters of an id that name a container
_MEMBER: Final = "pid"  # the association of a task with its pid namespace
_NET: Final = "nsproxy.net"


@dataclass(frozen=True)
class Process:
    """A process of a machine, by the id that its /proc has for it; `nspid` is its innermost one.

    `cgroups` are its paths in all hierarchies that are known of.
    """

    pid: int
    ppid: int
    comm: str
    nspid: int | None
    cgroups: tuple[str, ...]

    @property
    def home(self) -> Home:
        """Return the container, pod and unit that it is in."""
        return of_paths(self.cgroups)


class Machine(Protocol):
    """What is known of a machine. Only one that is `live` can be asked for more by a command."""

    @property
    def live(self) -> bool:
        """Tell whether it is the running one."""

    @property
    def processes(self) -> Sequence[Process]:
        """Return its processes but for those of the kernel, by pid."""

    def space(self, pid: int, kind: str) -> int:
        """Return the inode of a namespace ("pid", "net") of a process, 0 where it is not known."""


Test = Callable[[Machine, Process], bool]


@dataclass(frozen=True)
class Container:
    """A container that cgroups tell of, with its processes: its init, or the topmost, first."""

    runtime: str
    id: str
    pod: str
    group: str
    processes: tuple[Process, ...]

    @property
    def words(self) -> str:
        """Return what it is called: "podman container 0123456789ab"."""
        return f"{self.runtime} container {short(self.id)}".lstrip()


@dataclass(frozen=True)
class Subject:
    """Processes that are meant by one selector: the first root is what leads them.

    `words` say what they are ("podman container web"); `group` is their cgroup, if they have one.
    With a `test` all that pass it are members, whenever they are asked for; else the descendants
    of the roots are. `starts` tells whether the first root is to be the init of a container.
    """

    words: str
    roots: tuple[int, ...]
    runtime: str = ""
    container: str = ""
    name: str = ""
    group: str = ""
    test: Test | None = field(default=None, compare=False)
    starts: bool = True


@dataclass(frozen=True)
class Form:
    """One way to write a selector, with its variable parts in capitals, and what it means."""

    written: str
    meaning: str


Find = Callable[[str, Machine], Iterable[Subject]]


@dataclass(frozen=True)
class Family:
    """Selectors of one sort: `podman:NAME`.

    `find` yields what is meant by what comes after the colon, and raises BadInputError, with what
    there is, for nothing. `bare` tells whether a name alone may mean it too. `tools` are the
    commands that it asks for names.
    """

    name: str
    title: str
    forms: tuple[Form, ...]
    find: Find
    bare: bool = False
    tools: tuple[str, ...] = ()


def tops(processes: Iterable[Process]) -> tuple[Process, ...]:
    """Return those of the processes whose parent is none of them: an init, or the oldest, first."""
    found = list(processes)
    pids = {process.pid for process in found}
    top = [process for process in found if process.ppid not in pids]
    return tuple(sorted(top, key=lambda one: (one.nspid != 1, one.pid)))


def containers(machine: Machine) -> list[Container]:
    """Return the containers that cgroups tell of, in order of the pids of their inits."""
    found: dict[tuple[str, str], list[Process]] = {}
    homes: dict[tuple[str, str], Home] = {}
    for process in machine.processes:
        at = process.home
        if at.container:
            found.setdefault((at.runtime, at.container), []).append(process)
            homes[at.runtime, at.container] = at
    made = []
    for key, processes in found.items():
        first = tops(processes)
        rest = [process for process in processes if process not in first]
        at = homes[key]
        made.append(Container(*key, at.pod, at.group, (*first, *rest)))
    return sorted(made, key=lambda one: one.processes[0].pid)


def called(name: str, among: Iterable[Container]) -> list[Container]:
    """Return the containers with this id or name; else those whose ids begin with it."""
    every = list(among)
    exact = [one for one in every if one.id == name]
    if exact or len(name) < _SHORTEST:
        return exact
    return [one for one in every if short(one.id) != one.id and one.id.startswith(name)]


def of_container(one: Container, name: str = "") -> Subject:
    """Return a container as a subject; `name` is what the runtime calls it."""
    words = f"{one.runtime} container {name} ({short(one.id)})".lstrip() if name else one.words
    first = one.processes[0]
    return Subject(words, (first.pid,), one.runtime, one.id, name or short(one.id), one.group)


def of_group(words: str, path: str, machine: Machine) -> Subject | None:
    """Return those in a cgroup, or below it, in any hierarchy; None where there is nobody."""

    def inside(_: Machine, process: Process) -> bool:
        return in_group(process, path)

    found = tops(process for process in machine.processes if inside(machine, process))
    if not found:
        return None
    roots = tuple(process.pid for process in found)
    return Subject(words, roots, group=path, name=words, test=inside, starts=False)


def in_group(process: Process, path: str) -> bool:
    """Tell whether a process is in a cgroup or below it, in any hierarchy."""
    below = path.rstrip("/") + "/"
    return any(one == path or one.startswith(below) for one in process.cgroups)


def one_of(asked: str, found: Sequence[Subject]) -> Subject:
    """Return the only one that is meant; BadInputError, with all, where several are."""
    distinct = list({(one.container or one.words, one.roots): one for one in found}.values())
    if len(distinct) == 1:
        return distinct[0]
    names = [f"{printable(one.words)} (pid {one.roots[0]})" for one in distinct]
    raise BadInputError(f"{printable(asked)} is ambiguous: {listed(names)}")


def listed(names: Sequence[str]) -> str:
    """Return names with commas, not more than are read."""
    more = [f"and {len(names) - _MOST_LISTED} more"] if len(names) > _MOST_LISTED else []
    return ", ".join([*names[:_MOST_LISTED], *more])


def there_are(among: Iterable[Container], what: str = "containers") -> str:
    """Return what ends an error: "; containers here: X, Y"."""
    names = [printable(one.words) for one in among]
    return f"; {what} here: {listed(names)}" if names else f"; there are no {what} here"


class Recorded:
    """The machine of a snapshot: what its tables tell."""

    live: Final = False

    def __init__(self, tables: Mapping[str, Any]) -> None:
        """Look at the tables of a snapshot."""
        self._tables = tables

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        """Return the processes in the table of tasks."""
        return tuple(self._processes())

    def _processes(self) -> Iterator[Process]:
        tasks = self._tables["tasks"]
        for row in range(len(tasks)):
            told = tasks.row(row)
            if told["tid"] == told["tgid"] > 0 and not told["kthread"]:
                group = () if told["cgroup"] is None else (told["cgroup"],)
                yield Process(told["tid"], told["ppid"], told["comm"], told["nspid"], group)

    def space(self, pid: int, kind: str) -> int:
        """Return the inode of a namespace of a process, 0 where it is not known."""
        return self._spaces.get((pid, kind), 0)

    @cached_property
    def _spaces(self) -> dict[tuple[int, str], int]:
        references = self._tables["references"]
        by_task = references["holder_kind"] == references.code("holder_kind", TASK)
        held: dict[int, list[int]] = {}
        found: dict[tuple[int, str], int] = {}
        for row in np.flatnonzero(by_task).tolist():
            holder, target = int(references["holder"][row]), int(references["target"][row])
            held.setdefault(target, []).append(holder)
            if references.value("association", row) == _MEMBER:
                found[holder, "pid"] = self._inode(target)
        by_set = references["holder_kind"] == references.code("holder_kind", namespace_set())
        network = by_set & (references["association"] == references.code("association", _NET))
        for row in np.flatnonzero(network).tolist():
            for tid in held.get(int(references["holder"][row]), []):
                found[tid, "net"] = self._inode(int(references["target"][row]))
        return found

    def _inode(self, objref: int) -> int:
        return int(self._tables["objects"].value("ino", objref - 1) or 0)
