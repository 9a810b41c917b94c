"""The man page."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING

from analyzer.core import settings
from analyzer.core.version import __version__
from analyzer.report import columns as listing
from analyzer.report import filters
from scripts.docs.commands import ENVIRONMENT, EXIT_CODES, commands
from scripts.docs.kinds import kinds_intro

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scripts.docs.commands import Parameter


def man_page() -> str:
    """Return docs/man/cranalyze.1."""
    top, *rest = commands()
    lines = [
        '.\\" written by make docs from the code: change it there',
        f'.TH CRANALYZE 1 "" "cranalyze {__version__}" "User Commands"',
        ".SH NAME",
        f"cranalyze \\- {roff(_lower(top.about[0].rstrip('.')))}",
        ".SH SYNOPSIS",
        *_between(".br", [f"\\fB{roff(c.path)}\\fR{roff(c.usage[len(c.path) :])}" for c in rest]),
        ".SH DESCRIPTION",
        roff(_without_code(" ".join((kinds_intro(), *top.about[1:])))),
        *_tagged(top.options),
        ".SH COMMANDS",
    ]
    for command in rest:
        lines.append(f".SS {roff(command.usage)}")
        lines += _between(".PP", [roff(part) for part in command.about])
        lines += _tagged((*command.arguments, *command.options))
    lines += [".SH COLUMNS", *_terms({c.name: c.meaning for c in listing.COLUMNS})]
    lines += [".SH FILTERS", *_between(".PP", _in_roff(filters.__doc__))]
    lines += [".SH FILES", *_between(".PP", _in_roff(settings.__doc__))]
    lines += [".SH EXIT STATUS", *_terms({str(k): _without_code(v) for k, v in EXIT_CODES.items()})]
    lines += [".SH ENVIRONMENT", *_terms(ENVIRONMENT), ".SH EXAMPLES", ".nf"]
    lines += [roff(example) for command in rest for example in command.examples]
    lines += [".fi", ".SH SEE ALSO", roff("kcmp(2), namespaces(7), proc(5), lsfd(1), lsof(8)")]
    return "\n".join(lines) + "\n"


def _in_roff(text: str | None) -> Iterator[str]:
    for part in inspect.cleandoc(text or "").split("\n\n"):
        if part.startswith(" "):
            yield "\n".join([".nf", *map(roff, textwrap.dedent(part).splitlines()), ".fi"])
        else:
            yield roff(_without_code(re.sub(r"::$", ":", part)))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _tagged(parameters: Sequence[Parameter]) -> list[str]:
    return _terms(
        {
            p.written: f"{p.meaning} [default: {p.default}]" if p.default else p.meaning
            for p in parameters
        }
    )


def _terms(said: Mapping[str, str]) -> list[str]:
    found = []
    for term, meaning in said.items():
        found += [".TP", f"\\fB{roff(term)}\\fR", roff(meaning)]
    return found


def roff(text: str) -> str:
    r"""Escape text for roff: backslashes, hyphens, and a line that would be a request."""
    said = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    lines = textwrap.wrap(said, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line[0] in {".", "'"} else line for line in lines)


def _between(separator: str, lines: Iterable[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        found += [separator, line] if found else [line]
    return found


def _without_code(text: str) -> str:
    return text.replace("`", "")
