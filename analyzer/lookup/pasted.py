"""What an error message names: who is told that something is busy has a sentence, and no word.

Messages are other programs' and change, so it is not known what they say: looked for is what can be
nothing but a word (a path, an address with a port, net:[N]), wherever it stands.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.core.values import replace
from analyzer.lookup.words import parse
from analyzer.lookup.words.base import Meaning
from analyzer.procfs import blockdev, interfaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words import Query

_DELETED: Final = "--deleted"
_NOTHING: Final = "names nothing that is here; say the path, the port, the device or the pid"
_BLANK: Final = pattern(r"\s")
_HEAD: Final = pattern(r"\w+:\S")  # unix:@a b, cgroup:/a b
_END: Final = ".,:;!?"  # of a sentence or a part of one
# In order: 'a name', /a/path, net:[4026531840], ('0.0.0.0', 80), 0.0.0.0:80 or :::80, port 80,
# pid 4711, @name, eth0. A path of a URL, or of a source file of the program that complains, begins
# elsewhere (one of unix:/a/path does not); of a name alone something has to be here.
_NAMED: Final = pattern(
    r"""(?<!\w)['"`\u2018\u201c](?P<quoted>[^'"`\u2019\u201d\0]{2,})['"`\u2019\u201d]"""
    r"""|(?:(?<![\w/.:%])|(?<=unix:))(?P<path>/[^\s'"`\u2019\u201d()<>;]+)"""
    r"""|\b(?P<numbered>[a-z]+:\[[0-9]+\])"""
    r"""|\('(?P<host>[0-9a-f.:]*)', (?P<tuple>[0-9]{1,5})\b"""
    r"""|(?:(?<![\w.:\]/])|(?<=://))(?P<address>(?:[0-9]+(?:\.[0-9]+){3}|\[[0-9A-Fa-f:.]*\]|localhost|\*|::)?"""
    r""":[0-9]{1,5})(?![\w.:]\w)"""
    r"""|\bport:?\s+(?P<port>[0-9]{1,5})\b"""
    r"""|\b(?:pid|process)[ :=]{1,2}(?P<pid>[0-9]{1,10})\b"""
    r"""|\bkill: \((?P<killed>[0-9]{1,10})\)"""
    r"""|(?<![\w@.])(?P<abstract>@[^\s'",;()]{2,})"""
    r"""|(?<![\w/.:%-])(?P<bare>[a-z][\w.-]{2,14})(?![\w/-])""",
    re.IGNORECASE,
)
# What a message complains of that names no thing: a limit that is used up. The first that fits.
_LIMITS: Final = tuple(
    (pattern(said, re.IGNORECASE), listed)
    for said, listed in (
        (r"inotify|fsnotify|file watch", "--kind inotify"),
        (r"openpty|ptmx|\bpt(y|s)\b", "--kind pty"),
        (r"semget|sem_get|semaphore", "--kind sem"),
        (r"shmget|shared memory seg", "--kind shm"),
        (r"msgget|msg_get", "--kind msg"),
        (r"mq_open|mqueue", "--kind mqueue"),
        (r"\bkey(ctl|ring)|session key|disk quota exceeded", "--kind keyring"),
        (r"io_setup|aio-max", "--kind aio"),
        (r"unshare|user namespace|userns", "--kind userns"),
        (r"perf_event_open", "--kind perf-event"),
        (r"too many open files|\bE[MN]FILE\b", "--kind file"),
        (r"\bfork(:|\(| failed)|cannot fork|pthread_create|(create|start) .*thread", "--kind pids"),
        (r"no space left on device|\bENOSPC\b", _DELETED),
    )
)


def questions(asked: str, *, recorded: bool = False) -> list[Query]:
    """Return the question that a word is, or one for each word that a message names.

    BadInputError where it is neither.
    """
    parts = () if recorded or not _is_message(asked) else _named(asked)
    if not parts:
        try:
            return [parse(asked, recorded=recorded)]
        except BadInputError:
            parts = _named(asked)
            if not parts and _BLANK.search(asked) and not _HEAD.match(asked):
                raise BadInputError(f"{asked}: {_of_a_limit(asked) or _NOTHING}") from None
            if not parts or parts == (asked,):
                raise
    first, *others = [parse(part, recorded=recorded) for part in parts]
    told = _of_a_limit(asked)
    if told:
        first = replace(first, meanings=(*first.meanings, Meaning(remedy=told)))
    return [first, *others]


def _of_a_limit(message: str) -> str:
    """Return what lists who uses up the limit that a message complains of, "" for none."""
    listed = next((listed for said, listed in _LIMITS if said.search(message)), "")
    what = "deleted files that take up space" if listed == _DELETED else "who has most, and limits"
    return f"cranalyze who {listed} lists {what}" if listed else ""


def _named(message: str) -> tuple[str, ...]:
    """Return the words that a message names, each once, in its order."""
    return tuple(dict.fromkeys(_words(message)))


def _is_message(asked: str) -> bool:
    """Tell whether what could be a path with blanks is a sentence, as no such path is there."""
    if not _BLANK.search(asked) or _HEAD.match(asked) or os.path.lexists(asked):
        return False
    first = asked.split(maxsplit=1)[0].rstrip(_END)
    return os.path.lexists(first) if asked.startswith("/") else bool(_named(asked))


def _words(message: str) -> Iterator[str]:
    for match in _NAMED.finditer(message):
        found = {name: text for name, text in match.groupdict().items() if text is not None}
        if "tuple" in found:
            host = found["host"]
            yield f"{f'[{host}]' if ':' in host else host}:{found['tuple']}"
        elif "port" in found:
            yield f":{found['port']}"
        elif "path" in found:
            yield found["path"].rstrip(_END)
        elif "quoted" in found:  # much is quoted that names nothing
            if found["quoted"].startswith("/") or os.path.lexists(found["quoted"]):
                yield found["quoted"]
            else:
                yield from _words(found["quoted"])
        elif "abstract" in found:
            yield from (word for word in [found["abstract"].rstrip(_END)] if _is_bound(word))
        elif "bare" in found:
            if interfaces.here(found["bare"]) or blockdev.numbered(found["bare"]) is not None:
                yield found["bare"]
        else:
            yield from found.values()


def _is_bound(name: str) -> bool:
    """Tell whether a unix socket of our network namespace has an abstract name."""
    try:
        with open("/proc/self/net/unix", "rb") as file:
            return os.fsencode(f" {name}\n") in file.read()
    except OSError:
        return False
