"""What CRIU does with tasks and with what they share: tracers, sessions, address spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.check.subtree import other_roots
from analyzer.core.model import TASK, Side
from analyzer.criu.base import Crosses, Having, Hit, Leaked, Outcome, Rule, said
from analyzer.criu.view import inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.check.crossings import Crossing
    from analyzer.criu.view import View


def _traps(value: int | str | None) -> bool:
    return "TRAP" in str(value or "").split(",")


def _vforks(view: View) -> Iterator[Hit]:
    """Yield the children of a vfork(2) whose parents are inside too."""
    inside = set(view.process.values())
    for row in view.rows(TASK):
        waits = "task.vfork" in view.facts(TASK, row)
        if waits and int(view.tasks["ppid"][row]) in inside:
            yield Hit(TASK, row)


def _no_leader(view: View) -> Iterator[Hit]:
    """Yield the root where it leads no session, and its session has a number where it is."""
    for row in view.rows(TASK):
        if int(view.tasks["tid"][row]) == view.pid:
            known = view.facts(TASK, row)
            session = known.get("task.session")
            if session not in {None, view.pid} and "session.hidden" not in known:
                yield Hit(TASK, row, f"session {session}")


def _of_two(kind: str, association: str, view: View) -> Iterator[Hit]:
    """Yield what two processes inside have in common that each should have for itself."""
    held = view.processes_of(association)
    for row in view.rows(kind):
        processes = held.get(row + 1, ())
        if len(processes) > 1:
            yield Hit(kind, row, " and ".join(str(pid) for pid in sorted(processes)[:2]))


def _memory(view: View) -> Iterator[Hit]:
    yield from _of_two("MM", "mm", view)


def _places(view: View) -> Iterator[Hit]:
    yield from _of_two("FS", "fs", view)


def _handlers(view: View) -> Iterator[Hit]:
    yield from _of_two("SIGHAND", "sighand", view)


def _priorities(view: View) -> Iterator[Hit]:
    """Yield I/O priorities that two processes inside have in common (CLONE_IO)."""
    crossing: set[int] = set()
    for one in view.crossings:
        if one.relation == "io-context":
            mine = [end.row for end in inside(one) if end.kind == TASK]
            crossing |= set(mine)
            if len({int(view.tasks["tgid"][row]) for row in mine}) > 1:
                yield Hit(TASK, mine[0])
    alike: dict[int, dict[int, int]] = {}  # by how many tasks have it: nobody outside does
    for row in view.rows(TASK):
        count = view.facts(TASK, row).get("io_context.tasks")
        if row not in crossing and isinstance(count, int):
            alike.setdefault(count, {})[int(view.tasks["tgid"][row])] = row
    yield from (Hit(TASK, min(rows.values())) for rows in alike.values() if len(rows) > 1)


def _traced_inside(one: Crossing) -> bool:
    return one.ends[0].side is Side.INSIDE


def _traces(one: Crossing) -> bool:
    return not _traced_inside(one)


_SEGMENTS: Final = "what it does to the segment or the set is seen on neither side"


def _trees(view: View) -> Iterator[Hit]:
    others = set(other_roots(view.snapshot, view.pid))
    yield from (Hit(TASK, row) for row in view.rows(TASK) if view.tasks["tid"][row] in others)


RULES: Final = (
    Rule(
        "another-tree", "a process that is not below the first: CRIU dumps one tree",
        Outcome.REFUSES, _trees, where="cr-dump.c: what is not below --tree is not dumped",
        remove="dump each tree by itself",
    ),
    Rule(
        "traced", "a task that is traced (ptrace(2): a debugger, strace), from wherever",
        Outcome.REFUSES, Having(TASK, {"task.tracer": said}, "task.tracer"), about="tracer",
        message="Unseizable non-zombie found", where="compel infect.c",
        remove="detach the tracer",
    ),
    Rule(
        "traces", "a task outside that is traced from inside", Outcome.SILENT,
        Crosses("tracer", _traces), about="tracer", then="it is traced no more",
    ),
    Rule(
        "trap-pending", "a task with a SIGTRAP that waits", Outcome.REFUSES,
        Having(TASK, {"task.pending": _traps}),
        message="Can't dump the thread with a pending SIGTRAP",
        where="compel infect.c", remove="let it take the signal",
    ),
    Rule(
        "vfork-parent", "a process inside that waits for its child since vfork(2)",
        Outcome.REFUSES, _vforks,
        message="Timeout reached. Try to interrupt", where="cr-dump.c",
        remove="wait until the child has executed its program",
    ),
    Rule(
        "vfork-outside", "a vfork(2) across the border", Outcome.SILENT, Crosses("vfork"),
        about="vfork", then="the two have address spaces of their own, and nobody waits",
    ),
    Rule(
        "session-leader", "a root that is no session leader", Outcome.REFUSES, _no_leader,
        about="session",
        message="The root process is not a session leader. Consider using --shell-job option",
        where="pstree.c dump_pstree", option="--shell-job", restore="--shell-job",
        then="it is in the session of who restores it",
    ),
    Rule(
        "session-hidden", "a task, or a zombie, whose session is of another pid namespace",
        Outcome.REFUSES, Having(TASK, {"session.hidden": said}), about="session-left",
        message="A session leader is outside of its pid namespace",
        where="cr-dump.c dump_one_task, dump_zombies",
        remove="call setsid(2) in the first process of the container",
    ),
    Rule(
        "session", "a session or process group led from outside", Outcome.SILENT,
        Crosses("session"), about="session",
        then="no hangup and no signal to the group reaches it",
    ),
    Rule(
        "session-left", "a session whose leader is gone, with processes outside", Outcome.SILENT,
        Crosses("session-left"), about="session-left",
        then="it is a session of its own with the same number, if that is free",
    ),
    Rule(
        "controlling-terminal", "a controlling terminal that processes outside have too",
        Outcome.REFUSES, Crosses("controlling-terminal"), about="controlling-terminal",
        message="Found slave peer index without correspond master peer",
        where="tty.c tty_verify_active_pairs", option="--shell-job", restore="--shell-job",
        then="it has the terminal of who restores it", by_runtime=True,
    ),
    Rule(
        "shared-mm-inside", "an address space of two processes inside", Outcome.REFUSES, _memory,
        message="Can't make VM id", where="cr-dump.c dump_task_kobj_ids",
        remove="let the child execute a program, or exit",
    ),
    Rule(
        "shared-fs-inside", "a root and working directory of two processes inside (CLONE_FS)",
        Outcome.REFUSES, _places,
        message="Can't make FS id", where="cr-dump.c dump_task_kobj_ids",
        remove="unshare(2) it: CLONE_FS",
    ),
    Rule(
        "shared-handlers-inside", "signal handlers of two processes inside (CLONE_SIGHAND)",
        Outcome.REFUSES, _handlers,
        message="Can't make SIGHAND id", where="cr-dump.c dump_task_kobj_ids",
        remove="let the child execute a program, or exit",
    ),
    Rule(
        "shared-io-inside",
        "an I/O priority of two processes inside (CLONE_IO)",
        Outcome.SILENT,
        _priorities,
        then="each has one of its own",
    ),
    Rule(
        "mm", "an address space that a task outside runs in (CLONE_VM, vfork(2))", Outcome.SILENT,
        Leaked("MM"), about="MM",
        then="each side has memory of its own; meanwhile CRIU runs code in what the task outside, "
        "which nobody stops, runs in",
    ),
    Rule(
        "descriptor-table", "a descriptor table that a task outside has too (CLONE_FILES)",
        Outcome.SILENT, Leaked("FILE_TABLE"), about="FILE_TABLE",
        then="each side has descriptors of its own",
    ),
    Rule(
        "fs", "a root and working directory that a task outside has too (CLONE_FS)",
        Outcome.SILENT, Leaked("FS"), about="FS",
        then="each side has a working directory and a umask of its own",
    ),
    Rule(
        "sighand", "signal handlers that a task outside has too (CLONE_SIGHAND)", Outcome.SILENT,
        Leaked("SIGHAND"), about="SIGHAND", then="each side has handlers of its own",
    ),
    Rule(
        "io-context", "an I/O priority that a task outside has too (CLONE_IO)", Outcome.SILENT,
        Crosses("io-context"), about="io-context", then="each side has one of its own",
    ),
    Rule(
        "semaphore-undo", "a list of semaphore undos that a task outside has too (CLONE_SYSVSEM)",
        Outcome.SILENT, Crosses("semaphore-undo"), about="semaphore-undo",
        then="the undos are done when the dumped tasks are killed, and the restored ones believe "
        "that they are to come",
    ),
    Rule(
        "sysv-semaphore", "System V semaphores that both sides use", Outcome.SILENT,
        Crosses("sysv-semaphore"), about="sysv-semaphore", then=_SEGMENTS,
    ),
    Rule(
        "sysv-queue", "a System V message queue that both sides use", Outcome.SILENT,
        Crosses("sysv-queue"), about="sysv-queue",
        then="what is sent on one side is not received on the other",
    ),
    Rule(
        "shared-mapping", "shared memory of both sides", Outcome.SILENT, Crosses("shared-mapping"),
        about="shared-mapping", then="each side has memory of its own",
    ),
    Rule(
        "userfault", "page faults that are answered across the border (userfaultfd)",
        Outcome.SILENT, Crosses("userfault"), about="userfault",
        then="nobody is asked: pages that were missing are zeroes",
    ),
    Rule(
        "seccomp-listener", "system calls that are decided across the border (seccomp)",
        Outcome.SILENT, Crosses("seccomp-listener"), about="seccomp-listener",
        then="the filter is there and its listener is not: the calls fail (ENOSYS)",
    ),
    Rule(
        "perf-watch", "a perf event across the border", Outcome.SILENT, Crosses("perf-event"),
        about="perf-event", then="it counts nothing any more",
    ),
    Rule(
        "keyring", "a keyring that both sides have", Outcome.SILENT, Crosses("keyring"),
        about="keyring", then="it has a new keyring: keys that it had are not in there",
    ),
    Rule(
        "reaper", "orphans that go to a sub-reaper outside", Outcome.SILENT, Crosses("reaper"),
        about="reaper", then="they go to whoever is there where it is restored",
    ),
    Rule(
        "uring-worker", "an io_uring whose work is done across the border", Outcome.SILENT,
        Crosses("uring-worker"), about="uring-worker",
        then="nobody does it any more",
    ),
)  # fmt: skip
