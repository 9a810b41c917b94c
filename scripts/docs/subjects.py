"""The page of what a command can be about, from the registry of selectors."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING

from analyzer import subjects
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator


def subjects_page() -> str:
    """Return docs/subjects.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# Subjects: what is checked"
    yield md.NOTE
    yield (
        "`cranalyze check SUBJECT...` and `collect SUBJECT...` take a process id, a selector "
        "of the table, a name or the beginning of a container's id where only one thing is "
        "called so, or `self`: the container that cranalyze runs in, else what started it. "
        "Several are one: `check pod:web`, `check A B`. `report`, `graph`, `plot` and "
        "`export` take one as `--pid`, and look for it in a snapshot of the whole machine "
        "(`collect --scope host`), where only what cgroup paths tell is known: ids, not "
        "names. So in a dump of /proc."
    )
    rows = [
        (f"`{form.written}`", md.cell(form.meaning))
        for family in subjects.families().values()
        for form in family.forms
    ]
    yield md.table(("selector", "what it means"), rows)
    yield (
        "Containers are found by their cgroup paths first, in any hierarchy of version 1 or "
        "2. Names are asked of the runtime's own command (`podman`, `docker`, `crictl`, "
        "`lxc-info`, `machinectl`, `runc`, `crun`), which has five seconds. No daemon is "
        "spoken to, and what is not running is an error that says so; what means several "
        "things is one that lists them."
    )
    yield "## Who belongs to it"
    yield (
        "By default what descends from the first process of a container, and, of a unit, a "
        "cgroup or a namespace, all that is in it. What `podman exec` starts is no "
        "descendant: `--members cgroup` takes in all processes of the subject's cgroup, "
        "`--members pidns` those of its pid namespace, whenever it is read."
    )
    yield "## All containers"
    yield (
        "`cranalyze check --all-containers` reads the machine once and has one line for each "
        "container: those that cgroups tell of, and all other first processes of pid "
        "namespaces. It exits with the worst of their codes. With `--json` each is a line of "
        "its own (JSON Lines)."
    )
    yield "## How each is found"
    for title, about in _families():
        yield f"### {title}"
        yield md.docstring(about)


def _families() -> Iterator[tuple[str, str]]:
    told = set()
    for family in subjects.families().values():
        find = getattr(family.find, "func", family.find)
        module = inspect.getmodule(find)
        name = getattr(module, "__name__", "")
        if name in told or module is None:
            continue
        told.add(name)
        doc = inspect.getdoc(importlib.import_module(name)) or ""
        head, _, rest = doc.partition(": ")
        yield f"`{head}`", rest[:1].upper() + rest[1:]
