"""The registry of words: every module of this package that has a `WORD`, found by a package walk.

To add a family of words, drop one file in here; nothing else is edited.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError, nearest
from analyzer.core.pattern import pattern
from analyzer.core.registry import members
from analyzer.core.values import dataclass
from analyzer.lookup.sorts import sorts
from analyzer.lookup.words.base import Meaning, Word
from analyzer.lookup.words.process import link
from analyzer.procfs.places import comm_of, processes, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_WRITTEN: Final = (
    "PATH", "PID", "PID:FD", "ADDR:PORT", "DEVICE", "INTERFACE", "net:[N]", "pipe:[N]",
    "cgroup:PATH",
)  # fmt: skip
_MOST_CALLED: Final = 4
_UNITS: Final = (".service", ".scope", ".slice", ".socket")
_OF_NO_PATH: Final = pattern(r"anon_inode:\[?(\w+)\]?")  # as /proc and lsof call files


@cache
def words() -> Mapping[str, Word]:
    """Return the families of words by name."""
    return {word.name: word for word in members(__name__, __path__, "WORD", Word)}


@dataclass(frozen=True)
class Query:
    """A word that was understood: what it can stand for."""

    asked: str
    meanings: tuple[Meaning, ...]
    recorded: bool = False
    """Whether a snapshot that was kept is asked, and nothing of this machine."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the processes that are meant, as we call them."""
        return tuple(m.pid for m in self.meanings if m.pid is not None)


def parse(asked: str, *, recorded: bool = False) -> Query:
    """Understand a word. Raise BadInputError, with the nearest form, for what is none.

    One for a snapshot that was kept (`recorded`) is understood without asking this machine.
    """
    if not asked or "\0" in asked:
        raise BadInputError(f"{asked!r}: no word; {_known()}")
    meanings = [
        meaning
        for word in words().values()
        if word.parse is not None
        for meaning in (word.understood(asked) if recorded else word.parse(asked))
    ]
    if meanings:
        return Query(asked, tuple(meanings), recorded)
    raise BadInputError(f"{asked}: not understood{_near(asked)}; {_known()}")


def looked_at(asked: str) -> tuple[str, ...]:
    """Return the path that a word leads to, if it is known before it is understood."""
    if "\0" in asked:
        return ()
    return (asked,) if "/" in asked else link(asked)


def _near(asked: str) -> str:
    kind = _OF_NO_PATH.sub(r"\1", asked.casefold())
    if kind in sorts():
        return f" (did you mean --kind {kind}?)"
    if _names_subject(asked):
        return f" (of what runs there, ask: cranalyze check {quoted(asked)})"
    if so_called := [str(pid) for pid in processes() if comm_of(pid) == asked]:
        return f" (a process is its number; so called are {', '.join(so_called[:_MOST_CALLED])})"
    heads = {form.written.split(":")[0] for form in forms() if ":" in form.written}
    head = asked.partition(":")[0]
    return nearest(head, sorted(heads - {"PID"})) if ":" in asked else ""


def _names_subject(asked: str) -> bool:
    from analyzer.subjects import families

    head, _, name = asked.partition(":")
    return bool(head in families() and name) or asked.endswith(_UNITS)


def forms() -> list:  # type: ignore[type-arg]
    """Return every form of every word, in order."""
    return [form for word in words().values() for form in word.forms]


def _known() -> str:
    return f"say {', '.join(_WRITTEN)}, ... (docs/who.md has all), or a whole message in quotes"
