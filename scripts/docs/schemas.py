"""The JSON Schemas of what `--json` writes, made of the keys in `json_keys`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.core.model import JSON_FORMAT, Status
from scripts.docs.json_keys import DOCUMENTS, PARTS, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from scripts.docs.json_keys import Document, Keys, Shape

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema(command: str) -> Shape:
    """Return the schema of the JSON of a command: of a result, or of a failure."""
    document = DOCUMENTS[command]
    result = _tree(document.keys, document.sometimes)
    result["properties"]["command"] = {"const": command}
    if document.either:
        result["oneOf"] = [{"required": [key]} for key in document.either]
    body: Shape = {"result": result, "error": _error(result)}
    return {
        "$schema": _DIALECT,
        "$id": f"urn:cranalyze:{command}:{JSON_FORMAT}",
        "title": f"cranalyze {command} --json",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in body],
        "$defs": body | {name: _tree(PARTS[name]) for name in _used(document)},
    }


def schemas(folder: str) -> dict[str, Callable[[], str]]:
    """Return the files of all schemas in a folder, by their paths."""
    return {f"{folder}/{command}.json": partial(_text, command) for command in DOCUMENTS}


def _text(command: str) -> str:
    return f"{json.dumps(schema(command), indent=1)}\n"


def _used(document: Document) -> list[str]:
    found: dict[str, None] = {}

    def look(keys: Keys) -> None:
        for shape, _ in keys.values():
            name = part_of(shape)
            if name and name not in found:
                found[name] = None
                look(PARTS[name])

    look(document.keys)
    return list(found)


def _tree(keys: Keys, sometimes: Container[str] = ()) -> Shape:
    root: Shape = {"type": "object", "properties": {}, "required": []}
    for path, (shape, meaning) in keys.items():
        at, above = root, ""
        *steps, last = path.split(".")
        for step in steps:
            name = step.removesuffix("[]")
            _require(at, name, sometimes, above)
            at = _inner(at, name, listed=name != step)
            above += f"{step}."
        at["properties"][last] = {**shape, "description": meaning}
        _require(at, last, sometimes, above)
    return root


def _require(at: Shape, name: str, sometimes: Container[str], above: str) -> None:
    if f"{above}{name}" not in sometimes and name not in at["required"]:
        at["required"].append(name)


def _inner(at: Shape, name: str, *, listed: bool) -> Shape:
    """Return the object of that name, or of a list of them: made where it is not there."""
    if name not in at["properties"]:
        empty: Shape = {"type": "object", "properties": {}, "required": []}
        at["properties"][name] = {"type": "array", "items": empty} if listed else empty
    found: Shape = at["properties"][name]
    return found["items"] if listed else found


_OF_ALL: Final = ("cranalyze", "command", "exit_code")


def _error(result: Shape) -> Shape:
    """Return what a failure looks like: the same envelope, with nothing in it but `errors`."""
    whole: Shape = result["properties"]
    empty: dict[str, Shape] = {"array": {"maxItems": 0}, "object": {"type": "null"}}
    nothing = {
        name: shape if name in _OF_ALL else empty.get(str(shape.get("type")), shape)
        for name, shape in whole.items()
    }
    more = {
        "status": {"const": Status.ERROR.value},
        "errors": {**whole["errors"], "minItems": 1},
    }
    return {
        "type": "object",
        "properties": nothing | more,
        "required": [*_OF_ALL, *more],
    }
