"""The page of the kinds: of one, its module's docstring, and what its associations hold."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer import kinds
from analyzer.core.model import TASK, Rules
from analyzer.kinds.base import Association, Judged, Kind
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def kinds_intro() -> str:
    """Return what the check compares, in one sentence."""
    return (
        "For each kernel object that a subtree of processes holds, the references held from inside "
        "(users) are compared with the object's own count (refcount): a difference is a leak."
    )


_NOT_PLAIN: Final = {
    "cred.ucounts": ("UCOUNTS",),
    "f_path.mnt": ("MOUNT",),
    "ns.ucounts": ("UCOUNTS",),
    "nsfs": tuple(kind.name for kind in kinds.namespace_kinds().values()),
    "overlay.upper": ("FILE",),
    "peer": ("SOCKET",),
    "fs.pwd.pid": ("PID",),
    "fs.root.pid": ("PID",),
    "peer.closed": ("SOCKET",),
    "pidfd": ("PID",),
    "pipe.both": ("PIPE",),
    "pipe.reader": ("PIPE",),
    "pipe.writer": ("PIPE",),
    "poll": ("FILE",),
    "proc.pid": ("PID",),
    "pwd.mnt": ("MOUNT",),
    "root.mnt": ("MOUNT",),
    "sock": ("SOCKET", "NET_SOCKET"),
    "syscall": ("FILE",),
}
"""What these associations hold, where the code of a walk does not name it in one place."""


@cache
def targets() -> dict[str, tuple[str, ...]]:
    """Return the kinds that each association holds, from the pointers and the code of the walks."""
    found: dict[str, set[str]] = {name: set(held) for name, held in _NOT_PLAIN.items()}
    for kind in kinds.registry().values():
        for pointer in kind.pointers:
            found.setdefault(pointer.association.name, set()).add(pointer.target)
    for path in sorted(Path(kinds.__path__[0]).glob("*.py")):
        for association, target in _edges(path):
            found.setdefault(association, set()).add(target)
    order = list(kinds.registry())
    return {name: tuple(sorted(held, key=order.index)) for name, held in found.items()}


def _edges(path: Path) -> Iterator[tuple[str, str]]:
    module = importlib.import_module(f"analyzer.kinds.{path.stem}")
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Edges"):
            continue
        first, second, *_ = node.args
        association = getattr(module, getattr(first, "id", ""), None)
        if isinstance(association, Association) and isinstance(second, ast.Constant):
            yield association.name, str(second.value)


@cache
def places() -> dict[str, list[tuple[str, Association]]]:
    """Return for each kind what can hold one: pairs of the holder's kind and the association."""
    held = targets()
    found: dict[str, list[tuple[str, Association]]] = {name: [] for name in kinds.registry()}
    for kind in kinds.registry().values():
        for association in dict.fromkeys(kind.associations):
            for target in held[association.name]:
                found[target].append((kind.name, association))
    for file_type in kinds.file_types():
        for association in file_type.associations:
            for target in held[association.name]:
                if ("FILE", association) not in found[target]:
                    found[target].append(("FILE", association))
    return found


_JUDGED: Final = (
    f"A kind is judged by {Judged.ARITHMETIC.value} (arithmetic) or by "
    f"{Judged.STRUCTURAL.value} (structural), or not at all: then it only holds other objects."
)


def kinds_page() -> str:
    """Return docs/kinds.md."""
    parts = [
        md.NOTE,
        "# Kinds of objects",
        kinds_intro(),
        _JUDGED,
        md.table(
            ("kind", "what it is", "judged", "rules"),
            [
                (
                    f"[{kind.name}](#{kind.name.lower()})",
                    kind.title,
                    kind.judged.name.lower(),
                    _rules(kind.rules) if kind.judged is not Judged.NOT else "",
                )
                for kind in kinds.registry().values()
            ],
        ),
    ]
    held = places()
    for kind in kinds.registry().values():
        parts += [f"## {kind.name}", *_kind(kind, held[kind.name])]
    return md.page(parts)


def _kind(kind: Kind, held: Sequence[tuple[str, Association]]) -> Iterator[str]:
    module = importlib.import_module(f"analyzer.kinds.{kind.name.lower()}")
    yield md.prose(module.__doc__)
    counters = [f"`{c.path}`{f' + {c.bias}' if c.bias else ''}" for c in kind.counters]
    facts = [f"- struct: `{kind.struct}`"]
    if counters:
        facts.append(f"- counted in (newest kernel first): {', '.join(counters)}")
    if kind.judged is not Judged.NOT:
        facts.append(f"- judged by {kind.judged.value}; in the rules {_rules(kind.rules)}")
    if kind.unseen:
        facts.append(f"- can be held unnamed by: {kind.unseen}")
    yield "\n".join(facts)
    if held:
        yield "What holds one:"
        yield md.table(
            ("holder", "association", "in words", "rules", ""),
            [
                (
                    _link(holder),
                    f"`{a.name}`",
                    md.cell(a.words),
                    _rules(a.rules),
                    "" if a.collects else "does not collect",
                )
                for holder, a in held
            ],
        )


def _link(kind: str) -> str:
    return f"[{kind}](#{kind.lower()})" if kind != TASK else "[task](#task)"


def _rules(rules: Iterable[Rules]) -> str:
    known = set(rules)
    return ", ".join(rule.value for rule in Rules if rule in known)
