"""The page of the JSON keys."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import Impact
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator


_END_KEYS: Final = {
    "side": "inside, outside, observer",
    "kind": "TASK, or the kind of the object",
    "objref": "the object, null for a task",
    "tid": "the task, null for an object",
    "name": "what it is called, or null",
    "role": "its part in the relation: cwd, owner, ...",
    "slot": "fd number, signal, ..., or null",
    "detail": "what else is known of it",
    "task_set": "all tasks that lead to it: a number of `task_sets`",
    "tasks[].tid": "one of the first eight threads that lead to it",
    "tasks[].tgid": "its process",
    "tasks[].comm": "its name",
    "tasks[].side": "its side",
    "via": "the descriptors that lead to it: fd 4",
    "things": "what keeps it without a task: a bind mount and its place",
    "facts": "what is known of its state, by name (see facts.md)",
}

JSON_KEYS: Final = {
    "cranalyze": "version of this format: keys may be added within one",
    "command": "the command that wrote it",
    "status": "the answer: contained, leaks, undecided, or error",
    "exit_code": "what the program exits with",
    "advisory": "leaks do not count (--subtree)",
    "incomplete": "a part of the subtree could not be read",
    "subject.pid": "root of the subtree, as the initial pid namespace numbers it (or the dump)",
    "subject.local_pid": "as it was asked for: cranalyze may be in another pid namespace; null when"
    " not known",
    "subject.comm": "what the root calls itself",
    "subject.tasks": "threads in the subtree",
    "subject.container_init": "the root is pid 1 of a pid namespace; null when not known",
    "subject.host": "host name",
    "subject.boot_id": "the boot, as random(4) has it",
    "subject.kernel": "kernel release",
    "subject.collected_at": "when it was read, RFC 3339",
    "subject.source": "kernel, procfs or replay",
    "subject.rules": "modern, linux-cr or seed",
    "subject.frozen": "the subtree was held still",
    "subject.frozen_seconds": "for how long",
    "summary.objects": "objects collected",
    "summary.checked": "of these judged under the rules",
    "summary.contained": "judged contained",
    "summary.usage_leak": "refcount above the users",
    "summary.overcount": "refcount below the users",
    "summary.unstable": "changed while it was read",
    "summary.unknown": "could not be decided",
    "summary.references": "counted references held from inside",
    "summary.unnamed": "counts that no holder was found for",
    **{
        f"summary.crossings.{impact.value}": "what crosses the border uncounted, of this impact"
        for impact in Impact
    },
    "objects[].objref": "number of the object, stable for equal input",
    "objects[].kind": "FILE, MM, UTS_NS, ... (see kinds.md)",
    "objects[].address": "kernel address or its salted hash, hex; null when the source sees none",
    "objects[].name": "what people call it, or null",
    "objects[].ino": "inode number, or null",
    "objects[].dev": "major:minor, or null",
    "objects[].initial": "an initial namespace: the host's",
    "objects[].verdict": "usage_leak, overcount, unstable, unknown, contained",
    "objects[].basis": "proven, witnessed, structural",
    "objects[].users": "counts held from inside",
    "objects[].refcount": "the object's own count, null when not known",
    "objects[].observer": "counts held by cranalyze itself",
    "objects[].outside": "counts held from outside, by name",
    "objects[].unnamed": "refcount less users, observer and outside",
    "objects[].shared": "the part of users whose holders are led to from outside as well",
    "objects[].passes": "of a set of namespaces: its own that the outside is in by having it too",
    "objects[].uncounted": "holders that the rules do not count, as in holders",
    "objects[].gates": "a leak of this kind decides the answer (--fail-on, --ignore)",
    "objects[].message": "the kernel's message, or null",
    "objects[].facts": "what is known of its state, by name (see facts.md)",
    "objects[].impact": "what a leak means, as of a crossing; null for what is none",
    "objects[].holders_listed": "false where they are left out: the host's own, without --all",
    "objects[].holders[].side": "inside, outside, observer",
    "objects[].holders[].shared": "it is inside, and led to from outside as well",
    "objects[].holders[].things": "what keeps it, or is open: a path, a bind mount and its place",
    "objects[].holders[].association": "the place: fd, exe, vma, nsproxy.uts, ... (see kinds.md)",
    "objects[].holders[].slot": "fd number, start of the mapping, ..., or null",
    "objects[].holders[].weight": "how many counts it accounts for",
    "objects[].holders[].holder.kind": "TASK, or the kind of the holding object",
    "objects[].holders[].holder.objref": "the holding object, null for a task",
    "objects[].holders[].holder.tid": "the holding task, null for an object",
    "objects[].holders[].tasks[].tid": "one of the first eight threads of its side that lead to it",
    "objects[].holders[].tasks[].tgid": "its process",
    "objects[].holders[].tasks[].comm": "its name",
    "objects[].holders[].tasks[].side": "its side",
    "objects[].holders[].task_set": "all that lead to it: a number of `task_sets`",
    "objects[].holders[].detail": "the reference in words: fd 5 (cloexec)",
    "objects[].holders[].via": "the descriptors that lead to it, if nothing else does: fd 4",
    "findings[].finding": "what else there is to say: container_init, nested_ns, crossing",
    "findings[].message": "the kernel's message; of a crossing what it is",
    "findings[].detail": "the same in words",
    "findings[].gates": "it decides the answer",
    "findings[].relation": "of a crossing: what its ends have to do with each other (relations.md)",
    "findings[].impact": "what that means: " + ", ".join(impact.value for impact in Impact),
    "findings[].stable": "two readings agreed on it",
    "findings[].alone": "all its ends are inside: a checkpoint has to know of it",
    **{
        f"findings[].{where}.{key}": meaning
        for where in ("ends[]", "meeting")
        for key, meaning in _END_KEYS.items()
    },
    "gaps[].where": "what could not be read",
    "gaps[].syscall": "the call that failed",
    "gaps[].errno": "its error number, or null",
    "gaps[].effect": "what that does to the result",
    "tasks[].tid": "thread that leads to some holder, each once",
    "tasks[].tgid": "its process",
    "tasks[].comm": "its name",
    "tasks[].side": "its side",
    "task_sets": "sets of tasks, each a list of numbers of rows of `tasks`, from 0",
    "notes": "what the source says of itself",
    "errors[].message": "why there is no result",
    "errors[].exit_code": "what the program exits with",
}
"""The keys of `check --json` and `report --json`, in order, as paths."""


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


def json_page() -> str:
    """Return docs/json.md."""
    module = importlib.import_module("analyzer.writers.json")
    rows = [(f"`{key}`", md.cell(meaning)) for key, meaning in JSON_KEYS.items()]
    return md.page(
        [md.NOTE, "# JSON", md.prose(module.__doc__), md.table(("key", "meaning"), rows)]
    )
