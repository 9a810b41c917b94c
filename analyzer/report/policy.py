"""A policy: a TOML file of what is known and why, which its user commits.

    version = 1

    [[allow]]
    reason = "the log collector reads our output"
    owner = "team-web"
    expires = 2027-01-31
    kind = "PIPE"
    fd = "1-2"
    holder.unit = "collector.service"

A rule is a conjunction: it covers a finding of which all that it states holds, of every part that
is inside and of every holder outside. What it covers stays listed, and does not gate. An unknown
key is an error, so is a rule that covers everything (of a subject, of a side; what is like ``*``)
unless it says `allow_all = true`; one that is over, or covers nothing, is a warning. Pids, inodes
and addresses are no keys: they are of one run.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError, nearest
from analyzer.core.model import Impact
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry
from analyzer.relations import relations
from analyzer.report.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from analyzer.report.rules import Item
    from analyzer.report.value import Report

VERSION: Final = 1
MOST_BYTES: Final = 256 << 10
MOST_RULES: Final = 2_000
_MOST_DOTS: Final = 8  # in one line before its "=": tomllib is quadratic in the parts of a key
_LONGEST: Final = 1_000  # characters of a pattern, or a reason
_SHOWN: Final = 80
_RANGE: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_TOP: Final = ("version", "allow")


class Key(NamedTuple):
    """A key of a rule: the field of `Rule`, what it may be, and what it means."""

    field: str
    type: str
    meaning: str
    words: Callable[[], Sequence[str]] | None = None


def _findings() -> list[str]:
    return [*relations(), "container_init", "nested_ns"]


KEYS: Final[Mapping[str, Key]] = {
    "reason": Key("says", "text", "why this is known; a rule must have one"),
    "owner": Key("owner", "text", "who answers for it"),
    "expires": Key("expires", "date", "the last day on which it holds: 2027-01-31"),
    "subject": Key("subject", "pattern", "of what: the name or id of the container, or a process"),
    "kind": Key("kinds", "words", "kinds of objects", lambda: list(registry())),
    "relation": Key("relations", "words", "relations, or container_init", _findings),
    "impact": Key(
        "impacts", "words", "what it means", lambda: [impact.word for impact in Impact]
    ),
    "side": Key("side", "word", "where the other side is", lambda: ("inside", "outside")),
    "fd": Key("fd", "slots", 'the descriptors inside, and nothing else there: "0-2", "1,5"'),
    "direction": Key(
        "direction", "word", "in, out or both, as seen from inside", lambda: ("in", "out", "both")
    ),
    "path": Key("path", "patterns", "the file, or the source of a mount, as the machine calls it"),
    "name": Key("name", "pattern", "what it is called: anon_inode:*"),
    "point": Key("point", "pattern", "where it is mounted inside"),
    "access": Key("access", "word", "ro or rw", lambda: ("ro", "rw")),
    "opath": Key("opath", "flag", "opened with O_PATH"),
    "directory": Key("directory", "flag", "a directory"),
    "fstype": Key("fstype", "pattern", "the type of a mount"),
    "propagation": Key(
        "propagation", "word", "of a mount: shared, slave", lambda: ("shared", "slave")
    ),
    "namespace": Key(
        "namespace", "word", "of a namespace: the host's, kept by files alone, or its parent's too",
        lambda: ("host", "pinned", "parent"),
    ),
    "pinned_at": Key("pinned_at", "patterns", "where files keep it"),
    "holder.exe": Key("holder_exe", "pattern", "the program of every holder outside"),
    "holder.command": Key("holder_command", "patterns", "the name of every holder outside"),
    "holder.unit": Key("holder_unit", "pattern", "the unit of every holder outside"),
    "holder.container": Key("holder_container", "pattern", "the container of every holder outside"),
    "holder.is": Key(
        "holder_is", "word", "what every holder outside is to the subject",
        lambda: ("parent", "ancestor", "pod"),
    ),
    "max": Key("most", "count", "how many findings it covers, and no more"),
    "allow_all": Key("allow_all", "flag", "it may cover everything: it has no condition"),
}  # fmt: skip
"""The keys of a rule, as they are written: what a policy's schema is made of."""

_NO_CONDITION: Final = frozenset(
    {"reason", "owner", "expires", "max", "allow_all", "subject", "side"}
)  # fmt: skip
"""Keys that choose nothing among the findings of a subject: all that gate are of both sides."""


