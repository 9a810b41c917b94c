"""The keys of the JSON of each command, their types and meanings: for its page and its schemas."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analyzer.changes.between import Answer, Way
from analyzer.changes.identity import By
from analyzer.changes.watching import Sort
from analyzer.core.model import (
    JSON_FORMAT,
    Basis,
    Conclusion,
    Counted,
    Impact,
    Rules,
    Side,
    Status,
    Verdict,
)
from analyzer.criu import Outcome as Does
from analyzer.lookup import namespaces, things
from analyzer.lookup.value import Outcome
from analyzer.report.columns import COLUMNS
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from enum import StrEnum

    from analyzer.lookup.columns import Field
    from analyzer.report.listing import Column

Shape = dict[str, Any]
"""A fragment of JSON Schema."""

Keys = dict[str, tuple[Shape, str]]
"""The type and the meaning of each value, by its path: ``objects[].kind``."""

INT: Final[Shape] = {"type": "integer"}
TEXT: Final[Shape] = {"type": "string"}
FLAG: Final[Shape] = {"type": "boolean"}
NUMBER: Final[Shape] = {"type": "number"}
INT_OR_NONE: Final[Shape] = {"type": ["integer", "null"]}
TEXT_OR_NONE: Final[Shape] = {"type": ["string", "null"]}
FLAG_OR_NONE: Final[Shape] = {"type": ["boolean", "null"]}
VERSION: Final[Shape] = {"const": JSON_FORMAT}
FACTS: Final[Shape] = {
    "type": "object",
    "additionalProperties": {"type": ["integer", "string"]},
}


def array(of: Shape) -> Shape:
    """Return the type of a list."""
    return {"type": "array", "items": of}


def word(of: type[StrEnum], *, none: bool = False) -> Shape:
    """Return the type of one of the words of an enumeration."""
    return {"enum": [*(one.value for one in of), *([None] if none else [])]}


def many(part: str) -> Shape:
    """Return the type of a list of what is told in `PARTS`."""
    return array({"$ref": f"#/$defs/{part}"})


def maybe(part: str) -> Shape:
    """Return the type of what is told in `PARTS`, or null."""
    return {"anyOf": [{"$ref": f"#/$defs/{part}"}, {"type": "null"}]}


TEXTS: Final = array(TEXT)
_CELLS: Final = {
    "string": TEXT_OR_NONE,
    "number": {"type": ["number", "null"]},
    "boolean": FLAG_OR_NONE,
}

_GAP: Final[Keys] = {
    "gaps[].where": (TEXT, "what could not be read"),
    "gaps[].syscall": (TEXT, "the call that failed"),
    "gaps[].errno": (INT_OR_NONE, "its error number, or null"),
    "gaps[].effect": (TEXT, "what that does to the result"),
}
_ERROR: Final[Keys] = {
    "errors[].message": (TEXT, "why there is no result"),
    "errors[].exit_code": (INT, "what the program exits with"),
}
_FACTS: Final = "what is known of its state, by name (see facts.md)"


def _rows(columns: Iterable[Column | Field[Any]]) -> tuple[Shape, str]:
    cells = {one.name: {**_CELLS[one.type], "description": one.meaning} for one in columns}
    row: Shape = {"type": "object", "properties": cells, "required": []}
    return array(row), "with -o COL,..., instead of the list: these columns, by name"


CHECK: Final[Keys] = {
    "cranalyze": (VERSION, "version of this format: keys may be added within one"),
    "command": (TEXT, "the command that wrote it"),
    "status": (word(Status), "the answer: contained, leaks, undecided, or error"),
    "exit_code": (INT, "what the program exits with"),
    "advisory": (FLAG, "leaks do not count (--subtree)"),
    "incomplete": (FLAG, "a part of the subtree could not be read"),
    "profile": (TEXT, "the runtime whose own doing does not decide, or none"),
    "warnings": (array(TEXT), "of a policy: rules that are over, or cover nothing"),
    "subject.pid": (
        INT,
        "root of the subtree, as the initial pid namespace numbers it (or the dump)",
    ),
    "subject.local_pid": (
        INT_OR_NONE,
        "as it was asked for: cranalyze may be in another pid namespace; null when not known",
    ),
    "subject.comm": (TEXT, "what the root calls itself"),
    "subject.tasks": (INT, "threads in the subtree"),
    "subject.container_init": (
        FLAG_OR_NONE,
        "the root is pid 1 of a pid namespace; null when not known",
    ),
    "subject.host": (TEXT, "host name"),
    "subject.boot_id": (TEXT, "the boot, as random(4) has it"),
    "subject.kernel": (TEXT, "kernel release"),
    "subject.collected_at": (TEXT, "when it was read, RFC 3339"),
    "subject.source": (TEXT, "kernel, vmcore, procfs or replay"),
    "subject.rules": (word(Rules), "modern, linux-cr or seed"),
    "subject.frozen": (FLAG, "the subtree was held still"),
    "subject.frozen_seconds": (NUMBER, "for how long"),
    "subject.name": (TEXT, "what it is, where it was named otherwise than by its pid"),
    "subject.runtime": (TEXT, "whose container it is: podman, docker, containerd, cri-o, lxc, ..."),
    "subject.container": (TEXT, "its id, or for lxc and nspawn its name"),
    "subject.roots": (array(INT), "what it has besides pid: more roots of the subtree"),
    "summary.objects": (INT, "objects collected"),
    "summary.checked": (INT, "of these judged under the rules"),
    "summary.contained": (INT, "judged contained"),
    "summary.usage_leak": (INT, "refcount above the users"),
    "summary.overcount": (INT, "refcount below the users"),
    "summary.unstable": (INT, "changed while it was read"),
    "summary.unknown": (INT, "could not be decided"),
    "summary.references": (INT, "counted references held from inside"),
    "summary.unnamed": (INT, "counts that no holder was found for"),
    **{
        f"summary.crossings.{impact.value}": (
            INT,
            "what crosses the border uncounted, of this impact",
        )
        for impact in Impact
    },
    "objects[].objref": (INT, "number of the object, stable for equal input"),
    "objects[].kind": (TEXT, "FILE, MM, UTS_NS, ... (see kinds.md)"),
    "objects[].address": (
        TEXT_OR_NONE,
        "kernel address or its salted hash, hex; null when the source sees none",
    ),
    "objects[].name": (TEXT_OR_NONE, "what people call it, or null"),
    "objects[].ino": (INT_OR_NONE, "inode number, or null"),
    "objects[].dev": (TEXT_OR_NONE, "major:minor, or null"),
    "objects[].initial": (FLAG, "an initial namespace: the host's"),
    "objects[].verdict": (word(Verdict), "usage_leak, overcount, unstable, unknown, contained"),
    "objects[].basis": (word(Basis), "proven, witnessed, structural, reconstructed"),
    "objects[].users": (INT, "counts held from inside"),
    "objects[].refcount": (INT_OR_NONE, "the object's own count, null when not known"),
    "objects[].refcount_source": (
        word(Counted, none=True),
        "whose count that is: the kernel's, or reconstructed of a whole dump; null for none",
    ),
    "objects[].observer": (INT, "counts held by cranalyze itself"),
    "objects[].outside": (INT, "counts held from outside, by name"),
    "objects[].unnamed": (INT, "refcount less users, observer and outside"),
    "objects[].shared": (INT, "the part of users whose holders are led to from outside as well"),
    "objects[].passes": (
        TEXTS,
        "of a set of namespaces: its own that the outside is in by having it too",
    ),
    "objects[].holders": (many("holder"), "who holds it, a reference each"),
    "objects[].uncounted": (many("holder"), "holders that the rules do not count"),
    "objects[].gates": (FLAG, "a leak of this kind decides the answer (--fail-on, --ignore)"),
    "objects[].waived": (maybe("waived"), "why it is known and does not decide, or null"),
    "objects[].identities": (array(TEXT), "what the next run calls it too: for --baseline"),
    "objects[].message": (TEXT_OR_NONE, "the kernel's message, or null"),
    "objects[].facts": (FACTS, _FACTS),
    "objects[].impact": (
        word(Impact, none=True),
        "what a leak means, as of a crossing; null for what is none",
    ),
    "objects[].conclusion": (
        word(Conclusion, none=True),
        "where no refcount is known: witnessed, possible (`candidates`), consistent or unknown",
    ),
    "objects[].candidates": (
        many("candidate"),
        "who may hold it from outside, where nobody could tell: what looks like it",
    ),
    "objects[].candidates_more": (INT, "how many more look like it"),
    "objects[].not_told_apart": (INT, "how many neither look like it nor are proven to be others"),
    "objects[].may_be_held": (TEXTS, "what else of /proc may hold it, and does not tell"),
    "objects[].holders_listed": (
        FLAG,
        "false where they are left out: the host's own, without --all",
    ),
    "rows": _rows(COLUMNS),
    "findings[].finding": (TEXT, "what else there is to say: container_init, nested_ns, crossing"),
    "findings[].message": (TEXT, "the kernel's message; of a crossing what it is"),
    "findings[].detail": (TEXT, "the same in words"),
    "findings[].gates": (FLAG, "it decides the answer"),
    "findings[].waived": (maybe("waived"), "why it is known and does not decide, or null"),
    "findings[].relation": (
        TEXT,
        "of a crossing: what its ends have to do with each other (relations.md)",
    ),
    "findings[].impact": (
        word(Impact),
        "what that means: reaches out, shared state, lost on checkpoint, pins, watches, by design",
    ),
    "findings[].stable": (FLAG, "two readings agreed on it"),
    "findings[].alone": (FLAG, "all its ends are inside: a checkpoint has to know of it"),
    "findings[].identities": (array(TEXT), "what the next run calls it too: for --baseline"),
    "findings[].ends": (many("end"), "what has it with what"),
    "findings[].meeting": (maybe("end"), "what they have in common, or null"),
    **_GAP,
    "tasks": (many("task"), "threads that lead to some holder, each once"),
    "task_sets": (
        array(array(INT)),
        "sets of tasks, each a list of numbers of rows of `tasks`, from 0",
    ),
    "notes": (TEXTS, "what the source says of itself"),
    "inventory": (maybe("inventory"), "what a dump of /proc has, null for what is none"),
    "consistency": (
        maybe("consistency"),
        "what a source without refcounts is worth, null for one that has them",
    ),
    "objects[].criu": (many("does"), "with --for criu: what CRIU does with it (criu.md)"),
    "findings[].criu": (many("does"), "with --for criu: what CRIU does with it"),
    "criu.versions": (TEXT, "with --for criu: the version of CRIU that the rules hold for"),
    "criu.refuses": (FLAG, "without options it refuses something, or could not restore it"),
    "criu.possible": (FLAG, "with the options in the commands it would dump and restore it"),
    "criu.partial": (
        FLAG,
        "read from /proc, or a snapshot without mounts: much that CRIU refuses is not seen",
    ),
    "criu.dump": (TEXT, "the command that dumps it"),
    "criu.restore": (TEXT, "the command that restores it"),
    "criu.remove": (TEXTS, "what no option allows: it has to go first"),
    "criu.runtime": (TEXT, 'what the runtime beside a container calls itself, or ""'),
    "criu.verified": (maybe("verified"), "with --verify: what CRIU did; null where not asked"),
    "criu.blockers[].rule": (TEXT, "the rule that applies (criu.md)"),
    "criu.blockers[].outcome": (word(Does), "what CRIU does with it"),
    "criu.blockers[].kind": (TEXT, "TASK, or the kind of the object"),
    "criu.blockers[].objref": (INT_OR_NONE, "the object, null for a task"),
    "criu.blockers[].tid": (INT_OR_NONE, "the task, null for an object"),
    "criu.blockers[].what": (TEXT, "what it is"),
    "criu.blockers[].where": (TEXT, "who has it, by which descriptors"),
    "criu.blockers[].detail": (TEXT, "what else is known of it"),
    "criu.blockers[].message": (TEXT, 'what CRIU says, or ""'),
    "criu.blockers[].option": (TEXT, 'what allows it, with its argument, or ""'),
    "criu.blockers[].restore": (TEXT, 'what the restore needs then, or ""'),
    "criu.blockers[].then": (TEXT, 'what is so afterwards, or ""'),
    "criu.blockers[].remove": (TEXT, 'how it goes away, or ""'),
    "criu.blockers[].finding": (
        INT_OR_NONE,
        "which of the crossings among the findings it is, from 0, or null",
    ),
    **_ERROR,
}

CONSISTENCY: Final[Keys] = {
    "consistent": (FLAG, "nothing speaks against containment, which is not proven (--accept)"),
    "but_for": (TEXTS, "kinds that no dump decides, without which it were (--ignore)"),
    "preconditions[].name": (TEXT, "what has to hold before anything is consistent"),
    "preconditions[].holds": (FLAG, "it does"),
    "preconditions[].why": (TEXT, 'why it does not, or ""'),
    "unseen": (TEXTS, "holders that are not seen even so"),
}

VERIFIED: Final[Keys] = {
    "version": (TEXT, "the version of the CRIU that was run"),
    "reason": (TEXT, 'why it was not run, or ""'),
    "worked": (FLAG, "criu dump --leave-running did it, with the options of `dump`"),
    "agrees": (FLAG, "that is what the rules say"),
    "said": (TEXTS, "its errors"),
}

DOES: Final[Keys] = {
    "rule": (TEXT, "the rule that applies (criu.md)"),
    "outcome": (word(Does), "what CRIU does with it"),
    "option": (TEXT, 'what allows it, with its argument, or ""'),
}

TASK: Final[Keys] = {
    "tid": (INT, "a thread"),
    "tgid": (INT, "its process"),
    "comm": (TEXT, "its name"),
    "side": (word(Side), "its side"),
}

HOLDER: Final[Keys] = {
    "side": (word(Side), "inside, outside, observer"),
    "shared": (FLAG, "it is inside, and led to from outside as well"),
    "things": (TEXTS, "what keeps it, or is open: a path, a bind mount and its place"),
    "association": (TEXT, "the place: fd, exe, vma, nsproxy.uts, ... (see kinds.md)"),
    "slot": (INT_OR_NONE, "fd number, start of the mapping, ..., or null"),
    "weight": (INT, "how many counts it accounts for"),
    "holder.kind": (TEXT, "TASK, or the kind of the holding object"),
    "holder.objref": (INT_OR_NONE, "the holding object, null for a task"),
    "holder.tid": (INT_OR_NONE, "the holding task, null for an object"),
    "tasks": (many("task"), "the first eight threads of its side that lead to it"),
    "task_set": (INT, "all that lead to it: a number of `task_sets`"),
    "detail": (TEXT, "the reference in words: fd 5 (cloexec)"),
    "via": (TEXTS, "the descriptors that lead to it, if nothing else does: fd 4"),
}

CANDIDATE: Final[Keys] = {
    "objref": (INT, "what looks like it"),
    "evidence": (TEXT, "what is equal, in words"),
    "holder": (maybe("holder"), "somebody outside who holds that"),
}

END: Final[Keys] = {
    "side": (word(Side), "inside, outside, observer"),
    "kind": (TEXT, "TASK, or the kind of the object"),
    "objref": (INT_OR_NONE, "the object, null for a task"),
    "tid": (INT_OR_NONE, "the task, null for an object"),
    "name": (TEXT_OR_NONE, "what it is called, or null"),
    "role": (TEXT, "its part in the relation: cwd, owner, ..."),
    "slot": (INT_OR_NONE, "fd number, signal, ..., or null"),
    "detail": (TEXT, "what else is known of it"),
    "tasks": (many("task"), "the first eight threads that lead to it"),
    "task_set": (INT, "all tasks that lead to it: a number of `task_sets`"),
    "via": (TEXTS, "the descriptors that lead to it: fd 4"),
    "things": (TEXTS, "what keeps it without a task: a bind mount and its place"),
    "facts": (FACTS, _FACTS),
}

_TOTALS: Final[Keys] = {
    f"{name}[].{key}": told
    for name, whose in (
        ("processes", "a process"),
        ("users", "a user"),
        ("units", "a unit or container"),
        ("filesystems", "a filesystem, by device and mount point, with what is deleted on it:"),
    )
    for key, told in {
        "who": (TEXT, f"{whose} which holds some of them"),
        "pids": (array(INT), "its processes"),
        "things": (INT, "how many"),
        "amount": (INT, "how much of what is summed up"),
    }.items()
}

_LISTED: Final[Keys] = {
    "kind": (TEXT, "with --kind and --deleted, instead of answers: what is listed"),
    "count": (INT, "how many there are"),
    "amount": (INT_OR_NONE, "what is summed up of them, or null"),
    "unit": (TEXT, 'of what: watches, bytes, ..., or ""'),
    "limits[].name": (TEXT, "a limit beside them: a sysctl, RLIMIT_NOFILE, pids.max"),
    "limits[].whose": (TEXT, "of whom it is: a user, a process, the machine"),
    "limits[].used": (INT_OR_NONE, "how much of it is used, null when not known"),
    "limits[].most": (INT_OR_NONE, "the limit, or null for none"),
    "limits[].note": (TEXT, 'what else there is to know, or ""'),
    **_TOTALS,
    "things[].kind": (TEXT, "FILE, TTY, SHM, ... (see kinds.md)"),
    "things[].type": (TEXT, "of an open file: eventfd, memfd, file, ..."),
    "things[].objref": (INT, "its number in this reading"),
    "things[].name": (TEXT_OR_NONE, "what people call it, or null"),
    "things[].ino": (INT_OR_NONE, "inode number, or null"),
    "things[].dev": (INT_OR_NONE, "device of its filesystem, as makedev(3), or null"),
    "things[].refcount": (INT_OR_NONE, "the object's own count, null when not known"),
    "things[].files": (INT, "open files of it, where those of one inode are one thing"),
    "things[].amount": (INT_OR_NONE, "what is summed up of it, or null"),
    "things[].holders[].pid": (INT, "a process that holds it"),
    "things[].holders[].comm": (TEXT, "its name"),
    "things[].holders[].fds": (array(INT), "by these descriptors"),
    "things[].holders[].mapped": (FLAG, "it maps it"),
    "things[].kept_by": (TEXTS, "where no process holds it: what does, a loop device"),
    "things[].facts": (FACTS, _FACTS),
    "notes": (TEXTS, "what else there is that no process holds: BPF objects that are pinned, ..."),
    "rows": _rows(things.FIELDS.values()),
}

WHO: Final[Keys] = {
    "cranalyze": (VERSION, "version of this format: keys may be added within one"),
    "command": (TEXT, "the command that wrote it"),
    "exit_code": (INT, "what the program exits with"),
    "answers[].asked": (TEXT, "the word"),
    "answers[].found": (FLAG, "there is such a thing, or something that holds it"),
    "answers[].outcome": (word(Outcome), "how the question ended (see who.md)"),
    "answers[].there": (FLAG, "the thing exists, whoever holds it"),
    "answers[].unsure": (FLAG, "nothing was found, but not all could be read"),
    "answers[].unseen": (
        TEXT,
        'which holders cannot be seen here, and what would show them, or ""',
    ),
    "answers[].what": (TEXTS, "what the word stands for"),
    "answers[].notes": (TEXTS, "what else is known: locks, who waits for whom"),
    "answers[].pid": (INT_OR_NONE, "the process asked for, in the initial pid namespace, or null"),
    "answers[].silent": (array(INT), "processes whose directories do not answer"),
    "answers[].next": (TEXTS, "what would release it, the nearest first"),
    "answers[].following": (
        array(TEXTS),
        "points of mounts, and a mount namespace in which that goes with the host's",
    ),
    "answers[].held[].objref": (INT, "number of the object in this reading"),
    "answers[].held[].kind": (TEXT, "FILE, MM, UTS_NS, ... (see kinds.md)"),
    "answers[].held[].name": (TEXT_OR_NONE, "what people call it, or null"),
    "answers[].held[].initial": (FLAG, "an initial namespace: the host's"),
    "answers[].held[].refcount": (INT_OR_NONE, "the object's own count, null when not known"),
    "answers[].held[].named": (INT, "how many of its references are named"),
    "answers[].held[].part": (
        TEXT,
        '"" what was asked for, else: other end, filesystem, perhaps, awaited',
    ),
    "answers[].held[].role": (TEXT, 'which end it is, or how it is open, or ""'),
    "answers[].held[].facts": (TEXTS, "what is known of its state, in words"),
    "answers[].held[].by": (many("node"), "who holds it"),
    "answers[].places[].what": (TEXT, "how it is held without a counted reference"),
    "answers[].places[].pid": (INT, "the process, 0 for none"),
    "answers[].places[].comm": (TEXT, "its name"),
    "answers[].places[].release": (TEXT, 'what would end that, or ""'),
    "answers[].people[].pid": (INT, "a process that is named above"),
    "answers[].people[].comm": (TEXT, "its name"),
    "answers[].people[].user": (TEXT, "whose it is"),
    "answers[].people[].uid": (INT_OR_NONE, "the number of that user, or null"),
    "answers[].people[].unit": (TEXT, 'its unit or container, or ""'),
    "answers[].people[].zombie": (FLAG, "it is dead, and its parent has not waited for it"),
    "answers[].people[].parent": (INT, "its parent"),
    "answers[].people[].parent_comm": (TEXT, "the name of that"),
    **_LISTED,
    "snapshot.host": (TEXT, "the machine that the answers are of"),
    "snapshot.boot_id": (TEXT, "its boot, as random(4) has it"),
    "snapshot.kernel": (TEXT, "its kernel release"),
    "snapshot.collected_at": (TEXT, "when it was read, RFC 3339"),
    "snapshot.source": (TEXT, "kernel, vmcore, procfs or replay"),
    "snapshot.scope": (TEXT, "host: all of it; border: a process and what holds what it has"),
    "snapshot.pid": (INT_OR_NONE, "that process, or null"),
    "incomplete": (FLAG, "something could not be read"),
    **_GAP,
    **_ERROR,
}

NODE: Final[Keys] = {
    "kind": (TEXT, "TASK, or the kind of the holding object"),
    "tid": (INT_OR_NONE, "the thread, null for an object"),
    "tgid": (INT_OR_NONE, "its process, null for an object"),
    "process": (TEXT_OR_NONE, "the name of that"),
    "objref": (INT_OR_NONE, "the holding object, null for a task"),
    "name": (TEXT_OR_NONE, "what it is called, or null"),
    "association": (TEXT, "the place: fd, exe, vma, nsproxy.uts, ... (see kinds.md)"),
    "slot": (INT_OR_NONE, "fd number, start of the mapping, ..., or null"),
    "weight": (INT, "how many counts it accounts for"),
    "words": (TEXT, "the reference in words: fd 5 (cloexec)"),
    "initial": (FLAG, "an initial namespace: the host's"),
    "members": (array(INT), "processes that live in the namespace that it is"),
    "observer": (FLAG, "cranalyze itself"),
    "kthread": (FLAG, "one of the kernel's threads"),
    "by": (many("node"), "who holds that in turn"),
}

CENSUS: Final[Keys] = {
    "cranalyze": (VERSION, "version of this format: keys may be added within one"),
    "command": (TEXT, "the command that wrote it"),
    "exit_code": (INT, "what the program exits with"),
    "exact": (FLAG, "every reference of what is settled and not the host's is named"),
    "tasks": (INT, "threads of the machine"),
    "references": (INT, "references that were found"),
    "kinds[].kind": (TEXT, "FILE, MM, UTS_NS, ... (see kinds.md)"),
    "kinds[].objects": (INT, "objects of this kind"),
    "kinds[].refcount": (INT_OR_NONE, "sum of their counts; null where it cannot be told"),
    "kinds[].named": (INT, "references to them that were found"),
    "kinds[].unnamed": (INT_OR_NONE, "counts that no holder was found for"),
    "kinds[].overnamed": (INT_OR_NONE, "references found that are not counted"),
    "kinds[].unstable": (INT, "objects that changed while they were read"),
    "residual[].kind": (TEXT, "an object that does not come out even: its kind"),
    "residual[].objref": (INT, "its number in this reading"),
    "residual[].name": (TEXT_OR_NONE, "what people call it, or null"),
    "residual[].refcount": (INT, "its own count"),
    "residual[].named": (INT, "references to it that were found"),
    "residual[].initial": (FLAG, "an initial namespace: the host's"),
    "residual[].stable": (FLAG, "it did not change while it was read"),
    "gaps": (TEXTS, "what could not be read"),
    "limits": (TEXTS, "why a file cannot tell whether all is named (--from, --proc)"),
    **_ERROR,
}

NAMESPACES: Final[Keys] = {
    "cranalyze": (VERSION, "version of this format: keys may be added within one"),
    "command": (TEXT, "the command that wrote it"),
    "exit_code": (INT, "what the program exits with"),
    "namespaces[].type": (TEXT, "net, mnt, pid, ..."),
    "namespaces[].ino": (INT, "its number, as /proc/PID/ns shows it"),
    "namespaces[].name": (TEXT, "net:[N]"),
    "namespaces[].objref": (INT, "its number in this reading"),
    "namespaces[].initial": (FLAG, "the host's own"),
    "namespaces[].owner": (INT_OR_NONE, "the number of the user namespace that owns it, or null"),
    "namespaces[].parent": (INT_OR_NONE, "the number of its parent, or null"),
    "namespaces[].nprocs": (INT, "how many processes are in it"),
    "namespaces[].pids": (array(INT), "these"),
    "namespaces[].pid": (INT_OR_NONE, "the lowest of them, or null"),
    "namespaces[].ppid": (INT_OR_NONE, "the parent of that, or null"),
    "namespaces[].comm": (TEXT, "the name of that"),
    "namespaces[].command": (TEXT, "its command line"),
    "namespaces[].uid": (INT_OR_NONE, "the number of its user, or null"),
    "namespaces[].user": (TEXT, "its user"),
    "namespaces[].netnsid": (
        INT_OR_NONE,
        "of a network namespace: the id that the host's gave it, or null",
    ),
    "namespaces[].refcount": (INT_OR_NONE, "the namespace's own count, null when not known"),
    "namespaces[].unnamed": (INT, "counts that no holder was found for"),
    "namespaces[].stable": (FLAG, "it did not change while it was read"),
    "namespaces[].pins[].words": (TEXT, "what else holds it, in words"),
    "namespaces[].pins[].pids": (array(INT), "the processes that leads to"),
    "namespaces[].pins[].path": (TEXT_OR_NONE, "of a bind mount: where it is; or null"),
    "rows": _rows(namespaces.FIELDS.values()),
    "incomplete": (FLAG, "something could not be read"),
    **_GAP,
    **_ERROR,
}


def _tally(of: str, *, none: bool = False) -> Keys:
    """Return the keys of how many are new, gone, changed and kept."""
    if none:
        return {f"summary.{of}": (maybe("tally"), f"{of}, null where they are not known again")}
    return {f"summary.{of}": ({"$ref": "#/$defs/tally"}, f"{of} that were found in either")}


TALLY: Final[Keys] = {
    "before": (INT, "how many there were"),
    "after": (INT, "how many there are"),
    "new": (INT, "how many are new"),
    "gone": (INT, "how many are gone"),
    "changed": (INT, "how many changed"),
    "kept": (INT, "how many are as they were"),
}

SUBJECT: Final[Keys] = {
    path.removeprefix("subject."): told
    for path, told in CHECK.items()
    if path.startswith("subject.")
}

FOUND: Final[Keys] = {
    "verdict": (word(Verdict, none=True), "of an object"),
    "impact": (word(Impact, none=True), "what it means, or null"),
    "gates": (FLAG, "it decides"),
    "waived": (TEXT_OR_NONE, "why it does not, where it is known; or null"),
    "identities": (TEXTS, "what a baseline knows it by"),
    "objref": (INT_OR_NONE, "of an object, its number in its snapshot"),
    "address": (TEXT_OR_NONE, "of an object, its hashed address"),
    "name": (TEXT_OR_NONE, "what it is called"),
    "ino": (INT_OR_NONE, "of an object, its inode number"),
    "dev": (TEXT_OR_NONE, "of an object, the device of that"),
    "users": (INT_OR_NONE, "of an object, references held from inside"),
    "refcount": (INT_OR_NONE, "of an object, its own count"),
    "outside": (INT_OR_NONE, "of an object, references held from outside"),
    "unnamed": (INT_OR_NONE, "of an object, references that nobody was found for"),
    "inside_words": (TEXTS, "who holds it from inside, and how; or the ends inside"),
    "outside_words": (TEXTS, "the same of outside"),
}

DIFF: Final[Keys] = {
    "cranalyze": (VERSION, "version of this format: keys may be added within one"),
    "command": (TEXT, "the command that wrote it"),
    "status": (word(Answer), "whether anything is new that decides; or error"),
    "exit_code": (INT, "what the program exits with"),
    "identity": (word(By), "what a thing is known again by: kernel address, holder, or name"),
    "seconds": ({"type": ["number", "null"]}, "how much later the second was read, or null"),
    "remarks": (TEXTS, "two hosts, two boots, a clock that was set, another version, ..."),
    "warnings": (TEXTS, "of a policy: rules that are over, or cover nothing in the second"),
    "before": (maybe("subject"), "what the first is of, where and when"),
    "after": (maybe("subject"), "what the second is of"),
    **_tally("objects", none=True),
    **_tally("leaks"),
    **_tally("crossings"),
    **_tally("findings"),
    "changes[].change": (word(Way), "what became of it; kept ones with --all"),
    "changes[].what": ({"enum": ["object", "crossing", "finding"]}, "of what sort it is"),
    "changes[].kind": (TEXT_OR_NONE, "the kind of an object"),
    "changes[].relation": (TEXT_OR_NONE, "the relation of a crossing"),
    "changes[].title": (TEXT, "what it is, in words"),
    "changes[].decides": (FLAG, "it decides now, and did not before"),
    "changes[].how": (TEXTS, "what is another than it was, in words"),
    "changes[].was": (maybe("found"), "it in the first, null where it is not there"),
    "changes[].now": (maybe("found"), "it in the second, null where it is not there"),
    "growth[].pid": (INT_OR_NONE, "the process, null for all that are called so"),
    "growth[].comm": (TEXT, "its name"),
    "growth[].type": (TEXT, "of what type the descriptors are: pipes, sockets, files, eventfd"),
    "growth[].before": (INT_OR_NONE, "how many it had, null where it was not there"),
    "growth[].after": (INT_OR_NONE, "how many it has, null where it is not there"),
    **_ERROR,
}

WATCH: Final[Keys] = {
    "cranalyze": (VERSION, "version of this format: keys may be added within one"),
    "command": (TEXT, "the command that wrote it"),
    "event": (word(Sort), "what it is"),
    "exit_code": (INT_OR_NONE, "of the last event, what the program exits with; else null"),
    "at": (TEXT, "when, RFC 3339"),
    "reading": (INT, "in which reading, from 1"),
    "message": (TEXT, "the same in words"),
    "change": (maybe("change"), "what is new, gone or changed, or null"),
    "growth": (maybe("grown"), "what grows, or null"),
    **_ERROR,
}

CHANGE: Final[Keys] = {
    path.removeprefix("changes[]."): told
    for path, told in DIFF.items()
    if path.startswith("changes[].")
}

GROWN: Final[Keys] = {
    "pid": (INT_OR_NONE, "the process, null for all inside together"),
    "comm": (TEXT, "its name"),
    "what": (TEXT, "the descriptors of which type; or processes"),
    "before": (INT, "how many there were in the first of these readings"),
    "after": (INT, "how many there are"),
    "readings": (INT, "in how many readings"),
}

INVENTORY: Final[Keys] = {
    "processes": (INT, "processes in it"),
    "files": (FACTS, "how many of them have each kind of file: stat, status, task, fd, ..."),
    "kthreadd": (FLAG, "it has kthreadd: it was made in the initial pid namespace"),
    "captures": (TEXTS, "of what tools' output it was made: lsof, ps, ..."),
    "parents": (FLAG, "it is known of some process whose child it is"),
    "uid": (INT_OR_NONE, "who made it, null when not known"),
    "seconds": (INT_OR_NONE, "how long that took, null when not known"),
    "kcmp": (TEXT, 'who asked kcmp(2): cranalyze, perl, python3; "none", or "" when not known'),
    "sock_diag": (TEXT, 'who asked sock_diag(7): cranalyze, ss; "none", or "" when not known'),
    "whole": (FLAG_OR_NONE, "it has its end; null for a plain copy, which has none"),
    "subject": (INT_OR_NONE, "the process that it was made for, null for all"),
}

WAIVED: Final[Keys] = {
    "by": (TEXT, "whose rule it is: a profile's name, policy, baseline; of a part it is empty"),
    "says": (TEXT, "the reason"),
    "owner": (TEXT, "who answers for it, of a policy"),
    "part": (FLAG, "it is a part of another finding, and decides as ever: a namespace joined"),
}

PARTS: Final[Mapping[str, Keys]] = {
    "does": DOES,
    "verified": VERIFIED,
    "task": TASK,
    "holder": HOLDER,
    "candidate": CANDIDATE,
    "end": END,
    "waived": WAIVED,
    "node": NODE,
    "inventory": INVENTORY,
    "consistency": CONSISTENCY,
    "subject": SUBJECT,
    "tally": TALLY,
    "found": FOUND,
    "change": CHANGE,
    "grown": GROWN,
}
"""What documents have in several places, or in itself."""


FLEET: Final[Keys] = {
    "cranalyze": (VERSION, "version of this format: keys may be added within one"),
    "command": (TEXT, "the command that wrote it: fleet"),
    "status": (word(Status), "the worst answer of all: contained, leaks, undecided, or error"),
    "exit_code": (INT, "what the program exits with"),
    "since": (TEXT_OR_NONE, "only what was first told then or later (--since), or null"),
    "summary.first": (TEXT_OR_NONE, "when the first snapshot was taken, RFC 3339, or null"),
    "summary.last": (TEXT_OR_NONE, "when the last one was"),
    "summary.snapshots": (INT, "snapshots that could be read"),
    "summary.contained": (INT, "checks (a whole host has several) whose answer is contained"),
    "summary.leaks": (INT, "those whose answer is leaks"),
    "summary.undecided": (INT, "those whose answer is undecided"),
    "summary.unread": (INT, "snapshots that could not be read"),
    "hosts": (TEXTS, "the hosts: two of one name are told with their first boot"),
    "troubles[].signature": (TEXT, "what it is known by, in the results too"),
    "troubles[].row": ({"enum": ["leak", "crossing", "finding"]}, "of what sort it is"),
    "troubles[].kind": (TEXT, "the kind of object, the relation or the finding"),
    "troubles[].name": (TEXT, "its name without numbers and ids"),
    "troubles[].title": (TEXT, "what it is, in words"),
    "troubles[].holders": (TEXT, "the programs outside"),
    "troubles[].workload": (TEXT, "the image, else the container, the unit, or the command"),
    "troubles[].association": (TEXT, "how it is held"),
    "troubles[].impact": (TEXT_OR_NONE, "what it means at worst, or null"),
    "troubles[].gates": (FLAG, "it decides an answer, and is not code that is mapped"),
    "troubles[].hosts": (TEXTS, "where it was found"),
    "troubles[].times": (INT, "how often"),
    "troubles[].first": (TEXT, "when first"),
    "troubles[].last": (TEXT, "when last"),
    "troubles[].words": (TEXT, "who held it outside, in words, in one of the snapshots"),
    "unlike[].host": (TEXT, "a host that is unlike the others"),
    "unlike[].has": (TEXTS, "signatures that it has and most have not"),
    "unlike[].lacks": (TEXTS, "signatures that most have and it has not"),
    "unread[].url": (TEXT, "a snapshot that could not be read"),
    "unread[].why": (TEXT, "why not"),
    **_ERROR,
}


@dataclass(frozen=True, eq=False)
class Document:
    """The JSON of a command: the module that writes it (of `writers`), and its keys, in order.

    `sometimes` are keys that are not in every document; `either` are lists of
    which one is there.
    """

    module: str
    keys: Keys
    sometimes: tuple[str, ...] = ()
    either: tuple[str, ...] = ()


_CROSSING: Final = tuple(
    f"findings[].{name}" for name in ("relation", "impact", "stable", "alone", "ends", "meeting")
)
_FOR_CRIU: Final = ("criu", "objects[].criu", "findings[].criu")
_REPORT: Final = Document(
    "json", CHECK, (*_CROSSING, *_FOR_CRIU, "rows", "objects"), ("objects", "rows")
)
DOCUMENTS: Final[Mapping[str, Document]] = {
    "check": _REPORT,
    "report": _REPORT,
    "who": Document(
        "who",
        WHO,
        (
            "answers",
            "snapshot",
            "incomplete",
            "gaps",
            *dict.fromkeys(key.split("[]")[0] for key in _LISTED),
        ),
        ("answers", "things", "rows"),
    ),
    "census": Document("census", CENSUS),
    "namespaces": Document(
        "namespaces",
        NAMESPACES,
        ("namespaces", "rows", "incomplete", "gaps"),
        ("namespaces", "rows"),
    ),
    "diff": Document("diff_json", DIFF),
    "watch": Document("watch_json", WATCH),
    "fleet": Document("fleet.document", FLEET),
}
"""The commands that write JSON."""


def paths(value: Any, at: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield the path of every value in a JSON document, such as ``objects[].kind``."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from paths(item, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for item in value:
            yield from paths(item, f"{at}[]")
    else:
        yield at


def told(
    keys: Keys, before: str = "", seen: dict[str, str] | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield path, type and meaning of all values, those of a part where it is first."""
    known = {} if seen is None else seen
    for path, (shape, meaning) in keys.items():
        at, part = before + path, part_of(shape)
        if not part:
            yield at, _type(shape), meaning
        elif part in known:
            yield at, _type(shape), f"{meaning}: as {known[part]}"
        else:
            at += "[]" * ("items" in shape)
            known[part] = f"`{at}`"
            yield from told(PARTS[part], f"{at}.", known)


