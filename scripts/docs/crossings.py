"""docs/relations.md and docs/facts.md: what is beside references, of every kind there is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from analyzer import kinds
from analyzer.core.model import Impact
from analyzer.relations import relations
from scripts.docs.markdown import NOTE, cell, page, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import Relation

_CROSSING: Final = """\
A reference is counted, and the check is of counts. Two things can have to do with each other
without one counting the other: a lock on a file that somebody else reads, a working directory on a
mount of another mount namespace, a session whose leader is elsewhere. Such a *relation* with one
end inside of the subtree and one outside *crosses* the border. It is found beside the check, and
changes none of its numbers and verdicts.

What it means is its *impact*, worst first:
"""
_IMPACTS: Final = {
    Impact.REACHES_OUT: "the subtree can act on the host's tree, tasks or network",
    Impact.SHARED_STATE: "both sides can change it",
    Impact.LOST: "a checkpoint cannot take it along",
    Impact.PINS: "one side keeps something of the other's alive, or from being unmounted or reused",
    Impact.WATCHES: "one side only sees what the other does",
    Impact.BY_DESIGN: "what every container has",
}


def relations_page() -> str:
    """Return docs/relations.md."""
    parts = [NOTE, "# What crosses without being counted", _CROSSING,
             table(("impact", "in `--ignore`", "means"), [
                 (impact.value, f"`{impact.word}`", _IMPACTS[impact]) for impact in Impact]),
             _GATING,
             table(("relation", "what crosses", "impact", "seen by"), [
                 (f"[{one.name}](#{one.name})", one.title, one.impact.value, _seen_by(one))
                 for one in relations().values()])]  # fmt: skip
    for one in relations().values():
        module = importlib.import_module(f"analyzer.relations.{one.name.replace('-', '_')}")
        about = [f"- one end: {one.left}", f"- other end: {one.right}", f"- to mend: {one.mend()}"]
        if one.alone:
            about.append("- told also when all ends are inside")
        if one.unseen:
            about.append(f"- not seen: {one.unseen}")
        if one.hidden:
            about.append(f"- not seen in /proc: {one.hidden}")
        parts += [f"## {one.name}", prose(module.__doc__), "\n".join(about)]
    parts += ["## What crosses and is told nowhere", _NOWHERE]
    return page(parts)


_NOWHERE: Final = """\
- The core-scheduling cookie of tasks (`PR_SCHED_CORE`): most kernels are built without it
  (`CONFIG_SCHED_CORE`), and where it is, it says who may run beside whom on one core, and nothing
  that a checkpoint or one of the two could lose.
- The other end of a vsock connection: what is beyond it is a virtual machine, whose side this
  kernel does not have. The addresses of such a socket are told as facts.
- Who listens to the same netlink multicast group: the kernel speaks there, and no listener can tell
  another anything. A netlink socket of another network namespace is `foreign-net`.
- Eventfds that are the interrupts of VFIO devices: each driver has structures of its own for them.
  Those of KVM and of AIO are `eventfd-user`.
"""

_GATING: Final = """\
Under `--rules modern` what reaches out and what is shared state decides the answer, as leaks do;
`--fail-on` and `--ignore` take impacts and relations by name, and `--references-only` leaves all of
them out. Under the historic rules they are told, and decide nothing. A relation may be of another
impact than its kind's, where more is known: a directory on a mount of the host's reaches out, a
file there that is only read does not.
"""


def _seen_by(one: Relation) -> str:
    return " and ".join(
        ["the kernel's memory"] * bool(one.kernel) + ["/proc"] * bool(one.from_proc)
    )


def facts_page() -> str:
    """Return docs/facts.md."""
    intro = (
        "What is known of the state of an object: `facts` in JSON, a column each in `report -o` "
        "(in capitals), a row each in the table `facts` of a snapshot. A number is without its "
        "unit; what is not known is not there. An open file also has the facts of what it is open "
        "on."
    )
    rows = [
        (f"`{fact.name}`", ", ".join(_tellers(fact.name)), fact.type, fact.unit, cell(fact.meaning))
        for fact in kinds.facts().values()
    ]
    head = ("fact", "of", "type", "unit", "meaning")
    return page([NOTE, "# Facts", intro, table(head, rows)])


def _tellers(fact: str) -> Iterator[str]:
    for kind in kinds.registry().values():
        states = {kind.name: kind.state}
        states |= {f"FILE ({t.name})": t.state for t in kind.file_types}
        for who, state in states.items():
            if state is not None and any(one.name == fact for one in state.facts):
                yield who
