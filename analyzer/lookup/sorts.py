"""The words of `who --kind`: every kind of the registry, and the types of open files.

A word stands for objects of one kind, or for open files of one type; it knows what is summed up of
them (the watches of inotify, the bytes of a deleted file), and which limits are beside that.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import no_such
from analyzer.core.model import TASK
from analyzer.core.values import dataclass
from analyzer.kinds import namespace_kinds, registry

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "FILE"


@dataclass(frozen=True)
class Sort:
    """What a word of --kind stands for.

    Only those are meant of which the fact `told` is one of `types` (none: all of the kind): of open
    files their type. `amount` is the fact that is summed up, and `unit` what it counts. Those of
    one inode are one thing where they are `merged`. `limits` are the names of families of limits.
    A `note` says what else there is to know. The fact `called` is what people know it by, where
    that is not its name. `number` is the fact that is its id, where not all that there are have a
    holder here: BPF objects.
    """

    word: str
    title: str
    plural: str
    kind: str
    types: tuple[str, ...] = ()
    told: str = "open.type"
    amount: str = ""
    unit: str = ""
    merged: bool = False
    limits: tuple[str, ...] = ()
    note: str = ""
    called: str = ""
    number: str = ""

    @property
    def bytes(self) -> bool:
        """Tell whether what is summed up are bytes."""
        return self.unit == "bytes"


def _file(word: str, title: str, plural: str, *types: str, **more: object) -> Sort:
    limits = (*more.pop("limits", ()), "files")  # type: ignore[misc]
    return Sort(word, title, plural, FILE, types or (word,), limits=limits, **more)  # type: ignore[arg-type]


_NO_LIMIT: Final = (
    "no limit is of them alone: they count as open files, and what they hold as memory "
    "(memory.max of the cgroup)"
)
_OF_NAMESPACES: Final = (
    "the host's own is not counted; cranalyze namespaces says what keeps each that has no process"
)
_OF_FILES: Final = (
    _file("inotify", "inotify instance", "inotify instances", amount="inotify.watches",
          unit="watches", limits=("inotify",)),
    _file("fanotify", "fanotify group", "fanotify groups", amount="fanotify.watches", unit="marks",
          limits=("fanotify",)),
    _file("eventfd", "eventfd", "eventfds"),
    _file("timerfd", "timerfd", "timerfds"),
    _file("signalfd", "signalfd", "signalfds"),
    _file("epoll", "epoll", "epolls", limits=("epoll",)),
    _file("pidfd", "pidfd", "pidfds"),
    _file("memfd", "memfd", "memfds", amount="space", unit="bytes", merged=True, note=_NO_LIMIT),
    _file("shared-memory", "shared memory", "pieces of shared memory", "shared-memory", "shm",
          amount="space", unit="bytes", merged=True, note=_NO_LIMIT),
    _file("bpf-prog", "BPF program", "open files of BPF programs", number="bpf.id"),
    _file("bpf-link", "BPF link", "open files of BPF links", number="bpf.id"),
    _file("btf", "BTF", "open files of BTF"),
    _file("perf-event", "perf event", "perf events", "perf_event", "perf-event"),
    _file("userfaultfd", "userfaultfd", "userfaultfds"),
    _file("seccomp-notify", "seccomp listener", "seccomp listeners"),
    _file("landlock-ruleset", "Landlock ruleset", "Landlock rulesets"),
    _file("fscontext", "filesystem context", "filesystem contexts"),
    _file("kvm-vm", "virtual machine", "virtual machines"),
    _file("kvm-vcpu", "virtual processor", "virtual processors"),
    _file("dma-buf", "DMA buffer", "DMA buffers", amount="size", unit="bytes"),
    _file("mqueue", "open message queue", "open message queues", amount="mqueue.messages",
          unit="messages", merged=True, limits=("ipc-mqueue",)),
    _file("regular", "open file of a disk", "open files of disks", "file", amount="space",
          unit="bytes"),
    _file("directory", "open directory", "open directories"),
    _file("character-device", "open device", "open devices"),
    _file("block-device", "open block device", "open block devices"),
    _file("fifo", "open FIFO", "open FIFOs"),
)  # fmt: skip

# A pseudo-terminal is there as long as its master is open.
_PTY: Final = Sort(
    "pty", "pseudo-terminal", "pseudo-terminals", "TTY", ("pty_master",), "tty.driver",
    limits=("pty",), called="tty.other",
)  # fmt: skip

# What the kinds are called beside their names, what is summed up of them, and their limits.
_CALLED: Final[Mapping[str, tuple[str, ...]]] = {
    "FILE": ("fd", "open-file"),
    "TTY": ("terminal",),
    "SHM": ("sysvshm",),
    "SEM": ("sysvsem",),
    "MSG": ("sysvmsg",),
    "KEYRING": ("key",),
    TASK: ("process", "thread", "pids"),
    "NETDEV": ("interface",),
    "SUPERBLOCK": ("filesystem",),
    "SOCKET": ("unix-socket", "unix"),
}
_SUMMED: Final[Mapping[str, tuple[str, str]]] = {
    "MSG": ("msg.bytes", "bytes"),
    "SHM": ("shm.size", "bytes"),
    "SEM": ("sem.count", "semaphores"),
    "PIPE": ("unread", "bytes"),
}
_LIMITED: Final[Mapping[str, tuple[str, ...]]] = {
    "FILE": ("files",),
    "TTY": ("pty",),
    "PIPE": ("pipes", "files"),
    "SOCKET": ("files",),
    "NET_SOCKET": ("files",),
    "IO_URING": ("files",),
    "KEYRING": ("keys",),
    "AIO": ("aio",),
    "MM": ("mappings",),
    "MOUNT": ("mounts",),
    "SHM": ("ipc-shm",),
    "SEM": ("ipc-sem",),
    "MSG": ("ipc-msg",),
    "PID": ("pids",),
    TASK: ("pids",),
}


def names_of_types() -> tuple[str, ...]:
    """Return the words for types of files, and for terminals: those that no kind is called."""
    return tuple(sort.word for sort in (*_OF_FILES, _PTY))


@cache
def sorts() -> Mapping[str, Sort]:
    """Return what every word of --kind stands for, by word; the names of kinds first."""
    found: dict[str, Sort] = {}
    for kind in registry().values():
        word = kind.name.lower().replace("_", "-")
        amount, unit = _SUMMED.get(kind.name, ("", ""))
        limits = _LIMITED.get(kind.name, ())
        limits = ("namespaces",) if kind.namespace else limits
        note = _OF_NAMESPACES if kind.namespace else ""
        sort = Sort(
            word, kind.title, kind.plural, kind.name, amount=amount, unit=unit, limits=limits,
            note=note, number="bpf.map" if kind.name == "BPF_MAP" else "",
        )  # fmt: skip
        if kind.name == TASK:
            sort = Sort(word, "process", "processes", TASK, amount="threads", unit="threads",
                        limits=limits)  # fmt: skip
        found[word] = sort
        for other in _CALLED.get(kind.name, ()):
            found[other] = sort
    for name, kind in namespace_kinds().items():
        for word in (f"{name}ns", f"{name}-namespace", *((name,) if name not in found else ())):
            found[word] = found[kind.name.lower().replace("_", "-")]
    for sort in (*_OF_FILES, _PTY):
        found.setdefault(sort.word, sort)
    return found


def sort_of(word: str) -> Sort:
    """Return what a word of --kind stands for, in any case; BadInputError with the nearest one."""
    known = sorts()
    plain = word.strip().casefold().replace("_", "-")
    for one in (plain, plain.removesuffix("s")):
        if one in known:
            return known[one]
    raise no_such("--kind: no kind, or type of file", word, known)


DELETED: Final = Sort(
    "deleted", "deleted file", "deleted files", FILE, ("file",), amount="space", unit="bytes",
    merged=True,
)  # fmt: skip
"""What --deleted lists: files whose name is gone, and which take up space still."""