def part_of(shape: Shape) -> str:
    """Return which part a type is of, "" for none."""
    inner = shape.get("items") or next(iter(shape.get("anyOf", ())), {})
    return str(inner.get("$ref", "")).removeprefix("#/$defs/")


def _type(shape: Shape) -> str:
    if "items" in shape:
        return f"list of {_type(shape['items'])}"
    if "$ref" in shape:
        return "objects"
    if "anyOf" in shape:
        return "object, null"
    said = shape.get("type", "integer" if "const" in shape else "string")
    null = ", null" if None in shape.get("enum", ()) else ""
    return (said if isinstance(said, str) else ", ".join(said)) + null


_ABOUT: Final = """
Each command that writes JSON writes one versioned envelope. Keys and meanings are fixed; keys may
be added. As JSON Schema (2020-12): `cranalyze schema COMMAND`, or the files in
[schemas](schemas/). A failure has the same envelope, with `status` "error", what went wrong in
`errors`, and nothing in the other lists. A name is the name as it is; only a byte in it that is no
UTF-8 becomes the four characters `\\xNN`, since JSON has no bytes.
""".strip()


def json_page() -> str:
    """Return docs/json.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield from (md.NOTE, "# JSON", _ABOUT)
    for document in dict.fromkeys(DOCUMENTS.values()):
        names = [name for name, other in DOCUMENTS.items() if other is document]
        yield f"## {' and '.join(names)}"
        own = "" if "." in document.module else "writers."
        module = importlib.import_module(f"analyzer.{own}{document.module}")
        yield md.prose(module.__doc__)
        rows = [(f"`{path}`", kind, md.cell(said)) for path, kind, said in told(document.keys)]
        yield md.table(("key", "type", "meaning"), rows)
