"""What CRIU does with namespaces: nested ones, those that others are in, interfaces, cgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK, Impact
from analyzer.criu.base import Crosses, Hit, Leaked, Outcome, Rule
from analyzer.criu.view import inside, outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.criu.view import View

_ONE_FOR_ALL: Final = ("pid", "uts", "ipc", "user", "cgroup", "time")  # mnt and net may nest
_OWNED: Final = ("net", "uts", "ipc", "mnt")
_PAIRED: Final = "is paired with"  # else one is on the other: of these CRIU knows macvlan alone


def _nested(view: View) -> Iterator[Hit]:
    """Yield the namespaces that a task inside is in and the root is not, each once."""
    for word in _ONE_FOR_ALL:
        own = view.of_root(word)
        others = set(view.spaces.get(word, {}).values()) - {own}
        if own is not None:
            kind = f"{word.upper()}_NS"
            yield from (Hit(kind, space - 1, values={"type": word}) for space in sorted(others))


def _for_children(view: View) -> Iterator[Hit]:
    """Yield the time namespaces that only children of tasks inside would be in."""
    current = set(view.spaces.get("time", {}).values())
    coming = set(view.spaces.get("time_for_children", {}).values())
    yield from (Hit("TIME_NS", space - 1) for space in sorted(coming - current))


def _no_init(view: View) -> Iterator[Hit]:
    space = view.of_root("pid")
    if space is None or not view.own("pid"):
        return
    for row in view.rows(TASK):
        if int(view.tasks["tid"][row]) == view.pid and view.tasks.value("nspid", row) != 1:
            yield Hit(TASK, row, values={"ino": str(view.number("ino", space - 1))})


def _of_others(view: View) -> Iterator[Hit]:
    """Yield the root's namespaces that another user namespace than its own owns."""
    user = view.of_root("user")
    owners = {space: owner for space, owner, _ in view.held("owner")}
    for word in _OWNED if view.own("user") else ():
        space = view.of_root(word)
        if space is not None and view.own(word) and owners.get(space, user) != user:
            yield Hit(f"{word.upper()}_NS", space - 1)


def _segments(view: View) -> Iterator[Hit]:
    """Yield attached System V segments of an IPC namespace that is not the subtree's own."""
    if view.of_root("ipc") is None or view.own("ipc"):
        return
    mapped = {file for _, file, _ in view.held("vma")}
    mine = {row + 1 for row in view.rows("FILE")}
    for attach, _, _ in view.held("shm.attach"):
        if attach in mine and attach in mapped:
            yield Hit("FILE", attach - 1)


def _interfaces(view: View) -> Iterator[Hit]:
    """Yield interfaces with what they are called on both sides."""
    for one in view.crossings:
        if one.relation == "interface-pair" and inside(one) and outside(one):
            mine, theirs = inside(one)[0], outside(one)[0]
            values = {
                "inner": view.name(mine.row),
                "outer": view.name(theirs.row),
                "sort": "veth" if any(_PAIRED in end.detail for end in one.ends) else "macvlan",
            }
            yield Hit(mine.kind, mine.row, mine.detail, values, one)


RULES: Final = (
    Rule(
        "nested-namespace", "a task in another pid, uts, ipc, user, cgroup or time namespace than "
        "the root", Outcome.REFUSES, _nested,
        message="Can't dump nested namespace", where="namespaces.c generate_ns_id",
        remove="give the root that namespace (mount and network namespaces may nest)",
    ),
    Rule(
        "time-for-children", "a time namespace that children will be in (unshare(2))",
        Outcome.REFUSES, _for_children,
        message="Can't dump nested time_for_children namespace", where="namespaces.c",
        remove="execute a program in it",
    ),
    Rule(
        "no-pid-init", "a root that is not the first process of its pid namespace",
        Outcome.REFUSES, _no_init,
        message="Can't dump a pid namespace without the process init",
        where="namespaces.c dump_namespaces",
        option="--external pid[{ino}]:pidns", restore="--inherit-fd fd[N]:pidns",
        then="the restore takes the pid namespace from who restores (a pod's)",
    ),
    Rule(
        "owned-by-others", "a namespace that another user namespace owns", Outcome.REFUSES,
        _of_others,
        message="One or more namespaces doesn't belong to the target user namespace",
        where="namespaces.c check_user_ns",
        remove="make the namespaces from within the user namespace",
    ),
    Rule(
        "shm-host", "System V shared memory without an ipc namespace of its own", Outcome.REFUSES,
        _segments,
        message="Task with SysVIPC shmem map doesn't live in IPC ns",
        where="cr-dump.c check_sysvipc_map_dump", remove="run it in its own ipc namespace",
    ),
    *(
        Rule(
            f"{kind.lower().removesuffix('_ns')}-namespace",
            f"its own {words} namespace, which the outside is in too, or keeps",
            Outcome.SILENT, Leaked(kind), about=kind, then=then,
        )
        for kind, words, then in (
            ("UTS_NS", "uts", "it has a new one: a host name set outside does not reach it"),
            ("IPC_NS", "ipc", "it has a new one, with copies of what is in the old one"),
            ("MNT_NS", "mount", "it has a new one: who joined is in the old one"),
            ("NET_NS", "network", "it has a new one (a pod's sandbox is in the old one)"),
            ("PID_NS", "pid", "who joined it is not dumped, and killed with it"),
            ("CGROUP_NS", "cgroup", "it has a new one"),
            ("TIME_NS", "time", "it has a new one"),
            ("USER_NS", "user", "it has a new one"),
        )
    ),
    Rule(
        "joined", "a process outside that joined its namespaces (podman exec)", Outcome.SILENT,
        Crosses("joined", lambda one: one.impact is not Impact.BY_DESIGN), about="joined",
        then="it is not dumped; with the pid namespace it is killed",
    ),
    Rule(
        "cgroup", "a cgroup with processes of both sides", Outcome.SILENT, Crosses("cgroup"),
        about="cgroup", then="its path is made where it is not there (--manage-cgroups)",
    ),
    Rule(
        "interface-pair", "an interface whose other end is in a network namespace outside",
        Outcome.FAILS, _interfaces, about="interface-pair",
        message="Unknown peer net namespace", where="net.c veth_peer_info",
        option="--external {sort}[{inner}]:{outer}", restore="--external {sort}[{inner}]:{outer}",
        then="the restore makes {inner} anew, and its other end outside as {outer}",
        by_runtime=True,
    ),
    Rule(
        "bpf-map", "a BPF map that both sides reach", Outcome.SILENT, Crosses("bpf-map"),
        about="bpf-map", then="each side has a map of its own",
    ),
    Rule(
        "bpf-link", "a BPF program of the other side that filters here", Outcome.SILENT,
        Crosses("bpf-link"), about="bpf-link", then="it filters no more",
    ),
)  # fmt: skip