def load(path: str) -> tuple[Rule, ...]:
    """Return the rules in a file; BadInputError, in one line, for what is no policy."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"cannot read the policy {path}: {reason}") from error
    return parse(data, path)


def parse(data: bytes, where: str) -> tuple[Rule, ...]:
    """Return the rules of a policy's text; errors as `load`."""
    if len(data) > MOST_BYTES:
        raise BadInputError(f"the policy {where} is larger than {MOST_BYTES >> 10} KiB: refused")
    if any(line.split(b"=")[0].count(b".") > _MOST_DOTS for line in data.splitlines()):
        raise BadInputError(f"the policy {where} has keys of too many parts: refused")
    try:
        import tomllib

        found = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        said = printable(" ".join(str(error).split()))[:200]
        raise BadInputError(f"the policy {where} is not TOML: {said}") from error
    for key in found:
        if key not in _TOP:
            raise _unknown(where, "a policy", key, _TOP)
    if found.get("version") != VERSION or type(found.get("version")) is not int:
        raise BadInputError(f"{where}: it must say version = {VERSION}")
    rules = found.get("allow", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise BadInputError(f"{where}: rules are written [[allow]]")
    if len(rules) > MOST_RULES:
        raise BadInputError(f"{where}: {len(rules):,} rules (the limit is {MOST_RULES:,}): refused")
    return tuple(_rule(rule, f"{where}: rule {at}") for at, rule in enumerate(rules, 1))


def _unknown(where: str, what: str, key: str, known: Iterable[str]) -> BadInputError:
    names = list(known)
    shown = printable(key)[:_SHOWN]
    said = f"{where}: {what} has no key {shown!r}{nearest(key, names)}"
    return BadInputError(f"{said}; known are: {', '.join(names)}")


def _rule(given: dict[str, Any], where: str) -> Rule:
    flat: dict[str, Any] = {}
    for key, value in given.items():
        if key == "holder" and isinstance(value, dict):
            flat |= {f"holder.{inner}": one for inner, one in value.items()}
        else:
            flat[key] = value
    values: dict[str, Any] = {}
    for key, value in flat.items():
        if key not in KEYS:
            raise _unknown(where, "a rule", key, KEYS)
        values[KEYS[key].field] = _value(key, value, where)
    if not values.get("says"):
        raise BadInputError(f"{where}: it needs a reason")
    chosen = [key for key in flat if key not in _NO_CONDITION and _chooses(key, flat[key])]
    if not chosen and values.get("allow_all") is not True:
        raise BadInputError(f"{where} covers everything: state a condition, or allow_all = true")
    return Rule(**values)


def _chooses(key: str, value: Any) -> bool:  # noqa: ANN401 - TOML
    """Tell whether a condition leaves anything out: no ``*``, and not every word that there is."""
    told, known = value if isinstance(value, list) else [value], KEYS[key]
    if known.type in {"pattern", "patterns"}:
        return not any(set(word) <= {"*"} for word in told)
    folded = {str(word).casefold() for word in told}
    return known.words is None or any(word.casefold() not in folded for word in known.words())


def _value(key: str, value: Any, where: str) -> Any:  # noqa: ANN401 - TOML
    return _READ[KEYS[key].type](key, value, where)


def _flag(key: str, value: Any, where: str) -> bool:  # noqa: ANN401 - TOML
    if type(value) is not bool:
        raise _wrong(key, "true or false", value, where)
    return value


def _count(key: str, value: Any, where: str) -> int:  # noqa: ANN401 - TOML
    if type(value) is not int or value < 1:
        raise _wrong(key, "a number from 1", value, where)
    return value


def _date(key: str, value: Any, where: str) -> date:  # noqa: ANN401 - TOML
    if isinstance(value, datetime) or not isinstance(value, date):
        raise _wrong(key, "a date, such as 2027-01-31", value, where)
    return value


def _words(key: str, value: Any, where: str) -> frozenset[str]:  # noqa: ANN401 - TOML
    return frozenset(_word(key, one, where) for one in _texts(key, value, where))


def _text(key: str, value: Any, where: str) -> str:  # noqa: ANN401 - TOML
    if not isinstance(value, str) or not value or len(value) > _LONGEST:
        raise _wrong(key, f"a text of 1 to {_LONGEST} characters", value, where)
    return value


def _texts(key: str, value: Any, where: str) -> list[str]:  # noqa: ANN401 - TOML
    if isinstance(value, list) and value:
        return [_text(key, one, where) for one in value]
    return [_text(key, value, where)]


def _word(key: str, value: Any, where: str) -> str:  # noqa: ANN401 - TOML
    word, known = _text(key, value, where), KEYS[key].words
    names = list(known()) if known is not None else []
    if word not in names:
        shown = printable(word)[:_SHOWN]
        raise BadInputError(
            f"{where}: {key}: no {shown!r}{nearest(word, names)}; there are: {', '.join(names)}"
        )
    return word


def _slots(key: str, value: Any, where: str) -> tuple[tuple[int, int], ...]:  # noqa: ANN401 - TOML
    if type(value) is int and value >= 0:
        return ((value, value),)
    found = []
    for part in _text(key, value, where).split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise _wrong(key, 'descriptors, such as "0-2" or "1,5"', value, where)
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _wrong(key: str, wanted: str, value: Any, where: str) -> BadInputError:  # noqa: ANN401 - TOML
    shown = f"{value!r:.{_SHOWN}}" if isinstance(value, str | bool | int) else "something else"
    return BadInputError(f"{where}: {key} must be {wanted}, is {printable(shown)}")


_READ: Final[Mapping[str, Callable[[str, Any, str], Any]]] = {
    "text": _text,
    "pattern": _text,
    "patterns": lambda key, value, where: tuple(_texts(key, value, where)),
    "word": _word,
    "words": _words,
    "flag": _flag,
    "count": _count,
    "date": _date,
    "slots": _slots,
}


# --- written from what was found


def written(report: Report) -> str:
    """Return a policy that covers what gates in a report today, a rule for each sort of finding.

    Reasons are to be filled in: a rule that nobody gave one says so.
    """
    from analyzer.report.items import People, of_crossing, of_finding, of_object
    from analyzer.report.waive import containers_of, of_profile

    people = People(report.snapshot, report.subject.pid)
    items = [of_object(one, people) for one in report.objects if one.gates and one.impact]
    items += [item for one in report.crossings if one.gates for item in of_crossing(one, people)]
    items += [of_finding(one) for one in report.findings if one.gates]
    design = of_profile(report.profile, containers_of(report.subject, people))
    found: dict[str, int] = {}
    for item in items:
        if any(rule.covers(item) for rule in design):
            continue  # of a finding of which another part is not
        rule = _said(item)
        found[rule] = found.get(rule, 0) + 1
    head = f"# What gates in {_one_line(report)}, as of {report.subject.collected_at}.\n"
    rules = [f"\n[[allow]]\n{rule}max = {count}\n" for rule, count in found.items()]
    return f"{head}version = {VERSION}\n{''.join(rules)}"


def _one_line(report: Report) -> str:
    return printable(report.subject.name or report.subject.comm)


def _said(item: Item) -> str:
    lines = ['reason = "TODO: why this is so"']
    plain = (
        ("kind", item.kind), ("relation", item.relation), ("impact", item.impact),
        ("path", _pattern(item.path)), ("point", _pattern(item.point)), ("fstype", item.fstype),
        ("access", item.access), ("direction", item.direction), ("namespace", item.state),
    )  # fmt: skip
    known = {"kind": set(registry()), "relation": set(_findings())}
    lines += [
        f"{key} = {_quoted(value)}"
        for key, value in plain
        if value and value in known.get(key, {value})
    ]
    if item.only_slots and item.slots:
        lines.append(f"fd = {_quoted(','.join(map(str, item.slots)))}")
    commands = {one.command for one in item.outsiders if not one.place}
    programs = {one.exe for one in item.outsiders if not one.place}
    places = {one.place for one in item.outsiders if one.place}
    if places:
        lines.append(f"pinned_at = [{', '.join(_quoted(_pattern(one)) for one in sorted(places))}]")
    if len(programs) == 1 and (exe := next(iter(programs))):
        lines.append(f"holder.exe = {_quoted(_pattern(exe))}")
    elif commands:
        words = ", ".join(_quoted(_pattern(one)) for one in sorted(commands))
        lines.append(f"holder.command = [{words}]")
    return "".join(f"{line}\n" for line in lines)


def _pattern(text: str) -> str:
    """Return a text as a pattern of itself."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _quoted(text: str) -> str:
    """Return a basic string of TOML: what is not plain is escaped, a byte that is no UTF-8 "?"."""
    escaped = (
        f"\\u{ord(char):04x}" if ord(char) < 0x20 or ord(char) == 0x7F  # noqa: PLR2004 - controls
        else "?" if "\ud800" <= char <= "\udfff"
        else f"\\{char}" if char in '"\\' else char
        for char in text
    )  # fmt: skip
    return f'"{"".join(escaped)}"'
