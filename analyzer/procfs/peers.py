"""What sock_diag(7) says of the sockets of network namespaces, and how a dump keeps it.

A dump has a folder for each namespace, by its number: in ``cranalyze/net/4026531840``

- ``peers`` has a line ``INODE PEER WAITING NAME`` for each unix socket: 0 for no other end, the
  inodes that it has yet to accept with commas between, ``-`` for none, and the name with escapes;
- ``listeners`` has a line ``INODE INTERFACE`` for each socket that takes TCP connections;
- ``ss`` is what ss(8) has printed of unix sockets: a shell has no other way to ask.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from analyzer.core.values import NamedTuple
from analyzer.procfs import diag, nslink
from analyzer.procfs.diag import Ends
from analyzer.procfs.parse import decode, unescape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs

T = TypeVar("T")

_FOLDER: Final = "cranalyze/net"
_NOBODY: Final = b"-"
_LINE: Final = re.compile(rb"([0-9]{1,10}) ([0-9]{1,10}) (-|[0-9,]{1,65536}) (.*)")
_LISTENER: Final = re.compile(rb"([0-9]{1,10}) ([0-9]{1,10})")
_PRINTED: Final = re.compile(
    rb"u_(?:str|dgr|seq) +[A-Z0-9-]+ +[0-9]+ +[0-9]+ +(?:.* )?([0-9]{1,10}) +\* +([0-9]{1,10}) *"
)


def kept(number: int | str, name: str) -> str:
    """Return where a dump keeps what is said of a network namespace."""
    return f"{_FOLDER}/{number}/{name}"


def are_in(paths: Iterable[str]) -> bool:
    """Tell whether a dump with files at `paths` says anything of other ends."""
    return any(path.startswith(f"{_FOLDER}/") and path.endswith("/peers") for path in paths)


class Told(NamedTuple):
    """What is known of the unix sockets of a namespace, by inode; `whole`: another is gone."""

    ends: Mapping[int, Ends]
    whole: bool

    def of(self, inode: int) -> Ends | None:
        """Return what is known of a socket that was there before, None for nothing."""
        return self.ends.get(inode, Ends() if self.whole else None)


def ends(fs: ProcFs, members: Mapping[str, Sequence[int]]) -> dict[str, Told]:
    """Return what is known of unix sockets, by network namespace: `members` are its processes."""
    found = {}
    for space, pids in members.items():
        told = _told(fs, space, "peers", partial(_said, text, diag.ends, fs, pids))
        if told is not None:
            found[space] = Told(parse(told), whole=True)
        elif (told := _told(fs, space, "ss", lambda: None)) is not None:
            found[space] = Told(printed(told), whole=False)
    return found


def listeners(fs: ProcFs, members: Mapping[str, Sequence[int]]) -> dict[int, int]:
    """Return by inode the index of the interface that each TCP listener is bound to, 0 for none.

    `members` are as of `ends`.
    """
    found: dict[int, int] = {}
    for space, pids in members.items():
        ask = partial(_said, _text_of_listeners, diag.listeners, fs, pids)
        for line in (_told(fs, space, "listeners", ask) or b"").splitlines():
            match = _LISTENER.fullmatch(line)
            if match is not None:
                found[int(match[1])] = int(match[2])
    return found


def _told(fs: ProcFs, space: str, name: str, ask: Callable[[], bytes | None]) -> bytes | None:
    link = nslink.parse(space)
    return None if link is None else fs.told(kept(link.ino, name), ask)


def _said(
    say: Callable[[T], bytes],
    ask: Callable[[ProcFs, Sequence[int]], T | None],
    fs: ProcFs,
    pids: Sequence[int],
) -> bytes | None:
    found = ask(fs, pids)
    return None if found is None else say(found)


def text(found: Mapping[int, Ends]) -> bytes:
    """Return what is known of unix sockets as a dump keeps it."""
    return b"".join(
        b"%d %d %s %s\n" % (inode, one.peer, _listed(one.waiting), _escaped(one.local))
        for inode, one in found.items()
    )


def _text_of_listeners(found: Mapping[int, int]) -> bytes:
    return b"".join(b"%d %d\n" % pair for pair in found.items())


def _listed(numbers: Sequence[int]) -> bytes:
    return b",".join(b"%d" % one for one in numbers) or _NOBODY


def _escaped(name: str) -> bytes:
    data = name.encode("utf-8", "surrogateescape")
    return data.replace(b"\\", rb"\134").replace(b"\n", rb"\012")


def parse(data: bytes) -> dict[int, Ends]:
    """Parse what `text` made; what is no such line is left out."""
    found = {}
    for line in data.split(b"\n"):
        match = _LINE.fullmatch(line)
        if match is not None:
            waiting = tuple(int(word) for word in match[3].split(b",") if word.isdigit())
            found[int(match[1])] = Ends(int(match[2]), waiting, decode(unescape(match[4])))
    return found


def printed(data: bytes) -> dict[int, Ends]:
    """Parse what ``ss -xan`` printed: the other ends, not who waits.

    It prints names as they are, with newlines: such a name can be a line of its own. So what is
    told twice is not known, nor what the other end tells differently. Where it may not ask the
    kernel it prints 0 for all other ends, and then nothing is known.
    """
    told: dict[int, set[int]] = {}
    for line in data.split(b"\n"):
        match = _PRINTED.fullmatch(line)
        if match is not None:
            told.setdefault(int(match[1]), set()).add(int(match[2]))
    known = {inode: peers.pop() for inode, peers in told.items() if len(peers) == 1}
    if not any(known.values()):
        return {}
    return {i: Ends(peer) for i, peer in known.items() if known.get(peer, i) in {0, i} or not peer}
