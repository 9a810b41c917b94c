"""Which dump is meant where there are several, and what to do where there is none.

`sos collect` makes an archive of archives, one for each host; a case folder may have anything. It
is never guessed which is meant: they are named, with how to take one.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN: Final = "stdin"
"""What a dump is called that is read from there."""

_ARCHIVES: Final = (
    ".tar", ".tgz", ".txz", ".zip", *(f".tar.{packed}" for packed in ("gz", "xz", "bz2", "zst")),
)  # fmt: skip
_MOST_NAMED: Final = 4
_MAKE: Final = "make one with the script of `cranalyze procdump --script`"


def is_archive(name: str) -> bool:
    """Tell whether a file may be an archive, by its name."""
    return name.endswith(_ARCHIVES)


def one_of(roots: set[tuple[str, ...]], where: str, *, packed: bool) -> tuple[str, ...]:
    """Return the folder that is meant; BadInputError where two are, which names them."""
    least = min(map(len, roots))
    near = sorted(root for root in roots if len(root) == least)
    named = [root for root in near if root[-1:] == ("proc",)] or near
    if len(named) > 1:
        raise several(["/".join(root) for root in named], where, packed=packed)
    return named[0]


def passed_over(roots: set[tuple[str, ...]], root: tuple[str, ...]) -> list[str]:
    """Return what to note of dumps that are deeper in it than the one that is read, at `root`."""
    others = sorted("/".join(one) for one in roots if one[: len(root)] != root)
    return [f"passed over: other dumps that are deeper in it ({_some(others)})"] if others else []


def several(names: Sequence[str], where: str, *, packed: bool) -> BadInputError:
    """Return the error for what has several dumps, by their names in it."""
    first = names[0] if packed else f"{where.rstrip('/')}/{names[0]}"
    how = f"{'unpack it, and ' if packed else ''}--proc {shlex.quote(first)}"
    return BadInputError(
        f"{where}: {len(names)} dumps in one ({_some(names)}): name one of them: {how}"
    )


def nothing(where: str, archives: Sequence[str], *, packed: bool) -> BadInputError:
    """Return the error for what has no process; `archives` are files in it that may be more."""
    if not archives:
        return BadInputError(f"{where}: not a dump of /proc: it has no process; {_MAKE}")
    first = shlex.quote(archives[0])
    if not packed:
        how = "--proc " + shlex.quote(f"{where.rstrip('/')}/{archives[0]}")
    elif where == STDIN:
        how = f"unpack it, and --proc {first}"
    else:
        unpack = "unzip -p" if where.endswith(".zip") else "tar xOf"
        how = f"{unpack} {shlex.quote(where)} {first} | cranalyze check --proc - PID"
    count = f"{len(archives)} archives" if len(archives) > 1 else "an archive"
    return BadInputError(
        f"{where}: not a dump of /proc, but it has {count} ({_some(archives)}): take one: {how}"
    )


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
