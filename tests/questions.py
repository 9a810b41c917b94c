"""Every question that cranalyze asks of a kernel's BTF, read from the kinds and from the source.

The kinds are data: their counters and pointers. The rest is in calls with literal arguments
(`memory.gather(addresses, "struct", {"column": "path"})`), which are found in the syntax trees:
also those in branches that the running kernel never takes. What is not literal was recorded while
the program ran (tests/recording.py); a live test holds that nothing else is asked.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analyzer.kinds import registry
from analyzer.memory.features import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from analyzer.kinds.base import Kind

PACKAGE: Final = Path(__file__).parents[1] / "analyzer"
RECORDED: Final = Path(__file__).parent / "data" / "btf" / "recorded.json"
# They pass on what they are asked.
_GENERIC: Final = frozenset(f"memory/{name}.py" for name in ("btf", "fields", "modules", "reader"))


@dataclass(frozen=True, order=True)
class Question:
    """Something that one kernel calls by one of `keys` (newest first), as a layout's cache does.

    A kernel must have one of them, unless `optional`. `pointer` and `counter` say what it must be.
    """

    keys: tuple[str, ...]
    optional: bool = False
    pointer: bool = False
    counter: bool = False

    def __str__(self) -> str:
        return " or ".join(self.keys)


def field(struct: str, paths: str | tuple[str, ...], *, optional: bool = False) -> Question:
    """Return the question where one of `paths` is in `struct`."""
    wanted = (paths,) if isinstance(paths, str) else tuple(paths)
    return Question(tuple(f"{struct}:{path}" for path in wanted), optional)


@cache
def asked() -> frozenset[Question]:
    """Return all questions."""
    return _literal() | frozenset(_recorded())


def _literal() -> frozenset[Question]:
    return frozenset(
        [
            *(question for kind in registry().values() for question in _of_kind(kind)),
            *(question for path in sources() for question in in_source(path.read_text())),
            *(field(*place, optional=True) for one in FEATURES for place in one.places),
        ]
    )


def every_key() -> list[str]:
    """Return the keys of all questions, sorted."""
    return sorted({key for question in asked() for key in question.keys})


def sources() -> Iterator[Path]:
    """Yield the modules that ask for themselves."""
    for path in PACKAGE.rglob("*.py"):
        if _name(path) not in _GENERIC and _may_ask(path.read_text()):
            yield path


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _of_kind(kind: Kind) -> Iterator[Question]:
    def at(path: str) -> str:
        return f"{kind.struct}:{path}"

    if kind.counters:
        yield Question(tuple(at(c.path) for c in kind.counters), counter=True)
    for pointer in kind.pointers:
        yield Question(tuple(map(at, pointer.paths)), pointer=True)


def save_recorded(found: AbstractSet[Question]) -> None:
    """Keep what was asked while the program ran, and is not found in the source."""
    literal = {(question.keys, question.optional) for question in _literal()}
    new = (q for q in found if not {(q.keys, q.optional), (q.keys, False)} & literal)
    rows = sorted((*q.keys, "optional" if q.optional else "required") for q in new)
    lines = ",\n".join(json.dumps(row) for row in rows)
    RECORDED.write_text(f"[\n{lines}\n]\n")


def _recorded() -> Iterator[Question]:
    rows = json.loads(RECORDED.read_text()) if RECORDED.exists() else []
    for *names, need in rows:
        yield Question(tuple(names), need == "optional")


def in_source(text: str) -> Iterator[Question]:
    """Find the questions in the text of a module."""
    tree = ast.parse(text)
    constants = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _method(node) in _CALLS:
            yield from _CALLS[_method(node)](node, constants)


def hidden(text: str) -> Iterator[str]:
    """Find the questions that are literal but for a variable of a function: make it a constant."""
    tree = ast.parse(text)
    constants = _constants(tree)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        within = list(ast.walk(function))
        calls = [one for one in within if isinstance(one, ast.Call) and _method(one) in _CALLS]
        if not calls:
            continue
        own = {
            target.id
            for node in within
            if isinstance(node, ast.Assign) and _value(node.value, constants) is not None
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in calls:
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            names = {node.id for node in given if isinstance(node, ast.Name)}
            if names & own:
                yield f"line {call.lineno}: {', '.join(sorted(names & own))}"


def _may_ask(text: str) -> bool:
    """Tell whether it is worth the time to parse a module: most ask nothing."""
    return any(f".{name}(" in text for name in _CALLS)


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _constants(tree: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            found.update(dict.fromkeys(names, _value(node.value, found)))
    return found


def _value(node: ast.expr | None, constants: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return the value of a literal or of a constant of the module, None for anything else."""
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    try:
        return ast.literal_eval(node) if node else None
    except (ValueError, TypeError):
        return None


def _gather(call: ast.Call, constants: Mapping[str, Any]) -> Iterator[Question]:
    given = dict(zip(("addresses", "struct_name", "fields", "optional"), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    struct = _value(given.get("struct_name"), constants)
    for name in ("fields", "optional", "whether"):
        chosen = _value(given.get(name), constants)
        if isinstance(struct, str) and isinstance(chosen, Mapping):
            for paths in chosen.values():
                yield field(struct, paths, optional=name == "optional")


def _one(make: Callable[[Any, Any], Question]) -> Callable[..., Iterator[Question]]:
    def understand(call: ast.Call, constants: Mapping[str, Any]) -> Iterator[Question]:
        values = [_value(node, constants) for node in call.args[:2]]
        if len(values) == 2 and isinstance(values[0], str) and values[1]:
            yield make(*values)

    return understand


def _sizeof(call: ast.Call, constants: Mapping[str, Any]) -> Iterator[Question]:
    struct = _value(call.args[0], constants) if call.args else None
    if isinstance(struct, str):
        yield Question((f"sizeof:{struct}",))


_CALLS: Final = {
    "gather": _gather,
    "offset": _one(field),
    "field": _one(lambda struct, path: field(struct, path, optional=True)),
    "has": _one(lambda struct, path: field(struct, path, optional=True)),
    "enumerator": _one(lambda enum, name: Question((f"enum:{enum}:{name}",))),
    "sizeof": _sizeof,
}
