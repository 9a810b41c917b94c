"""terminal: a terminal, or the two ends of a pseudo-terminal, open on both sides.

Who has the master reads what is written to the terminal and types into it: a master inside of a
terminal that is used outside reaches out. Each end is a file of its own, so no count shows it.
The usual one, the slave inside and the master outside, is the terminal that a container was
started from; CRIU cannot restore it without the other end (--shell-job, --external tty[...]).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.memory.distinct import member, unique
from analyzer.relations._sockets import mine
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown


def _find(world: World) -> Iterator[Related]:
    file, tty, _ = world.held("tty.file")
    masters = unique(world.held("tty.master")[0])
    link = world.memory.gather(tty, "tty_struct", {"link": "link"})["link"]
    master = member(tty, masters)
    # Both ends meet at the master; a terminal that is no pair at itself.
    whole = np.where(member(link, masters), link, tty)
    ours = mine(world, "FILE", file)
    typed = np.isin(whole, whole[~ours & ~master])  # its slave end is open outside
    role = np.where(master, "master", np.where(whole != tty, "slave", "")).astype(object)
    impact = words(len(file))
    impact[ours & master & typed] = Impact.REACHES_OUT.value
    yield Related("FILE", file, "TTY", whole, role=role, impact=impact)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    ends = [(file, end) for file in shown.files if (end := shown.terminal(file)) is not None]
    typed = {end.whole for file, end in ends if not file.inside and not end.master}
    for file, end in ends:
        reaches = file.inside and end.master and end.whole in typed
        yield Tied(
            file.key,
            end.whole,
            role="master" if end.master else "slave",
            impact=Impact.REACHES_OUT if reaches else None,
        )


RELATION: Final = Relation(
    name="terminal",
    title="a terminal that both sides have open",
    plural="terminals that both sides have open",
    left="has it open",
    right="is the terminal",
    impact=Impact.LOST,
    next=(
        "start the subtree without the terminal (setsid COMMAND), or with one of its own "
        "(script -qc COMMAND /dev/null); CRIU: --shell-job"
    ),
    shared=True,
    counted_as="TTY",
    kernel=_find,
    from_proc=_from_proc,
    hidden="consoles and serial lines, /dev/tty, masters where several devpts are mounted",
)
