# ruff: noqa: INP001 - a script: no package
"""Writes tests/data/kubernetes.json: a JSON Schema of what deploy/kubernetes is made of.

    pip install kubernetes==34.1.0
    python scripts/kubernetes_schema.py

It comes from the models of Kubernetes' own client, which are made from the definition of its API:
each field with its type, and whether there has to be one. A field that is not known is refused. The
client itself (Apache License 2.0) checks nothing that it reads, and is not needed by the tests.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, Final

OUT: Final = Path(__file__).parents[1] / "tests" / "data" / "kubernetes.json"
KINDS: Final = {"DaemonSet": "V1DaemonSet", "CronJob": "V1CronJob"}
_PLAIN: Final[dict[str, Any]] = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "bool": {"type": "boolean"},
    "float": {"type": "number"}, "datetime": {"type": "string"}, "object": {},
}  # fmt: skip


def main() -> None:
    """Write the schema of all that KINDS lead to."""
    import kubernetes  # type: ignore[import-not-found, unused-ignore]

    found: dict[str, Any] = {}
    left = [*KINDS.values()]
    while left:
        name = left.pop()
        if name not in found:
            found[name] = _object(getattr(kubernetes.client, name))
            left += re.findall(r'"#/\$defs/(\w+)"', json.dumps(found[name]))
    about = f"of the Python client of Kubernetes {kubernetes.__version__}, Apache License 2.0"
    whole = {
        "$comment": about,
        "oneOf": [
            {"$ref": f"#/$defs/{name}", "properties": {"kind": {"const": kind}}}
            for kind, name in KINDS.items()
        ],
        "$defs": dict(sorted(found.items())),
    }
    OUT.write_text(f"{json.dumps(whole, separators=(',', ':'))}\n")


def _object(model: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of theirs
    fields = {model.attribute_map[name]: said for name, said in model.openapi_types.items()}
    needed = [model.attribute_map[name] for name in model.openapi_types if _needed(model, name)]
    return {
        "type": "object",
        "properties": {name: _type(said) for name, said in sorted(fields.items())},
        "required": sorted(needed),
        "additionalProperties": False,
    }


def _needed(model: Any, name: str) -> bool:  # noqa: ANN401 - a class of theirs
    return f"and {name} is None" in inspect.getsource(getattr(model, name).fset)


def _type(said: str) -> dict[str, Any]:
    if said in _PLAIN:
        return _PLAIN[said]
    if of := re.fullmatch(r"list\[(.*)\]", said):
        return {"type": "array", "items": _type(of[1])}
    if of := re.fullmatch(r"dict\(str, (.*)\)", said):
        return {"type": "object", "additionalProperties": _type(of[1])}
    return {"$ref": f"#/$defs/{said}"}


if __name__ == "__main__":
    main()
