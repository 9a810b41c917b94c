"""What a snapshot's words mean, carried in its file: kinds, associations, relations and facts.

A file tells of every word that its tables use what a program needs that does not know it: how to
say it, by which rules it counts, whether it collects and leads. So a file of a newer version is
shown by an older one: what that does not know is called "unknown to this version" and is judged not
at all. A file may come from anybody, and what it tells is said to people: plain words of ASCII and
no more. What this version knows itself, no file can change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError
from analyzer.core.model import Fact, Impact, Rules
from analyzer.core.registry import UNKNOWN
from analyzer.core.values import replace
from analyzer.kinds import associations, facts, registry
from analyzer.kinds.base import Association, Judged, Kind
from analyzer.relations import relations
from analyzer.relations.base import Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from analyzer.core.registry import Registry
    from analyzer.snapshot.tables import Table

    Told = Mapping[str, Any]

COLUMNS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "kinds": (
        ("objects", "kind"),
        ("references", "holder_kind"),
        ("relations", "left_kind"),
        ("relations", "right_kind"),
        ("facts", "kind"),
    ),
    "associations": (("references", "association"),),
    "relations": (("relations", "relation"),),
    "facts": (("facts", "fact"),),
}
"""Which columns of which tables have the words of each part of the vocabulary."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_WORDS: Final = re.compile(r"(?:[A-Za-z0-9 _.,:;()/'#%+-]|\{slot\}){0,200}")
_MARK: Final = f" ({UNKNOWN})"


def spoken(tables: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
    """Return what the words of the tables mean, by part and word, as JSON."""
    found: dict[str, dict[str, Any]] = {}
    for part in COLUMNS:
        known, used = _REGISTRIES[part](), sorted(_used(tables, part))
        meant = {word: known[word] if word in known else known.told(word) for word in used}
        found[part] = {word: TELL[part](one) for word, one in meant.items() if one is not None}
    return found


def understand(told: object, tables: Mapping[str, Table], name: str) -> None:
    """Learn from a file's vocabulary the words of its tables that this version does not know.

    Raises BadInputError, with `name` in it, for a word that the file does not tell of either (but
    for a fact, which is its own name), and for what is no vocabulary.
    """
    for part in COLUMNS:
        known = _REGISTRIES[part]()
        for word in sorted(_used(tables, part) - set(known)):
            found = _told_of(told, part, word)
            if found is not None:
                _learn(known, part, word, found, name)
            elif part != "facts":
                raise BadInputError(
                    f"{name}: {part[:-1]} {_shown(word)} is {UNKNOWN}, and the file does not tell "
                    "what it is: upgrade cranalyze"
                )


def _learn(known: Registry[Any], part: str, word: str, told: Told, name: str) -> None:
    try:
        made = MAKE[part](word, told)
    except (KeyError, TypeError, ValueError) as error:
        said = f"{name}: what it tells of the {part[:-1]} {_shown(word)} is damaged"
        raise BadInputError(f"{said}: collect again") from error
    before = known.told(word)
    if before is not None and _counts(before) != _counts(made):
        raise BadInputError(f"{name} says of {word} what another file denies: look at it by itself")
    known.tell(word, made)


def _counts(told: Any) -> object:  # noqa: ANN401 - one of four
    """Return what the check makes of a word: no file may change it for another one."""
    if isinstance(told, Association):
        return replace(told, words="")
    if isinstance(told, Kind):
        return told.judged, told.derived, bool(told.namespace)
    return (
        (told.shared, told.alone, told.told, told.impact)
        if isinstance(told, Relation)
        else told.type
    )


def _told_of(told: object, part: str, word: str) -> Told | None:
    words = told.get(part) if isinstance(told, dict) else None
    found = words.get(word) if isinstance(words, dict) else None
    return found if isinstance(found, dict) else None


def _shown(word: str) -> str:
    return repr(word[:_MOST_SHOWN].encode("ascii", "backslashreplace").decode())


_MOST_SHOWN: Final = 40


def _used(tables: Mapping[str, Table], part: str) -> set[str]:
    return {
        word
        for table, column in COLUMNS[part]
        if table in tables
        for word in tables[table].vocabulary[column]
    }


# --- as JSON and back


def _tell_kind(kind: Kind) -> dict[str, Any]:
    return {
        "title": kind.title.removesuffix(_MARK),
        "plural": kind.plural.removesuffix(_MARK),
        "judged": kind.judged.name,
        "rules": _listed(kind.rules),
        "derived": kind.derived,
        "namespace": kind.namespace,
    }


def _make_kind(name: str, told: Told) -> Kind:
    return Kind(
        name=_name(name),
        struct="",
        title=_said(told["title"]) + _MARK,
        plural=_said(told["plural"]) + _MARK,
        message=_said(told["title"]),
        order=_LAST,
        rank=_LAST,
        counters=(),
        judged=Judged[told["judged"]],
        rules=frozenset(),  # by no rules
        derived=_flag(told["derived"]),
        namespace=_said(told["namespace"]),
    )


_LAST: Final = 1 << 10  # after all that are known


def _tell_association(one: Association) -> dict[str, Any]:
    return {
        "words": one.words,
        "rules": _listed(one.rules),
        "collects": one.collects,
        "leads": one.leads,
    }


def _make_association(name: str, told: Told) -> Association:
    return Association(
        _name(name),
        _said(told["words"]),
        frozenset(Rules[rule] for rule in told["rules"]),
        _flag(told["collects"]),
        _flag(told["leads"]),
    )


_RELATION: Final = ("title", "plural", "left", "right")


def _tell_relation(one: Relation) -> dict[str, Any]:
    said = {key: getattr(one, key).removesuffix(_MARK) for key in _RELATION}
    flags = {key: getattr(one, key) for key in ("shared", "alone", "told")}
    return {**said, "next": one.mend(), "impact": one.impact.value, **flags}


def _make_relation(name: str, told: Told) -> Relation:
    title, plural, left, right = (_said(told[key]) for key in _RELATION)
    return Relation(
        name=_name(name),
        title=title + _MARK,
        plural=plural + _MARK,
        left=left,
        right=right,
        next=_said(told["next"]),
        impact=Impact(told["impact"]),
        shared=_flag(told["shared"]),
        alone=_flag(told["alone"]),
        told=_flag(told["told"]),
    )


def _tell_fact(one: Fact) -> dict[str, Any]:
    return {"type": one.type, "meaning": one.meaning, "unit": one.unit}


def _make_fact(name: str, told: Told) -> Fact:
    if told["type"] not in {"number", "text"}:
        raise ValueError(told["type"])
    return Fact(_name(name), told["type"], _said(told["meaning"]), _said(told["unit"]))


def _listed(rules: frozenset[Rules]) -> list[str]:
    return [rule.name for rule in Rules if rule in rules]


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(value)
    return value


def _said(value: object) -> str:
    if not isinstance(value, str) or not _WORDS.fullmatch(value):
        raise ValueError(value)
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


_REGISTRIES: Final[Mapping[str, Callable[[], Registry[Any]]]] = {
    "kinds": registry,
    "associations": associations,
    "relations": relations,
    "facts": facts,
}
TELL: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "kinds": _tell_kind,
    "associations": _tell_association,
    "relations": _tell_relation,
    "facts": _tell_fact,
}
MAKE: Final[Mapping[str, Callable[[str, Told], Any]]] = {
    "kinds": _make_kind,
    "associations": _make_association,
    "relations": _make_relation,
    "facts": _make_fact,
}
