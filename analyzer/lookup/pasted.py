"""What an error message names: who is told that something is busy has a sentence, and no word.

Messages are other programs' and change, so it is not known what they say: looked for is what can be
nothing but a word (a path, an address with a port, net:[N]), wherever it stands.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.lookup.words import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words import Query

_BLANK: Final = re.compile(r"\s")
_HEAD: Final = re.compile(r"\w+:\S")  # unix:@a b, cgroup:/a b
_END: Final = ".,:;!?"  # of a sentence or a part of one
# In order: 'a name', /a/path, net:[4026531840], ('0.0.0.0', 80), 0.0.0.0:80 or :::80, port 80,
# pid 4711. A path of a URL, or of a source file of the program that complains, begins elsewhere.
_NAMED: Final = re.compile(
    r"""(?<!\w)['"`\u2018\u201c](?P<quoted>[^'"`\u2019\u201d\0]{2,})['"`\u2019\u201d]"""
    r"""|(?<![\w/.:%])(?P<path>/[^\s'"`\u2019\u201d()<>;]+)"""
    r"""|\b(?P<numbered>[a-z]+:\[[0-9]+\])"""
    r"""|\('(?P<host>[0-9a-f.:]*)', (?P<tuple>[0-9]{1,5})\b"""
    r"""|(?<![\w.:\]/])(?P<address>(?:[0-9]+(?:\.[0-9]+){3}|\[[0-9A-Fa-f:.]*\]|localhost|\*|::)?"""
    r""":[0-9]{1,5})(?![\w.:]\w)"""
    r"""|\bport:?\s+(?P<port>[0-9]{1,5})\b"""
    r"""|\b(?:pid|process)[ :=]{1,2}(?P<pid>[0-9]{1,10})\b""",
    re.IGNORECASE,
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
            if not parts or parts == (asked,):
                raise
    return [parse(part, recorded=recorded) for part in parts]


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
            yield from found.values()
