"""What CRIU would do with the subtree of a report, in words: each thing, and the whole commands.

What the rules found (`analyzer.criu`) is given its words here: what a thing is, which tasks and
descriptors have it, the options with their arguments, and the commands that would dump and restore
it, or what has to go first.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from analyzer.check.crossings import End
from analyzer.core.model import TASK, Side
from analyzer.core.values import NamedTuple
from analyzer.criu import find
from analyzer.criu.base import VERSION
from analyzer.criu.view import View
from analyzer.report.crossed import Ties
from analyzer.report.wording import by_descriptor, who, whose_end
from analyzer.snapshot.source import source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.check.leaks import Verdicts
    from analyzer.criu import Found, Outcome
    from analyzer.criu.verified import Verified
    from analyzer.report.crossed import Tie
    from analyzer.snapshot.value import Snapshot

_FIRST_FD: Final = 3  # that a restore is given by who runs it
_HIGHEST: Final = "--ghost-limit"  # of which one, the highest, is for all


class Blocker(NamedTuple):
    """One thing that CRIU refuses, or does not restore as it was.

    `what` it is and `where`, who has it by what; `at` is what its rule is about. `option` and
    `restore` have their arguments. `finding` is the number of the crossing that it is, if it is
    one.
    """

    rule: str
    outcome: Outcome
    at: str
    kind: str
    objref: int | None
    tid: int | None
    what: str
    where: str
    detail: str
    message: str
    option: str
    restore: str
    then: str
    remove: str
    finding: int | None

    @property
    def stops(self) -> bool:
        """Tell whether it stops a dump or a restore, and no option helps."""
        return self.outcome.stops and not self.option


class Preflight(NamedTuple):
    """What CRIU would do: all of it, the worst first, and the commands.

    `refuses` tells whether it stops at anything without options, `possible` whether with those
    that are in the commands it would not. `runtime` is what the runtime of a container calls
    itself, and then it is that which calls CRIU. `verified` is what CRIU did, if it was run.
    `lacks` is where only a part is seen from ("/proc"), "" where all is.
    """

    versions: str
    blockers: tuple[Blocker, ...]
    refuses: bool
    possible: bool
    dump: str
    restore: str
    remove: tuple[str, ...]
    runtime: str
    verified: Verified | None = None
    lacks: str = ""


def preflight(snapshot: Snapshot, verdicts: Verdicts) -> Preflight:
    """Return what CRIU would do with the subtree of a check."""
    view = View(snapshot, verdicts)
    found = find(view)
    ends = [End(one.hit.kind, one.hit.row, Side.INSIDE, "", None, one.hit.detail) for one in found]
    ties = Ties(snapshot, view.sides, ends)
    numbers = {id(one): number for number, one in enumerate(view.crossings)}
    made = tuple(
        _blocker(one, ties.tie(end), numbers, view) for one, end in zip(found, ends, strict=True)
    )
    stopping = [one for one in made if one.outcome.stops]
    return Preflight(
        VERSION,
        made,
        refuses=bool(stopping),
        possible=not any(one.stops for one in stopping),
        dump=_command(f"criu dump --tree {view.pid} --images-dir DIR", _options(made)),
        restore=_command("criu restore --images-dir DIR", _numbered(_restoring(made))),
        remove=tuple(dict.fromkeys(_removal(one) for one in stopping if one.stops)),
        runtime=view.runtime,
        lacks=_lacks(snapshot),
    )


def _lacks(snapshot: Snapshot) -> str:
    if not source_of(snapshot).refcounts:
        return "/proc"
    how = snapshot.meta["options"]
    if how.get("redacted"):
        return "a snapshot without names"
    return "" if how.get("thorough") else "a snapshot without its mounts"


def _where(tie: Tie, view: View) -> str:
    """Return who has something inside, and by which descriptors."""
    inside = tuple(task for task in tie.tasks if task.side is Side.INSIDE)
    slots = [] if tie.objref is None else view.slots(tie.objref)
    if slots and inside:
        return f"{by_descriptor([f'fd {slot}' for slot in slots])} of {who(inside)}"
    return who(inside) if inside and not tie.via else whose_end(tie)


def _blocker(one: Found, tie: Tie, numbers: dict[int, int], view: View) -> Blocker:
    rule, hit = one.rule, one.hit
    crossing = hit.crossing
    return Blocker(
        rule=rule.name,
        outcome=one.outcome,
        at=rule.at,
        kind=hit.kind,
        objref=tie.objref,
        tid=tie.tid,
        what=tie.words,
        where="" if hit.kind == TASK else _where(tie, view),
        detail=hit.detail,
        message=rule.message,
        option=_filled(rule.option, one),
        restore=_filled(rule.restore, one),
        then=rule.then.format(**hit.values) if hit.values else rule.then,
        remove=rule.remove,
        finding=None if crossing is None else numbers.get(id(crossing)),
    )


def _filled(template: str, one: Found) -> str:
    """Return an option with its arguments, quoted for a shell."""
    words = [word.format(**one.hit.values) for word in template.split(" ")] if template else []
    return shlex.join(words)


def _options(blockers: Iterable[Blocker]) -> Iterator[str]:
    """Yield the options of a dump, each once: those too that a runtime would add itself."""
    told = [one.option for one in blockers if one.option]
    highest = max((int(o.split()[1]) for o in told if o.startswith(_HIGHEST)), default=0)
    yield from (option for option in dict.fromkeys(told) if not option.startswith(_HIGHEST))
    if highest:
        yield f"{_HIGHEST} {highest}"


def _restoring(blockers: Iterable[Blocker]) -> list[str]:
    return list(dict.fromkeys(one.restore for one in blockers if one.restore))


def _numbered(options: Sequence[str]) -> Iterator[str]:
    """Give each descriptor that a restore inherits its number."""
    number = _FIRST_FD
    for option in options:
        if "fd[N]" in option:
            yield option.replace("fd[N]", f"fd[{number}]")
            number += 1
        else:
            yield option


def _command(start: str, options: Iterable[str]) -> str:
    return " ".join([start, *options])


def _removal(one: Blocker) -> str:
    return f"{one.at} ({one.where or one.what})"
