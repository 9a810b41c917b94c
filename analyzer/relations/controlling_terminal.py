"""controlling-terminal: processes of both sides whose controlling terminal is one and the same.

A hangup or a Ctrl-C on it reaches both, and /dev/tty opens it on either side, without a descriptor
that anybody passed on (tty(4)). It cannot be restored without its session (CRIU: --shell-job).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK, Impact
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown


def _find(world: World) -> Iterator[Related]:
    task, tty, _ = world.held("ctty")
    yield Related(TASK, task, "TTY", tty)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    # Of one session alone, and every devpts has a terminal 0: the number is not enough.
    for task in shown.leaders():
        if task.terminal and task.session:
            yield Tied(task.key, ("TTY", (task.session, task.terminal)))


RELATION: Final = Relation(
    name="controlling-terminal",
    title="the controlling terminal of both sides",
    plural="the controlling terminals of both sides",
    left="has it as controlling terminal",
    right="is the terminal",
    impact=Impact.LOST,
    next=(
        "start the subtree without the terminal (setsid COMMAND), or with one of its own "
        "(script -qc COMMAND /dev/null)"
    ),
    shared=True,
    kernel=_find,
    from_proc=_from_proc,
)
