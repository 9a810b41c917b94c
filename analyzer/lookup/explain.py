"""What a word of a report means: a kind, a relation, an impact, a verdict, a fact, a profile.

The texts are those of the modules that say it to the machine: what is shown here is what the
documentation has. `cranalyze explain` prints it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import TYPE_CHECKING, Final

from analyzer import kinds as kinds_room
from analyzer import relations as relations_room
from analyzer.core.errors import no_such
from analyzer.core.model import Impact, Verdict
from analyzer.criu import RULES
from analyzer.kinds import facts, registry
from analyzer.relations import relations
from analyzer.report.bundles import TITLES
from analyzer.report.profiles import profiles
from analyzer.report.value import CONTAINER_INIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_VERDICTS: Final = {
    Verdict.USAGE_LEAK: (
        (
            "The object has more references than the subtree's users account for: something outside"
            " holds it, named or not. A checkpoint of the subtree would copy what is shared."
        ),
        "cranalyze who OBJECT names who holds it; close it there, or give each side its own.",
    ),
    Verdict.OVERCOUNT: (
        (
            "The subtree was seen to hold it more often than its own count says. Something changed "
            "between two readings, or is not understood."
        ),
        "Run it again with --freeze. If it stays, it is a fault of cranalyze: report it.",
    ),
    Verdict.UNSTABLE: (
        "Its count, or who holds it, changed while it was read, so that the numbers prove nothing.",
        "Run it again when the subtree is quieter, or with --freeze.",
    ),
    Verdict.UNKNOWN: (
        "Its count could not be read. /proc has none, and shows nobody outside: that is no proof.",
        "As root, where cranalyze doctor says that the kernel's memory can be read, it is decided.",
    ),
    Verdict.CONTAINED: (
        "All of its references are the subtree's own.",
        "Nothing is to be done.",
    ),
}
_IMPACTS: Final = {
    Impact.REACHES_OUT: "The subtree can act on the host by it: on its files, tasks or network.",
    Impact.SHARED_STATE: "Both sides can change it: an offset, a queue, a counter, a file.",
    Impact.LOST: "A checkpoint of the subtree alone loses it, or cannot restore it.",
    Impact.PINS: "It keeps something alive, or from being unmounted or used again. No more.",
    Impact.WATCHES: "One side sees what happens on the other, and cannot change it.",
    Impact.BY_DESIGN: "Every container has it: it decides nothing.",
}
_INIT: Final = (
    (
        "The root of what is checked should be the first process of a pid namespace of its own: "
        "what is not is no container."
    ),
    "Check the container's first process, or with --subtree what need not be one.",
)


def explained(word: str) -> str:
    """Return what a word means, as text; BadInputError, with the nearest, for none."""
    told = list(_told(word))
    if not told:
        raise no_such("nothing is called", word, names())
    return "\n\n".join(told) + "\n"


def names() -> list[str]:
    """Return every word that is explained."""
    return [
        *registry(), *relations(), *(one.word for one in Impact), *(one.value for one in Verdict),
        CONTAINER_INIT, *facts(), *profiles(), *(n for n in RULES if n not in relations()),
    ]  # fmt: skip


def _told(word: str) -> Iterator[str]:
    folded = word.casefold().replace(" ", "-")
    for tell in (_kinds, _relations, _verdicts, _facts, _profiles, _criu):
        yield from tell(folded)


def _criu(folded: str) -> Iterator[str]:
    """Say what CRIU does with it: rules by name, and those about a relation or a kind."""
    for rule in RULES.values():
        if folded in {rule.name, rule.about.casefold()}:
            parts = [f"CRIU {rule.versions} {TITLES[rule.outcome]}: {rule.at}."]
            parts += [f'It says "{rule.message}".'] * bool(rule.message)
            parts += [f"Option: {rule.option}."] * bool(rule.option)
            parts += [f"Afterwards: {rule.then}."] * bool(rule.then)
            parts += [f"To do: {rule.remove}."] * bool(rule.remove)
            yield f"{' '.join(parts)} (check --for criu, rule {rule.name})"


def _kinds(folded: str) -> Iterator[str]:
    for name, kind in registry().items():
        if name.casefold() == folded:
            yield _page(f"{name}: {kind.title}", _about(kinds_room, "KIND", name))
            if kind.unseen:
                yield f"What can hold it without being named: {kind.unseen}."
            yield f"Who holds one: cranalyze who PID:FD (docs/who.md); {_ignore(name)}."
    if folded.replace("-", "_") == CONTAINER_INIT.casefold():
        yield _page(CONTAINER_INIT, _INIT[0])
        yield f"To do: {_INIT[1]} {_ignore(CONTAINER_INIT).capitalize()}."


def _relations(folded: str) -> Iterator[str]:
    for name, relation in relations().items():
        if name.casefold() == folded:
            yield _page(f"{name}: {relation.title}", _about(relations_room, "RELATION", name))
            yield f"It means: {relation.impact.value}. {_IMPACTS[relation.impact]}"
            closes = relation.mend()
            yield f"To close it: {closes}; {_ignore(name)}."


def _verdicts(folded: str) -> Iterator[str]:
    for impact, about in _IMPACTS.items():
        if impact.word == folded:
            yield _page(impact.value, about)
            yield f"All of that impact do not decide with --ignore {impact.word}."
    for verdict, (about, what) in _VERDICTS.items():
        if verdict.value == folded.replace("-", "_"):
            yield _page(verdict.value, about)
            yield f"To do: {what}"


def _facts(folded: str) -> Iterator[str]:
    for name, fact in facts().items():
        if name.casefold() == folded:
            unit = f" ({fact.unit})" if fact.unit else ""
            yield _page(f"{name}: a fact", f"{fact.meaning[:1].upper()}{fact.meaning[1:]}{unit}.")


def _profiles(folded: str) -> Iterator[str]:
    for name, profile in profiles().items():
        if name == folded and profile.rules:
            said = dict.fromkeys(rule.says for rule in profile.rules)
            yield _page(f"--profile {name}: {profile.title}", "By design: " + "; ".join(said) + ".")


def _page(title: str, about: str) -> str:
    return f"{title}\n\n{about}" if about else title


def _ignore(word: str) -> str:
    return f"if it is known, a rule in a policy says why (docs/policy.md), or --ignore {word}"


def _about(room: ModuleType, constant: str, name: str) -> str:
    """Return what the docstring of the module that has something says, without markup."""
    for module in pkgutil.iter_modules(room.__path__):
        found = importlib.import_module(f"{room.__name__}.{module.name}")
        if getattr(getattr(found, constant, None), "name", None) == name:
            doc = inspect.getdoc(found) or ""
            text = doc.partition(": ")[2] or doc
            plain = re.sub(r"``?([^`]*)``?", r"\1", text)
            return plain[:1].upper() + plain[1:]
    return ""
